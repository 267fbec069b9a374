"""What is typed for the machine and what for us; what a machine did to a terminal; what boots."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import interactive, scenario
from harness.escape_key import EscapeKey
from harness.raw_terminal import Traces

USUAL_LOOK = b"\x1b[m\x1b(B\x0f"


@pytest.mark.parametrize(
    ("typed", "heard"),
    [
        ([b"abc\x03\x1a\xff"], [b"abc\x03\x1a\xff"]),
        ([b"ab\x1dqcd"], [b"ab", "q", b"cd"]),
        ([b"\x1d\x1d"], [b"\x1d"]),
        ([b"\x1d\x1d\x1d\x1dp"], [b"\x1d", b"\x1d", b"p"]),
        ([b"ab\x1d", b"", b"n", b"cd"], [b"ab", "n", b"cd"]),
        ([b"\x1d\xff"], ["\xff"]),
    ],
)
def test_the_key_after_the_escape_key_is_ours_however_it_comes(
    typed: list[bytes], heard: list[bytes | str]
) -> None:
    key = EscapeKey()
    assert [what for part in typed for what in key.feed(part)] == heard


@pytest.mark.parametrize(
    ("written", "undone"),
    [
        (b"plain\r\n", b""),
        (b"\x1b[31mred", USUAL_LOOK),
        (b"\x0eqqq", USUAL_LOOK),  # line drawing
        (b"\x1b[?25l", b"\x1b[?25h" + USUAL_LOOK),
        (b"\x1b[?25l\x1b[?25h", USUAL_LOOK),
        (b"\x1b[?1049h\x1b[?1;2004h", b"\x1b[?1l\x1b[?1049l\x1b[?2004l" + USUAL_LOOK),
        (b"\x1b[?1049h ... \x1b[?1049l", USUAL_LOOK),
        (b"\x1b[?99999999999999999999h\x1b[?;;h\x1b[?h", USUAL_LOOK),
    ],
)
def test_what_a_machine_did_to_the_terminal_is_undone_however_it_was_cut(
    written: bytes, undone: bytes
) -> None:
    for size in (1, 2, 3, len(written)):
        traces = Traces()
        for at in range(0, len(written), size):
            traces.feed(written[at : at + size])
        assert traces.undone() == undone


def test_at_the_console_nothing_is_expected_and_who_has_a_shell_runs_it(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(
        """
        description = "d"
        append = "trace=on"
        forbid = ["Oops"]
        endless = true
        [[guest]]
        image = "linux"
        boot = "linux"
        name = "ann"
        initrd = "plain.cpio"
        shell = "shell.cpio"
        [[guest]]
        image = "hello"
        [[expect]]
        console = "x"
        """,
        encoding="utf-8",
    )
    unattended = scenario.load(path)
    assert unattended.guests[0].module_string.endswith("initrd=plain.cpio")
    chosen = interactive.attended(unattended)
    assert not chosen.expectations
    assert not chosen.forbid
    assert not chosen.endless
    assert chosen.append == "trace=on console=ann"
    assert chosen.guests[0].module_string.endswith("initrd=shell.cpio")
    assert chosen.guests[1] == unattended.guests[1]
