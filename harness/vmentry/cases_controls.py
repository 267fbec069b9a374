"""The edges of the rules on VMX controls (SDM 3C 27.2.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from harness.vmentry import controls as c
from harness.vmentry.capabilities import Capabilities
from harness.vmentry.case import Case, case, minus, plus, put, swap, turned
from harness.vmentry.controls import Control

_ALL = (1 << 64) - 1
_EVENT = "vm_entry_interruption_information"
_VALID, _WITH_CODE = 1 << 31, 1 << 11


def event(kind: int, vector: int, more: int = 0) -> int:
    """A VM-entry interruption-information field."""
    return _VALID | more | kind << 8 | vector


def address(
    id: str, field: str, low: int, cap: Capabilities, on: Iterable[Control], **more: Any
) -> Iterator[Case]:
    """The highest bit that must be 0 below, and the lowest that must be 0 above."""
    width = cap.physical_width
    assert width is not None
    on = tuple(on)
    if low:
        yield case(
            f"{id}.aligned", {field: plus(1 << (low - 1))}, {field: plus(1 << low)}, on=on,
            **more,
        )  # fmt: skip
    yield case(
        f"{id}.width", {field: plus(1 << width)}, {field: plus(1 << (width - 1))}, on=on,
        **more,
    )  # fmt: skip


def needs(
    id: str, control: Control, other: Control, given: Iterable[Control] = (), **more: Any
) -> Case:
    """A control on that needs another one on: the other off, the other on."""
    return case(
        id, turned((control,), (other,)), turned((control, other)), on=given,
        **more,
    )  # fmt: skip


def _area(id: str, area: str, cap: Capabilities) -> Iterator[Case]:
    address_, count = f"{area}_address", f"{area}_count"
    assert cap.physical_width is not None
    last = (1 << cap.physical_width) - 16
    one = {count: put(1)}
    yield case(f"{id}.aligned", {address_: plus(8)}, {address_: plus(16)}, given=one)
    yield case(
        f"{id}.width", {address_: plus(last + 16)}, {address_: put(last)}, given=one,
        also=(f"{id}.last",),
    )  # fmt: skip
    yield case(f"{id}.last", {count: put(2)}, {count: put(1)}, given={address_: put(last)})


def execution(cap: Capabilities) -> Iterator[Case]:
    """27.2.1.1: control words, bitmaps, and what needs what."""
    nothing = {c.PIN: plus(0)}
    yield case("exec.pin.reserved", {c.PIN: minus(1 << 1)}, nothing)
    yield case("exec.primary.reserved", {c.PRIMARY: minus(1 << 1)}, nothing)
    yield case(
        "exec.secondary.reserved", {c.SECONDARY: plus(1 << 30)}, turned((c.ENABLE_PML,)),
        secondary=(0xFFFFFFFF & ~(1 << 30)) << 32,
    )  # fmt: skip
    yield case(
        "exec.tertiary.reserved", {c.TERTIARY: plus(1 << 63)}, {c.TERTIARY: plus(1 << 62)},
        on=(c.ACTIVATE_TERTIARY_CONTROLS,), tertiary=_ALL >> 1,
    )  # fmt: skip
    yield case("exec.cr3-target-count", {"cr3_target_count": put(5)}, {"cr3_target_count": put(4)})
    for name in ("a", "b"):
        yield from address(
            f"exec.io-bitmap-{name}", f"io_bitmap_{name}", 12, cap, (c.USE_IO_BITMAPS,)
        )
    for id, field, control in (
        ("exec.msr-bitmaps", "msr_bitmaps", c.USE_MSR_BITMAPS),
        ("exec.vmread-bitmap", "vmread_bitmap_address", c.VMCS_SHADOWING),
        ("exec.vmwrite-bitmap", "vmwrite_bitmap_address", c.VMCS_SHADOWING),
        ("exec.low-pasid-directory", "low_pasid_directory_address", c.PASID_TRANSLATION),
        ("exec.high-pasid-directory", "high_pasid_directory_address", c.PASID_TRANSLATION),
        ("exec.pml", "pml_address", c.ENABLE_PML),
        ("exec.sub-page-table", "sub_page_permission_table_pointer", c.SUB_PAGE_WRITE),
        ("exec.ve-information", "virtualization_exception_information_address", c.EPT_VIOLATION_VE),
        ("exec.eptp-list", "eptp_list_address", c.EPTP_SWITCHING),
        ("exec.virtual-apic", "virtual_apic_address", c.USE_TPR_SHADOW),
        ("exec.apic-access", "apic_access_address", c.VIRTUALIZE_APIC_ACCESSES),
    ):
        yield from address(id, field, 12, cap, (control,))
    yield case(
        "exec.virtual-nmis", turned((c.VIRTUAL_NMIS,)), turned((), (c.VIRTUAL_NMIS,)),
        off=(c.NMI_EXITING,),
    )  # fmt: skip
    yield needs("exec.nmi-window-exiting", c.NMI_WINDOW_EXITING, c.VIRTUAL_NMIS)
    vpid = "virtual_processor_identifier"
    yield case("exec.vpid", {vpid: put(0)}, {vpid: put(1)}, on=(c.ENABLE_VPID,))
    yield case(
        "exec.tsc-multiplier", {"tsc_multiplier": put(0)}, {"tsc_multiplier": put(1)},
        on=(c.USE_TSC_SCALING,),
    )  # fmt: skip
    tracing = (c.PT_GUEST_PHYSICAL, c.ENABLE_EPT, c.ENTRY_LOAD_RTIT_CTL, c.EXIT_CLEAR_RTIT_CTL)
    for id, other in (
        ("ept", c.ENABLE_EPT),
        ("entry", c.ENTRY_LOAD_RTIT_CTL),
        ("exit", c.EXIT_CLEAR_RTIT_CTL),
    ):
        yield needs(f"exec.pt-guest-physical.{id}", c.PT_GUEST_PHYSICAL, other, tracing)
    yield needs("exec.hlat.ept", c.ENABLE_HLAT, c.ENABLE_EPT)
    yield case(
        "exec.hlat-pointer.reserved",
        {"hlat_pointer": plus(1 << 11)}, {"hlat_pointer": plus(0x1018)},
        on=(c.ENABLE_HLAT,),
    )  # fmt: skip
    yield from address("exec.hlat-pointer", "hlat_pointer", 0, cap, (c.ENABLE_HLAT,))
    yield needs("exec.ept-paging-write.ept", c.EPT_PAGING_WRITE, c.ENABLE_EPT)
    yield needs("exec.guest-paging-verification.ept", c.GUEST_PAGING_VERIFICATION, c.ENABLE_EPT)


def apic(cap: Capabilities) -> Iterator[Case]:
    """27.2.1.1: the virtual APIC, posted interrupts, IPI virtualization."""
    shadow = (c.USE_TPR_SHADOW,)
    page, threshold = "virtual_apic_address", "tpr_threshold"
    yield case(
        "exec.tpr-threshold.reserved", {threshold: put(0x10)}, {threshold: put(0xF)},
        on=shadow, given={page: put(0x300000)}, memory={0x300080: 0xF0},
    )  # fmt: skip
    yield case(
        "exec.tpr-threshold.vtpr", {threshold: put(8)}, {threshold: put(7)},
        on=shadow, given={page: put(0x300000)}, memory={0x300080: 0x7F},
    )  # fmt: skip
    yield needs("exec.x2apic.tpr-shadow", c.VIRTUALIZE_X2APIC_MODE, c.USE_TPR_SHADOW)
    yield needs("exec.apic-registers.tpr-shadow", c.APIC_REGISTER_VIRTUALIZATION, c.USE_TPR_SHADOW)
    yield needs(
        "exec.interrupt-delivery.tpr-shadow", c.VIRTUAL_INTERRUPT_DELIVERY, c.USE_TPR_SHADOW
    )
    yield case(
        "exec.x2apic.apic-accesses",
        turned((c.VIRTUALIZE_X2APIC_MODE, c.VIRTUALIZE_APIC_ACCESSES)),
        turned((c.VIRTUALIZE_X2APIC_MODE,), (c.VIRTUALIZE_APIC_ACCESSES,)),
        on=shadow,
    )
    yield needs(
        "exec.interrupt-delivery.external", c.VIRTUAL_INTERRUPT_DELIVERY,
        c.EXTERNAL_INTERRUPT_EXITING, shadow,
    )  # fmt: skip
    posted = (
        c.USE_TPR_SHADOW, c.VIRTUAL_INTERRUPT_DELIVERY, c.EXTERNAL_INTERRUPT_EXITING,
        c.ACKNOWLEDGE_INTERRUPT, c.PROCESS_POSTED_INTERRUPTS,
    )  # fmt: skip
    yield needs(
        "exec.posted.interrupt-delivery", c.PROCESS_POSTED_INTERRUPTS,
        c.VIRTUAL_INTERRUPT_DELIVERY, posted, memory={},
    )  # fmt: skip
    yield needs(
        "exec.posted.acknowledge", c.PROCESS_POSTED_INTERRUPTS, c.ACKNOWLEDGE_INTERRUPT, posted
    )
    vector = "posted_interrupt_notification_vector"
    yield case("exec.posted.vector", {vector: put(0x100)}, {vector: put(0xFF)}, on=posted)
    yield from address(
        "exec.posted.descriptor", "posted_interrupt_descriptor_address", 6, cap, posted
    )
    yield needs("exec.ipi.tpr-shadow", c.IPI_VIRTUALIZATION, c.USE_TPR_SHADOW)
    table, last = "pid_pointer_table_address", "last_pid_pointer_index"
    ipi = (c.IPI_VIRTUALIZATION, c.USE_TPR_SHADOW)
    assert cap.physical_width is not None
    end = 1 << cap.physical_width
    yield case("exec.pid-table.aligned", {table: plus(4)}, {table: plus(8)}, on=ipi)
    yield case(
        "exec.pid-table.width", {table: plus(end)}, {table: put(end - 8)}, on=ipi,
        also=("exec.pid-table.last",),
    )  # fmt: skip
    yield case(
        "exec.pid-table.last", {last: put(2)}, {last: put(1)}, on=ipi, given={table: put(end - 16)}
    )


def ept(cap: Capabilities) -> Iterator[Case]:
    """27.2.1.1: EPT and what needs it."""
    pointer, on = "ept_pointer", (c.ENABLE_EPT,)
    yield case("exec.eptp.memory-type", {pointer: swap(7, 5)}, {pointer: swap(7, 6)}, on=on)
    yield case(
        "exec.eptp.walk-length", {pointer: swap(0x38, 0x10)}, {pointer: swap(0x38, 0x18)}, on=on
    )
    without: dict[int, dict[str, Any]] = {
        bit: {"ept_vpid": (cap.ept_vpid if cap.ept_vpid is not None else _ALL) & ~(1 << bit)}
        for bit in (21, 23)
    }
    for id, place, bit in (("accessed-dirty", 6, 21), ("shadow-stack", 7, 23)):
        yield case(
            f"exec.eptp.{id}", {pointer: plus(1 << place)}, {pointer: minus(1 << place)}, on=on,
            **without[bit],
        )  # fmt: skip
    yield case("exec.eptp.reserved", {pointer: plus(1 << 11)}, {pointer: plus(1 << 12)}, on=on)
    yield from address("exec.eptp", pointer, 0, cap, on)
    for id, control in (
        ("pml", c.ENABLE_PML),
        ("unrestricted-guest", c.UNRESTRICTED_GUEST),
        ("mode-based-execute", c.MODE_BASED_EXECUTE),
        ("sub-page-write", c.SUB_PAGE_WRITE),
        ("eptp-switching", c.EPTP_SWITCHING),
    ):
        yield needs(f"exec.{id}.ept", control, c.ENABLE_EPT)
    yield case(
        "exec.vm-functions.reserved", {c.FUNCTION: put(2)}, {c.FUNCTION: put(1)},
        on=(c.ENABLE_VM_FUNCTIONS,),
    )  # fmt: skip


def exit_and_entry(cap: Capabilities) -> Iterator[Case]:
    """27.2.1.2 and 27.2.1.3, without events."""
    nothing = {c.EXIT: plus(0)}
    yield case("exit.primary.reserved", {c.EXIT: minus(1 << 1)}, nothing)
    yield case(
        "exit.secondary.reserved", {c.EXIT2: plus(1 << 63)}, {c.EXIT2: plus(1 << 62)},
        on=(c.ACTIVATE_SECONDARY_EXIT_CONTROLS,), exit2=_ALL >> 1,
    )  # fmt: skip
    yield needs("exit.save-preemption-timer", c.SAVE_PREEMPTION_TIMER, c.ACTIVATE_PREEMPTION_TIMER)
    yield from _area("exit.msr-store", "vm_exit_msr_store", cap)
    yield from _area("exit.msr-load", "vm_exit_msr_load", cap)
    yield from _area("entry.msr-load", "vm_entry_msr_load", cap)
    yield case("entry.reserved", {c.ENTRY: minus(1 << 1)}, nothing)
    smm = turned((c.ENTRY_TO_SMM,))
    # Those two have consequences for the guest's state, which are rules of their own.
    yield case("entry.to-smm", smm, {}, also=("guest.interruptibility.smi.entry",))
    yield case("entry.dual-monitor", turned((c.DEACTIVATE_DUAL_MONITOR,)), {})
    yield case(
        "entry.smm-and-dual-monitor", turned((c.DEACTIVATE_DUAL_MONITOR,)), {},
        on=(c.ENTRY_TO_SMM,), given={"guest_interruptibility_state": put(4)}, in_smm=True,
    )  # fmt: skip
    yield case("entry.tracing", turned((c.ENTRY_LOAD_RTIT_CTL,)), {}, tracing=True)


def events() -> Iterator[Case]:
    """27.2.1.3: the event to inject."""
    code = {"vm_entry_exception_error_code": put(0)}
    strict: dict[str, Any] = {"basic": 1 << 55}
    yield case("entry.event.type.reserved", {_EVENT: put(event(1, 32))}, {_EVENT: put(event(3, 1))})
    no_trap: dict[str, Any] = {
        "true_primary": (0xFFFB_FFFE & ~c.MONITOR_TRAP_FLAG.mask) << 32 | 0x0400_6172
    }
    yield case(
        "entry.event.type.other", {_EVENT: put(event(7, 0))}, {_EVENT: put(event(6, 3))}, **no_trap
    )
    for id, kind, bad, good in (("nmi", 2, 3, 2), ("exception", 3, 32, 31), ("other", 7, 1, 0)):
        yield case(
            f"entry.event.vector.{id}",
            {_EVENT: put(event(kind, bad))},
            {_EVENT: put(event(kind, good))},
        )
    yield case(
        "entry.event.error-code.type",
        {_EVENT: put(event(4, 13, _WITH_CODE))},
        {_EVENT: put(event(3, 13, _WITH_CODE))},
        given=code,
    )
    yield case(
        "entry.event.error-code.real",
        {_EVENT: put(event(3, 13, _WITH_CODE))},
        {_EVENT: put(event(3, 13))},
        base="real",
    )
    yield case(
        "entry.event.error-code.missing",
        {_EVENT: put(event(3, 17))},
        {_EVENT: put(event(3, 17, _WITH_CODE))},
        **strict,
    )
    yield case(
        "entry.event.error-code.spare",
        {_EVENT: put(event(3, 18, _WITH_CODE))},
        {_EVENT: put(event(3, 18))},
        **strict,
    )
    yield case(
        "entry.event.reserved", {_EVENT: put(event(2, 2, 1 << 12))}, {_EVENT: put(event(2, 2))}
    )
    error = "vm_entry_exception_error_code"
    yield case(
        "entry.event.error-code.value", {error: put(0x10000)}, {error: put(0xFFFF)},
        given={_EVENT: put(event(3, 13, _WITH_CODE))},
    )  # fmt: skip
    length, soft = "vm_entry_instruction_length", {_EVENT: put(event(4, 0x80))}
    yield case("entry.event.length", {length: put(16)}, {length: put(15)}, given=soft)
    yield case(
        "entry.event.length.zero", {length: put(0)}, {length: put(1)}, given=soft,
        misc=4 << 16 | 7 << 6,
    )  # fmt: skip


def cases(cap: Capabilities) -> Iterator[Case]:
    """All of them, for a processor with these widths."""
    for some in (execution, apic, ept, exit_and_entry):
        yield from some(cap)
    yield from events()
