"""Machines for the bench: the hypervisor with some guests, without a word on the command line."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import choose, project
from harness.engines.base import Boot, Module
from harness.machine import Machine

PATIENCE = 240.0  # seconds; a quiet host takes a tenth of that


@dataclass(frozen=True)
class Where:
    """A processor to measure on."""

    name: str
    engine: str
    cpu: str | None = None
    requires: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether this host has the engine."""
        return choose.engine(self.engine).availability().usable


EXACT = (Where("VT-x", "bochs"), Where("AMD-V", "bochs", "ryzen"))
"""On Bochs a tick is an instruction, and each run is like the others to the tick."""

COUNTED = Where("AMD-V by QEMU", "qemu-tcg", requires=("deterministic",))
"""QEMU counts instructions too, if told to."""


def guest(image: str, name: str, words: str = "") -> Module:
    """Our guest ``image`` as a module."""
    path = project.guest(image)
    return Module(path, f"{path.name} name={name} {words}".strip())


def end_appliance() -> None:
    """Its Bochs keeps a processor busy while it waits: nothing else is to be measured beside it."""
    from harness.appliance import session

    session.close()


@contextlib.contextmanager
def machine(
    where: Where,
    modules: Sequence[Module],
    *,
    words: str = "",
    image: Path | None = None,
    memory_mib: int = 128,
    stopped: bool = False,
) -> Iterator[Machine]:
    """A machine that has just been started; it and its files end with the context.

    ``image``: what it boots instead of the hypervisor. ``stopped``: it waits at the image's first
    instruction, on Bochs.
    """
    boot = Boot(
        image or project.image(),
        modules=tuple(modules),
        command_line=words,
        cpu_model=where.cpu,
        memory_mib=memory_mib,
        stopped=stopped,
    )
    with tempfile.TemporaryDirectory(prefix="vanderpool-bench-") as place:
        engine = choose.choose(where.requires, (), where.engine).engine
        with Machine.start(engine, boot, Path(place) / "run", limit=PATIENCE) as started:
            yield started
