"""Why there can be no appliance here."""

from __future__ import annotations

from harness.verdict import RunEnded, Verdict


class Unavailable(RunEnded):
    """No appliance can be had: why, and what would help ("": nothing), as a clause each."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        sentence = f"there is no appliance: {reason}"
        super().__init__(
            Verdict.ENGINE_MISSING,
            f"{sentence}; to get it: {remedy}." if remedy else f"{sentence}.",
            facts={"remedy": remedy},
        )
        self.reason = reason
        self.remedy = remedy
