"""What people see: no guest's byte steers their terminal, and colours come only where wanted."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from harness.outcome import Outcome
from harness.report.screen import Screen, colourful
from harness.report.terminal import Live, write_verdict
from harness.report.text import Cleaner, plain
from harness.verdict import RunEnded, Verdict


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def cleaned(*chunks: bytes) -> str:
    cleaner = Cleaner()
    return "".join(map(cleaner.feed, chunks)) + cleaner.close()


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"a\r\nb\n", "a\nb\n"),
        (b"a\n\rb", "a\nb"),
        (b"a\r\n\r\nb", "a\n\nb"),
        (b"passed\rforged", "passed\nforged"),
        (b"a\tb", "a\tb"),
        (b"\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\x9b2J\u202e\u2028".encode(), "\\x9b2J\\u202e\\u2028"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ("gr\u00fc\u00df".encode(), "gr\u00fc\u00df"),
    ],
)
def test_console_bytes_become_safe_text(raw: bytes, shown: str) -> None:
    assert cleaned(raw) == shown


def test_it_does_not_matter_where_the_bytes_are_cut() -> None:
    raw = "a\r\n\u00fc\r\n\x1b[0m\r\n\rend".encode()
    assert cleaned(*(raw[at : at + 1] for at in range(len(raw)))) == cleaned(raw)


def test_a_string_out_of_a_record_stays_on_one_line() -> None:
    assert plain("a\nb\x1b\udc80") == "a\\nb\\x1b\\udc80"


def test_colours_need_a_terminal_and_no_objection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert colourful(Terminal())
    assert not colourful(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not colourful(Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colourful(Terminal())


def test_prefixes_are_coloured_on_a_terminal_and_the_text_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    shown = {}
    for stream in (Terminal(), io.StringIO()):
        live = Live(Screen(stream))
        for byte in b"[    0.001] vmx: on\r\nhello| Hello\r\nplain\r\nend":
            live.console(bytes([byte]))
        live.ended(Outcome("x"))
        shown[stream.isatty()] = stream.getvalue()
    bare = "[    0.001] vmx: on\nhello| Hello\nplain\nend\npassed  x in 0.00 s\n"
    assert shown[False] == bare
    assert re.sub(r"\x1b\[\d*m", "", shown[True]) == bare
    for prefix in ("[    0.001] vmx:", "hello| ", "passed"):
        assert f"m{prefix}\x1b[0m" in shown[True]


def verdict(outcome: Outcome) -> list[str]:
    stream = io.StringIO()
    write_verdict(Screen(stream), outcome)
    return stream.getvalue().splitlines()


def test_a_pass_is_one_line() -> None:
    assert verdict(Outcome("hello", engine="bochs", seconds=0.312)) == [
        "passed  hello on bochs in 0.31 s"
    ]


def test_a_failure_gives_sentence_evidence_and_run_directory() -> None:
    outcome = Outcome("hello", engine="bochs", directory=Path("/runs/1"))
    outcome.take(RunEnded(Verdict.PANIC, "it panicked.", evidence=("a \x1b line",)))
    first, *rest = verdict(outcome)
    assert first == "panic  hello on bochs in 0.00 s"
    assert [line.strip() for line in rest] == [
        "it panicked",
        "a \\x1b line",
        "run directory: /runs/1 (replay.sh runs it again)",
    ]


def test_an_expected_bad_end_says_so_and_keeps_its_exit_code() -> None:
    outcome = Outcome("spin", expected=Verdict.TIMEOUT, engine="bochs")
    outcome.take(RunEnded(Verdict.TIMEOUT, "the time limit passed"))
    assert verdict(outcome)[0].endswith(", as this scenario expects")
    assert outcome.exit_code == Verdict.TIMEOUT.exit_code
    assert outcome.as_expected


def test_a_pass_where_another_end_was_wanted_is_no_success() -> None:
    outcome = Outcome("spin", expected=Verdict.TIMEOUT)
    assert outcome.exit_code == Verdict.FAILED.exit_code
    assert verdict(outcome)[0].endswith(", where timeout was wanted")
