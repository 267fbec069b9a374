"""The CPU models that the installed emulators know, by their own lists."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from harness.engines.base import Engine
from harness.verdict import bad_usage

_ANSWER_WITHIN = 10.0  # seconds
_NEAREST = 3  # names that a refusal tells


def check(cpu: str, candidates: Sequence[Engine], *, named: bool) -> None:
    """RunEnded BAD_USAGE, with the nearest names, if none of ``candidates`` knows the model.

    ``named``: the user wants this engine, which is the only candidate.
    """
    known = {engine.name: of(engine) for engine in candidates}
    if any(lacks(engine, cpu) is None for engine in candidates):
        return
    who = candidates[0].name if named else "no engine here"
    has = "has no" if named else "has a"
    near = nearest(cpu, [name for names in known.values() for name in names])
    raise bad_usage(f"{who} {has} CPU model {cpu!r}; the nearest are {', '.join(near)}")


def lacks(engine: Engine, cpu: str) -> str | None:
    """The clause that says that ``engine`` does not know the model; None if it does, or may."""
    names = of(engine)
    model = cpu.partition(",")[0]  # QEMU's may have properties: EPYC,-npt
    return f"it has no CPU model {cpu!r}" if names and model not in names else None


def nearest(cpu: str, names: Sequence[str]) -> list[str]:
    """The names that look most like ``cpu``, best first."""
    from difflib import SequenceMatcher

    def likeness(name: str) -> float:
        return SequenceMatcher(None, cpu.lower(), name.lower()).ratio()

    return sorted(dict.fromkeys(names), key=likeness, reverse=True)[:_NEAREST]


def of(engine: Engine) -> tuple[str, ...]:
    """The models that ``engine`` knows; none where it is not installed, or does not say."""
    if engine.name == "bochs":
        from harness.engines.bochs import Bochs

        return _listed(Bochs().binary(), ("--help", "cpu"), r"^(\w+)$")
    if engine.name.startswith("qemu-"):
        from harness.engines.qemu import QemuTcg

        return _listed(QemuTcg().binary(), ("-cpu", "help"), r"^(?:x86 | +)(\S+)(?= |$)")
    return ()


@lru_cache(maxsize=8)
def _listed(binary: Path | None, question: tuple[str, ...], line: str) -> tuple[str, ...]:
    if binary is None:
        return ()
    try:
        said = subprocess.run(
            [binary, *question],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # Bochs tells it there,
            timeout=_ANSWER_WITHIN,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        ).stdout.decode("utf-8", "replace")
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(re.findall(line, said.partition("\nRecognized")[0], re.MULTILINE))
