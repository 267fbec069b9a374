"""The console object: pexpect's interface over bytes that a machine feeds in."""

from __future__ import annotations

from collections.abc import Mapping

import pexpect
import pytest

from harness import console
from harness.console import Console, Lines, compile_pattern, printable
from harness.verdict import RunEnded, Verdict


class FakeMachine:
    """Feeds prepared pieces, one a pump; then nothing more comes, or it has ended."""

    def __init__(self, *pieces: bytes, ends: bool = False) -> None:
        self.pieces = list(pieces)
        self.ends = ends
        self.sent = b""
        self.seen: list[str] = []
        self.forbidden: dict[str, tuple[str, Verdict]] = {}
        self.console = Console(self)

    def pump(self, deadline: float) -> bool:
        if not self.pieces:
            return False
        self.console.feed(self.pieces.pop(0))
        return True

    def finished(self) -> bool:
        return self.ends and not self.pieces

    def write(self, data: bytes) -> None:
        self.sent += data

    def forbidden_patterns(self) -> Mapping[str, tuple[str, Verdict]]:
        return self.forbidden

    def forbidden_seen(self, name: str) -> None:
        self.seen.append(name)


def test_a_pattern_is_found_across_pieces() -> None:
    machine = FakeMachine(b"one tw", b"o thr\xc3", b"\xa9e four")
    assert machine.console.expect(["two", "never"]) == 0
    assert machine.console.before == "one "
    machine.console.expect("thrée")
    assert machine.console.match is not None


def test_the_end_and_the_timeout_are_pexpects_own() -> None:
    with pytest.raises(pexpect.EOF):
        FakeMachine(b"abc", ends=True).console.expect("x")
    with pytest.raises(pexpect.TIMEOUT):
        FakeMachine(b"abc").console.expect("x", timeout=0.01)
    assert FakeMachine(b"abc").console.expect(["x", pexpect.TIMEOUT], timeout=0.01) == 1


def test_a_forbidden_pattern_wins_only_when_it_comes_first() -> None:
    machine = FakeMachine(b"good bad good")
    machine.forbidden["bad"] = ("bad", Verdict.FAILED)
    machine.console.expect("good")
    assert machine.seen == []
    machine.console.expect("good")
    assert machine.seen == ["bad"]


def test_text_that_no_one_reads_is_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "WAITING", 1000)
    machine = FakeMachine()
    for _ in range(100):
        machine.console.feed(b"y" * 100)
    machine.console.feed(b"the end")
    assert machine.console.dropped > 0
    machine.console.expect("the end")
    assert len(machine.console.before) <= 1000


def test_searched_text_is_bounded() -> None:
    machine = FakeMachine(*[b"z" * 50_000] * 40, b"needle")
    machine.console.expect("needle", timeout=20)
    assert len(machine.console.before) <= 2 * console.SEARCHED


def test_unread_text_can_be_looked_at_without_consuming_it() -> None:
    machine = FakeMachine()
    machine.console.feed(b"alpha ")
    assert machine.console.unread() == "alpha "
    machine.console.feed(b"beta")
    assert machine.console.unread() == "alpha beta"
    machine.console.expect("alpha beta")


def test_what_is_sent_goes_out_as_bytes() -> None:
    machine = FakeMachine()
    machine.console.send("é")
    machine.console.send(b"\xff")
    machine.console.sendline("x")
    assert machine.sent == b"\xc3\xa9\xffx\r"


def test_a_pattern_that_is_no_expression_is_bad_usage() -> None:
    with pytest.raises(RunEnded, match="is not a regular expression") as caught:
        compile_pattern("(")
    assert caught.value.verdict is Verdict.BAD_USAGE


def test_no_control_character_reaches_a_terminal() -> None:
    hostile = "\x1b]0;owned\x07\x9b2J\r\n\x00\u2028tab\tstays é"
    assert printable(hostile).isprintable() or "\t" in printable(hostile)
    assert printable(hostile).replace("\t", "").isprintable()
    assert printable("tab\tstays é") == "tab\tstays é"


def test_lines_are_seen_once_each_and_the_newest_are_kept() -> None:
    seen: list[str] = []
    lines = Lines(seen.append)
    for piece in (b"one\r", b"\ntw", b"o\nthree\rfour\r\r\n\r\nfive\r"):
        lines.feed(piece)
    assert seen == ["one", "two", "three", "four"]
    assert lines.last() == ("one", "two", "three", "four", "five")
    lines.feed(b"x" * (console.LONGEST_LINE + 1))
    assert len(seen) == 6
    assert len(seen[5]) == console.LONGEST_LINE
