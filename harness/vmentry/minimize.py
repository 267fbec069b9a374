"""The smallest change of a good VMCS that still shows a disagreement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from harness.vmentry.fields import BY_ENCODING
from harness.vmentry.target import Target
from harness.vmentry.wire import Case

MOST_ROUNDS = 200  # each of them is one frame


def minimize(
    target: Target, case: Case, disagree: Callable[[Sequence[Case]], Sequence[bool]]
) -> Case:
    """Drop writes, then turn bits back to the base's, as long as ``disagree`` says so.

    ``disagree`` tries some cases at once and tells of each whether it still shows the disagreement.
    """
    for _ in range(MOST_ROUNDS):
        smaller = list(_with_one_write_less(case)) + list(_with_one_bit_less(target, case))
        if not smaller:
            break
        still = disagree(smaller)
        found = next((tried for tried, shows in zip(smaller, still, strict=True) if shows), None)
        if found is None:
            break
        case = found
    return case


def _with_one_write_less(case: Case) -> Iterator[Case]:
    for index in range(len(case.writes)):
        yield Case(case.base, case.writes[:index] + case.writes[index + 1 :])


def _with_one_bit_less(target: Target, case: Case) -> Iterator[Case]:
    """First half of what differs at once, then bit by bit."""
    for index, (encoding, value) in enumerate(case.writes):
        if encoding not in BY_ENCODING:
            continue  # a word in memory
        different = value ^ target.bases[case.base].values[BY_ENCODING[encoding].name]
        bits = [1 << bit for bit in range(64) if different >> bit & 1]
        if len(bits) < 2:
            continue
        halves = [sum(bits[: len(bits) // 2]), sum(bits[len(bits) // 2 :])]
        for part in [*halves, *bits]:
            changed = (encoding, value ^ part)
            yield Case(case.base, (*case.writes[:index], changed, *case.writes[index + 1 :]))
