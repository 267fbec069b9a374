"""How a machine's bad end is put into words: the exception for each, with its evidence."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from harness.console import printable
from harness.engines.base import End, EndKind
from harness.records import Record
from harness.verdict import RunEnded, Verdict

if TYPE_CHECKING:
    from harness.machine import Machine
    from harness.watched import Watched

_STACK_SHOWN = 32
_WORTH_SAYING = 0.1  # of the limit


def _evidence(machine: Watched, *first: str) -> tuple[str, ...]:
    tail = machine.tail
    lines = list(first)
    if tail:
        lines.append("the console's last lines:")
        lines.extend("  " + line for line in tail)
    else:
        lines.append("the console is empty")
    lines.extend(printable(problem) for problem in machine.problems[:5])
    return tuple(lines)


def nearest(pattern: str, lines: tuple[str, ...]) -> str | None:
    """The line that looks most like what ``pattern`` wants, if one does at all."""
    import difflib

    plain = re.sub(r"\\(.)", r"\1", pattern)
    best, best_score = None, 0.4
    for line in lines:
        matcher = difflib.SequenceMatcher(None, plain[:200], line[:200], autojunk=False)
        common = sum(block.size for block in matcher.get_matching_blocks())
        score = common / max(1, len(plain[:200]))
        if score > best_score:
            best, best_score = line, score
    return best


def _near(machine: Watched, pattern: str | None) -> tuple[str, ...]:
    line = nearest(pattern, machine.tail) if pattern else None
    return () if line is None else (f"nearest line: {line}",)


def timed_out(machine: Machine, timeout: float, what: str, pattern: str | None = None) -> RunEnded:
    """Neither ``what`` nor anything worse happened in time."""
    facts: dict[str, Any] = {"pattern": pattern} if pattern else {}
    limit = machine.limit
    replayed = machine.running.at_tick
    if not replayed and (limit is None or time.monotonic() - machine.started < limit):
        return RunEnded(
            Verdict.TIMEOUT,
            f"{timeout:g} s passed before {what}.",
            evidence=_evidence(machine, *_near(machine, pattern)),
            facts=facts,
        )
    limit = limit or 0.0
    late = f"the time limit of {limit:g} s passed before {what}"
    if replayed:
        late = f"the tick {machine.running.tick} came before {what}"
    host = machine.host
    lost = host.allowance(limit)
    facts |= {"limit": limit, "host_stopped": host.stopped, "host_waited": host.waited}
    if host.starved(limit) and not replayed:
        return _starved(machine, late, facts)
    from harness import hang

    found = hang.look(machine)
    facts |= {"samples": found.as_json(), "tick": found.tick}
    verdict, why = found.verdict() or (Verdict.TIMEOUT, "")
    extended = (f"the limit was extended by the {lost:.1f} s that the host did not give",)
    return RunEnded(
        verdict,
        f"{why}; {late}." if why else f"{late}.",
        evidence=_evidence(
            machine,
            *(extended if lost > _WORTH_SAYING * limit else ()),
            *found.lines(),
            *_near(machine, pattern),
        ),
        facts=facts,
    )


def _starved(machine: Watched, late: str, facts: dict[str, Any]) -> RunEnded:
    """Though its limit was extended, the machine did not get what its limit promises."""
    host = machine.host
    passed = time.monotonic() - machine.started
    if host.stopped > host.waited:
        how = f"for {host.stopped:.1f} of {passed:.1f} s it was stopped by a signal"
    else:
        how = f"for {host.waited:.1f} of {passed:.1f} s it waited for a processor"
    return RunEnded(
        Verdict.STARVED_HOST,
        f"the host starved the emulator: {how}; that {late} says nothing about the machine.",
        evidence=_evidence(
            machine,
            f"stopped for {host.stopped:.1f} s, waited for a processor for {host.waited:.1f} s, "
            f"though the limit was extended to {passed:.1f} s",
        ),
        facts=facts,
    )


def ended_before(machine: Watched, what: str, pattern: str | None = None) -> RunEnded:
    """The machine came to its end while ``what`` was still awaited."""
    end = machine.end
    assert end is not None
    if end.kind is EndKind.POWER_OFF:
        code = "" if end.code is None else f" (code {end.code})"
        return RunEnded(
            Verdict.FAILED,
            f"the machine powered off{code} before {what}.",
            evidence=_evidence(machine, *_near(machine, pattern)),
            facts={"end": end.kind.value, "code": end.code},
        )
    if end.kind is EndKind.KILLED:
        return RunEnded(
            Verdict.FAILED, f"the harness ended the machine before {what}.",
            evidence=_evidence(machine),
        )  # fmt: skip
    return bad_end(machine, end)


def bad_end(machine: Watched, end: End) -> RunEnded:
    """The machine ended in a way that no one asked for."""
    words = printable(end.words.strip().splitlines()[0]) if end.words.strip() else ""
    more = tuple(printable(line) for line in end.words.strip().splitlines())
    name = machine.engine.name
    verdict, sentence = {
        EndKind.TRIPLE_FAULT: (
            Verdict.TRIPLE_FAULT,
            "the processor triple-faulted: it met an exception that no handler could take.",
        ),
        EndKind.RESET: (Verdict.FAILED, "the machine reset itself."),
        EndKind.GUEST_PANIC: (Verdict.PANIC, "the kernel reported a panic through the machine."),
        EndKind.DIED: (
            Verdict.ENGINE_DIED,
            f"{name} ended by itself: {words.rstrip('.') or 'it said nothing'}.",
        ),
        EndKind.KILLED: (Verdict.FAILED, "the harness ended the machine."),
        EndKind.POWER_OFF: (Verdict.FAILED, f"the machine powered off with code {end.code}."),
    }[end.kind]
    return RunEnded(
        verdict, sentence, evidence=_evidence(machine, *more),
        facts={"end": end.kind.value, "code": end.code},
    )  # fmt: skip


def stale(machine: Watched, record: Record, expected: str) -> RunEnded:
    """What booted says that it is another build than the file."""
    build = record.get("build")
    found = printable(str(build))[:80] if build else "none"
    return RunEnded(
        Verdict.STALE_IMAGE,
        f"the machine runs build {found}, but {machine.boot.image} is build {expected}.",
        facts={"build": found, "expected": expected},
    )


def forbidden(machine: Watched, name: str, line: str, verdict: Verdict) -> RunEnded:
    """A pattern that a scenario forbids has appeared."""
    return RunEnded(
        verdict,
        f"forbidden output ({name}) appeared: {printable(line)[:200]}",
        evidence=_evidence(machine),
        facts={"forbidden": name},
    )


def panicked(machine: Watched, line: str) -> RunEnded:
    """The hypervisor stopped itself; ``line`` is the console's, or the record's message."""
    record = next((r for r in machine.records if r.kind == "panic"), None)
    message = re.sub(r"^.*?\] (?:panic|trap): ", "", line)
    if record is not None and isinstance(record.get("message"), str):
        message = record["message"]
    facts = {} if record is None else {"record": dict(record.data)}
    return RunEnded(
        Verdict.PANIC,
        f"the hypervisor panicked: {printable(message)[:400]}",
        evidence=_evidence(machine, *_stack(machine, record)),
        facts=facts,
    )


def _stack(machine: Watched, record: Record | None) -> tuple[str, ...]:
    if record is None:
        return ()
    from harness.image import source_line, symbols

    raw = record.get("stack")
    image = machine.boot.image
    table = symbols(image)
    lines: list[str] = []
    for address in (record.get("rip"), *(raw if isinstance(raw, list) else ())):
        if len(lines) == _STACK_SHOWN:
            break
        try:
            number = int(address, 16)
        except (TypeError, ValueError):
            continue
        # The others are return addresses; so is the first, but for an exception's own.
        exact = not lines and record.get("vector") is not None
        name = table.symbolize(number) if exact else table.symbolize_return(number)
        place = source_line(image, number - (not exact)) if name else None
        line = f"  {number:#x}  {name or '?'}" + (f"  {place}" if place else "")
        if line not in lines[-1:]:
            lines.append(line)
    return ("stack:", *lines) if lines else ()
