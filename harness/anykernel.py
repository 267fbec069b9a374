"""``hv boot``: any multiboot 1 kernel as a job, ours or not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness import project
from harness.engines.base import Boot, Module
from harness.guest import file_word
from harness.job import Job, require_fresh
from harness.scenario import Expectation, Scenario
from harness.verdict import bad_usage

USUAL_SECONDS = 60.0


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line, in its words."""

    image: Path
    modules: tuple[str, ...] = ()  # "FILE ARGS"
    append: str = ""
    engine: str = "auto"
    cpu: str | None = None
    firmware: str | None = None
    cpus: int = 1
    memory_mib: int = 128
    timeout: float | None = None  # seconds; None: `USUAL_SECONDS`, as the engine's patience has it
    expect: tuple[str, ...] = ()


def plan(request: Request) -> Job:
    """The job that a request amounts to; starts nothing.

    Raises RunEnded: BAD_USAGE for a missing file or a bad pattern, ENGINE_MISSING, STALE_IMAGE.
    """
    from harness import choose

    kernel = request.image.absolute()
    if not kernel.is_file():
        raise bad_usage(f"there is no kernel {request.image}")
    ours = kernel.resolve() == project.image().resolve()
    if ours:
        require_fresh(kernel)
    for pattern in request.expect:
        try:
            re.compile(pattern)
        except re.error as error:
            raise bad_usage(f"--expect {pattern!r} is not a regular expression: {error}") from None
    modules = tuple(_module(text) for text in request.modules)
    requires = (request.firmware,) if request.firmware else ()
    if request.cpu is not None:
        choose.known_model(request.cpu, request.engine)
    choice = choose.choose(requires, (), request.engine, request.cpu)
    usual = USUAL_SECONDS * choice.engine.patience
    limit = usual if request.timeout is None else request.timeout
    return Job(
        name=kernel.name.removesuffix(".elf"),
        choice=choice,
        boot=Boot(
            image=kernel,
            command_line=request.append,
            modules=modules,
            memory_mib=request.memory_mib,
            cpus=request.cpus,
            cpu_model=request.cpu,
            firmware=request.firmware,
        ),
        limit=limit,
        replay=_replay(request, kernel, modules, choice.engine.name, limit),
        scenario=_ours(kernel) if ours and not request.expect else None,
        expectations=tuple(Expectation(console=pattern) for pattern in request.expect),
        to_the_end=not request.expect,
    )


def _module(text: str) -> Module:
    words = text.strip().split(" ")
    if not words[0]:
        raise bad_usage('--module needs a file: --module "FILE ARGS"')
    # A path may have blanks in it: the file is the first beginning of the text that is one.
    for count in range(1, len(words) + 1):
        path = Path(" ".join(words[:count])).absolute()
        if path.is_file():
            arguments = " ".join(words[count:]).strip()
            return Module(path, f"{file_word(path)} {arguments}".strip())
    raise bad_usage(f"there is no module {words[0]}")


def _ours(kernel: Path) -> Scenario:
    """Our own image keeps its promises here too: records are judged as in a scenario."""
    return Scenario(kernel.name.removesuffix(".elf"), kernel, "our own image, booted by hand")


def _replay(
    request: Request, kernel: Path, modules: tuple[Module, ...], engine: str, limit: float
) -> tuple[str, ...]:
    words = ["boot", str(kernel), "--engine", engine, "--timeout", f"{limit:g}"]
    words += ["--smp", str(request.cpus), "--mem", str(request.memory_mib)]
    words += ["--append", request.append] if request.append else []
    words += ["--cpu", request.cpu] if request.cpu else []
    words += ["--firmware", request.firmware] if request.firmware else []
    for module in modules:
        _, _, arguments = module.string.partition(" ")
        words += ["--module", f"{module.path} {arguments}".strip()]
    for pattern in request.expect:
        words += ["--expect", pattern]
    return tuple(words)
