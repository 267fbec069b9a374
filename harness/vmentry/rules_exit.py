"""SDM 3C 27.2.1.2, VM-exit control fields; the shape of MSR areas is that of 27.2.1.3 too."""

from __future__ import annotations

from harness.vmentry import controls as c
from harness.vmentry.rule import Condition, Rule, Stage, off, on
from harness.vmentry.rules_execution import limits
from harness.vmentry.shapes import beyond, physical
from harness.vmentry.state import State

SECTION = "27.2.1.2"
STAGE = Stage.CONTROLS


def msr_area(id: str, section: str, area: str) -> tuple[Rule, ...]:
    """An area of MSRs: an aligned address, and all of its 16-byte entries within memory."""
    address, count = f"{area}_address", f"{area}_count"
    used = (Condition("the count is not 0", lambda v: v.read(count) != 0, (count,)),)

    def last(v: State) -> int:
        return v.read(address) + v.read(count) * 16 - 1

    return (
        *physical(id, section, STAGE, address, 4, used),
        Rule(
            f"{id}.last", section, STAGE, (address, count),
            "the area's last byte must not lie beyond the processor's physical-address width",
            holds=lambda v: not last(v) & beyond(v) and not last(v) >> 64,
            when=used,
            detail=lambda v: f"it is at {last(v):#x}",
        ),
    )  # fmt: skip


RULES: tuple[Rule, ...] = (
    limits("exit.primary.reserved", SECTION, c.EXIT, "IA32_VMX_(TRUE_)EXIT_CTLS"),
    limits(
        "exit.secondary.reserved", SECTION, c.EXIT2, "IA32_VMX_EXIT_CTLS2",
        (on(c.ACTIVATE_SECONDARY_EXIT_CONTROLS),),
    ),
    Rule(
        "exit.save-preemption-timer", SECTION, STAGE, (c.EXIT, c.PIN),
        "“save VMX-preemption timer value” (bit 22) must be 0",
        holds=lambda v: not v.on(c.SAVE_PREEMPTION_TIMER),
        when=(off(c.ACTIVATE_PREEMPTION_TIMER),),
    ),
    *msr_area("exit.msr-store", SECTION, "vm_exit_msr_store"),
    *msr_area("exit.msr-load", SECTION, "vm_exit_msr_load"),
)  # fmt: skip
