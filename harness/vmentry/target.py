"""The processor under test and its base VMCSs, as the image describes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from harness.records import Record
from harness.verdict import RunEnded, Verdict
from harness.vmentry.capabilities import Capabilities, from_machine
from harness.vmentry.fields import BY_ENCODING, BY_NAME
from harness.vmentry.rule import Findings, Rule, examine
from harness.vmentry.state import State, Unknown
from harness.vmentry.wire import WORDS_IN_PAGE, Case, memory_place

_PAGE = 4096


@dataclass(frozen=True)
class Base:
    """A good VMCS: values by field name, and the physical address of its region."""

    number: int
    name: str
    region: int
    values: Mapping[str, int]


class Target:
    """A processor with its base VMCSs, and what the rules say of changes to them."""

    def __init__(
        self,
        capabilities: Capabilities,
        bases: Sequence[Base],
        pages: Mapping[str, int],
        memory: Mapping[int, int],
        rules: tuple[Rule, ...],
    ) -> None:
        self.capabilities = capabilities
        self.bases = {base.number: base for base in bases}
        self.pages = dict(pages)  # addresses by name, in the order of their numbers
        self.memory = dict(memory)  # 64-bit words by address
        self.rules = rules
        self._addresses = list(self.pages.values())
        self._of_base = {
            base.number: replace(capabilities, current_vmcs=base.region) for base in bases
        }

    @cached_property
    def looking_at(self) -> dict[str, tuple[Rule, ...]]:
        """The rules that look at a field, by its name."""
        found: dict[str, list[Rule]] = {name: [] for name in BY_NAME}
        for rule in self.rules:
            for name in rule.fields:
                found[name].append(rule)
        return {name: tuple(rules) for name, rules in found.items()}

    def state(self, case: Case) -> State:
        """The VMCS, processor and memory of a case."""
        values = dict(self.bases[case.base].values)
        memory: Mapping[int, int] = self.memory
        for encoding, value in case.writes:
            place = memory_place(encoding)
            if place is None:
                field = BY_ENCODING[encoding]
                values[field.name] = value & field.mask
            else:
                if memory is self.memory:
                    memory = dict(self.memory)
                memory[self._addresses[place[0]] + 8 * place[1]] = value  # type: ignore[index]
        return State(values, self._of_base[case.base], memory)

    def touched(self, case: Case) -> tuple[Rule, ...]:
        """The rules that a case could have broken: bases keep all of them."""
        if any(memory_place(encoding) for encoding, _ in case.writes):
            return self.rules
        found = {
            rule.id: rule
            for encoding, _ in case.writes
            for rule in self.looking_at[BY_ENCODING[encoding].name]
        }
        return tuple(found.values())

    def findings(self, case: Case) -> Findings:
        """What the rules say of a case."""
        return examine(self.touched(case), self.state(case))

    def broken(self, case: Case, only: Collection[str] | None = None) -> list[Rule]:
        """The rules (of ``only``) that a case breaks: `findings` without words, and quicker."""
        state = self.state(case)
        touched = self.touched(case)
        asked = touched if only is None else [rule for rule in touched if rule.id in only]
        return [rule for rule in asked if not _kept(rule, state)]

    def named(self, case: Case) -> dict[str, str]:
        """The writes of a case by the names of what they change, for people."""
        names = list(self.pages)
        shown: dict[str, str] = {}
        for encoding, value in case.writes:
            place = memory_place(encoding)
            if place is None:
                shown[BY_ENCODING[encoding].name] = f"{value:#x}"
            else:
                shown[f"{names[place[0]]}[{8 * place[1]:#x}]"] = f"{value:#x}"
        return shown

    @cached_property
    def identity(self) -> str:
        """Changes with everything that mutations are made from."""
        known = [
            self.capabilities.__dict__,
            [(base.number, sorted(base.values.items())) for base in self.bases.values()],
            self.pages,
            [rule.id for rule in self.rules],
        ]
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def _kept(rule: Rule, state: State) -> bool:
    try:
        return rule.kept(state)
    except Unknown:
        return True


def from_records(records: Sequence[Record], rules: tuple[Rule, ...]) -> Target:
    """The target that an image's first records describe. RunEnded FAILED if they make no sense."""
    try:
        [about] = [record for record in records if record.kind == "vmentry"]
        bases = [
            _base(record)
            for record in records
            if record.kind == "base" and record["present"] is True
        ]
        return Target(_capabilities(about), bases, _pages(about), _memory(about), rules)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise RunEnded(
            Verdict.FAILED, f"the image's records describe no processor: {error!r}."
        ) from None


def _number(text: Any) -> int:
    return int(str(text), 16)


def _base(record: Record) -> Base:
    known = {_number(encoding): _number(value) for encoding, value in record["fields"].items()}
    values = {BY_ENCODING[e].name: value for e, value in known.items() if e in BY_ENCODING}
    return Base(int(record["number"]), str(record["name"]), _number(record["region"]), values)


def _pages(about: Record) -> dict[str, int]:
    return {str(name): _number(address) for name, address in about["pages"].items()}


def _capabilities(about: Record) -> Capabilities:
    msrs = {_number(msr): _number(value) for msr, value in about["msrs"].items()}
    leaves = {}
    for key, registers in about["cpuid"].items():
        leaf, _, subleaf = str(key).partition(".")
        if subleaf == "0":
            eax, ebx, ecx, edx = (_number(registers[r]) for r in ("eax", "ebx", "ecx", "edx"))
            leaves[_number(leaf)] = (eax, ebx, ecx, edx)
    return replace(from_machine(msrs, leaves), long_mode=True)


def _memory(about: Record) -> dict[int, int]:
    """All words of the pointed pages: hv/vmentry/pages.c says what they hold at the start."""
    pages = _pages(about)
    memory = {address + 8 * word: 0 for address in pages.values() for word in range(WORDS_IN_PAGE)}
    for name, address in pages.items():
        if name.endswith(("-msr-load", "-msr-store")):
            for entry in range(0, _PAGE, 16):
                memory[address + entry] = _number(about["msr_area_index"])
    memory[pages["linked-vmcs"]] = _number(about["linked_vmcs_word"])
    memory[pages["pdptes"]] = _number(about["pdpte_word"])
    return memory
