"""The exit trace of machines that run: complete, counted where it can't be, and nearly free."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import choose, trace
from harness.pytest_plugin import BootMachine, RunScenario
from harness.trace import Trace
from harness.verdict import Verdict
from tests.conftest import Hv

pytestmark = pytest.mark.usefixtures("bochs_here", "qemu_here")

ENGINES = [("bochs", None), ("bochs", "ryzen"), ("qemu-tcg", None)]
PER_EXIT = 25  # instructions


def traced(
    boot_machine: BootMachine, command_line: str, *guests: str, **options: Any
) -> tuple[Trace, dict[str, dict[str, Any]]]:
    """The trace, and each guest's vm-stop record."""
    machine = boot_machine(modules=guests, command_line=command_line, **options)
    machine.wait()
    found = trace.fetch(machine.read_physical, machine.boot.image)
    return found, {r["guest"]: dict(r.data) for r in machine.records if r.kind == "vm-stop"}


@pytest.mark.parametrize(("engine", "cpu"), ENGINES)
def test_the_trace_has_exactly_the_exits_that_each_guest_had(
    boot_machine: BootMachine, engine: str, cpu: str | None
) -> None:
    if reason := choose.unmet(choose.engine(engine), ["virtualization"], cpu)[0]:
        pytest.skip(reason)
    found, stops = traced(boot_machine, "trace=on", "cpuid", "hello", engine=engine, cpu=cpu)
    assert not found.lost
    for guest in ("cpuid", "hello"):
        counts: dict[str, int] = {}
        for one in found.of(guest):
            counts[one.kind] = counts.get(one.kind, 0) + 1
        assert counts == stops[guest]["exits"]
    times = [one.time for one in found.exits]
    assert times == sorted(times)
    assert all(one.cycles for one in found.exits)
    asked = [one.what for one in found.of("cpuid") if one.kind == "cpuid"]
    assert asked[-2:] == ["leaf 0x40000000", "leaf 0x1"]
    assert [one.what for one in found.of("hello") if one.kind == "hypercall"] == [
        "version", "0x7fffffff", "report", "exit",
    ]  # fmt: skip


def test_exits_that_the_ring_can_not_keep_are_counted(boot_machine: BootMachine) -> None:
    found, stops = traced(boot_machine, "trace=16", "cpuid")
    assert len(found.exits) == 16
    assert found.lost == sum(stops["cpuid"]["exits"].values()) - 16
    assert found.exits[-1].what == "exit"


def test_tracing_an_exit_takes_few_instructions(boot_machine: BootMachine) -> None:
    """On Bochs a tick is an instruction. The guest causes exits for a fixed time."""
    ticks = []
    for command_line in ("trace=off", "trace=64K"):
        machine = boot_machine(modules=["flood"], command_line=command_line, engine="bochs")
        machine.wait(30)
        (stop,) = (record for record in machine.records if record.kind == "vm-stop")
        ticks.append(stop["ticks"] / sum(stop["exits"].values()))
    assert 0 < ticks[1] - ticks[0] <= PER_EXIT


def test_a_panic_shows_the_exit_that_it_came_from(hv_scenario: RunScenario) -> None:
    outcome = hv_scenario("panic", trace=True)
    assert outcome.verdict is Verdict.PANIC
    assert outcome.trace is not None
    last = outcome.trace.exits[-1]
    assert (last.kind, last.what, last.cycles) == ("hypercall", "panic", None)


def test_a_guest_that_never_ends_is_traced_until_the_time_limit(hv_scenario: RunScenario) -> None:
    outcome = hv_scenario("spin", trace=True)
    assert outcome.verdict is Verdict.SPINNING
    assert outcome.trace is not None
    assert "timer" in {one.kind for one in outcome.trace.exits}


@pytest.mark.parametrize("value", ["", "of", "3", "17", "2M", "0x10G"])
def test_a_size_that_the_trace_can_not_have_is_refused(
    boot_machine: BootMachine, value: str
) -> None:
    machine = boot_machine(command_line=f"trace={value}")
    message = machine.expect_record("refused", reason="bad-option")["message"]
    assert f"trace={value} is neither on, off nor a power of 2" in message


def test_a_trace_that_needs_more_memory_than_there_is_is_refused(
    boot_machine: BootMachine,
) -> None:
    machine = boot_machine(command_line="trace=1M", memory_mib=24)
    machine.expect_record("refused", reason="no-memory")


def test_a_traced_run_shows_a_summary_and_keeps_a_timeline(hv: Hv, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = hv("run", "demo", "--engine", "bochs", "--trace", out)
    assert done.returncode == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["guest", "exit", "count", "cycles:", "least", "median", "most", "share"] in rows
    assert {row[1] for row in rows if row and row[0] == "cpuid"} >= {"cpuid", "io", "hypercall"}
    document = json.loads(out.read_text())
    tracks = {e["args"]["name"] for e in document["traceEvents"] if e["name"] == "thread_name"}
    assert tracks == {"hello", "cpuid"}


def test_a_traced_run_as_json_has_the_summary(hv: Hv, tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    done = hv("run", "hello", "--engine", "qemu-tcg", "--trace", out, "--json")
    (outcome,) = json.loads(done.stdout)
    assert outcome["trace"]["kept"] == len(out.read_text().splitlines())
    assert {row["kind"] for row in outcome["trace"]["summary"]} >= {"io", "hypercall"}


def test_a_trace_of_several_runs_is_refused(hv: Hv) -> None:
    done = hv("run", "hello", "cpuid", "--trace", "out.json")
    assert done.returncode == 2
    assert "--trace is for one scenario" in done.stderr
