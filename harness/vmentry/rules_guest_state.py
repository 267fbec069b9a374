"""SDM 3C 27.3.1.4 and 27.3.1.5: RIP, RFLAGS, SSP and the state that is in no register."""

from __future__ import annotations

from harness.vmentry import controls as c
from harness.vmentry.rule import Condition, Rule, Stage, on
from harness.vmentry.rules_entry import (
    EVENT,
    EXTERNAL_INTERRUPT,
    HARDWARE_EXCEPTION,
    NMI,
    OTHER_EVENT,
    VALID,
    event_type,
    injecting,
    vector,
)
from harness.vmentry.rules_guest import IA32E
from harness.vmentry.rules_host import CR0_PE, HIGH_HALF
from harness.vmentry.rules_rights import dpl
from harness.vmentry.shapes import allowed, zero
from harness.vmentry.state import State

FLAGS, NON_REGISTER = "27.3.1.4", "27.3.1.5"
STAGE = Stage.GUEST

_NMI_FAILED = 3  # 27.8: the exit qualification of reason 33

_INTERRUPTIBILITY = "guest_interruptibility_state"
_ACTIVITY = "guest_activity_state"
_PENDING = "guest_pending_debug_exceptions"

STI, MOV_SS, SMI, NMI_BLOCKED, ENCLAVE = (1 << bit for bit in range(5))
ACTIVE, HLT, SHUTDOWN, WAIT_FOR_SIPI = range(4)
RFLAGS_TF, RFLAGS_IF, RFLAGS_VM = 1 << 8, 1 << 9, 1 << 17
RFLAGS_RESERVED = ~0x3F_7FD7 & (1 << 64) - 1  # bits 63:22, 15, 5 and 3
DEBUGCTL_BTF = 1 << 1
BS, RTM = 1 << 14, 1 << 16
BLD = 1 << 11


def _64_bit(v: State) -> bool:
    return v.on(c.IA32E_MODE_GUEST) and bool(v.guest_cs_access_rights >> 13 & 1)


_MODE = (c.ENTRY, "guest_cs_access_rights")
_IN_64_BIT = Condition("the guest is in 64-bit mode", _64_bit, _MODE)
_NOT_64_BIT = Condition("the guest is not in 64-bit mode", lambda v: not _64_bit(v), _MODE)


def _above(id: str, field: str, *when: Condition) -> Rule:
    """Bits 63:N the same. That is less than canonical: bit N-1 may differ."""
    return Rule(
        id, FLAGS, STAGE, (field,),
        "its bits above the processor's linear-address width must be the same",
        holds=lambda v: v.read(field) >> v.cap.linear_width
        in (0, (1 << (64 - v.cap.linear_width)) - 1),
        when=when,
        detail=lambda v: f"that width is {v.cap.linear_width}",
    )  # fmt: skip


_FLAG_RULES = (
    zero("guest.rip.high", FLAGS, STAGE, "guest_rip", HIGH_HALF, (_NOT_64_BIT,)),
    _above("guest.rip.64-bit", "guest_rip", _IN_64_BIT),
    zero("guest.rflags.reserved", FLAGS, STAGE, "guest_rflags", RFLAGS_RESERVED),
    Rule(
        "guest.rflags.one", FLAGS, STAGE, ("guest_rflags",), "bit 1 must be 1",
        holds=lambda v: bool(v.guest_rflags & 2),
    ),
    zero(
        "guest.rflags.vm.ia32e", FLAGS, STAGE, "guest_rflags", RFLAGS_VM, (IA32E,), name="RFLAGS.VM"
    ),
    zero(
        "guest.rflags.vm.real", FLAGS, STAGE, "guest_rflags", RFLAGS_VM,
        (Condition("CR0.PE is 0", lambda v: not v.guest_cr0 & CR0_PE, ("guest_cr0",)),),
        name="RFLAGS.VM",
    ),
    Rule(
        "guest.rflags.if", FLAGS, STAGE, ("guest_rflags", EVENT), "IF (bit 9) must be 1",
        holds=lambda v: bool(v.guest_rflags & RFLAGS_IF),
        when=(injecting(EXTERNAL_INTERRUPT),),
    ),
    zero("guest.ssp.aligned", FLAGS, STAGE, "guest_ssp", 3, (on(c.ENTRY_LOAD_CET),)),
    _above("guest.ssp.width", "guest_ssp", on(c.ENTRY_LOAD_CET)),
)  # fmt: skip


def _activity(*states: int) -> Condition:
    names = ("active", "HLT", "shutdown", "wait-for-SIPI")
    words = " or ".join(names[state] for state in states)
    return Condition(
        f"the activity state is {words}", lambda v: v.guest_activity_state in states, (_ACTIVITY,)
    )


def _ends_hlt(v: State) -> bool:
    return (
        event_type(v) in (EXTERNAL_INTERRUPT, NMI)
        or (event_type(v) == HARDWARE_EXCEPTION and vector(v) in (1, 18))
        or (event_type(v) == OTHER_EVENT and vector(v) == 0)
    )


def _ends_shutdown(v: State) -> bool:
    return event_type(v) == NMI or (event_type(v) == HARDWARE_EXCEPTION and vector(v) == 18)


def _blocking(mask: int, words: str) -> Condition:
    return Condition(
        f"there is blocking by {words}",
        lambda v: bool(v.guest_interruptibility_state & mask),
        (_INTERRUPTIBILITY,),
    )


_ACTIVITY_RULES = (
    Rule(
        "guest.activity.supported", NON_REGISTER, STAGE, (_ACTIVITY,),
        "it must be 0 (active), or 1 (HLT), 2 (shutdown) or 3 (wait-for-SIPI) where IA32_VMX_MISC"
        " bits 6, 7 and 8 say so",
        holds=lambda v: v.guest_activity_state == ACTIVE
        or (v.guest_activity_state <= 3 and bool(v.cap.misc >> 5 + v.guest_activity_state & 1)),
    ),
    Rule(
        "guest.activity.hlt.dpl", NON_REGISTER, STAGE, (_ACTIVITY, "guest_ss_access_rights"),
        "the DPL of SS (bits 6:5) must be 0",
        holds=lambda v: dpl(v, "ss") == 0,
        when=(_activity(HLT),),
    ),
    Rule(
        "guest.activity.blocked", NON_REGISTER, STAGE, (_ACTIVITY, _INTERRUPTIBILITY),
        "it must be 0 (active)",
        holds=lambda v: v.guest_activity_state == ACTIVE,
        when=(_blocking(STI | MOV_SS, "STI or by MOV SS"),),
    ),
    Rule(
        "guest.activity.event.hlt", NON_REGISTER, STAGE, (_ACTIVITY, EVENT),
        "only interrupts, NMIs, #DB, #MC and pending MTF VM exits can be injected",
        holds=_ends_hlt,
        when=(VALID, _activity(HLT)),
    ),
    Rule(
        "guest.activity.event.shutdown", NON_REGISTER, STAGE, (_ACTIVITY, EVENT),
        "only NMIs and #MC can be injected",
        holds=_ends_shutdown,
        when=(VALID, _activity(SHUTDOWN)),
    ),
    Rule(
        "guest.activity.event.sipi", NON_REGISTER, STAGE, (_ACTIVITY, EVENT),
        "no event can be injected",
        holds=lambda v: False,
        when=(VALID, _activity(WAIT_FOR_SIPI)),
    ),
    Rule(
        "guest.activity.smm", NON_REGISTER, STAGE, (_ACTIVITY, c.ENTRY),
        "it must not be 3 (wait-for-SIPI)",
        holds=lambda v: v.guest_activity_state != WAIT_FOR_SIPI,
        when=(on(c.ENTRY_TO_SMM),),
    ),
)  # fmt: skip

_OUTSIDE_SMM = Condition("the processor is not in SMM", lambda v: not v.cap.in_smm, ())

_INTERRUPTIBILITY_RULES = (
    zero(
        "guest.interruptibility.reserved", NON_REGISTER, STAGE, _INTERRUPTIBILITY,
        ~0x1F & 0xFFFFFFFF,
    ),
    Rule(
        "guest.interruptibility.both", NON_REGISTER, STAGE, (_INTERRUPTIBILITY,),
        "blocking by STI (bit 0) and by MOV SS (bit 1) must not both be 1",
        holds=lambda v: v.guest_interruptibility_state & 3 != 3,
    ),
    Rule(
        "guest.interruptibility.sti.if", NON_REGISTER, STAGE, (_INTERRUPTIBILITY, "guest_rflags"),
        "blocking by STI (bit 0) needs RFLAGS.IF (bit 9)",
        holds=lambda v: not v.guest_interruptibility_state & STI
        or bool(v.guest_rflags & RFLAGS_IF),
    ),
    zero(
        "guest.interruptibility.interrupt", NON_REGISTER, STAGE, _INTERRUPTIBILITY, STI | MOV_SS,
        (injecting(EXTERNAL_INTERRUPT),),
        name="blocking by STI and by MOV SS",
    ),
    zero(
        "guest.interruptibility.nmi.mov-ss", NON_REGISTER, STAGE, _INTERRUPTIBILITY, MOV_SS,
        (injecting(NMI),),
        name="blocking by MOV SS",
    ),
    Rule(
        "guest.interruptibility.nmi.sti", NON_REGISTER, STAGE, (_INTERRUPTIBILITY, EVENT),
        "blocking by STI (bit 0) must be 0, on processors that ask for it",
        holds=lambda v: not v.guest_interruptibility_state & STI,
        when=(injecting(NMI),),
        qualification=_NMI_FAILED,
        optional=True,
    ),
    zero(
        "guest.interruptibility.smi.outside", NON_REGISTER, STAGE, _INTERRUPTIBILITY, SMI,
        (_OUTSIDE_SMM,),
        name="blocking by SMI",
    ),
    Rule(
        "guest.interruptibility.smi.entry", NON_REGISTER, STAGE, (_INTERRUPTIBILITY, c.ENTRY),
        "blocking by SMI (bit 2) must be 1",
        holds=lambda v: bool(v.guest_interruptibility_state & SMI),
        when=(on(c.ENTRY_TO_SMM),),
    ),
    zero(
        "guest.interruptibility.nmi.virtual", NON_REGISTER, STAGE, _INTERRUPTIBILITY, NMI_BLOCKED,
        (on(c.VIRTUAL_NMIS), injecting(NMI)),
        name="blocking by NMI",
    ),
    Rule(
        "guest.interruptibility.enclave.mov-ss", NON_REGISTER, STAGE, (_INTERRUPTIBILITY,),
        "enclave interruption (bit 4) and blocking by MOV SS (bit 1) must not both be 1",
        holds=lambda v: v.guest_interruptibility_state & (ENCLAVE | MOV_SS) != ENCLAVE | MOV_SS,
    ),
    Rule(
        "guest.interruptibility.enclave.sgx", NON_REGISTER, STAGE, (_INTERRUPTIBILITY,),
        "enclave interruption (bit 4) needs a processor with SGX",
        holds=lambda v: not v.guest_interruptibility_state & ENCLAVE or bool(v.cap.sgx),
    ),
)  # fmt: skip

_HELD_BACK = Condition(
    "there is blocking by STI or by MOV SS, or the activity state is HLT",
    lambda v: (
        bool(v.guest_interruptibility_state & (STI | MOV_SS)) or v.guest_activity_state == HLT
    ),
    (_INTERRUPTIBILITY, _ACTIVITY),
)


def _single_stepping(v: State) -> bool:
    return bool(v.guest_rflags & RFLAGS_TF) and not v.guest_ia32_debugctl & DEBUGCTL_BTF


_RTM_PENDING = Condition(
    "RTM (bit 16) is 1", lambda v: bool(v.guest_pending_debug_exceptions & RTM), (_PENDING,)
)

_PENDING_RULES = (
    allowed(
        "guest.pending-debug.reserved", NON_REGISTER, STAGE, _PENDING,
        lambda v: 0x1500F | (BLD if v.cap.bus_lock else 0),
        "bits 63:17, 15, 13, 10:4, and without bus-lock detection 11, must be 0",
    ),
    Rule(
        "guest.pending-debug.bs", NON_REGISTER, STAGE,
        (_PENDING, "guest_rflags", "guest_ia32_debugctl"),
        "BS (bit 14) must be 1 where RFLAGS.TF (bit 8) is 1 and IA32_DEBUGCTL.BTF (bit 1) is 0, and"
        " 0 elsewhere",
        holds=lambda v: bool(v.guest_pending_debug_exceptions & BS) == _single_stepping(v),
        when=(_HELD_BACK,),
        detail=lambda v: f"BS must be {int(_single_stepping(v))}",
    ),
    Rule(
        "guest.pending-debug.rtm.others", NON_REGISTER, STAGE, (_PENDING,),
        "bit 12 must be 1, and bits 63:17, 15:13 and 11:0 must be 0",
        holds=lambda v: v.guest_pending_debug_exceptions == RTM | 1 << 12,
        when=(_RTM_PENDING,),
    ),
    Rule(
        "guest.pending-debug.rtm.supported", NON_REGISTER, STAGE, (_PENDING,),
        "the processor must support RTM",
        holds=lambda v: bool(v.cap.rtm),
        when=(_RTM_PENDING,),
    ),
    Rule(
        "guest.pending-debug.rtm.mov-ss", NON_REGISTER, STAGE, (_PENDING, _INTERRUPTIBILITY),
        "there must be no blocking by MOV SS (bit 1)",
        holds=lambda v: not v.guest_interruptibility_state & MOV_SS,
        when=(_RTM_PENDING,),
    ),
)  # fmt: skip

RULES: tuple[Rule, ...] = (
    *_FLAG_RULES,
    *_ACTIVITY_RULES,
    *_INTERRUPTIBILITY_RULES,
    *_PENDING_RULES,
)
