"""What a machine that came to a bad end leaves behind, put in order for whoever must find out why.

The machine is frozen, not killed: processors and memory are read as they stand. What can't be read
(an engine that died, a host that stopped it) is said in words, and the rest is there all the same.
Everything in the machine is hostile: numbers are checked, lists are cut, text is made plain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from harness.engines.base import Unsupported
from harness.postmortem import guest, kernel, processor
from harness.postmortem.body import Body
from harness.postmortem.section import PostMortem, Section
from harness.verdict import RunEnded, Verdict

if TYPE_CHECKING:
    from harness.machine import Machine

__all__ = ["PostMortem", "Section", "examine"]

_MACHINE_LESS = (Verdict.BAD_USAGE, Verdict.ENGINE_MISSING, Verdict.STALE_IMAGE, Verdict.PASSED)


def examine(machine: Machine, ended: RunEnded) -> PostMortem | None:
    """Freeze the machine and look at it; None where ``ended`` is not about a machine.

    Never raises because the machine can't be looked at.
    """
    if ended.verdict in _MACHINE_LESS:
        return None
    found = PostMortem(ended.verdict.word, ended.sentence)
    body = Body(machine)
    parts: tuple[Callable[[Body], Iterator[Section]], ...] = (
        kernel.panicked,
        guest.guests,
        kernel.in_root_mode,
        processor.states,
        processor.samples_of(ended),
        processor.current_vmcs,
        processor.current_vmcb,
        processor.last_exits,
    )
    if body.trouble:
        found.sections.append(Section("processors", [body.trouble]))
    for part in parts:
        try:
            found.sections += part(body)
        except (RunEnded, Unsupported, OSError) as trouble:
            name = part.__name__.replace("_", " ")
            found.sections.append(Section(name, [f"could not be read: {trouble}"]))
    return found
