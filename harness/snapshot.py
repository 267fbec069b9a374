"""A machine kept as it is at one moment, from which others start.

What the machine had written by then belongs to it: a machine that starts from a snapshot has it in
its logs, its records and its console, as if it had been this one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
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
    machine.pause()
    engine_save(directory)
    machine.drain()
    logs = (machine.directory / name for name in ("console.log", "records.jsonl"))
    console, records = (log.read_bytes() for log in logs)
    machine.resume()
    return Snapshot(directory, machine.boot, console, records)


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
        machine.resume()
    except BaseException:
        running.kill()
        raise
    return machine


def key(engine: Engine, boot: Boot) -> str:
    """Changes with everything on which a machine's state after its boot depends."""
    find = getattr(engine, "binary", None)
    program = find() if find is not None else None
    parts: list[object] = [engine.name, getattr(engine, "extra", ()), program]
    if program is not None:
        status = program.stat()
        parts += [status.st_size, status.st_mtime_ns]
    parts += [boot.command_line, boot.memory_mib, boot.cpus, boot.cpu_model, boot.msrs]
    for path, string in ((boot.image, ""), *((m.path, m.string) for m in boot.modules)):
        parts += [path.name, string, hashlib.sha256(path.read_bytes()).hexdigest()]
    return hashlib.sha256(repr(parts).encode()).hexdigest()
