"""The runner against a machine that follows a script: what it asks for, and what it makes of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness import choose, image, machine, postmortem, project, runner
from harness.engines.base import Boot, End, EndKind, Engine
from harness.guest import Guest
from harness.job import Job, plan
from harness.observer import Silent
from harness.outcome import Outcome
from harness.records import Record
from harness.scenario import Expectation, Scenario
from harness.verdict import RunEnded, Verdict

DONE = {"kind": "done", "status": "ok"}
CRASH = {"kind": "crash", "guest": "g", "reason": "Memory violation", "address": "0x1"}


class Script:
    """Plays the part of `harness.machine.Machine`."""

    records_to_come: tuple[dict[str, Any], ...] = ()
    error: BaseException | None = None
    last: Script

    def __init__(self, boot: Boot, on_record: Callable[[Record], None], **options: Any) -> None:
        self.boot, self.on_record, self.options = boot, on_record, options
        self.records: list[Record] = []
        self.problems: list[str] = []
        self.forbidden: dict[str, Any] = {"panic": 0, "trap": 0}
        self.allowed: tuple[str, ...] = ()
        self.expected: list[str] = []
        self.running = SimpleNamespace(argv=("engine", "--fast"), tick=None)
        self.engine = SimpleNamespace(patience=1.0)
        self.end = End(EndKind.POWER_OFF)
        self.killed = False
        Script.last = self

    @classmethod
    def start(cls, engine: Engine, boot: Boot, directory: Path, **options: Any) -> Script:
        return cls(boot, options.pop("on_record"), **options)

    def __enter__(self) -> Script:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        self.killed = True

    @contextlib.contextmanager
    def allow(self, *names: str) -> Iterator[None]:
        self.allowed = names
        yield

    def expect(self, pattern: str, timeout: float) -> None:
        self.expected.append(pattern)

    def expect_record(self, kind: str, timeout: float, **where: Any) -> None:
        self.expected.append(kind)

    def await_freeze(self, timeout: float) -> None:
        """This one does not freeze."""

    def wait(self, timeout: float) -> End:
        if self.error:
            raise self.error
        for seq in range(len(self.records), len(self.records_to_come)):
            data = {"seq": seq, **self.records_to_come[seq]}
            self.records.append(Record(seq, data["kind"], data))
            self.on_record(self.records[-1])
        return End(EndKind.POWER_OFF, 0)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    """A scenario in a checkout where everything is there but the machine, which is a script."""
    monkeypatch.setenv("VANDERPOOL_ROOT", str(tmp_path))
    guest = project.guest("g")
    guest.parent.mkdir(parents=True)
    guest.touch()
    project.image().touch()
    engine = SimpleNamespace(name="fake", default_cpu="old", patience=1.0)
    choice = choose.Choice(engine, [("better", "it is not here")])
    monkeypatch.setattr(choose, "choose", lambda *_, **__: choice)
    monkeypatch.setattr(image, "build_id", lambda _: "b1d")
    monkeypatch.setattr(machine, "Machine", Script)
    monkeypatch.setattr(postmortem, "examine", lambda machine, ended: None)
    monkeypatch.setattr(Script, "records_to_come", (DONE,))
    monkeypatch.setattr(Script, "error", None)
    return Scenario("one", tmp_path / "one.toml", "x.", timeout=3, guests=(Guest(guest, "g"),))


def test_a_run_boots_what_the_scenario_says_with_its_limit_and_build_id(scene: Scenario) -> None:
    outcome = runner.run(scene, append="more=1")
    machine = Script.last
    assert outcome.verdict is Verdict.PASSED
    assert (outcome.engine, outcome.passed_over) == ("fake", [("better", "it is not here")])
    assert machine.options["limit"] == 3
    assert machine.options["expect_build"] == "b1d"
    assert machine.boot.command_line == "more=1 trace=32 crash=freeze"
    assert machine.boot.modules[0].string == "g.bin name=g"
    assert machine.killed


@pytest.mark.parametrize("words", ["trace=off crash=go-on", "trace=1K  crash=freeze"])
def test_what_the_hypervisor_is_told_of_traces_and_crashes_stays(
    scene: Scenario, words: str
) -> None:
    runner.run(replace(scene, append=words))
    assert Script.last.boot.command_line == words


def test_expectations_are_awaited_in_the_order_of_the_file(scene: Scenario) -> None:
    wanted = (Expectation(console="a"), Expectation(record="b"), Expectation(console="c"))
    runner.run(replace(scene, expectations=wanted))
    assert Script.last.expected == ["a", "b", "c"]


def test_patterns_are_forbidden_and_allowed_as_the_scenario_says(scene: Scenario) -> None:
    runner.run(replace(scene, forbid=("oops",), allow=("panic", "crash")))
    assert Script.last.allowed == ("panic",)
    assert Script.last.forbidden["forbid 1"] == ("oops", Verdict.FAILED)


def test_a_crash_ends_the_run_as_its_cause(
    scene: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Script, "records_to_come", (CRASH, DONE))
    outcome = runner.run(scene)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.sentence == "guest g was stopped: Memory violation at 0x1"
    assert outcome.facts["address"] == "0x1"
    assert [record["kind"] for record in outcome.records] == ["crash", "done"]


def test_every_verdict_of_the_machine_is_the_outcome_s(
    scene: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    for verdict in (Verdict.TIMEOUT, Verdict.PANIC, Verdict.ENGINE_DIED, Verdict.STALE_IMAGE):
        monkeypatch.setattr(Script, "error", RunEnded(verdict, "It ended."))
        outcome = runner.run(scene)
        assert (outcome.verdict, outcome.sentence) == (verdict, "It ended")


def test_the_outcome_and_the_replay_are_in_the_run_directory(scene: Scenario) -> None:
    outcome = runner.run(scene)
    assert outcome.directory is not None
    written = json.loads((outcome.directory / "outcome.json").read_text())
    assert written == outcome.as_json()
    assert json.loads((outcome.directory / "argv.json").read_text()) == ["engine", "--fast"]
    assert "one.toml --engine fake --timeout 3" in (outcome.directory / "replay.sh").read_text()


def test_an_interrupt_kills_the_machine_and_is_not_swallowed(
    scene: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Script, "error", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        runner.run(scene)
    assert Script.last.killed


def test_nothing_is_started_where_an_image_is_missing(scene: Scenario) -> None:
    scene.guests[0].path.unlink()
    outcome = runner.run(scene)
    assert outcome.verdict is Verdict.BAD_USAGE
    assert outcome.directory is None


def test_a_missing_engine_is_an_outcome(scene: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise RunEnded(Verdict.ENGINE_MISSING, "no engine")

    monkeypatch.setattr(choose, "choose", none)
    assert runner.run(scene).exit_code == Verdict.ENGINE_MISSING.exit_code


def test_observers_hear_everything_in_order(scene: Scenario) -> None:
    heard: list[str] = []

    class Ear(Silent):
        def chosen(self, job: Job) -> None:
            heard.append(f"chosen {job.choice.engine.name}")

        def started(self, machine: Any) -> None:
            heard.append("started")

        def record(self, record: Record) -> None:
            heard.append(record.kind)

        def ended(self, outcome: Outcome) -> None:
            heard.append(outcome.verdict.word)

    runner.run(scene, observer=Ear())
    assert heard == ["chosen fake", "started", "done", "passed"]


def test_a_patient_engine_gets_more_time_unless_the_user_names_a_limit(scene: Scenario) -> None:
    patient = SimpleNamespace(name="fake", default_cpu="old", patience=10.0)
    choice = choose.Choice(cast(Engine, patient))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choose, "choose", lambda *_, **__: choice)
        assert plan(scene).limit == scene.timeout * 10
        assert plan(scene, timeout=3).limit == 3
