"""How to break a rule alone, and how to keep it at its edge: changes to a good VMCS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.vmentry.capabilities import Capabilities
from harness.vmentry.controls import Control
from harness.vmentry.fields import BY_NAME


@dataclass(frozen=True)
class Bits:
    """A change of one field: first bits to clear, then bits to set."""

    clear: int
    set: int

    def applied(self, value: int) -> int:
        """The changed value."""
        return value & ~self.clear | self.set


Changes = Mapping[str, Bits]


def plus(mask: int) -> Bits:
    """Set bits."""
    return Bits(0, mask)


def minus(mask: int) -> Bits:
    """Clear bits."""
    return Bits(mask, 0)


def put(value: int) -> Bits:
    """Replace the whole value."""
    return Bits((1 << 64) - 1, value)


def swap(clear: int, set_: int) -> Bits:
    """Replace some bits."""
    return Bits(clear, set_)


def turned(on: Iterable[Control] = (), off: Iterable[Control] = ()) -> dict[str, Bits]:
    """The changes that turn controls on and off, each with what activates it."""
    from harness.vmentry.controls import ACTIVATED_BY

    changes: dict[str, Bits] = {}

    def add(control: Control, *, to: bool) -> None:
        by = ACTIVATED_BY.get(control.field)
        if to and by is not None:
            add(by, to=True)
        old = changes.get(control.field, Bits(0, 0))
        changes[control.field] = (
            Bits(old.clear, old.set | control.mask)
            if to
            else Bits(old.clear | control.mask, old.set)
        )

    for control in on:
        add(control, to=True)
    for control in off:
        add(control, to=False)
    return changes


def both(first: Changes, then: Changes) -> dict[str, Bits]:
    """Two sets of changes, one after the other."""
    merged = dict(first)
    for name, bits in then.items():
        old = merged.get(name, Bits(0, 0))
        merged[name] = Bits(old.clear | bits.clear, old.set & ~bits.clear | bits.set)
    return merged


def mutated(vmcs: Mapping[str, int], changes: Changes) -> dict[str, int]:
    """A VMCS with changes; the original is left alone."""
    out = dict(vmcs)
    for name, bits in changes.items():
        out[name] = bits.applied(out.get(name, 0)) & BY_NAME[name].mask
    return out


@dataclass(frozen=True)
class Case:
    """A rule's edge: what breaks it, and the nearest that keeps it.

    ``base`` is a mode of `harness.vmentry.good`; ``given`` comes before either change. ``also``
    are rules that can't but break together with this one. ``processor`` has what the case needs of
    the processor, ``memory`` what it needs there, ``bad_memory`` what breaks the rule there.
    """

    rule: str
    breaks: Changes
    keeps: Changes
    given: Changes = field(default_factory=dict)
    base: str = "long"
    also: frozenset[str] = frozenset()
    processor: Mapping[str, Any] = field(default_factory=dict)
    memory: Mapping[int, int] = field(default_factory=dict)
    bad_memory: Mapping[int, int] = field(default_factory=dict)

    def on(self, capabilities: Capabilities) -> Capabilities:
        """The processor that the case is about."""
        return replace(capabilities, **self.processor)


def case(
    rule: str, breaks: Changes, keeps: Changes, *, on: Iterable[Control] = (),
    off: Iterable[Control] = (), given: Changes | None = None, base: str = "long",
    also: Iterable[str] = (), memory: Mapping[int, int] | None = None,
    bad_memory: Mapping[int, int] | None = None, **processor: Any,
) -> Case:  # fmt: skip
    """A case, with controls to turn on and off before anything else."""
    before = both(turned(on, off), given or {})
    return Case(
        rule, breaks, keeps, before, base, frozenset(also), processor, memory or {},
        bad_memory or memory or {},
    )  # fmt: skip
