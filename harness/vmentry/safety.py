"""Which mutations may be tried at all: not those after which the machine could not answer.

A mutation that VM entry refuses harms nothing. One that it lets pass takes effect: the exit then
loads the host state, the processor writes to pages that fields name. So such fields are changed to
what is certainly refused, or to what the image can live with (hv/vmentry/enter.S, host.c).
"""

from __future__ import annotations

from harness.vmentry import controls as c
from harness.vmentry.deviations import table
from harness.vmentry.fields import BY_ENCODING
from harness.vmentry.shapes import canonical
from harness.vmentry.state import State
from harness.vmentry.target import Target
from harness.vmentry.wire import Case, memory_place

UNTOUCHED = frozenset(
    {
        "host_rsp",  # never checked, always used
        "vmx_preemption_timer_value",  # brings back a guest that does not exit by itself
        "exception_bitmap",
        "executive_vmcs_pointer",
        "guest_smbase",
    }
)
"""Fields that stay as they are."""

MOST_MSRS = 256  # entries that fit on the page of an MSR area

# Pages that the processor writes to, and the number of low bits that must be 0.
_WRITTEN = {
    "vm_exit_msr_store_address": 4,
    "pml_address": 12,
    "virtual_apic_address": 12,
    "posted_interrupt_descriptor_address": 6,
    "virtualization_exception_information_address": 12,
}
# Pages whose contents decide, so they must be the ones that are known.
_READ = {
    "vm_exit_msr_load_address": 4,
    "vm_entry_msr_load_address": 4,
    "vmcs_link_pointer": 12,
}
# Pages whose words may be changed.
_CHANGEABLE = ("entry-msr-load", "linked-vmcs", "virtual-apic", "pdptes")
_COUNTS = ("vm_exit_msr_store_count", "vm_exit_msr_load_count", "vm_entry_msr_load_count")

_WAIT_FOR_SIPI = 3

# What loading an MSR at entry may do to the image: nothing, of these (SDM 3C 27.4).
LOADABLE = frozenset(
    {
        0x174, 0x175, 0x176, 0x277, 0xC0000081, 0xC0000082, 0xC0000083, 0xC0000084,
        0xC0000100, 0xC0000101, 0xC0000102, 0x79, 0x8B, 0x9B, 0x9E,
        *range(0x800, 0x840),
    }
)  # fmt: skip


def safe(target: Target, case: Case) -> bool:
    """Whether the image will be there to answer, whatever the processor makes of ``case``."""
    v = target.state(case)
    changed = {BY_ENCODING[e].name: value for e, value in case.writes if e in BY_ENCODING}
    if UNTOUCHED & changed.keys():
        return False
    width, linear = v.cap.physical_width, v.cap.linear_width
    base = target.bases[case.base].values
    for name, low in (*_WRITTEN.items(), *_READ.items()):
        if name in changed and changed[name] != base[name]:
            regions = [*target.pages.values(), *(one.region for one in target.bases.values())]
            known = changed[name] in regions or changed[name] == (1 << 64) - 1
            refused = changed[name] & ((1 << low) - 1) or changed[name] >> width
            if not refused and not (known and name == "vmcs_link_pointer"):
                return False
    if any(changed.get(name, 0) > MOST_MSRS for name in _COUNTS) and not _refused_area(v, width):
        return False
    eptp = changed.get("ept_pointer", 0)
    if "ept_pointer" in changed and not eptp >> width and eptp >> 12 != base["ept_pointer"] >> 12:
        return False
    if "guest_cr3" in changed and not v.on(c.ENABLE_EPT) and not changed["guest_cr3"] >> width:
        return False
    if "host_cr3" in changed and not changed["host_cr3"] >> width:
        return False
    if "host_rip" in changed and canonical(changed["host_rip"], linear):
        return False
    return _loads_are_harmless(target, case) and (_comes_back(v) or _is_refused(target, case))


def _refused_area(v: State, width: int) -> bool:
    """Whether an MSR area lies where no area can."""
    return any(
        v.read(name.replace("count", "address")) >> width
        for name in _COUNTS
        if v.read(name) > MOST_MSRS
    )


def _loads_are_harmless(target: Target, case: Case) -> bool:
    names = list(target.pages)
    for encoding, value in case.writes:
        place = memory_place(encoding)
        if place is None:
            continue
        page, word = names[place[0]], place[1]
        if page not in _CHANGEABLE:
            return False
        if page == "pdptes" and not _pdpte_is_harmless(target, value):
            return False
        if page == "entry-msr-load" and word % 2 == 0 and value & 0xFFFFFFFF not in LOADABLE:
            return False
    return True


def _pdpte_is_harmless(target: Target, value: int) -> bool:
    """It is not present, or leads to the good directory: a walk from there writes nothing."""
    good = target.memory[target.pages["pdptes"]]
    pages = ((1 << (target.capabilities.physical_width or 52)) - 1) & ~0xFFF
    return not value & 1 or not (value ^ good) & pages


def _is_refused(target: Target, case: Case) -> bool:
    """Whether it breaks a rule that every processor and every engine checks."""
    unchecked = {rule for row in table() for rule in row.omits}
    return any(not rule.optional and rule.id not in unchecked for rule in target.broken(case))


def _comes_back(v: State) -> bool:
    """Whether a guest in another activity state, if it is entered, comes back by the timer."""
    activity = v.guest_activity_state
    if activity == _WAIT_FOR_SIPI:
        return False  # even the timer does not end it (27.7.4)
    return activity == 0 or v.on(c.ACTIVATE_PREEMPTION_TIMER)
