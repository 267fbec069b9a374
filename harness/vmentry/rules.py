"""All rules, in the processor's order of checks."""

from __future__ import annotations

from harness.vmentry import (
    rules_apic,
    rules_entry,
    rules_ept,
    rules_execution,
    rules_exit,
    rules_guest,
    rules_guest_state,
    rules_host,
    rules_memory,
    rules_rights,
    rules_segments,
)
from harness.vmentry.rule import Rule

RULES: tuple[Rule, ...] = (
    *rules_execution.RULES,
    *rules_apic.RULES,
    *rules_ept.RULES,
    *rules_exit.RULES,
    *rules_entry.RULES,
    *rules_host.RULES,
    *rules_guest.RULES,
    *rules_segments.RULES,
    *rules_rights.RULES,
    *rules_guest_state.RULES,
    *rules_memory.RULES,
)

BY_ID = {rule.id: rule for rule in RULES}
