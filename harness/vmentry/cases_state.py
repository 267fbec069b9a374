"""The edges of the rules on the guest's other state, and on memory (SDM 3C 27.3.1.4 to 27.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.vmentry import controls as c
from harness.vmentry.capabilities import Capabilities
from harness.vmentry.case import Case, case, minus, plus, put
from harness.vmentry.cases_controls import event

_EVENT = "vm_entry_interruption_information"
_INTERRUPTIBILITY = "guest_interruptibility_state"
_ACTIVITY = "guest_activity_state"
_PENDING = "guest_pending_debug_exceptions"
_FLAGS = "guest_rflags"
_TF, _IF, _VM = 1 << 8, 1 << 9, 1 << 17
_STI, _MOV_SS, _SMI, _NMI, _ENCLAVE = 1, 2, 4, 8, 16
_BS, _RTM = 1 << 14, 1 << 16
_HLT, _SHUTDOWN, _SIPI = 1, 2, 3
_REVISION = 0x2B


def _flags(cap: Capabilities) -> Iterator[Case]:
    assert cap.linear_width is not None
    beyond, top = 1 << cap.linear_width, 1 << (cap.linear_width - 1)
    yield case(
        "guest.rip.high", {"guest_rip": put(1 << 32)}, {"guest_rip": put(0xFFFFFFFF)},
        base="protected",
    )  # fmt: skip
    # Bit N-1 may differ from those above: RIP need not be canonical.
    yield case("guest.rip.64-bit", {"guest_rip": put(beyond)}, {"guest_rip": put(top)})
    yield case("guest.rflags.reserved", {_FLAGS: plus(1 << 15)}, {_FLAGS: put(0x3D_4CD7 & ~0x100)})
    yield case("guest.rflags.one", {_FLAGS: put(0)}, {_FLAGS: put(2)})
    # IA-32e mode has no virtual-8086 mode, so that whatever that mode asks for breaks with it.
    segments = [
        f"guest.{name}.v86.{what}"
        for name in ("cs", "ss", "ds", "es", "fs", "gs")
        for what in ("base", "limit", "rights")
    ]
    yield case("guest.rflags.vm.ia32e", {_FLAGS: plus(_VM)}, {_FLAGS: minus(_VM)}, also=segments)
    yield case(
        "guest.rflags.vm.real", {_FLAGS: plus(_VM)}, {_FLAGS: minus(_VM)}, base="real",
        also=[id for id in segments if id.endswith("rights")],
    )  # fmt: skip
    interrupt = {_EVENT: put(event(0, 32))}
    yield case("guest.rflags.if", {_FLAGS: minus(_IF)}, {_FLAGS: plus(_IF)}, given=interrupt)
    cet = (c.ENTRY_LOAD_CET,)
    yield case("guest.ssp.aligned", {"guest_ssp": put(2)}, {"guest_ssp": put(4)}, on=cet)
    yield case("guest.ssp.width", {"guest_ssp": put(beyond)}, {"guest_ssp": put(top)}, on=cet)


def _activity() -> Iterator[Case]:
    no_states: dict[str, Any] = {"misc": 4 << 16 | 1 << 6}
    yield case(
        "guest.activity.supported", {_ACTIVITY: put(_SHUTDOWN)}, {_ACTIVITY: put(_HLT)}, **no_states
    )
    ring_3 = {
        "guest_ss_access_rights": plus(3 << 5),
        "guest_cs_access_rights": plus(3 << 5),
        "guest_ss_selector": put(0x13),
        "guest_cs_selector": put(0xB),
    }
    yield case("guest.activity.hlt.dpl", {_ACTIVITY: put(_HLT)}, {_ACTIVITY: put(0)}, given=ring_3)
    yield case(
        "guest.activity.blocked", {_ACTIVITY: put(_SHUTDOWN)}, {_ACTIVITY: put(0)},
        given={_INTERRUPTIBILITY: put(_MOV_SS)},
    )  # fmt: skip
    for id, state, bad, good in (
        ("hlt", _HLT, event(3, 0), event(3, 1)),
        ("shutdown", _SHUTDOWN, event(3, 1), event(3, 18)),
    ):
        yield case(
            f"guest.activity.event.{id}", {_EVENT: put(bad)}, {_EVENT: put(good)},
            given={_ACTIVITY: put(state)},
        )  # fmt: skip
    yield case(
        "guest.activity.event.sipi", {_EVENT: put(event(2, 2))}, {_EVENT: put(0)},
        given={_ACTIVITY: put(_SIPI)},
    )  # fmt: skip
    yield case(
        "guest.activity.smm", {_ACTIVITY: put(_SIPI)}, {_ACTIVITY: put(_SHUTDOWN)},
        on=(c.ENTRY_TO_SMM,), given={_INTERRUPTIBILITY: put(_SMI)}, in_smm=True,
    )  # fmt: skip


def _interruptibility() -> Iterator[Case]:
    state = _INTERRUPTIBILITY
    sti, mov_ss = {state: put(_STI)}, {state: put(_MOV_SS)}
    on = {_FLAGS: plus(_IF)}
    id = "guest.interruptibility"
    yield case(f"{id}.reserved", {state: put(1 << 5)}, {state: put(_ENCLAVE | _NMI)})
    yield case(f"{id}.both", {state: put(_STI | _MOV_SS)}, sti, given=on)
    yield case(f"{id}.sti.if", {_FLAGS: minus(_IF)}, {_FLAGS: plus(_IF)}, given=sti)
    yield case(f"{id}.interrupt", sti, {state: put(_NMI)}, given={_EVENT: put(event(0, 32)), **on})
    nmi = {_EVENT: put(event(2, 2))}
    yield case(f"{id}.nmi.mov-ss", mov_ss, {state: put(0)}, given=nmi)
    yield case(f"{id}.nmi.sti", sti, {state: put(0)}, given={**nmi, **on})
    yield case(f"{id}.smi.outside", {state: put(_SMI)}, {state: put(_NMI)})
    yield case(
        f"{id}.smi.entry", {state: put(0)}, {state: put(_SMI)}, on=(c.ENTRY_TO_SMM,), in_smm=True
    )
    yield case(
        f"{id}.nmi.virtual", {state: put(_NMI)}, {state: put(0)}, on=(c.VIRTUAL_NMIS,), given=nmi
    )
    yield case(f"{id}.enclave.mov-ss", {state: put(_ENCLAVE | _MOV_SS)}, {state: put(_ENCLAVE)})
    yield case(f"{id}.enclave.sgx", {state: put(_ENCLAVE)}, {state: put(0)}, sgx=False)


def _pending() -> Iterator[Case]:
    id = "guest.pending-debug"
    yield case(f"{id}.reserved", {_PENDING: put(1 << 4)}, {_PENDING: put(0x100F)})
    stepping = {_INTERRUPTIBILITY: put(_MOV_SS), _FLAGS: plus(_TF)}
    yield case(f"{id}.bs", {_PENDING: put(0)}, {_PENDING: put(_BS)}, given=stepping)
    rtm = {_PENDING: put(_RTM | 1 << 12)}
    yield case(f"{id}.rtm.others", {_PENDING: put(_RTM)}, rtm)
    yield case(f"{id}.rtm.supported", rtm, {_PENDING: put(1 << 12)}, rtm=False)
    yield case(f"{id}.rtm.mov-ss", {_INTERRUPTIBILITY: put(_MOV_SS)}, {}, given=rtm)


def _link_pointer(cap: Capabilities) -> Iterator[Case]:
    link, shadow = "vmcs_link_pointer", (c.VMCS_SHADOWING,)
    assert cap.physical_width is not None
    end = 1 << cap.physical_width
    region = {0x7000: _REVISION, end - 0x1000: _REVISION, end: _REVISION, 0x7800: _REVISION}
    processor: dict[str, Any] = {"basic": 1 << 56 | 1 << 55 | _REVISION, "current_vmcs": 0x9000}
    for id, bad, good in (("aligned", 0x7800, 0x7000), ("width", end, end - 0x1000)):
        yield case(
            f"guest.link-pointer.{id}", {link: put(bad)}, {link: put(good)}, memory=region,
            **processor,
        )  # fmt: skip
    there = {link: put(0x7000)}
    yield case(
        "guest.link-pointer.revision", there, there,
        memory={0x7000: _REVISION}, bad_memory={0x7000: _REVISION + 1}, **processor,
    )  # fmt: skip
    yield case(
        "guest.link-pointer.shadow", there, there, on=shadow,
        memory={0x7000: 1 << 31 | _REVISION}, bad_memory={0x7000: _REVISION}, **processor,
    )  # fmt: skip
    both_regions = {0x7000: _REVISION, 0x9000: _REVISION}
    yield case(
        "guest.link-pointer.current", {link: put(0x9000)}, there, memory=both_regions, **processor
    )
    yield case(
        "guest.link-pointer.vmxon", {link: put(0x9000)}, there, memory=both_regions,
        in_smm=True, vmxon_pointer=0x9000, basic=1 << 56 | 1 << 55 | _REVISION,
    )  # fmt: skip


def _pdptes(cap: Capabilities) -> Iterator[Case]:
    assert cap.physical_width is not None
    last = 1 << (cap.physical_width - 1)
    for number in range(4):
        field = f"guest_pdpte{number}"
        yield case(
            f"guest.pdpte{number}", {field: put(0x3)}, {field: put(last | 0xE19)}, base="pae"
        )
    yield case(
        "guest.pdptes.memory", {}, {}, base="pae", off=(c.ENABLE_EPT,),
        given={"guest_cr3": put(0x2020)},
        memory={0x2020: 0x1E6, 0x2028: last | 1, 0x2030: 0, 0x2038: 0xFFF & ~0x1E6},
        bad_memory={0x2020: 0x1E6, 0x2028: 1, 0x2030: 0, 0x2038: 1 | 1 << 8},
    )  # fmt: skip


def _msrs() -> Iterator[Case]:
    area = {"vm_entry_msr_load_address": put(0x8000), "vm_entry_msr_load_count": put(2)}

    def loading(id: str, bad: tuple[int, int], good: tuple[int, int]) -> Case:
        first = {0x8000: 0xC000_0103, 0x8008: 0}  # IA32_TSC_AUX, which is fine
        return case(
            f"msr.{id}", {}, {}, given=area,
            memory={**first, 0x8010: good[0], 0x8018: good[1]},
            bad_memory={**first, 0x8010: bad[0], 0x8018: bad[1]},
        )  # fmt: skip

    kernel_gs = 0xC000_0102
    yield loading("base", (0xC000_0101, 0), (kernel_gs, 0))
    yield loading("x2apic", (0x8FF, 0), (0x900, 0))
    yield loading("not-loadable", (0x79, 0), (0x78, 0))
    yield loading("reserved", (1 << 32 | kernel_gs, 0), (kernel_gs, 0))
    yield loading("value", (kernel_gs, 1 << 63), (kernel_gs, (1 << 64) - 1))


def cases(cap: Capabilities) -> Iterator[Case]:
    """All of them, for a processor with these widths."""
    yield from _flags(cap)
    for some in (_activity, _interruptibility, _pending, _msrs):
        yield from some()
    yield from _link_pointer(cap)
    yield from _pdptes(cap)
