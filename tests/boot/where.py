"""Where guests run on every host: VT-x on Bochs, AMD-V on Bochs, AMD-V on QEMU.

And what of the guests' own checks fails there, where the engine does otherwise than the manual
says: exactly these must fail, so that a row whose time has passed is noticed.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from harness import deviations
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


def wrong(where: Where, guest: str) -> frozenset[str]:
    """The checks of ``guest`` that must fail there, by harness/deviations.toml."""
    return deviations.table().failing_checks(guest, where.engine, where.cpu)


def failed_checks(machine: Machine, guest: str) -> set[str]:
    """What ``guest`` says on its console that failed (hv/guests/checks.h)."""
    console = (machine.directory / "console.log").read_text(encoding="utf-8", errors="replace")
    return set(re.findall(rf"^{guest}\| FAILED (.*?)\r?$", console, re.MULTILINE))
