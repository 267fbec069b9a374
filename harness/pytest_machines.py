"""The fixtures that start machines for tests in Python; part of the pytest plugin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from harness.verdict import RunEnded, Verdict

if TYPE_CHECKING:
    from harness.boots import Booted, Prepared, Wanted
    from harness.engines.base import Engine, Module
    from harness.machine import Machine


def missing(
    config: pytest.Config, sentence: str, requires: Sequence[str], engines: Sequence[str]
) -> None:
    """Skip with one line of reason, unless ``--require`` says that this host must offer it."""
    reason = sentence.splitlines()[0]
    wanted = {*requires, *engines}
    demanded = sorted(wanted.intersection(config.getoption("--require")))
    if demanded:
        pytest.fail(f"--require {' '.join(demanded)}: {reason}", pytrace=False)
    pytest.skip(reason)


machines_of = pytest.StashKey[list["Machine"]]()
"""The machines of a test, in its item's stash, until its fixtures end them."""


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


class BootedMachine(Protocol):
    """What the fixture ``booted_machine`` gives."""

    def __call__(
        self,
        image: Path | None = None,
        modules: Sequence[str | Module] = (),
        *,
        console: str | None = None,
        record: str | None = None,
        where: Mapping[str, Any] | None = None,
        engine: str | Engine | None = None,
        requires: Sequence[str] = (),
        cpu: str | None = None,
        firmware: str | None = None,
        command_line: str = "",
        memory_mib: int = 128,
        cpus: int = 1,
        limit: float = 30.0,
    ) -> Machine:
        """A machine that has booted: ``console`` (a pattern) or ``record`` has just come.

        The first of its kind in a session boots; later ones, with the same files, options and
        engine, are copies of it as it was then, where the engine has snapshots. The rest is as
        for ``boot_machine``.
        """


class _Starter:
    """Starts machines for one test, which end with it, whatever ends it."""

    def __init__(self, request: pytest.FixtureRequest, temporary: pytest.TempPathFactory) -> None:
        self._request = request
        self._temporary = temporary
        self.machines = ExitStack()

    def prepare(self, wanted: Wanted) -> Prepared:
        """Decide on the engine; skip the test where there is none."""
        with self.or_skip(wanted):
            prepared = wanted.prepare(str(self._request.config.getoption("--engine")))
        self._request.node.user_properties.append(("engine", prepared.engine.name))
        return prepared

    @contextmanager
    def or_skip(self, wanted: Wanted) -> Iterator[None]:
        """Skip the test if what the engine needs can't be had: starting it may show it too."""
        try:
            yield
        except RunEnded as ended:
            if ended.verdict is Verdict.ENGINE_MISSING:
                given = wanted.engine
                name = given if given is None or isinstance(given, str) else given.name
                only = (name,) if name else ()
                missing(self._request.config, ended.sentence, wanted.requires, only)
            raise

    def keep(self, machine: Machine) -> Machine:
        """``machine``, which ends with the test and is looked at if that fails."""
        self._request.node.stash.setdefault(machines_of, []).append(machine)
        return self.machines.enter_context(machine)

    def directory(self) -> Path:
        """A new one for a machine."""
        return self._temporary.mktemp("machine")


@pytest.fixture
def _hv_starter(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[_Starter]:
    starter = _Starter(request, tmp_path_factory)
    with starter.machines:
        yield starter


@pytest.fixture
def boot_machine(_hv_starter: _Starter) -> BootMachine:
    """Boot machines that are killed at the end of the test, whatever ends it."""
    from harness.boots import Wanted

    def boot(
        image: Path | None = None,
        modules: Sequence[str | Module] = (),
        *,
        limit: float = 30.0,
        **rest: Any,
    ) -> Machine:
        wanted = Wanted(image, modules, **rest)
        prepared = _hv_starter.prepare(wanted)
        with _hv_starter.or_skip(wanted):
            machine = prepared.start(_hv_starter.directory(), limit)
        return _hv_starter.keep(machine)

    return boot


@pytest.fixture(scope="session")
def _hv_booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    from harness.boots import Booted

    booted = Booted(tmp_path_factory.mktemp("snapshots"))
    yield booted
    booted.close()


@pytest.fixture
def booted_machine(_hv_starter: _Starter, _hv_booted: Booted) -> BootedMachine:
    """Start tests from machines that have booted already."""
    from harness.boots import Wanted
    from harness.scenario import Expectation

    def start(
        image: Path | None = None,
        modules: Sequence[str | Module] = (),
        *,
        console: str | None = None,
        record: str | None = None,
        where: Mapping[str, Any] | None = None,
        limit: float = 30.0,
        **rest: Any,
    ) -> Machine:
        if (console is None) == (record is None):
            raise TypeError("booted_machine needs exactly one of `console` and `record`")
        wanted = Wanted(image, modules, **rest)
        prepared = _hv_starter.prepare(wanted)
        until = Expectation(console, record, where or {})
        with _hv_starter.or_skip(wanted):
            machine = _hv_booted.start(prepared, until, _hv_starter.directory(), limit)
        return _hv_starter.keep(machine)

    return start
