"""Plans a run: which engine it takes, and the machine for a scenario. Nothing is started."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness import image, project
from harness.engines.base import Boot, Say, silently
from harness.guest import boot_modules, machine_memory
from harness.scenario import Expectation, Scenario
from harness.verdict import bad_usage

if TYPE_CHECKING:
    from harness.choose import Choice

REPLAY_PATIENCE = 20
"""So many limits a replay may take to come to its tick: this host may be slower."""

TRACED_EXITS = 1 << 16
"""How many of the last exits a traced run keeps, unless its command line has trace= itself."""


KEPT_EXITS = 32
"""How many of the last exits every run keeps for a post-mortem, unless it has trace= itself."""


@dataclass(frozen=True)
class Job:
    """What a run is about to do, all of it decided."""

    name: str
    choice: Choice
    boot: Boot
    limit: float | None  # seconds for the machine as a whole; None: no limit
    replay: tuple[str, ...]  # what follows `hv` to do the same again
    scenario: Scenario | None = None  # None: a kernel that is not ours, whose records say nothing
    expectations: tuple[Expectation, ...] = ()
    to_the_end: bool = True  # whether the machine must power off by itself
    attended: bool = False  # a person is at the console: only the machine's end ends the run
    trace: bool = False  # whether to read the exit trace out of the machine


def plan(
    scenario: Scenario,
    *,
    engine: str = "auto",
    cpu: str | None = None,
    timeout: float | None = None,
    append: str = "",
    trace: bool = False,
    firmware: str | None = None,
    say: Say = silently,
    until_tick: int | None = None,
) -> Job:
    """Choose the engine and lay out the machine for a scenario, starting nothing.

    ``say`` hears what takes long where an engine's processor has to be tried first.

    Raises RunEnded: STALE_IMAGE, ENGINE_MISSING, or BAD_USAGE for a missing image or guest.
    """
    from harness import choose

    ours = require_image()
    if cpu is not None:
        choose.known_model(cpu, engine)
    for guest in scenario.guests:
        if not guest.path.is_file():
            raise bad_usage(f"guest {guest.name!r} has no image: {_missing(guest.path)}")
        for data in guest.data:
            if not data.path.is_file():
                raise bad_usage(f"guest {guest.name!r} lacks a file: {_missing(data.path)}")
    modules = boot_modules(scenario.guests)
    model = cpu or scenario.cpu
    wanted = firmware or scenario.firmware
    requires = (*scenario.requires, *filter(None, (wanted,)))
    choice = choose.choose(requires, scenario.engines, engine, model, say=say)
    limit = scenario.timeout * choice.engine.patience if timeout is None else timeout
    if trace and not _has("trace", f"{scenario.append} {append}"):
        append = f"{append} trace={TRACED_EXITS}".strip()
    known = scenario.path.parent == project.scenarios()
    replay = ["run", scenario.name if known else str(scenario.path)]
    replay += ["--engine", choice.engine.name, "--timeout", f"{limit:g}"]
    replay += ["--cpu", cpu] if cpu else []
    replay += ["--append", append] if append else []
    replay += ["--firmware", firmware] if firmware else []
    replay += ["--until-tick", str(until_tick)] if until_tick is not None else []
    return Job(
        name=scenario.name,
        choice=choice,
        boot=Boot(
            image=ours,
            command_line=equipped(" ".join(filter(None, (scenario.append, append))), freezes=True),
            modules=modules,
            memory_mib=scenario.memory or machine_memory(scenario.guests, modules),
            mips=scenario.mips,
            msrs=scenario.msrs,
            until_tick=until_tick,
            cpu_model=model,
            firmware=wanted,
        ),
        limit=limit if until_tick is None else limit * REPLAY_PATIENCE,
        replay=tuple(replay),
        scenario=scenario,
        expectations=scenario.expectations,
        to_the_end=not scenario.endless,
        trace=trace,
    )


def _missing(path: Path) -> str:
    from harness.guest_images.images import why_missing

    return why_missing(path) or f"{path} is missing"


def equipped(command_line: str, *, freezes: bool = False) -> str:
    """``command_line`` with what a post-mortem of our hypervisor needs, where it says nothing else.

    KEPT_EXITS of each processor are kept; ``freezes``: a guest's crash stops the machine until the
    harness lets it go on, as `Machine` does.
    """
    wanted = {"trace": f"{KEPT_EXITS}"} | ({"crash": "freeze"} if freezes else {})
    added = (f"{key}={value}" for key, value in wanted.items() if not _has(key, command_line))
    return " ".join(filter(None, (command_line, *added)))


def _has(key: str, command_line: str) -> bool:
    return bool(re.search(rf"(^|\s){key}=", command_line))


def require_image() -> Path:
    """The hypervisor's image. RunEnded BAD_USAGE if it is not built, STALE_IMAGE if not anew."""
    ours = project.image()
    if not ours.is_file():
        raise bad_usage(f"the hypervisor's image {ours} is missing; `make` builds it")
    require_fresh(ours)
    return ours


def require_fresh(image_path: Path) -> None:
    """RunEnded STALE_IMAGE if sources are newer; `make` is asked once a process for one image.

    A session tests one image: that it was fresh at the session's start is what counts.
    """
    _fresh(image_path, image_path.stat().st_mtime_ns if image_path.exists() else 0)


@lru_cache(maxsize=16)
def _fresh(image_path: Path, _built: int) -> None:
    image.require_fresh(image_path)  # what it raises is not cached
