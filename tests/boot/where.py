"""Where guests run on every host: VT-x on Bochs, AMD-V on Bochs, AMD-V on QEMU.

And what of the guests' own checks fails there, where the engine does otherwise than the manual
says: exactly these must fail, so that a row whose time has passed is noticed.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from harness.machine import Machine


class Where(NamedTuple):
    """An engine, and the model of its CPU: None for its own."""

    engine: str
    cpu: str | None


BOCHS_VMX = Where("bochs", None)
BOCHS_OLD = Where("bochs", "corei5_lynnfield_750")  # VT-x without unrestricted guest, no AVX
BOCHS_SVM = Where("bochs", "ryzen")
QEMU_SVM = Where("qemu-tcg", None)
NAMES = {
    BOCHS_VMX: "bochs-vmx",
    BOCHS_OLD: "bochs-old",
    BOCHS_SVM: "bochs-svm",
    QEMU_SVM: "qemu-svm",
}


def on(*places: Where) -> pytest.MarkDecorator:
    """The test for each of these places, as its argument ``where``."""
    return pytest.mark.parametrize(
        "where", [pytest.param(place, id=NAMES[place]) for place in places]
    )


EVERYWHERE = on(BOCHS_VMX, BOCHS_SVM, QEMU_SVM)

# By place and guest: the check, as the guest names it, and what the manual says to it.
WRONG: dict[tuple[Where, str], dict[str, str]] = {
    (BOCHS_SVM, "events-debug"): {
        # The data breakpoint of MOV SS is held back, and comes behind the next instruction. That is
        # CPUID, which exits, and Bochs 2.7 discards what was held back.
        "a data breakpoint on MOV SS traps behind the CPUID that follows": "APM 2 8.5.1",
        "and together with its single step": "APM 2 8.5.1",
    },
    (QEMU_SVM, "events"): {
        "it comes after the instruction that follows MOV SS": "APM 2 8.5.1: a shadow of its own",
        "INT n, INT3 and INT1 go to their vectors and return behind themselves": "APM 3, INT1",
    },
    (QEMU_SVM, "events-debug"): {
        "each step traps once behind its instruction": "APM 2 13.1.4: one trap each, STI aside",
        "a fault pushes RFLAGS with RF set": "APM 2 3.1.6",
        "a data breakpoint on MOV SS traps behind the CPUID that follows": "APM 2 8.5.1",
        "and together with its single step": "APM 2 8.5.1",
    },
    (QEMU_SVM, "exceptions"): {
        "addresses in MSRs must be canonical": "APM 3, WRMSR: else #GP",
        "a gate that is not present is #NP with its number": "APM 2 8.2.12: and EXT 0 for INT n",
        "without EFER.NXE its bit is reserved": "APM 2 5.6.1: #PF with RSV",
        "which uses the interrupt up": "APM 2 15.21.4: V_IRQ is cleared when it is taken",
        "#NP while the hypervisor's #GP is delivered is #DF": "APM 2 8.2.9, table 8-3",
        "#NP while the hypervisor's #UD is delivered is #NP": "APM 2 8.2.9, table 8-3",
        "a misaligned access is #AC with error code 0": "APM 2 8.2.18",
    },
    (QEMU_SVM, "control"): {
        "CR8's reserved bits are #GP": "APM 2 16.6.4",
        "DR7.GD makes MOV DR a #DB, and is cleared by it": "APM 2 13.1.1.4",
        "XCR0's bits that CPUID does not offer are #GP": "APM 2 15.9: XSETBV would exit",
        "nothing of that changed XCR0": "APM 2 15.9",
    },
}


def failed_checks(machine: Machine, guest: str) -> set[str]:
    """What ``guest`` says on its console that failed (hv/guests/checks.h)."""
    console = (machine.directory / "console.log").read_text(encoding="utf-8", errors="replace")
    return set(re.findall(rf"^{guest}\| FAILED (.*?)\r?$", console, re.MULTILINE))
