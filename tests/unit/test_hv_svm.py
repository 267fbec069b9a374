"""What of AMD-V needs no processor: lengths, maps and checks, compiled for the host."""

from __future__ import annotations

import pytest

from tests.unit.hosttest import Driver

SVM = Driver(
    "svm",
    under_test=("svm/length.c", "svm/msr_map.c", "svm/checks.c"),
    checks=("svm.c",),
)


@pytest.mark.parametrize("check", SVM.names())
def test_svm(check: str) -> None:
    SVM.run(check)
