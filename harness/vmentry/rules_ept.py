"""SDM 3C 27.2.1.1: EPT, and the controls that need it."""

from __future__ import annotations

from harness.vmentry import controls as c
from harness.vmentry.rule import Condition, Rule, Stage, on
from harness.vmentry.rules_execution import limits, needs
from harness.vmentry.shapes import physical, within, zero

SECTION = "27.2.1.1"
STAGE = Stage.CONTROLS

_EPT = (on(c.ENABLE_EPT),)
_FUNCTIONS = (on(c.ENABLE_VM_FUNCTIONS),)
_SWITCHING = (*_FUNCTIONS, on(c.EPTP_SWITCHING))

# IA32_VMX_EPT_VPID_CAP, A.10: which bit tells of which value of the pointer's bits 2:0 and 5:3.
_MEMORY_TYPES = {0: 8, 6: 14}
_WALKS = {3: 6, 4: 7}


def _without(bit: int, what: str) -> Condition:
    return Condition(f"the processor lacks {what}", lambda v: not v.cap.ept_vpid >> bit & 1, ())


RULES: tuple[Rule, ...] = (
    Rule(
        "exec.eptp.memory-type", SECTION, STAGE, ("ept_pointer",),
        "bits 2:0 must be a memory type of IA32_VMX_EPT_VPID_CAP: 0 (UC) or 6 (WB)",
        holds=lambda v: v.ept_pointer & 7 in _MEMORY_TYPES
        and bool(v.cap.ept_vpid >> _MEMORY_TYPES[v.ept_pointer & 7] & 1),
        when=_EPT,
        detail=lambda v: f"they are {v.ept_pointer & 7}",
    ),
    Rule(
        "exec.eptp.walk-length", SECTION, STAGE, ("ept_pointer",),
        "bits 5:3 must be 3, or 4 where IA32_VMX_EPT_VPID_CAP has 5-level walks:"
        " one less than the length of the walk",
        holds=lambda v: v.ept_pointer >> 3 & 7 in _WALKS
        and bool(v.cap.ept_vpid >> _WALKS[v.ept_pointer >> 3 & 7] & 1),
        when=_EPT,
        detail=lambda v: f"they are {v.ept_pointer >> 3 & 7}",
    ),
    zero(
        "exec.eptp.accessed-dirty", SECTION, STAGE, "ept_pointer", 1 << 6,
        (*_EPT, _without(21, "accessed and dirty flags for EPT")),
    ),
    zero(
        "exec.eptp.shadow-stack", SECTION, STAGE, "ept_pointer", 1 << 7,
        (*_EPT, _without(23, "supervisor shadow-stack control")),
    ),
    zero("exec.eptp.reserved", SECTION, STAGE, "ept_pointer", 0xF00, _EPT),
    within("exec.eptp.width", SECTION, STAGE, "ept_pointer", _EPT),
    needs("exec.pml.ept", c.ENABLE_PML, c.ENABLE_EPT),
    *physical("exec.pml", SECTION, STAGE, "pml_address", 12, (on(c.ENABLE_PML),)),
    needs("exec.unrestricted-guest.ept", c.UNRESTRICTED_GUEST, c.ENABLE_EPT),
    needs("exec.mode-based-execute.ept", c.MODE_BASED_EXECUTE, c.ENABLE_EPT),
    needs("exec.sub-page-write.ept", c.SUB_PAGE_WRITE, c.ENABLE_EPT),
    *physical(
        "exec.sub-page-table", SECTION, STAGE, "sub_page_permission_table_pointer", 12,
        (on(c.SUB_PAGE_WRITE),),
    ),
    limits("exec.vm-functions.reserved", SECTION, c.FUNCTION, "IA32_VMX_VMFUNC", _FUNCTIONS),
    needs("exec.eptp-switching.ept", c.EPTP_SWITCHING, c.ENABLE_EPT),
    *physical("exec.eptp-list", SECTION, STAGE, "eptp_list_address", 12, _SWITCHING),
    *physical(
        "exec.ve-information", SECTION, STAGE, "virtualization_exception_information_address", 12,
        (on(c.EPT_VIOLATION_VE),),
    ),
)  # fmt: skip
