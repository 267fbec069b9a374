"""A case for every rule."""

from __future__ import annotations

from harness.vmentry import cases_controls, cases_guest, cases_host, cases_state
from harness.vmentry.capabilities import ARCHITECTURAL, Capabilities
from harness.vmentry.case import Case


def all_cases(capabilities: Capabilities = ARCHITECTURAL) -> tuple[Case, ...]:
    """The edges of all rules on a processor, which must be known to have widths of addresses."""
    return tuple(
        case
        for module in (cases_controls, cases_host, cases_guest, cases_state)
        for case in module.cases(capabilities)
    )
