"""SDM 3C 27.2.1.3, VM-entry control fields: the word, event injection, the MSR-load area."""

from __future__ import annotations

from harness.vmentry import controls as c
from harness.vmentry.rule import Condition, Rule, Stage, on
from harness.vmentry.rules_execution import limits
from harness.vmentry.rules_exit import msr_area
from harness.vmentry.shapes import zero
from harness.vmentry.state import State

SECTION = "27.2.1.3"
STAGE = Stage.CONTROLS

EVENT = "vm_entry_interruption_information"
ERROR_CODE = "vm_entry_exception_error_code"
LENGTH = "vm_entry_instruction_length"

# Table 25-17: the interruption types.
EXTERNAL_INTERRUPT, NMI, HARDWARE_EXCEPTION, OTHER_EVENT = 0, 2, 3, 7
SOFTWARE_TYPES = (4, 5, 6)
TYPE_NAMES = (
    "external interrupt", "reserved", "NMI", "hardware exception", "software interrupt",
    "privileged software exception", "software exception", "other event",
)  # fmt: skip

WITH_ERROR_CODE = (8, 10, 11, 12, 13, 14, 17)  # #DF #TS #NP #SS #GP #PF #AC
WITHOUT_ERROR_CODE = (*range(8), 9, 15, 16, *range(18, 32))


def event_type(v: State) -> int:
    """Bits 10:8 of the VM-entry interruption-information field."""
    return v.vm_entry_interruption_information >> 8 & 7


def vector(v: State) -> int:
    """Its bits 7:0."""
    return v.vm_entry_interruption_information & 0xFF


def injects(v: State) -> bool:
    """Its bit 31: whether there is an event to inject."""
    return bool(v.vm_entry_interruption_information >> 31 & 1)


def injecting(*types: int) -> Condition:
    """An event is injected, of one of these types (of any, without)."""
    words = " or ".join(f"of type {kind} ({TYPE_NAMES[kind]})" for kind in types)
    return Condition(
        f"an event {words} is injected" if types else "an event is injected",
        lambda v: injects(v) and (not types or event_type(v) in types),
        (EVENT,),
    )


VALID = injecting()
_EXCEPTION = injecting(HARDWARE_EXCEPTION)
_ANY_ERROR_CODE = 56  # IA32_VMX_BASIC, A.1
_STRICT = Condition(
    "IA32_VMX_BASIC bit 56 is 0", lambda v: not v.cap.basic >> _ANY_ERROR_CODE & 1, ()
)
_PROTECTED = Condition("guest CR0.PE is 1", lambda v: bool(v.guest_cr0 & 1), ("guest_cr0",))
_REAL = Condition("guest CR0.PE is 0", lambda v: not v.guest_cr0 & 1, ("guest_cr0",))
_DELIVERS = Condition(
    "an error code is delivered",
    lambda v: injects(v) and delivers_error_code(v),
    (EVENT,),
)


def delivers_error_code(v: State) -> bool:
    """Bit 11 of the VM-entry interruption-information field."""
    return bool(v.vm_entry_interruption_information >> 11 & 1)


def _vector_rule(name: str, kind: int, may: range, must: str) -> Rule:
    return Rule(
        f"entry.event.vector.{name}", SECTION, STAGE, (EVENT,), must,
        holds=lambda v: vector(v) in may,
        when=(injecting(kind),),
        detail=lambda v: f"it is {vector(v)}",
    )  # fmt: skip


_EVENT_RULES = (
    Rule(
        "entry.event.type.reserved", SECTION, STAGE, (EVENT,),
        "the type (bits 10:8) must not be 1, which is reserved",
        holds=lambda v: event_type(v) != 1,
        when=(VALID,),
    ),
    Rule(
        "entry.event.type.other", SECTION, STAGE, (EVENT,),
        "the processor must support “monitor trap flag”",
        holds=lambda v: v.cap.supports(c.MONITOR_TRAP_FLAG),
        when=(injecting(OTHER_EVENT),),
    ),
    _vector_rule("nmi", NMI, range(2, 3), "the vector (bits 7:0) must be 2"),
    _vector_rule(
        "exception", HARDWARE_EXCEPTION, range(32), "the vector (bits 7:0) must be at most 31"
    ),
    _vector_rule(
        "other", OTHER_EVENT, range(1), "the vector (bits 7:0) must be 0, pending MTF VM exit"
    ),
    Rule(
        "entry.event.error-code.type", SECTION, STAGE, (EVENT,),
        "only a hardware exception (type 3) may deliver an error code (bit 11)",
        holds=lambda v: not delivers_error_code(v) or event_type(v) == HARDWARE_EXCEPTION,
        when=(VALID,),
        detail=lambda v: f"the type is {event_type(v)}",
    ),
    Rule(
        "entry.event.error-code.real", SECTION, STAGE, (EVENT, "guest_cr0"),
        "no error code may be delivered (bit 11)",
        holds=lambda v: not delivers_error_code(v),
        when=(_EXCEPTION, _REAL),
    ),
    Rule(
        "entry.event.error-code.missing", SECTION, STAGE, (EVENT,),
        "this exception must deliver its error code (bit 11)",
        holds=lambda v: delivers_error_code(v) or vector(v) not in WITH_ERROR_CODE,
        when=(_EXCEPTION, _STRICT, _PROTECTED),
        detail=lambda v: f"the vector is {vector(v)}",
    ),
    Rule(
        "entry.event.error-code.spare", SECTION, STAGE, (EVENT,),
        "this exception has no error code to deliver (bit 11)",
        holds=lambda v: not delivers_error_code(v) or vector(v) not in WITHOUT_ERROR_CODE,
        when=(_EXCEPTION, _STRICT),
        detail=lambda v: f"the vector is {vector(v)}",
    ),
    zero("entry.event.reserved", SECTION, STAGE, EVENT, 0x7FFFF000, (VALID,)),
    zero("entry.event.error-code.value", SECTION, STAGE, ERROR_CODE, 0xFFFF0000, (_DELIVERS,)),
    Rule(
        "entry.event.length", SECTION, STAGE, (LENGTH, EVENT),
        "the length must be from 1 to 15",
        holds=lambda v: v.vm_entry_instruction_length <= 15,
        when=(injecting(*SOFTWARE_TYPES),),
    ),
    Rule(
        "entry.event.length.zero", SECTION, STAGE, (LENGTH, EVENT),
        "the length must be from 1 to 15; 0 needs IA32_VMX_MISC bit 30",
        holds=lambda v: v.vm_entry_instruction_length != 0 or bool(v.cap.misc >> 30 & 1),
        when=(injecting(*SOFTWARE_TYPES),),
    ),
)  # fmt: skip

_OUTSIDE_SMM = Condition("the processor is not in SMM", lambda v: not v.cap.in_smm, ())

RULES: tuple[Rule, ...] = (
    limits("entry.reserved", SECTION, c.ENTRY, "IA32_VMX_(TRUE_)ENTRY_CTLS"),
    *_EVENT_RULES,
    *msr_area("entry.msr-load", SECTION, "vm_entry_msr_load"),
    Rule(
        "entry.to-smm", SECTION, STAGE, (c.ENTRY,), "“entry to SMM” (bit 10) must be 0",
        holds=lambda v: not v.on(c.ENTRY_TO_SMM),
        when=(_OUTSIDE_SMM,),
    ),
    Rule(
        "entry.dual-monitor", SECTION, STAGE, (c.ENTRY,),
        "“deactivate dual-monitor treatment” (bit 11) must be 0",
        holds=lambda v: not v.on(c.DEACTIVATE_DUAL_MONITOR),
        when=(_OUTSIDE_SMM,),
    ),
    Rule(
        "entry.smm-and-dual-monitor", SECTION, STAGE, (c.ENTRY,),
        "“deactivate dual-monitor treatment” (bit 11) must be 0",
        holds=lambda v: not v.on(c.DEACTIVATE_DUAL_MONITOR),
        when=(on(c.ENTRY_TO_SMM),),
    ),
    Rule(
        "entry.tracing", SECTION, STAGE, (c.ENTRY,), "“load IA32_RTIT_CTL” (bit 18) must be 0",
        holds=lambda v: not v.on(c.ENTRY_LOAD_RTIT_CTL),
        when=(Condition("Intel PT is tracing", lambda v: bool(v.cap.tracing), ()),),
    ),
)  # fmt: skip
