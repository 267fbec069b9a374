"""replay.sh runs exactly the machine that left it, where instructions are counted to the same one:

on Bochs, and on QEMU for a scenario that requires deterministic.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.outcome import Outcome
from harness.pytest_plugin import RunScenario
from harness.verdict import Verdict

ROOT = Path(__file__).parents[2]


def replayed(outcome: Outcome) -> dict[str, Any]:
    """The outcome of the run's own replay.sh."""
    assert outcome.directory is not None
    done = subprocess.run(
        [outcome.directory / "replay.sh", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    (found,) = json.loads(done.stdout)
    assert done.returncode == found["exit_code"]
    return dict(found)


@pytest.mark.parametrize(
    ("name", "words", "verdict"),
    [
        ("hello", "", Verdict.PASSED),
        ("ept-escape", "", Verdict.PASSED),  # frozen on its way, where the guest crashes
        ("cpuid", "debug=null-in-exit", Verdict.PANIC),
        ("hello", "debug=triple-fault", Verdict.TRIPLE_FAULT),
    ],
)
def test_a_replay_on_bochs_ends_at_the_same_tick_in_the_same_way(
    hv_scenario: RunScenario, name: str, words: str, verdict: Verdict
) -> None:
    outcome = hv_scenario(name, engine="bochs", append=words)
    assert outcome.verdict is verdict
    again = replayed(outcome)
    assert (again["verdict"], again["sentence"]) == (verdict.word, outcome.sentence)
    assert again["tick"] == outcome.tick
    assert outcome.tick
    assert again["records"] == outcome.records


def test_a_replay_of_a_time_limit_stops_where_the_limit_passed(hv_scenario: RunScenario) -> None:
    """Seconds pass differently each time; instructions don't."""
    outcome = hv_scenario("spin", engine="bochs")
    assert outcome.verdict is Verdict.SPINNING
    again = replayed(outcome)
    assert again["verdict"] == "spinning"
    assert again["tick"] == outcome.tick == outcome.facts["tick"]
    assert again["facts"]["samples"][0] == outcome.facts["samples"][0]
    assert f"the tick {outcome.tick} came before the machine powered off" in again["sentence"]


UNTIL_QEMU_STOPS = 500
"""Ticks: its other thread carries out a power-off or a freeze, while the processor may run on."""

COUNTED = """
description = "A machine that repeats."
requires = ["virtualization", "deterministic"]
engines = ["qemu-tcg"]
timeout = {timeout}
[[guest]]
image = "{guest}"
[[expect]]
record = "done"
where = {{ status = "ok" }}
"""


def told(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records with what each guest took, in ticks, but for those after a crash has frozen it."""
    frozen = any(record["kind"] == "crash" for record in records)
    return [{k: v for k, v in r.items() if not (frozen and k == "ticks")} for r in records]


@pytest.mark.parametrize(
    ("guest", "words", "verdict"),
    [
        ("hello", "", Verdict.PASSED),
        ("ept-escape", "", Verdict.FAILED),
        ("cpuid", "debug=null-in-exit", Verdict.PANIC),
        ("hello", "debug=triple-fault", Verdict.TRIPLE_FAULT),
    ],
)
def test_a_replay_on_a_qemu_that_counts_does_the_same_to_the_tick(
    hv_scenario: RunScenario, tmp_path: Path, guest: str, words: str, verdict: Verdict
) -> None:
    path = tmp_path / "counted.toml"
    path.write_text(COUNTED.format(timeout=20, guest=guest))
    outcome = hv_scenario(str(path), append=words)
    assert outcome.verdict is verdict
    again = replayed(outcome)
    assert (again["verdict"], again["sentence"]) == (verdict.word, outcome.sentence)
    assert told(again["records"]) == told(outcome.records)
    assert outcome.tick
    assert abs(again["tick"] - outcome.tick) <= UNTIL_QEMU_STOPS


def test_a_replay_of_a_time_limit_on_a_qemu_that_counts_gets_as_far(
    hv_scenario: RunScenario, tmp_path: Path
) -> None:
    """It can't be told to stop at an instruction, but is seen to have come to it."""
    path = tmp_path / "counted.toml"
    path.write_text(COUNTED.format(timeout=1.5, guest="spin"))
    outcome = hv_scenario(str(path))
    assert outcome.verdict is Verdict.SPINNING
    again = replayed(outcome)
    assert again["verdict"] == "spinning"
    assert again["tick"] >= outcome.tick == outcome.facts["tick"]
    assert f"the tick {again['facts']['tick']} came before" in again["sentence"]


def test_only_an_engine_that_counts_can_stop_at_a_tick(hv_scenario: RunScenario) -> None:
    outcome = hv_scenario("no-vmx", engine="qemu-tcg", until_tick=1000)
    assert outcome.verdict is Verdict.BAD_USAGE
    assert "QEMU can't stop at a tick" in outcome.sentence
