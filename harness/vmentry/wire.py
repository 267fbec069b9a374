"""What goes over COM2 to and from the image that tries VM entries (hv/vmentry/frames.h)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

MOST_CASES = 128  # in one frame
MOST_WRITES = 12  # in one case
LONGEST_PAYLOAD = 16384  # bytes
WORDS_IN_PAGE = 512

_MEMORY = 1 << 15  # an encoding with this bit is a word of a pointed page


def memory_encoding(page: int, word: int) -> int:
    """The encoding that stands for a 64-bit word of the pointed page with this number."""
    return _MEMORY | page << 9 | word


def memory_place(encoding: int) -> tuple[int, int] | None:
    """The page's number and the word's, if this encoding stands for memory; else None."""
    if not encoding & _MEMORY:
        return None
    return encoding >> 9 & 0x3F, encoding & (WORDS_IN_PAGE - 1)


@dataclass(frozen=True)
class Case:
    """One entry to try: what is changed in which base VMCS, as (encoding, value) pairs."""

    base: int
    writes: tuple[tuple[int, int], ...] = ()

    def encoded(self) -> bytes:
        """Its bytes on the wire."""
        data = bytearray((self.base, len(self.writes)))
        for encoding, value in self.writes:
            inverted = ~value & (1 << 64) - 1
            flag = 0x80 if inverted.bit_length() < value.bit_length() else 0
            shown = inverted if flag else value
            size = (shown.bit_length() + 7) // 8
            data += encoding.to_bytes(2, "little") + bytes((flag | size,))
            data += shown.to_bytes(size, "little")
        return bytes(data)

    def as_json(self) -> dict[str, object]:
        """For files: the base's number, and writes as pairs of hexadecimal numbers."""
        return {"base": self.base, "writes": [[f"{e:#06x}", f"{v:#x}"] for e, v in self.writes]}


class Kind(Enum):
    """How an attempted VM entry ended. The value is the letter on the wire."""

    FAILED_INVALID = "i"
    FAILED_VALID = "f"  # with the VM-instruction error
    REFUSED = "x"  # an exit with bit 31: basic reason and qualification
    ENTERED = "e"  # the guest ran until an exit for this basic reason
    UNSUPPORTED = "u"  # VMWRITE failed: the processor has no such field
    NO_BASE = "b"  # the processor can't enter this base at all
    HUNG = "hung"  # no answer: the machine had to be ended
    DIED = "died"  # the engine ended by itself


@dataclass(frozen=True)
class Outcome:
    """What the processor made of a case. ``number`` as `Kind` says; ``words``: the engine's own."""

    kind: Kind
    number: int = 0
    qualification: int = 0
    words: str = ""

    @property
    def entered(self) -> bool:
        """Whether all checks passed."""
        return self.kind is Kind.ENTERED

    @property
    def refused(self) -> bool:
        """Whether a check failed."""
        return self.kind in (Kind.FAILED_VALID, Kind.FAILED_INVALID, Kind.REFUSED)

    @property
    def verdict(self) -> tuple[int | None, int | None, int]:
        """Of an entry that was refused: (error, reason, qualification), as rules predict them."""
        if self.kind is Kind.REFUSED:
            return None, self.number, self.qualification
        return self.number, None, 0

    def __str__(self) -> str:
        if self.kind is Kind.FAILED_VALID:
            return f"VM-instruction error {self.number}"
        if self.kind is Kind.REFUSED:
            return f"exit reason {0x80000000 | self.number:#x}, qualification {self.qualification}"
        if self.kind is Kind.ENTERED:
            return f"entered (then exit reason {self.number})"
        if self.kind is Kind.UNSUPPORTED:
            return f"no field {self.number:#06x}"
        return {
            Kind.FAILED_INVALID: "VMfailInvalid",
            Kind.NO_BASE: "no such base",
            Kind.HUNG: "the machine hung",
            Kind.DIED: f"the engine died: {self.words}",
        }[self.kind]


def frame(number: int, cases: Sequence[Case]) -> bytes:
    """A frame with these cases; without any it ends the machine."""
    payload = b"".join(case.encoded() for case in cases)
    if len(cases) > MOST_CASES or len(payload) > LONGEST_PAYLOAD:
        raise ValueError(f"{len(cases)} cases of {len(payload)} bytes are too many for a frame")
    data = b"VF" + (number & 0xFFFF).to_bytes(2, "little") + len(payload).to_bytes(2, "little")
    data += payload
    return data + zlib.crc32(data).to_bytes(4, "little")


def outcomes(text: str) -> list[Outcome]:
    """The outcomes in an answer; ValueError if one is none."""
    return [_outcome(word) for word in text.split()]


def _outcome(word: str) -> Outcome:
    number, _, qualification = word[1:].partition(".")
    return Outcome(Kind(word[0]), int(number, 16), int(qualification or "0", 16))
