"""What samples of a machine's processors say."""

from __future__ import annotations

import pytest

from harness.engines.base import Activity
from harness.hang import Hang, Sample
from harness.places import Place
from harness.verdict import Verdict


def at(*addresses: int) -> Hang:
    return Hang(
        [
            Sample(0, Place(None, address, None, None), Activity.ACTIVE, False, False)
            for address in addresses
        ]
    )


@pytest.mark.parametrize("often", [10, 16, 19])
def test_all_samples_of_a_small_loop_count_however_often_one_of_its_instructions_was_met(
    often: int,
) -> None:
    found = at(*[0x100034] * often, *[0x10002E] * (20 - often)).verdict()
    assert found is not None
    assert found[0] is Verdict.SPINNING
    assert "in 20 of 20 samples CPU 0" in found[1]


def test_samples_elsewhere_do_not_count() -> None:
    found = at(*[0x100034] * 17, 0x200000, 0x200000, 0x300000).verdict()
    assert found is not None
    assert "in 17 of 20 samples CPU 0" in found[1]


def test_a_machine_that_is_here_and_there_is_not_spinning() -> None:
    assert at(*range(0x100000, 0x100000 + 20 * 0x1000, 0x1000)).verdict() is None
