"""The edges of the rules on host state (SDM 3C 27.2.2 to 27.2.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from harness.vmentry import controls as c
from harness.vmentry.capabilities import Capabilities
from harness.vmentry.case import Case, both, case, minus, plus, put, turned
from harness.vmentry.controls import Control

_CET, _WP, _PCIDE, _PAE = 1 << 23, 1 << 16, 1 << 17, 1 << 5


def linear(
    id: str, field: str, cap: Capabilities, on: Iterable[Control] = (), low: int = 0, **more: Any
) -> Case:
    """The lowest address that is not canonical, and the lowest of the upper half that is."""
    width = cap.linear_width
    assert width is not None
    bad, good = 1 << (width - 1), (1 << 64) - (1 << (width - 1))
    return case(
        id, {field: put(bad | low)}, {field: put(good | low)}, on=on,
        **more,
    )  # fmt: skip


def fixed(prefix: str, side: str) -> Iterator[Case]:
    """CR0 and CR4: NE and VMXE must be 1; the highest bits must be 0."""
    cr0, cr4 = f"{side}_cr0", f"{side}_cr4"
    yield case(f"{prefix}.cr0.fixed-1", {cr0: minus(1 << 5)}, {cr0: plus(1 << 5 | 3 << 29)})
    yield case(f"{prefix}.cr0.fixed-0", {cr0: plus(1 << 32)}, {cr0: plus(1 << 18)})
    yield case(f"{prefix}.cr4.fixed-1", {cr4: minus(1 << 13)}, {cr4: plus(1 << 13)})
    yield case(f"{prefix}.cr4.fixed-0", {cr4: plus(1 << 63)}, {cr4: plus(1 << 2)})
    yield case(f"{prefix}.cr4.cet", {cr0: minus(_WP)}, {cr0: plus(_WP)}, given={cr4: plus(_CET)})


def cr3(id: str, field: str, cap: Capabilities) -> Case:
    """The lowest bit beyond physical addresses, and the highest within, with LAM's where it is."""
    width = cap.physical_width
    assert width is not None
    masking = 3 << 61 if cap.cr4_fixed1 and cap.cr4_fixed1 >> 28 & 1 else 0
    return case(id, {field: plus(1 << width)}, {field: plus(masking | 1 << (width - 1))})


def shadow_stacks(side: str, load: Control, cap: Capabilities) -> Iterator[Case]:
    """IA32_S_CET and IA32_INTERRUPT_SSP_TABLE_ADDR."""
    field, on = f"{side}_ia32_s_cet", (load,)
    yield case(f"{side}.s-cet.reserved", {field: put(1 << 6)}, {field: put(0x103F)}, on=on)
    yield case(f"{side}.s-cet.tracker", {field: put(3 << 10)}, {field: put(1 << 11)}, on=on)
    yield linear(f"{side}.s-cet.canonical", field, cap, on)
    yield linear(f"{side}.ssp-table.canonical", f"{side}_ia32_interrupt_ssp_table_addr", cap, on)


def loaded_msrs(
    side: str, perf: Control, pat: Control, efer: Control, pkrs: Control
) -> Iterator[Case]:
    """IA32_PERF_GLOBAL_CTRL, IA32_PAT, IA32_EFER and IA32_PKRS."""
    field = f"{side}_ia32_perf_global_ctrl"
    yield case(
        f"{side}.perf-global-ctrl", {field: put(1 << 4)}, {field: put(7 << 32 | 0xF)}, on=(perf,),
        perf_global_ctrl=7 << 32 | 0xF,
    )  # fmt: skip
    field = f"{side}_ia32_pat"
    yield case(f"{side}.pat", {field: put(2)}, {field: put(0x0706_0504_0100_0000)}, on=(pat,))
    field = f"{side}_ia32_efer"
    yield case(f"{side}.efer.reserved", {field: plus(1 << 1)}, {field: plus(1 << 11)}, on=(efer,))
    yield case(
        f"{side}.pkrs",
        {f"{side}_ia32_pkrs": put(1 << 32)}, {f"{side}_ia32_pkrs": put(0xFFFFFFFF)},
        on=(pkrs,),
    )  # fmt: skip


def _32_bit_host() -> dict[str, Any]:
    """What turns the good VMCS into one that a kernel outside of IA-32e mode could have."""
    given = both(
        turned((), (c.HOST_ADDRESS_SPACE_SIZE, c.IA32E_MODE_GUEST)),
        {
            "host_ia32_efer": put(0),
            "host_rip": put(0xFFFF_F000),
            "guest_ia32_efer": put(0),
            "guest_cs_access_rights": put(0xC09B),
        },
    )
    return {"given": given, "long_mode": False}


def _registers(cap: Capabilities) -> Iterator[Case]:
    yield from fixed("host", "host")
    yield cr3("host.cr3", "host_cr3", cap)
    yield linear("host.sysenter-esp", "host_ia32_sysenter_esp", cap)
    yield linear("host.sysenter-eip", "host_ia32_sysenter_eip", cap)
    yield from loaded_msrs(
        "host", c.EXIT_LOAD_PERF_GLOBAL_CTRL, c.EXIT_LOAD_PAT, c.EXIT_LOAD_EFER, c.EXIT_LOAD_PKRS
    )
    efer, on = "host_ia32_efer", (c.EXIT_LOAD_EFER,)
    for id, bit in (("lma", 10), ("lme", 8)):
        yield case(f"host.efer.{id}", {efer: minus(1 << bit)}, {efer: plus(1 << bit)}, on=on)
    cet = (c.EXIT_LOAD_CET,)
    yield from shadow_stacks("host", c.EXIT_LOAD_CET, cap)
    yield case("host.ssp.aligned", {"host_ssp": put(2)}, {"host_ssp": put(4)}, on=cet)


def _segments(cap: Capabilities) -> Iterator[Case]:
    for name in ("cs", "ss", "ds", "es", "fs", "gs", "tr"):
        field = f"host_{name}_selector"
        yield case(f"host.{name}.selector", {field: plus(4)}, {field: put(0xFFF8)})
    for name in ("cs", "tr"):
        field = f"host_{name}_selector"
        yield case(f"host.{name}.null", {field: put(0)}, {field: put(8)})
    yield case(
        "host.ss.null", {"host_ss_selector": put(0)}, {"host_ss_selector": put(8)},
        **_32_bit_host(),
    )  # fmt: skip
    for name in ("fs", "gs", "tr", "gdtr", "idtr"):
        yield linear(f"host.{name}.base", f"host_{name}_base", cap)


def _sizes(cap: Capabilities) -> Iterator[Case]:
    narrow = _32_bit_host()
    guest = both(
        turned((c.IA32E_MODE_GUEST,)),
        {"guest_ia32_efer": put(0x500), "guest_cs_access_rights": put(0xA09B)},
    )
    both_break = ("host.size.ia32e-guest", "host.size.32-bit.ia32e-guest")
    for id in both_break:
        yield case(id, guest, {}, also=both_break, **narrow)
    wide = both(turned((c.HOST_ADDRESS_SPACE_SIZE,)), {"host_ia32_efer": put(0x500)})
    yield case("host.size.outside", wide, {}, **narrow)
    shrunk = narrow["given"]
    yield case("host.size.inside", shrunk, {})
    for id, field, bad, good in (
        ("pcide", "host_cr4", plus(_PCIDE), plus(1 << 7)),
        ("rip", "host_rip", put(1 << 32), put(0xFFFF_FFFF)),
    ):
        yield case(f"host.size.32-bit.{id}", {field: bad}, {field: good}, **narrow)
    load = both(narrow["given"], turned((c.EXIT_LOAD_CET,)))
    for id, field in (("s-cet", "host_ia32_s_cet"), ("ssp", "host_ssp")):
        yield case(
            f"host.size.32-bit.{id}", {field: put(1 << 32)}, {field: put(0xFFFF_F000)},
            given=load, long_mode=False,
        )  # fmt: skip
    yield case("host.size.64-bit.pae", {"host_cr4": minus(_PAE)}, {"host_cr4": plus(_PAE)})
    yield linear("host.size.64-bit.rip", "host_rip", cap)
    yield linear("host.size.64-bit.ssp", "host_ssp", cap, (c.EXIT_LOAD_CET,))


def cases(cap: Capabilities) -> Iterator[Case]:
    """All of them, for a processor with these widths."""
    for some in (_registers, _segments, _sizes):
        yield from some(cap)
