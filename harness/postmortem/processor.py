"""The processors' part in a post-mortem: registers, the current VMCS, the last exits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.postmortem.body import Body
from harness.postmortem.section import Section
from harness.postmortem.words import register_lines
from harness.verdict import RunEnded

EXITS_SHOWN = 32


def states(body: Body) -> Iterator[Section]:
    """Each processor: what it does and where, and its registers."""
    for cpu, state in body.cpus.items():
        place = body.places.of(state)
        mode = "guest mode" if body.places.in_guest(state) else "root mode"
        tick = getattr(body.machine.running, "tick", None)
        when = f", tick {tick}" if tick is not None else ""
        head = f"{state.activity.value} in {mode}, at {place}{when}"
        data = {"activity": state.activity.value, "mode": mode, "tick": tick} | {
            name: f"{value:#x}" for name, value in state.registers.items()
        }
        yield Section(f"CPU {cpu}", [head, *register_lines(state.registers)], data, page=1)


def samples_of(ended: RunEnded) -> Callable[[Body], Iterator[Section]]:
    """The samples that were taken at a time limit, each of them."""

    def samples(_: Body) -> Iterator[Section]:
        if found := ended.facts.get("samples"):
            lines = [" ".join(f"{key}={value}" for key, value in one.items()) for one in found]
            yield Section("samples", lines, found, page=0)

    return samples


def current_vmcs(body: Body) -> Iterator[Section]:
    """The VMCS that each processor would enter with, decoded by the hypervisor's own names."""
    from harness import vmcs

    if body.machine.engine.name != "bochs":
        return  # where others keep what the processor holds is their own affair
    for cpu, state in body.cpus.items():
        # An AMD processor of Bochs's keeps a VMCB there, in AMD's own format.
        if state.control_structure is None or state.registers.get("efer", 0) >> 12 & 1:
            continue
        names = vmcs.field_names(body.places.image)
        region = body.read(state.control_structure, vmcs.REGION)
        if len(region) < vmcs.REGION:
            continue
        fields = vmcs.decode(region, names)
        facts = [f"{name} {fields[name]:#x}" for name in vmcs.FACTS if name in fields]
        width = max(map(len, facts)) + 2
        lines = [
            "".join(f"{one:<{width}}" for one in facts[at : at + 2]).rstrip()
            for at in range(0, len(facts), 2)
        ]
        every = [f"{name} {value:#x}" for name, value in fields.items()]
        title = f"current VMCS of CPU {cpu}, at {state.control_structure:#x}"
        data = {name: f"{value:#x}" for name, value in fields.items()}
        yield Section(title, [*lines, "", *every], data, page=len(lines))


def last_exits(body: Body) -> Iterator[Section]:
    """The newest exits of each guest, out of the hypervisor's trace."""
    from harness import trace

    if "trace=" not in body.machine.boot.command_line:
        return
    found = trace.fetch(lambda address, length: body.read(address, length), body.places.image)
    for guest in found.guests():
        last = found.of(guest)[-EXITS_SHOWN:]
        lines = [
            f"{one.time:>14}  {one.kind:<16} {one.what:<24} rip {one.rip:#x}  "
            f"{'' if one.cycles is None else one.cycles} cycles"
            for one in reversed(last)
        ]
        yield Section(f"last {len(last)} exits of {guest}, newest first", lines, page=5)
