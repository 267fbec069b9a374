"""A machine kept as it is at one moment, from which others start.

What the machine had written by then belongs to it: a machine that starts from a snapshot has it in
its logs, its records and its console, as if it had been this one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.engines.base import Boot, Engine, Unsupported
from harness.machine import Machine


@dataclass(frozen=True)
class Snapshot:
    """A machine at one moment: its state, in the engine's files, and what it had written."""

    directory: Path
    boot: Boot
    console: bytes
    records: bytes
    holds: bool  # whether the hypervisor waits to be told to go on


def possible(engine: Engine) -> bool:
    """Can machines of ``engine`` be saved and restored?"""
    return "snapshots" in engine.control


def save(machine: Machine, directory: Path) -> Snapshot:
    """Keep ``machine`` as it is now, in ``directory``, which is made; then it runs on.

    Unsupported where the engine has no snapshots.
    """
    engine_save = getattr(machine.running, "save", None)
    if engine_save is None:
        raise Unsupported(f"{machine.engine.name} has no snapshots")
    directory.mkdir(parents=True)
    holds = _runs_guests(machine)
    if holds:  # QEMU's TCG can't go on from the middle of a guest
        machine.ask("hold", "held")
    machine.pause()
    engine_save(directory)
    machine.drain()
    logs = (machine.directory / name for name in ("console.log", "records.jsonl"))
    console, records = (log.read_bytes() for log in logs)
    snapshot = Snapshot(directory, machine.boot, console, records, holds)
    _go_on(machine, snapshot)
    return snapshot


def restore(engine: Engine, snapshot: Snapshot, directory: Path, **options: Any) -> Machine:
    """Start a machine from ``snapshot``, which one of the same engine left; see `Machine.start`.

    It has the time limit and the deadlines of a machine that starts now.
    """
    launch = getattr(engine, "restore", None)
    if launch is None:
        raise Unsupported(f"{engine.name} has no snapshots")
    directory.mkdir(parents=True, exist_ok=True)
    running = launch(snapshot.boot, directory, snapshot.directory)
    try:
        machine = Machine(engine, snapshot.boot, directory, running, **options)
        machine.replay(snapshot.console, snapshot.records)
        _go_on(machine, snapshot)
    except BaseException:
        running.kill()
        raise
    return machine


def _runs_guests(machine: Machine) -> bool:
    """Is it our hypervisor that runs there, with guests?"""
    return any(r.kind == "boot" and r.get("virtualization") for r in machine.records)


def _go_on(machine: Machine, snapshot: Snapshot) -> None:
    machine.resume()
    if snapshot.holds:
        machine.command("go-on")


def key(engine: Engine, boot: Boot) -> str:
    """Changes with everything on which a machine's state after its boot depends."""
    find = getattr(engine, "binary", None)
    program = find() if find is not None else None
    parts: list[object] = [engine.name, getattr(engine, "extra", ()), program]
    if program is not None:
        status = program.stat()
        parts += [status.st_size, status.st_mtime_ns]
    parts.append(replace(boot, image=Path(), modules=()))
    for path, string in ((boot.image, ""), *((m.path, m.string) for m in boot.modules)):
        parts += [path.name, string, hashlib.sha256(path.read_bytes()).hexdigest()]
    return hashlib.sha256(repr(parts).encode()).hexdigest()
