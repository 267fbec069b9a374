"""The checks of VM entry (SDM 3C chapter 27), and why an entry failed.

``check(vmcs, capabilities)`` gives the rules that a VMCS breaks, in the processor's order.
`harness.vmentry.rules` has the rules themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.vmentry.capabilities import ARCHITECTURAL, Capabilities, from_machine
from harness.vmentry.rule import ENTERED, Findings, Outcome, Rule, Stage, Undecided, Violation
from harness.vmentry.state import State, Vmcs

__all__ = [
    "ARCHITECTURAL",
    "Capabilities",
    "ENTERED",
    "Findings",
    "Outcome",
    "Rule",
    "Stage",
    "Undecided",
    "Violation",
    "Vmcs",
    "check",
    "examine",
    "from_machine",
]


def examine(
    vmcs: Vmcs,
    capabilities: Capabilities = ARCHITECTURAL,
    memory: Mapping[int, int] | None = None,
) -> Findings:
    """Judge a VM entry by every rule.

    ``vmcs`` maps field names (`harness.vmentry.fields`) to values and may lack some; ``memory``
    maps physical addresses to 64-bit words, for the rules that look beyond the VMCS. Rules that
    need what is missing are in ``undecided``.
    """
    from harness.vmentry import rule, rules

    return rule.examine(rules.RULES, State(vmcs, capabilities, memory))


def check(
    vmcs: Vmcs,
    capabilities: Capabilities = ARCHITECTURAL,
    memory: Mapping[int, int] | None = None,
) -> list[Violation]:
    """The rules that a VM entry breaks, as `examine`, in the processor's order of checks."""
    return list(examine(vmcs, capabilities, memory).violations)
