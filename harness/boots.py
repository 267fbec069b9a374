"""Machines for tests in Python: what to boot on which engine, and starting from a booted one."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import choose, image, project, snapshot
from harness.engines.base import Boot, Engine, Module
from harness.job import equipped, require_fresh
from harness.machine import Machine
from harness.scenario import Expectation


@dataclass(frozen=True)
class Prepared:
    """A machine that can be started: everything about it is decided."""

    engine: Engine
    boot: Boot
    build: str | None  # what the image must say that it is; None: it is not ours

    def start(self, directory: Path, limit: float) -> Machine:
        """Boot it; see `Machine.start`."""
        return Machine.start(
            self.engine, self.boot, directory, expect_build=self.build, limit=self.within(limit)
        )

    def within(self, limit: float) -> float:
        """So many seconds on this engine, where it would be ``limit`` on a usual one."""
        return limit * self.engine.patience


@dataclass(frozen=True)
class Wanted:
    """What a test asks for: see `harness.pytest_plugin.BootMachine`."""

    image: Path | None = None
    modules: Sequence[str | Module] = ()
    engine: str | Engine | None = None
    requires: Sequence[str] = ()
    cpu: str | None = None
    firmware: str | None = None
    command_line: str = ""
    memory_mib: int = 128
    cpus: int = 1

    def prepare(self, option: str) -> Prepared:
        """Choose the engine and lay out the machine; ``option`` is the session's ``--engine``.

        RunEnded: STALE_IMAGE, ENGINE_MISSING, or BAD_USAGE.
        """
        given = self.engine
        name = given if given is None or isinstance(given, str) else given.name
        if self.image is None:
            require_fresh(project.image())
        wants = (*self.requires, *filter(None, (self.firmware,)))
        choice = choose.choose(wants, (name,) if name else (), option, self.cpu)
        boot = Boot(
            image=self.image or project.image(),
            command_line=(self.command_line if self.image else equipped(self.command_line)),
            modules=tuple(_guest(one) if isinstance(one, str) else one for one in self.modules),
            memory_mib=self.memory_mib,
            cpus=self.cpus,
            cpu_model=self.cpu,
            firmware=self.firmware,
        )
        if given is None or isinstance(given, str):
            engine = choice.engine
        else:
            engine = choose.prepared(given, self.requires)
        build = image.build_id(boot.image) if self.image is None else None
        return Prepared(engine, boot, build)


def _guest(name: str) -> Module:
    path = project.guest(name)
    return Module(path, f"{path.name} name={name}")


@dataclass
class Booted:
    """Starts machines where an earlier one of the same kind had come to; forgets nothing until
    `close`.
    """

    directory: Path  # for the snapshots
    _known: dict[str, snapshot.Snapshot] = field(default_factory=dict)

    def start(
        self, prepared: Prepared, until: Expectation, directory: Path, limit: float
    ) -> Machine:
        """A machine at which ``until`` has just happened, and been consumed.

        The first of its kind is booted and waited for, the others are copies of it. Where the
        engine has no snapshots each one is booted.
        """
        key = f"{snapshot.key(prepared.engine, prepared.boot)} {until}"
        known = self._known.get(key)
        if known is None:
            machine = prepared.start(directory, limit)
        else:
            machine = snapshot.restore(
                prepared.engine,
                known,
                directory,
                expect_build=prepared.build,
                limit=prepared.within(limit),
            )
        try:
            if until.console is not None:
                machine.expect(until.console, timeout=limit)
            elif until.record is not None:
                machine.expect_record(until.record, timeout=limit, **until.where)
            if known is None and snapshot.possible(prepared.engine):
                place = self.directory / str(len(self._known))
                self._known[key] = snapshot.save(machine, place)
        except BaseException:
            machine.kill()
            raise
        return machine

    def close(self) -> None:
        """Remove the snapshots."""
        shutil.rmtree(self.directory, ignore_errors=True)
