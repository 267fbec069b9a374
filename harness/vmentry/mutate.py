"""Mutations of good VMCSs: at the edge of each rule, and at random. Reproducible by a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from harness.vmentry.case import Case as Edge
from harness.vmentry.case import Changes, both
from harness.vmentry.cases import all_cases
from harness.vmentry.deviations import table
from harness.vmentry.fields import BY_NAME
from harness.vmentry.safety import UNTOUCHED, safe
from harness.vmentry.target import Base, Target
from harness.vmentry.wire import MOST_WRITES, Case, memory_encoding

_ALL = (1 << 64) - 1

# Table 25-2: access rights that are about right in some mode.
_RIGHTS = (0x9B, 0x93, 0xF3, 0x8B, 0x83, 0x82, 0xA09B, 0xC09B, 0xC093, 0xE09B, 0x10000, 0xF3F3)
_SMALL = (0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 256, 257)


_Writes = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Mutation:
    """A case, and why it is tried: the rule whose edge it is at, or how it was made."""

    case: Case
    aim: str


class Mutator:
    """Makes mutations for one target; all randomness comes from ``rng``."""

    def __init__(self, target: Target, rng: random.Random) -> None:
        self._target = target
        self._rng = rng
        self._bases = list(target.bases.values())

    def edges(self) -> Iterator[Mutation]:
        """Both sides of every rule's edge, as far as this processor has the fields; and what shows
        known deviations."""
        for edge in self._edges:
            for base in self._bases:
                if base.name == edge.base:
                    yield from self._made(base, both(edge.given, edge.breaks), edge.rule)
                    yield from self._made(base, both(edge.given, edge.keeps), edge.rule)
        for base in self._bases:
            for writes, aim in self._in_memory(base):
                yield from self._kept(Case(base.number, writes), aim)
            for row in table():
                values = {k: int(v) for k, v in row.example.items() if k != "base"}
                if row.example.get("base") == base.name:
                    yield from self._named(base, values, row.id)

    def some(self) -> Iterator[Mutation]:
        """Without end: edges with something more, two edges at once, bits, values, groups."""
        ways = (self._edge, self._edge, self._two_edges, self._bit, self._value, self._group)
        while True:
            yield from self._rng.choice(ways)(self._rng.choice(self._bases))

    @cached_property
    def _edges(self) -> list[Edge]:
        """Those that need no memory of their own: `_in_memory` has the others."""
        return [edge for edge in all_cases(self._target.capabilities) if not edge.memory]

    # Ways to change a base

    def _edge(self, base: Base) -> Iterator[Mutation]:
        """One side of a rule's edge, in whatever mode, and perhaps one more bit beside it."""
        edge = self._rng.choice(self._edges)
        writes = self._applied(base, both(edge.given, self._rng.choice((edge.breaks, edge.keeps))))
        names = [*edge.breaks, *edge.keeps, self._some_field(base)]
        if self._rng.random() < 0.6:
            self._turn_bit(base, writes, self._rng.choice(names))
        yield from self._named(base, writes, edge.rule)

    def _two_edges(self, base: Base) -> Iterator[Mutation]:
        first, second = self._rng.choice(self._edges), self._rng.choice(self._edges)
        changes = both(
            both(first.given, self._rng.choice((first.keeps, first.breaks))),
            both(second.given, self._rng.choice((second.breaks, second.keeps))),
        )
        yield from self._made(base, changes, f"{first.rule} {second.rule}")

    def _bit(self, base: Base) -> Iterator[Mutation]:
        writes: dict[str, int] = {}
        for _ in range(self._rng.choice((1, 1, 1, 2, 3))):
            self._turn_bit(base, writes, self._some_field(base))
        yield from self._named(base, writes, "bits")

    def _value(self, base: Base) -> Iterator[Mutation]:
        name = self._some_field(base)
        yield from self._named(base, {name: self._telling(base, name)}, "value")

    def _group(self, base: Base) -> Iterator[Mutation]:
        """Fields that one rule looks at together, with telling values or single bits turned."""
        rule = self._rng.choice(self._target.rules)
        names = [name for name in rule.fields if name in base.values]
        writes: dict[str, int] = {}
        for name in self._rng.sample(names, min(len(names), 3)):
            if self._rng.random() < 0.5:
                writes[name] = self._telling(base, name)
            else:
                self._turn_bit(base, writes, name)
        yield from self._named(base, writes, rule.id)

    def _in_memory(self, base: Base) -> Iterator[tuple[_Writes, str]]:
        """Edges of the rules that look at memory."""
        yield from self._links(base)
        yield from self._pdptes(base)
        apic = self._page("virtual-apic")
        shadow = _with(base, "primary_processor_based_controls", on=1 << 21)
        for vtpr, least in ((0x50, 5), (0x50, 6), (0x4F, 4), (0x4F, 5), (0, 0), (0, 1), (0, 16)):
            threshold = (BY_NAME["tpr_threshold"].encoding, least)
            yield (shadow, threshold, (memory_encoding(apic, 0x10), vtpr)), "VTPR"
        loads = self._page("entry-msr-load")
        count = (BY_NAME["vm_entry_msr_load_count"].encoding, 2)
        for entry in (0, 1):
            for index, value in _LOADS:
                at = memory_encoding(loads, 2 * entry)
                yield (count, (at, index), (at + 1, value)), "MSR to load"

    def _links(self, base: Base) -> Iterator[tuple[_Writes, str]]:
        link, address = BY_NAME["vmcs_link_pointer"].encoding, self._target.pages["linked-vmcs"]
        word, linked = self._target.memory[address], self._page("linked-vmcs")
        for wrong in (0, 1 << 31, 1, 1 << 30, 1 << 31 | 1):
            yield ((link, address), (memory_encoding(linked, 0), word ^ wrong)), "linked VMCS"
        for wrong in (base.region, address | 1 << (self._target.capabilities.physical_width or 52)):
            yield ((link, wrong),), "linked VMCS"

    def _pdptes(self, base: Base) -> Iterator[tuple[_Writes, str]]:
        """Without EPT those in memory count."""
        if base.name != "pae":
            return
        page = self._page("pdptes")
        no_ept = _with(base, "secondary_processor_based_controls", off=1 << 1 | 1 << 7)
        good = self._target.memory[self._target.pages["pdptes"]]
        width = self._target.capabilities.physical_width or 52
        for bit in (1, 2, 3, 4, 5, 8, 9, 11, width, 63):
            for number in (0, 3):
                yield (no_ept, (memory_encoding(page, number), good ^ 1 << bit)), "PDPTE"
        yield (no_ept, (memory_encoding(page, 1), 0x1FE)), "PDPTE"

    def _page(self, name: str) -> int:
        return list(self._target.pages).index(name)

    # Values

    def _turn_bit(self, base: Base, writes: dict[str, int], name: str) -> None:
        if name in base.values:
            now = writes.get(name, base.values[name])
            writes[name] = now ^ 1 << self._rng.randrange(BY_NAME[name].width)

    def _some_field(self, base: Base) -> str:
        return self._rng.choice([name for name in base.values if name not in UNTOUCHED])

    def _telling(self, base: Base, name: str) -> int:
        """A value of a field that tells something: both sides of the usual limits."""
        rng, field = self._rng, BY_NAME[name]
        values = [value for value in _SMALL if value <= field.mask] + [field.mask]
        values.append(rng.getrandbits(field.width))
        if "access_rights" in name:
            values += _RIGHTS
        if name == "vm_entry_interruption_information":
            vector = rng.choice((0, 1, 2, 3, 8, 13, 14, 17, 21, 32, rng.randrange(256)))
            event = 1 << 31 | rng.randrange(8) << 8 | rng.randrange(2) << 11 | vector
            return event
        if field.width == 64:
            values += self._addresses(base.values[name])
        return rng.choice(values)

    def _addresses(self, now: int) -> list[int]:
        physical = self._target.capabilities.physical_width or 52
        linear = self._target.capabilities.linear_width or 48
        return [
            (1 << physical) - 4096, 1 << physical, now | 1 << physical, (1 << physical) - 16,
            (1 << physical) - 4096 + 16, (1 << linear - 1) - 1, 1 << linear - 1,
            _ALL << linear - 1 & _ALL, (_ALL << linear - 1) - 1 & _ALL,
            0xFFFFFFFF, 1 << 32, 1 << 63, self._rng.choice(list(self._target.pages.values())),
        ]  # fmt: skip

    # Cases

    def _applied(self, base: Base, changes: Changes) -> dict[str, int]:
        """Values after changes; of a field that this processor lacks, the change counts from 0."""
        return {
            name: bits.applied(base.values.get(name, 0)) & BY_NAME[name].mask
            for name, bits in changes.items()
        }

    def _made(self, base: Base, changes: Changes, aim: str) -> Iterator[Mutation]:
        yield from self._named(base, self._applied(base, changes), aim)

    def _named(self, base: Base, writes: dict[str, int], aim: str) -> Iterator[Mutation]:
        if writes.keys() <= base.values.keys():  # else this processor does not have a field
            pairs = tuple((BY_NAME[name].encoding, value) for name, value in writes.items())
            yield from self._kept(Case(base.number, pairs), aim)

    def _kept(self, case: Case, aim: str) -> Iterator[Mutation]:
        if case.writes and len(case.writes) <= MOST_WRITES and safe(self._target, case):
            yield Mutation(case, aim)


def _with(base: Base, name: str, on: int = 0, off: int = 0) -> tuple[int, int]:
    """A write that turns bits of a base's field on and off."""
    return BY_NAME[name].encoding, base.values[name] & ~off | on


# MSR numbers (with what else is in their word) and values around those that can't be loaded, 27.4.
_LOADS = (
    (0xC0000102, 0x1234), (0xC0000100, 0), (0xC0000101, 0), (0x7FF, 0), (0x800, 0), (0x808, 0),
    (0x83F, 0), (0x9E, 0), (0x9B, 0), (0x79, 0), (0x8B, 0), (1 << 32 | 0xC0000102, 0),
    (1 << 63 | 0xC0000102, 0), (0xC0000102, 1 << 47), (0xC0000102, (1 << 47) - 1),
    (0xC0000102, _ALL << 47 & _ALL), (0xC0000082, 1 << 47), (0x175, 1 << 63),
    (0x277, 2), (0x277, 7),
)  # fmt: skip
