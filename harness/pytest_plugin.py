"""The pytest plugin: a scenario file is a test item; fixtures boot machines for tests in Python.

Loaded by every pytest run of an environment that has the package, so it imports its own parts
late, and takes only what is plainly its own: TOML files in a directory called ``scenarios``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from harness.verdict import RunEnded, Verdict

if TYPE_CHECKING:
    from harness.engines.base import Engine, Module
    from harness.machine import Machine
    from harness.runner import Outcome
    from harness.scenario import Scenario

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
    """Add ``--engine`` and ``--require``."""
    group = parser.getgroup("vanderpool", "booting machines")
    group.addoption("--engine", choices=_ENGINES, default="auto", help="boot on this engine only")
    group.addoption(
        "--require",
        action="append",
        default=[],
        metavar="WORD",
        help="what this host must offer (vmx, ept, an engine's name): a test that needs it and "
        "can't have it fails instead of being skipped; repeatable",
    )


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

    def runtest(self) -> None:
        """Run the scenario and compare its verdict."""
        from harness import choose, runner

        engine = str(self.config.getoption("--engine"))
        if self.scenario.heavy and engine in choose.BY_NAME:
            pytest.skip(f"too heavy for {engine}: {self.scenario.heavy}")
        outcome = runner.run(self.scenario, engine=engine)
        for name, value in _properties(outcome):
            self.user_properties.append((name, value))
        if outcome.verdict is Verdict.ENGINE_MISSING and not outcome.as_expected:
            _missing(self.config, outcome.sentence, self.scenario.requires, self.scenario.engines)
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


def _properties(outcome: Outcome) -> Iterator[tuple[str, str]]:
    yield "verdict", outcome.verdict.word
    if outcome.engine:
        yield "engine", outcome.engine
    if outcome.directory:
        yield "run_directory", str(outcome.directory)


def _missing(
    config: pytest.Config, sentence: str, requires: Sequence[str], engines: Sequence[str]
) -> None:
    """Skip with one line of reason, unless ``--require`` says that this host must offer it."""
    reason = sentence.splitlines()[0]
    wanted = {*requires, *engines}
    demanded = sorted(wanted.intersection(config.getoption("--require")))
    if demanded:
        pytest.fail(f"--require {' '.join(demanded)}: {reason}", pytrace=False)
    pytest.skip(reason)


def _console_tail(directory: Path | None) -> str:
    from harness.report.text import Cleaner

    try:
        data = (directory / "console.log").read_bytes() if directory else b""
    except OSError:
        data = b""
    cleaner = Cleaner()
    lines = (cleaner.feed(data[-64 * 1024 :]) + cleaner.close()).splitlines()
    return "\n".join(lines[-CONSOLE_TAIL:])


class BootMachine(Protocol):
    """What the fixture ``boot_machine`` gives."""

    def __call__(
        self,
        image: Path | None = None,
        modules: Sequence[str | Module] = (),
        *,
        engine: str | Engine | None = None,
        requires: Sequence[str] = (),
        cpu: str | None = None,
        firmware: str | None = None,
        command_line: str = "",
        memory_mib: int = 128,
        cpus: int = 1,
        limit: float = 30.0,
    ) -> Machine:
        """Boot a machine, which is killed at the test's end. Skips it where no engine fits.

        ``image`` is the hypervisor unless given. A module is a `Module`, or the name of one of
        our guests. Without ``engine`` (a name, or one made ready) any that offers ``requires`` is
        taken. ``limit`` is in seconds, for the machine as a whole; longer on a patient engine.
        """


class RunScenario(Protocol):
    """What the fixture ``hv_scenario`` gives."""

    def __call__(self, name: str, **overrides: Any) -> Outcome:
        """Run a scenario by name; ``overrides`` are those of `harness.runner.run`."""


@pytest.fixture
def boot_machine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BootMachine]:
    """Boot machines that are killed at the end of the test, whatever ends it."""
    from harness import choose, project
    from harness import image as images
    from harness.engines.base import Boot, Module
    from harness.machine import Machine
    from harness.runner import require_fresh

    option = str(request.config.getoption("--engine"))

    def guest(name: str) -> Module:
        path = project.guest(name)
        return Module(path, f"{path.name} name={name}")

    with ExitStack() as machines:

        def boot(
            image: Path | None = None,
            modules: Sequence[str | Module] = (),
            *,
            engine: str | Engine | None = None,
            requires: Sequence[str] = (),
            cpu: str | None = None,
            firmware: str | None = None,
            command_line: str = "",
            memory_mib: int = 128,
            cpus: int = 1,
            limit: float = 30.0,
        ) -> Machine:
            name = engine if engine is None or isinstance(engine, str) else engine.name
            only = (name,) if name else ()
            if image is None:
                require_fresh(project.image())
            try:
                wants = (*requires, *filter(None, (firmware,)))
                choice = choose.choose(wants, only, option, cpu)
            except RunEnded as ended:
                if ended.verdict is Verdict.ENGINE_MISSING:
                    _missing(request.config, ended.sentence, requires, only)
                raise
            request.node.user_properties.append(("engine", choice.engine.name))
            chosen = choice.engine if engine is None or isinstance(engine, str) else engine
            what = Boot(
                image=image or project.image(),
                command_line=command_line,
                modules=tuple(guest(one) if isinstance(one, str) else one for one in modules),
                memory_mib=memory_mib,
                cpus=cpus,
                cpu_model=cpu,
                firmware=firmware,
            )
            try:
                machine = Machine.start(
                    chosen,
                    what,
                    tmp_path_factory.mktemp("machine"),
                    expect_build=images.build_id(what.image) if image is None else None,
                    limit=limit * chosen.patience,
                )
            except RunEnded as ended:  # what the engine needs can't be had after all
                if ended.verdict is Verdict.ENGINE_MISSING:
                    _missing(request.config, ended.sentence, requires, only)
                raise
            return machines.enter_context(machine)

        yield boot


@pytest.fixture
def hv_scenario(request: pytest.FixtureRequest) -> RunScenario:
    """Run a scenario by its name; the outcome is for the test to judge."""

    def run(name: str, **overrides: Any) -> Outcome:
        from harness import runner, scenario

        options = {"engine": str(request.config.getoption("--engine")), **overrides}
        found = scenario.find(name)
        outcome = runner.run(found, **options)
        request.node.user_properties.extend(_properties(outcome))
        if outcome.verdict is Verdict.ENGINE_MISSING:
            _missing(request.config, outcome.sentence, found.requires, found.engines)
        return outcome

    return run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the evidence of a verdict that ended a test in Python."""
    report = yield
    ended = call.excinfo.value if call.excinfo else None
    if isinstance(ended, RunEnded):
        from harness.report.text import plain

        lines = (f"{ended.verdict.word}: {ended.sentence}", *ended.evidence)
        report.sections.append(("verdict", "\n".join(plain(line) for line in lines)))
    return report
