"""SDM 3C 27.2.1.1: the virtual APIC, posted interrupts and IPI virtualization."""

from __future__ import annotations

from harness.vmentry import controls as c
from harness.vmentry.rule import Rule, Stage, off, on
from harness.vmentry.rules_execution import needs
from harness.vmentry.shapes import beyond, physical, zero
from harness.vmentry.state import State

SECTION = "27.2.1.1"
STAGE = Stage.CONTROLS

_SHADOW = (on(c.USE_TPR_SHADOW),)
_POSTED = (on(c.PROCESS_POSTED_INTERRUPTS),)
_IPI = (on(c.IPI_VIRTUALIZATION),)


def _vtpr_class(v: State) -> int:
    # VTPR is the byte at offset 80H of the virtual-APIC page; its bits 7:4 are the class (30.1.1).
    return v.word(v.virtual_apic_address + 0x80, "VTPR") >> 4 & 0xF


def _last_pid_entry(v: State) -> int:
    return v.pid_pointer_table_address + (v.last_pid_pointer_index << 3)


RULES: tuple[Rule, ...] = (
    *physical("exec.virtual-apic", SECTION, STAGE, "virtual_apic_address", 12, _SHADOW),
    zero(
        "exec.tpr-threshold.reserved", SECTION, STAGE, "tpr_threshold", 0xFFFFFFF0,
        (*_SHADOW, off(c.VIRTUAL_INTERRUPT_DELIVERY)),
    ),
    Rule(
        "exec.tpr-threshold.vtpr", SECTION, STAGE, ("tpr_threshold",),
        "bits 3:0 must not be greater than bits 7:4 of VTPR",
        holds=lambda v: v.tpr_threshold & 0xF == 0 or v.tpr_threshold & 0xF <= _vtpr_class(v),
        when=(*_SHADOW, off(c.VIRTUALIZE_APIC_ACCESSES), off(c.VIRTUAL_INTERRUPT_DELIVERY)),
        detail=lambda v: f"those are {_vtpr_class(v)}",
        aside=("virtual_apic_address",),
    ),
    *physical(
        "exec.apic-access", SECTION, STAGE, "apic_access_address", 12,
        (on(c.VIRTUALIZE_APIC_ACCESSES),),
    ),
    needs("exec.x2apic.tpr-shadow", c.VIRTUALIZE_X2APIC_MODE, c.USE_TPR_SHADOW),
    needs("exec.apic-registers.tpr-shadow", c.APIC_REGISTER_VIRTUALIZATION, c.USE_TPR_SHADOW),
    needs("exec.interrupt-delivery.tpr-shadow", c.VIRTUAL_INTERRUPT_DELIVERY, c.USE_TPR_SHADOW),
    needs(
        "exec.x2apic.apic-accesses", c.VIRTUALIZE_X2APIC_MODE, c.VIRTUALIZE_APIC_ACCESSES, value=0
    ),
    needs(
        "exec.interrupt-delivery.external", c.VIRTUAL_INTERRUPT_DELIVERY,
        c.EXTERNAL_INTERRUPT_EXITING,
    ),
    needs(
        "exec.posted.interrupt-delivery", c.PROCESS_POSTED_INTERRUPTS, c.VIRTUAL_INTERRUPT_DELIVERY
    ),
    needs("exec.posted.acknowledge", c.PROCESS_POSTED_INTERRUPTS, c.ACKNOWLEDGE_INTERRUPT),
    zero(
        "exec.posted.vector", SECTION, STAGE, "posted_interrupt_notification_vector", 0xFF00,
        _POSTED,
    ),
    *physical(
        "exec.posted.descriptor", SECTION, STAGE, "posted_interrupt_descriptor_address", 6, _POSTED
    ),
    needs("exec.ipi.tpr-shadow", c.IPI_VIRTUALIZATION, c.USE_TPR_SHADOW),
    *physical("exec.pid-table", SECTION, STAGE, "pid_pointer_table_address", 3, _IPI),
    Rule(
        "exec.pid-table.last", SECTION, STAGE,
        ("pid_pointer_table_address", "last_pid_pointer_index"),
        "the table's last entry must not lie beyond the processor's physical-address width",
        holds=lambda v: not _last_pid_entry(v) & beyond(v) and not _last_pid_entry(v) >> 64,
        when=_IPI,
        detail=lambda v: f"it is at {_last_pid_entry(v):#x}",
    ),
)  # fmt: skip
