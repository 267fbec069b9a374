"""Frames of cases, from the harness to the image: both ends, the image's under sanitizers."""

from __future__ import annotations

import random
import subprocess
import zlib

import pytest

from harness.vmentry import wire
from harness.vmentry.wire import Case, Kind, Outcome
from tests.unit.hosttest import HERE, HV, compile_c

ALL = (1 << 64) - 1


def read_by_the_image(data: bytes) -> list[str]:
    program = compile_c("frames", [HV / "vmentry/frames.c", HERE / "frames.c"])
    done = subprocess.run([program], input=data, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


def shown(case: Case) -> str:
    return " ".join([f"case {case.base}", *(f"{e:x}={v:x}" for e, v in case.writes)])


def some_cases(rng: random.Random, count: int) -> list[Case]:
    def value() -> int:
        bits = rng.getrandbits(rng.randrange(65))
        return bits ^ ALL if rng.random() < 0.5 else bits

    return [
        Case(
            rng.randrange(5),
            tuple(
                (rng.getrandbits(16), value()) for _ in range(rng.randrange(wire.MOST_WRITES + 1))
            ),
        )
        for _ in range(count)
    ]


def test_the_image_reads_what_the_harness_sends() -> None:
    rng = random.Random(1)
    frames = [some_cases(rng, count) for count in (1, 0, 30, wire.MOST_CASES)]
    data = b"".join(wire.frame(number, cases) for number, cases in enumerate(frames))
    lines = []
    for number, cases in enumerate(frames):
        lines += [f"frame {number}", *map(shown, cases)]
    assert read_by_the_image(data) == lines


def test_a_frame_with_a_wrong_bit_is_damaged_and_the_next_one_is_read() -> None:
    data = bytearray(wire.frame(1, [Case(0, ((0x6800, 0x1234),))]))
    data[9] ^= 4
    good = wire.frame(2, [Case(1)])
    assert read_by_the_image(bytes(data) + good) == ["damaged", "frame 2", "case 1"]


def test_noise_before_a_frame_is_skipped() -> None:
    assert read_by_the_image(b"V..VV\0" + wire.frame(3, [])) == ["frame 3"]


@pytest.mark.parametrize(
    "payload",
    [
        b"\0",  # no count
        b"\0\xff",  # more writes than any case has
        b"\0\1\0\x68",  # no size
        b"\0\1\0\x68\x09123456789",  # a value of 9 bytes
        b"\0\1\0\x68\x08123",  # a value that is cut off
    ],
)
def test_a_malformed_case_is_refused(payload: bytes) -> None:
    head = b"VF\1\0" + len(payload).to_bytes(2, "little") + payload
    data = head + zlib.crc32(head).to_bytes(4, "little")
    assert read_by_the_image(data) == ["frame 1", "malformed"]


def test_random_payloads_do_no_harm() -> None:
    rng, data = random.Random(2), b""
    for _ in range(300):
        payload = rng.randbytes(rng.randrange(80))
        head = b"VF\0\0" + len(payload).to_bytes(2, "little") + payload
        data += head + zlib.crc32(head).to_bytes(4, "little")
    assert sum(line.startswith("frame") for line in read_by_the_image(data)) == 300


def test_values_near_all_zeros_and_all_ones_are_short() -> None:
    assert len(Case(0, ((0x2800, ALL),)).encoded()) == 5
    assert len(Case(0, ((0x6820, 2),)).encoded()) == 6
    assert len(Case(0, ((0x6820, 1 << 63),)).encoded()) == 13


def test_more_cases_than_a_frame_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="too many"):
        wire.frame(0, [Case(0)] * (wire.MOST_CASES + 1))


def test_answers_become_outcomes() -> None:
    assert wire.outcomes("f7 x21.4 ea i0 u6828 b4") == [
        Outcome(Kind.FAILED_VALID, 7),
        Outcome(Kind.REFUSED, 33, 4),
        Outcome(Kind.ENTERED, 10),
        Outcome(Kind.FAILED_INVALID),
        Outcome(Kind.UNSUPPORTED, 0x6828),
        Outcome(Kind.NO_BASE, 4),
    ]


@pytest.mark.parametrize("text", ["z1", "f", "fx", "x21.4.4", "hung", "-"])
def test_an_answer_that_is_none_is_noticed(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        wire.outcomes(text)
