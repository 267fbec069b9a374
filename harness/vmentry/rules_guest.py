"""SDM 3C 27.3.1.1 and 27.3.1.3: the guest's control registers, MSRs and descriptor tables."""

from __future__ import annotations

from harness.vmentry import controls as c
from harness.vmentry.rule import Condition, Rule, Stage, off, on
from harness.vmentry.rules_host import (
    CR0_PE,
    CR0_PG,
    CR0_UNCHECKED,
    CR4_PAE,
    CR4_PCIDE,
    EFER_LMA,
    EFER_LME,
    HIGH_HALF,
    cet_needs_wp,
    cr3,
    perf_global_ctrl,
    shadow_stacks,
)
from harness.vmentry.shapes import When, allowed, fixed, is_canonical, pat, zero
from harness.vmentry.state import State

REGISTERS, TABLES = "27.3.1.1", "27.3.1.3"
STAGE = Stage.GUEST

IA32E = on(c.IA32E_MODE_GUEST)
_DEBUG: When = (on(c.ENTRY_LOAD_DEBUG_CONTROLS),)
_EFER: When = (on(c.ENTRY_LOAD_EFER),)
_PAGING = Condition("CR0.PG is 1", lambda v: bool(v.guest_cr0 & CR0_PG), ("guest_cr0",))


def _cr0_unchecked(v: State) -> int:
    """An unrestricted guest may run without paging and protection."""
    return CR0_UNCHECKED | (CR0_PE | CR0_PG if v.on(c.UNRESTRICTED_GUEST) else 0)


RULES: tuple[Rule, ...] = (
    *fixed(
        "guest.cr0", REGISTERS, STAGE, "guest_cr0", "CR0", _cr0_unchecked,
        aside=(c.PRIMARY, c.SECONDARY),
    ),
    Rule(
        "guest.cr0.pg", REGISTERS, STAGE, ("guest_cr0",),
        "PE (bit 0) must be 1 where PG (bit 31) is",
        holds=lambda v: not v.guest_cr0 & CR0_PG or bool(v.guest_cr0 & CR0_PE),
    ),
    *fixed("guest.cr4", REGISTERS, STAGE, "guest_cr4", "CR4", lambda _: 0),
    cet_needs_wp("guest.cr4.cet", REGISTERS, STAGE, "guest_cr0", "guest_cr4"),
    allowed(
        "guest.debugctl", REGISTERS, STAGE, "guest_ia32_debugctl", lambda v: v.cap.debugctl,
        "the bits that the MSR reserves must be 0", _DEBUG,
    ),
    Rule(
        "guest.ia32e.paging", REGISTERS, STAGE, ("guest_cr0",), "CR0.PG (bit 31) must be 1",
        holds=lambda v: bool(v.guest_cr0 & CR0_PG),
        when=(IA32E,),
    ),
    Rule(
        "guest.ia32e.pae", REGISTERS, STAGE, ("guest_cr4",), "CR4.PAE (bit 5) must be 1",
        holds=lambda v: bool(v.guest_cr4 & CR4_PAE),
        when=(IA32E,),
    ),
    zero(
        "guest.cr4.pcide", REGISTERS, STAGE, "guest_cr4", CR4_PCIDE, (off(c.IA32E_MODE_GUEST),),
        name="CR4.PCIDE",
    ),
    cr3("guest.cr3", REGISTERS, STAGE, "guest_cr3"),
    zero("guest.dr7", REGISTERS, STAGE, "guest_dr7", HIGH_HALF, _DEBUG),
    is_canonical("guest.sysenter-esp", REGISTERS, STAGE, "guest_ia32_sysenter_esp"),
    is_canonical("guest.sysenter-eip", REGISTERS, STAGE, "guest_ia32_sysenter_eip"),
    *shadow_stacks("guest", REGISTERS, STAGE, (on(c.ENTRY_LOAD_CET),)),
    perf_global_ctrl("guest", REGISTERS, STAGE, (on(c.ENTRY_LOAD_PERF_GLOBAL_CTRL),)),
    pat("guest.pat", REGISTERS, STAGE, "guest_ia32_pat", (on(c.ENTRY_LOAD_PAT),)),
    allowed(
        "guest.efer.reserved", REGISTERS, STAGE, "guest_ia32_efer", lambda v: v.cap.efer,
        "the bits that the MSR reserves must be 0", _EFER,
    ),
    Rule(
        "guest.efer.lma", REGISTERS, STAGE, ("guest_ia32_efer", c.ENTRY),
        "LMA (bit 10) must be as “IA-32e mode guest” (bit 9 of the VM-entry controls)",
        holds=lambda v: bool(v.guest_ia32_efer & EFER_LMA) == v.on(c.IA32E_MODE_GUEST),
        when=_EFER,
    ),
    Rule(
        "guest.efer.lme", REGISTERS, STAGE, ("guest_ia32_efer",),
        "LMA (bit 10) and LME (bit 8) must be the same",
        holds=lambda v: bool(v.guest_ia32_efer & EFER_LMA) == bool(v.guest_ia32_efer & EFER_LME),
        when=(*_EFER, _PAGING),
    ),
    zero(
        "guest.bndcfgs.reserved", REGISTERS, STAGE, "guest_ia32_bndcfgs", 0xFFC,
        (on(c.ENTRY_LOAD_BNDCFGS),),
    ),
    is_canonical(
        "guest.bndcfgs.canonical", REGISTERS, STAGE, "guest_ia32_bndcfgs",
        (on(c.ENTRY_LOAD_BNDCFGS),),
    ),
    allowed(
        "guest.rtit-ctl", REGISTERS, STAGE, "guest_ia32_rtit_ctl", lambda v: v.cap.rtit_ctl,
        "the bits that the MSR reserves must be 0", (on(c.ENTRY_LOAD_RTIT_CTL),),
    ),
    allowed(
        "guest.lbr-ctl", REGISTERS, STAGE, "guest_ia32_lbr_ctl", lambda v: v.cap.lbr_ctl,
        "the bits that the MSR reserves must be 0", (on(c.ENTRY_LOAD_LBR_CTL),),
    ),
    zero(
        "guest.pkrs", REGISTERS, STAGE, "guest_ia32_pkrs", HIGH_HALF, (on(c.ENTRY_LOAD_PKRS),)
    ),
    zero("guest.uinv", REGISTERS, STAGE, "guest_uinv", 0xFF00, (on(c.ENTRY_LOAD_UINV),)),
    *(
        rule
        for name in ("gdtr", "idtr")
        for rule in (
            is_canonical(f"guest.{name}.base", TABLES, STAGE, f"guest_{name}_base"),
            zero(f"guest.{name}.limit", TABLES, STAGE, f"guest_{name}_limit", 0xFFFF0000),
        )
    ),
)  # fmt: skip
