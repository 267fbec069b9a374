"""Real systems as guests where processors differ: AMD's nested paging as well as Intel's."""

from __future__ import annotations

import pytest

from harness.pytest_plugin import RunScenario
from harness.verdict import Verdict

pytestmark = pytest.mark.slow

AMD = [
    pytest.param("qemu-tcg", None, id="qemu-tcg"),
    pytest.param("bochs", "ryzen", id="bochs-ryzen"),
]


@pytest.mark.parametrize(("engine", "cpu"), AMD)
@pytest.mark.parametrize("name", ["linux-and-mach", "linux-mach-memtest"])
def test_real_systems_run_side_by_side_on_an_amd_processor_too(
    hv_scenario: RunScenario, name: str, engine: str, cpu: str | None
) -> None:
    outcome = hv_scenario(name, engine=engine, cpu=cpu)
    assert outcome.verdict is Verdict.PASSED, outcome.sentence


def test_the_neighbour_of_a_linux_that_panics_lives_on_an_amd_processor_too(
    hv_scenario: RunScenario,
) -> None:
    outcome = hv_scenario("linux-panics", engine="qemu-tcg")
    assert outcome.verdict is Verdict.PASSED, outcome.sentence
