"""The pytest plugin: a scenario file is a test item; fixtures boot machines for tests in Python.

Loaded by every pytest run of an environment that has the package, so it imports its own parts
late, and takes only what is plainly its own: TOML files in a directory called ``scenarios``.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from harness.pytest_machines import (
    BootedMachine,
    BootMachine,
    _hv_booted,
    _hv_starter,
    boot_machine,
    booted_machine,
    machines_of,
    missing,
)
from harness.verdict import RunEnded, Verdict

if TYPE_CHECKING:
    from harness.machine import Machine
    from harness.outcome import Outcome
    from harness.scenario import Scenario

__all__ = [  # pytest finds fixtures here, tests the types
    "BootMachine",
    "BootedMachine",
    "_hv_booted",
    "_hv_starter",
    "boot_machine",
    "booted_machine",
]

CONSOLE_TAIL = 60  # lines that a failure's report shows
_ENGINES = ("auto", "bochs", "qemu-kvm", "qemu-kvm-in-bochs", "qemu-tcg")  # importing costs time


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """One appliance for all workers; it starts only if one of them wants it."""
    import os

    from harness.appliance import session

    if not os.environ.get(session.VARIABLE):
        opened = session.Session()
        os.environ[session.VARIABLE] = str(opened.directory)  # the workers inherit it

        def close() -> None:
            del os.environ[session.VARIABLE]
            opened.close()

        config.add_cleanup(close)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--engine``, ``--require`` and ``--report``."""
    group = parser.getgroup("vanderpool", "booting machines")
    group.addoption("--engine", choices=_ENGINES, default="auto", help="boot on this engine only")
    group.addoption(
        "--report", metavar="FILE.html", help="write a page about the session, all in one file"
    )
    group.addoption(
        "--require",
        action="append",
        default=[],
        metavar="WORD",
        help="what this host must offer (vmx, an engine's name, guests): a test that needs it and "
        "can't have it fails instead of being skipped; repeatable",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Watch the session, in the process that the user talks to."""
    config.addinivalue_line("markers", "slow: takes minutes, as real systems do that boot")
    if not hasattr(config, "workerinput"):
        from harness.pytest_session import SessionReport

        config.pluginmanager.register(SessionReport(config), "vanderpool-session")
        if config.getoption("--report"):
            os.environ["VANDERPOOL_KEEP_RUNS"] = "all"  # for the workers too: the page shows them


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect scenario files, and no other TOML file."""
    if file_path.suffix != ".toml" or file_path.parent.name != "scenarios":
        return None
    return ScenarioFile.from_parent(parent, path=file_path) if _is_ours(file_path) else None


def _is_ours(path: Path) -> bool:
    """Whether a file is a scenario: one of the project's, or one that looks like it elsewhere."""
    import tomllib

    from harness import project

    if path.parent.resolve() == project.scenarios().resolve():
        return True
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return "description" in data and ("guest" in data or "expect" in data)


class ScenarioFile(pytest.File):
    """One scenario file; it holds one item."""

    def collect(self) -> Iterable[pytest.Item]:
        """The scenario, or the sentence that says what is wrong with its file."""
        from harness import scenario

        try:
            found = scenario.load(self.path)
        except RunEnded as ended:
            raise self.CollectError(ended.sentence) from None
        yield ScenarioItem.from_parent(self, name=found.name, scenario=found)


class ScenarioFailedError(Exception):
    """The verdict is not the one that the scenario expects."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.sentence)
        self.outcome = outcome


class ScenarioItem(pytest.Item):
    """One scenario as a test: it passes when the verdict is the one that its file names."""

    def __init__(self, *, scenario: Scenario, **rest: Any) -> None:
        super().__init__(**rest)
        self.scenario = scenario
        if scenario.slow:
            self.add_marker("slow")

    def runtest(self) -> None:
        """Run the scenario and compare its verdict."""
        from harness import choose, runner

        engine = str(self.config.getoption("--engine"))
        if self.scenario.heavy and engine in choose.BY_NAME:
            pytest.skip(f"too heavy for {engine}: {self.scenario.heavy}")
        _need_images(self.config, self.scenario)
        outcome = runner.run(self.scenario, engine=engine)
        for name, value in _properties(outcome):
            self.user_properties.append((name, value))
        if outcome.verdict is Verdict.ENGINE_MISSING and not outcome.as_expected:
            missing(self.config, outcome.sentence, self.scenario.requires, self.scenario.engines)
        if not outcome.as_expected:
            self.add_report_section("call", "console", _console_tail(outcome.directory))
            raise ScenarioFailedError(outcome)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What a person needs to go on, instead of a Python traceback."""
        if not isinstance(excinfo.value, ScenarioFailedError):
            return super().repr_failure(excinfo, style)
        from harness.report.terminal import explanation

        outcome = excinfo.value.outcome
        head = f"{outcome.verdict.word}, where {outcome.expected.word} was expected"
        return "\n".join([f"{head} ({outcome.engine or 'no engine'})", *explanation(outcome)])

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the test is written, and its name."""
        return self.path, 0, self.name


def _need_images(config: pytest.Config, scenario: Scenario) -> None:
    """Skip, with the reason, what needs an image of a real system that could not be fetched."""
    files = [f for guest in scenario.guests for f in (guest.path, *(d.path for d in guest.data))]
    if not all(file.is_file() for file in files):
        from harness.guest_images import images

        if reason := images.lacking(files):
            missing(config, reason, (*scenario.requires, "guests"), scenario.engines)


def _properties(outcome: Outcome) -> Iterator[tuple[str, str]]:
    from harness.pytest_session import guests_reports

    yield "verdict", outcome.verdict.word
    yield from guests_reports(outcome.records)
    if outcome.engine:
        yield "engine", outcome.engine
    if outcome.directory:
        yield "run_directory", str(outcome.directory)


def _console_tail(directory: Path | None) -> str:
    from harness.report.text import Cleaner

    try:
        data = (directory / "console.log").read_bytes() if directory else b""
    except OSError:
        data = b""
    cleaner = Cleaner()
    lines = (cleaner.feed(data[-64 * 1024 :]) + cleaner.close()).splitlines()
    return "\n".join(lines[-CONSOLE_TAIL:])


class RunScenario(Protocol):
    """What the fixture ``hv_scenario`` gives."""

    def __call__(self, name: str, **overrides: Any) -> Outcome:
        """Run a scenario by name; ``overrides`` are those of `harness.runner.run`."""


@pytest.fixture
def hv_scenario(request: pytest.FixtureRequest) -> RunScenario:
    """Run a scenario by its name; the outcome is for the test to judge."""

    def run(name: str, **overrides: Any) -> Outcome:
        from harness import runner, scenario

        options = {"engine": str(request.config.getoption("--engine")), **overrides}
        found = scenario.find(name)
        _need_images(request.config, found)
        outcome = runner.run(found, **options)
        request.node.user_properties.extend(_properties(outcome))
        if outcome.verdict is Verdict.ENGINE_MISSING:
            missing(request.config, outcome.sentence, found.requires, found.engines)
        return outcome

    return run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the evidence of a verdict that ended a test in Python."""
    if call.when == "call":
        from harness.pytest_session import guests_reports

        for machine in item.stash.get(machines_of, ()):
            item.user_properties.extend(guests_reports(machine.records))
    report = yield
    ended = call.excinfo.value if call.excinfo else None
    if isinstance(ended, RunEnded):
        from harness.report.text import plain

        lines = (f"{ended.verdict.word}: {ended.sentence}", *ended.evidence)
        report.sections.append(("verdict", "\n".join(plain(line) for line in lines)))
        for machine in item.stash.get(machines_of, ()):
            report.sections += _post_mortem(machine, ended)
    return report


def _post_mortem(machine: Machine, ended: RunEnded) -> Iterator[tuple[str, str]]:
    """What there is to see in a machine of a test that failed: its fixture has not ended it yet."""
    from harness import postmortem

    found = postmortem.examine(machine, ended)
    if found is not None:
        yield f"post-mortem ({machine.directory})", "\n".join(found.page())
        with suppress(RunEnded):  # a full disk: what is on the screen is enough
            found.write(machine.directory)
