"""SDM 3C 27.2.2 to 27.2.4: the host-state area."""

from __future__ import annotations

from harness.vmentry import controls as c
from harness.vmentry.rule import Condition, Rule, Stage, off, on
from harness.vmentry.shapes import (
    When,
    allowed,
    are,
    beyond,
    fixed,
    is_canonical,
    pat,
    zero,
)
from harness.vmentry.state import State

REGISTERS, SEGMENTS, SIZE = "27.2.2", "27.2.3", "27.2.4"
STAGE = Stage.HOST

# CR0.NW and CR0.CD are not changed by a VM exit, and so not checked.
CR0_UNCHECKED = 1 << 29 | 1 << 30
CR0_PE, CR0_WP, CR0_PG = 1 << 0, 1 << 16, 1 << 31
CR4_PAE, CR4_PCIDE, CR4_CET = 1 << 5, 1 << 17, 1 << 23
EFER_LME, EFER_LMA = 1 << 8, 1 << 10
HIGH_HALF = 0xFFFFFFFF << 32

_64_BIT = on(c.HOST_ADDRESS_SPACE_SIZE)
_32_BIT = off(c.HOST_ADDRESS_SPACE_SIZE)
_CET = (on(c.EXIT_LOAD_CET),)

# Of IA32_S_CET: 9:6 reserved, 10 SUPPRESS, 11 TRACKER (SDM 1 17.2.2).
S_CET_RESERVED = 0x3C0
_SUPPRESS_AND_TRACKER = 3 << 10


def cet_needs_wp(id: str, section: str, stage: Stage, cr0: str, cr4: str) -> Rule:
    """CR4.CET needs CR0.WP."""
    return Rule(
        id, section, stage, (cr0, cr4), "CR0.WP (bit 16) must be 1 where CR4.CET (bit 23) is",
        holds=lambda v: not v.read(cr4) & CR4_CET or bool(v.read(cr0) & CR0_WP),
    )  # fmt: skip


def cr3(id: str, section: str, stage: Stage, field: str) -> Rule:
    """CR3 is a physical address, beside which linear-address masking has bits 62:61."""

    def spare(v: State) -> int:
        masking = v.cap.cr4_fixed1 >> 28 & 1  # CR4.LAM_SUP may be 1
        return v.read(field) & beyond(v) & ~(3 << 61 if masking else 0)

    return Rule(
        id, section, stage, (field,),
        "no bit beyond the processor's physical-address width may be 1, but for LAM's 62:61",
        holds=lambda v: not spare(v),
        detail=lambda v: are(spare(v), 1),
    )  # fmt: skip


def shadow_stacks(prefix: str, section: str, stage: Stage, when: When) -> tuple[Rule, ...]:
    """IA32_S_CET and IA32_INTERRUPT_SSP_TABLE_ADDR of the host or the guest."""
    field = f"{prefix}_ia32_s_cet"
    return (
        zero(f"{prefix}.s-cet.reserved", section, stage, field, S_CET_RESERVED, when),
        Rule(
            f"{prefix}.s-cet.tracker", section, stage, (field,),
            "bits 10 (SUPPRESS) and 11 (TRACKER) must not both be 1",
            holds=lambda v: v.read(field) & _SUPPRESS_AND_TRACKER != _SUPPRESS_AND_TRACKER,
            when=when,
        ),
        is_canonical(f"{prefix}.s-cet.canonical", section, stage, field, when),
        is_canonical(
            f"{prefix}.ssp-table.canonical", section, stage,
            f"{prefix}_ia32_interrupt_ssp_table_addr", when,
        ),
    )  # fmt: skip


def perf_global_ctrl(prefix: str, section: str, stage: Stage, when: When) -> Rule:
    """IA32_PERF_GLOBAL_CTRL enables counters that exist."""
    return allowed(
        f"{prefix}.perf-global-ctrl", section, stage, f"{prefix}_ia32_perf_global_ctrl",
        lambda v: v.cap.perf_global_ctrl, "the bits that the MSR reserves must be 0", when,
    )  # fmt: skip


_REGISTER_RULES = (
    *fixed("host.cr0", REGISTERS, STAGE, "host_cr0", "CR0", lambda _: CR0_UNCHECKED),
    *fixed("host.cr4", REGISTERS, STAGE, "host_cr4", "CR4", lambda _: 0),
    cet_needs_wp("host.cr4.cet", REGISTERS, STAGE, "host_cr0", "host_cr4"),
    cr3("host.cr3", REGISTERS, STAGE, "host_cr3"),
    is_canonical("host.sysenter-esp", REGISTERS, STAGE, "host_ia32_sysenter_esp"),
    is_canonical("host.sysenter-eip", REGISTERS, STAGE, "host_ia32_sysenter_eip"),
    perf_global_ctrl("host", REGISTERS, STAGE, (on(c.EXIT_LOAD_PERF_GLOBAL_CTRL),)),
    pat("host.pat", REGISTERS, STAGE, "host_ia32_pat", (on(c.EXIT_LOAD_PAT),)),
    allowed(
        "host.efer.reserved", REGISTERS, STAGE, "host_ia32_efer", lambda v: v.cap.efer,
        "the bits that the MSR reserves must be 0", (on(c.EXIT_LOAD_EFER),),
    ),
    Rule(
        "host.efer.lma", REGISTERS, STAGE, ("host_ia32_efer", c.EXIT),
        "LMA (bit 10) must be as “host address-space size” (bit 9 of the VM-exit controls)",
        holds=lambda v: bool(v.host_ia32_efer & EFER_LMA) == v.on(c.HOST_ADDRESS_SPACE_SIZE),
        when=(on(c.EXIT_LOAD_EFER),),
    ),
    Rule(
        "host.efer.lme", REGISTERS, STAGE, ("host_ia32_efer", c.EXIT),
        "LME (bit 8) must be as “host address-space size” (bit 9 of the VM-exit controls)",
        holds=lambda v: bool(v.host_ia32_efer & EFER_LME) == v.on(c.HOST_ADDRESS_SPACE_SIZE),
        when=(on(c.EXIT_LOAD_EFER),),
    ),
    *shadow_stacks("host", REGISTERS, STAGE, _CET),
    zero("host.ssp.aligned", REGISTERS, STAGE, "host_ssp", 3, _CET),
    zero("host.pkrs", REGISTERS, STAGE, "host_ia32_pkrs", HIGH_HALF, (on(c.EXIT_LOAD_PKRS),)),
)  # fmt: skip

_SEGMENT_RULES = (
    *(
        zero(
            f"host.{name}.selector", SEGMENTS, STAGE, f"host_{name}_selector", 7, name="TI and RPL"
        )
        for name in ("cs", "ss", "ds", "es", "fs", "gs", "tr")
    ),
    *(
        Rule(
            f"host.{name}.null", SEGMENTS, STAGE, (f"host_{name}_selector",), "it must not be 0",
            holds=lambda v, name=name: v.read(f"host_{name}_selector") != 0,  # type: ignore[misc]
        )
        for name in ("cs", "tr")
    ),
    Rule(
        "host.ss.null", SEGMENTS, STAGE, ("host_ss_selector",), "it must not be 0",
        holds=lambda v: v.host_ss_selector != 0,
        when=(_32_BIT,),
    ),
    *(
        is_canonical(f"host.{name}.base", SEGMENTS, STAGE, f"host_{name}_base")
        for name in ("fs", "gs", "tr", "gdtr", "idtr")
    ),
)  # fmt: skip


def _entered_from(long_mode: bool) -> Condition:
    where = "" if long_mode else "outside "
    return Condition(
        f"the entry comes from {where}IA-32e mode",
        lambda v: bool(v.cap.long_mode) == long_mode,
        (),
    )


def _size(id: str, control: c.Control, value: int, when: When) -> Rule:
    return Rule(
        id, SIZE, STAGE, (control.field,), f"“{control.name}” (bit {control.bit}) must be {value}",
        holds=lambda v: v.on(control) == bool(value),
        when=when,
    )  # fmt: skip


_SIZE_RULES = (
    _size("host.size.ia32e-guest", c.IA32E_MODE_GUEST, 0, (_entered_from(False),)),
    _size("host.size.outside", c.HOST_ADDRESS_SPACE_SIZE, 0, (_entered_from(False),)),
    _size("host.size.inside", c.HOST_ADDRESS_SPACE_SIZE, 1, (_entered_from(True),)),
    _size("host.size.32-bit.ia32e-guest", c.IA32E_MODE_GUEST, 0, (_32_BIT,)),
    zero(
        "host.size.32-bit.pcide", SIZE, STAGE, "host_cr4", CR4_PCIDE, (_32_BIT,), name="CR4.PCIDE"
    ),
    zero("host.size.32-bit.rip", SIZE, STAGE, "host_rip", HIGH_HALF, (_32_BIT,)),
    zero("host.size.32-bit.s-cet", SIZE, STAGE, "host_ia32_s_cet", HIGH_HALF, (_32_BIT, *_CET)),
    zero("host.size.32-bit.ssp", SIZE, STAGE, "host_ssp", HIGH_HALF, (_32_BIT, *_CET)),
    Rule(
        "host.size.64-bit.pae", SIZE, STAGE, ("host_cr4",), "CR4.PAE (bit 5) must be 1",
        holds=lambda v: bool(v.host_cr4 & CR4_PAE),
        when=(_64_BIT,),
    ),
    is_canonical("host.size.64-bit.rip", SIZE, STAGE, "host_rip", (_64_BIT,)),
    is_canonical("host.size.64-bit.ssp", SIZE, STAGE, "host_ssp", (_64_BIT, *_CET)),
)  # fmt: skip

RULES: tuple[Rule, ...] = (*_REGISTER_RULES, *_SEGMENT_RULES, *_SIZE_RULES)
