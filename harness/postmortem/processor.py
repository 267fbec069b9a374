"""The processors' part in a post-mortem: registers, the current VMCS, the last exits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict

from harness.postmortem.body import Body
from harness.postmortem.section import Section
from harness.postmortem.words import number, register_lines
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

    if body.virtualization != "vmx":
        return
    if body.machine.engine.name != "bochs":
        yield _recorded_vmcs(body)
        return
    for cpu, state in body.cpus.items():
        if state.control_structure is None:
            continue
        names = vmcs.field_names(body.places.image)
        region = body.read(state.control_structure, vmcs.REGION)
        if len(region) == vmcs.REGION:
            title = f"current VMCS of CPU {cpu}, at {state.control_structure:#x}"
            yield _structure(title, vmcs.decode(region, names), vmcs.FACTS)


def _recorded_vmcs(body: Body) -> Section:
    """Where KVM keeps what its processor holds is its own affair: a crash record has the fields."""
    from harness import vmcs

    last = next((r for r in reversed(body.machine.records) if r.kind == "crash"), None)
    fields = last.get("fields") if last is not None and body.machine.frozen else None
    if not isinstance(fields, Mapping):
        return Section(
            "current VMCS", ["KVM keeps it to itself; it is recorded where a guest is stopped"]
        )
    names = vmcs.field_names(body.places.image)
    known = {names.get(number(key) or 0, key): number(fields[key]) for key in sorted(fields)}
    found = {name: value for name, value in known.items() if value is not None}
    return _structure("current VMCS, as the hypervisor recorded it", found, vmcs.FACTS)


def current_vmcb(body: Body) -> Iterator[Section]:
    """The VMCB of the vCPU whose registers are loaded; the hypervisor knows where it is."""
    from harness import vmcb

    if body.virtualization != "svm":
        return
    loaded = body.machine.read("loaded")  # hv/vm/scheduler.c
    fields = vmcb.of_vcpu(body.read, body.places.image, loaded) if loaded else None
    if fields is not None:
        yield _structure("current VMCB", fields, vmcb.FACTS)


def _structure(title: str, fields: Mapping[str, int], shown: Sequence[str]) -> Section:
    """The fields that people look for first, two a line; then every field."""
    facts = [f"{name} {fields[name]:#x}" for name in shown if name in fields]
    width = max(map(len, facts), default=0) + 2
    pairs = (facts[at : at + 2] for at in range(0, len(facts), 2))
    lines = ["".join(f"{one:<{width}}" for one in pair).rstrip() for pair in pairs]
    every = [f"{name} {value:#x}" for name, value in fields.items()]
    data = {name: f"{value:#x}" for name, value in fields.items()}
    return Section(title, [*lines, "", *every], data, page=len(lines))


def last_exits(body: Body) -> Iterator[Section]:
    """The newest exits of each processor, out of the hypervisor's trace."""
    from harness import trace
    from harness.timeline import described

    if not any(r.kind == "vm-start" for r in body.machine.records):
        return
    found = trace.fetch(body.read, body.places.image)
    if not found.on:
        yield Section("last exits", ["none were kept: the hypervisor was booted without trace="])
        return
    guest = max((len(one.guest) for one in found.exits), default=0)
    for cpu, lost in enumerate(found.overwritten):
        exits = [one for one in found.exits if one.cpu == cpu]
        last = exits[-EXITS_SHOWN:]
        older = lost + len(exits) - len(last)
        lines = [
            f"{one.time:>14}  {one.guest:<{guest}}  {described(one):<32} rip {one.rip:#x}"
            + ("  not done" if one.cycles is None else f"  {one.cycles} cycles")
            for one in reversed(last)
        ]
        title = f"last {len(last)} exits of CPU {cpu}, newest first, after {older} older ones"
        yield Section(title, lines, [asdict(one) for one in reversed(last)], page=4)
