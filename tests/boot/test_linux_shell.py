"""``hv run linux --interactive``: a shell on an unmodified Linux, job control and all."""

from __future__ import annotations

import hashlib

import pytest

from harness import project
from harness.guest_images import images
from tests.boot.terminal import Terminal
from tests.boot.test_interactive import ON_EACH, ended
from tests.conftest import Hv

__all__ = ["ended"]  # pytest takes fixtures from a module's names
BOOT = 300.0  # seconds; a busy host takes them
PROMPT = "guest# "
LINES = {"bochs": 1000, "qemu-tcg": 200}  # of 67 bytes
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("bochs_here", "qemu_here")]


@pytest.fixture
def linux_here() -> None:
    files = [project.guest_file(name) for name in ("linux", "linux-shell.cpio")]
    if reason := images.lacking(files):
        pytest.skip(reason)


def shell(hv: Hv, engine: str, *words: str) -> Terminal:
    """A terminal with the shell's prompt on it."""
    terminal = Terminal(hv, "run", *(words or ("linux",)), "--engine", engine)
    terminal.expect(PROMPT, timeout=BOOT)
    return terminal


def say(terminal: Terminal, command: str, *answers: str) -> None:
    """Type a command; its echo, its answers and the next prompt must come."""
    terminal.send(f"{command}\r")
    terminal.expect(f"{command}\n", *answers, PROMPT)


def start(terminal: Terminal) -> None:
    """Have a job in front, which says so itself: what is typed then is for it and not the shell."""
    terminal.send("sh -c 'echo begun; exec sleep 1000'\r")
    terminal.expect("\nbegun\n")


@ON_EACH
@pytest.mark.usefixtures("linux_here")
def test_commands_run_and_jobs_are_controlled(hv: Hv, engine: str) -> None:
    terminal = shell(hv, engine)
    assert terminal.raw()
    say(terminal, "echo $((6 * 7))", "42\n")
    say(terminal, "uname -sm", "Linux x86_64\n")
    say(terminal, "false; echo status $?", "status 1\n")

    # What runs in front is ended by Ctrl-C, which is 130 to the shell.
    start(terminal)
    terminal.send("\x03")
    terminal.expect("^C\n", PROMPT)
    say(terminal, "echo status $?", "status 130\n")

    # It is stopped by Ctrl-Z, goes on in the background, and comes to the front again.
    start(terminal)
    terminal.send("\x1a")
    terminal.expect("Stopped", PROMPT)
    say(terminal, "bg", "[1] ")
    say(terminal, "jobs", "Running")
    terminal.send("fg\r")
    terminal.expect("fg\n", "sleep 1000")
    terminal.send("\x03")
    terminal.expect(PROMPT)
    say(terminal, "jobs; echo none", "none\n")

    # The line editor: what is rubbed out is gone.
    terminal.send("echo wrong\x7f\x7f\x7f\x7f\x7fright\r")
    terminal.expect("\nright\n", PROMPT)

    terminal.send("exit\r")
    terminal.expect("linux ended by", "passed", timeout=60)
    assert terminal.status() == 0


@ON_EACH
@pytest.mark.usefixtures("linux_here")
def test_a_paste_into_a_program_arrives_whole_and_what_it_prints_too(hv: Hv, engine: str) -> None:
    """Lines, as a terminal's driver takes them; the program sends nothing back until all are in."""
    terminal = shell(hv, engine)
    lines = [f"{number:05} " + chr(97 + number % 26) * 60 for number in range(LINES[engine])]
    text = "".join(f"{line}\n" for line in lines)
    terminal.send("stty -echo; echo begun; sha256sum; stty echo\r")
    terminal.expect("\nbegun\n")
    terminal.send(text.replace("\n", "\r"))
    terminal.send("\x04")
    terminal.expect(hashlib.sha256(text.encode()).hexdigest(), PROMPT, timeout=BOOT)
    say(terminal, "seq 3000 | md5sum", hashlib.md5(_seq(3000)).hexdigest())
    terminal.send("seq 3000\r")
    terminal.expect("seq 3000\n", *(f"{number}\n" for number in range(1, 3001)), PROMPT)
    terminal.leave()


def _seq(last: int) -> bytes:
    return "".join(f"{number}\n" for number in range(1, last + 1)).encode()


@pytest.mark.usefixtures("linux_here")
def test_two_shells_share_a_terminal_and_one_is_paused_with_the_other(hv: Hv) -> None:
    text = 'description = "d"\nrequires = ["virtualization"]\nmips = 10\n'
    for name in ("ann", "bob"):
        text += f'[[guest]]\nlike = "linux"\nname = "{name}"\n'
    directory = hv.root / "tests" / "scenarios"
    scenarios = project.scenarios()
    directory.unlink()
    directory.mkdir()
    (directory / "linux.toml").write_text((scenarios / "linux.toml").read_text(), encoding="utf-8")
    (directory / "both.toml").write_text(text, encoding="utf-8")
    terminal = shell(hv, "bochs", "both")
    say(terminal, "name=ann; echo I am $name", "I am ann\n")
    terminal.key("n")
    terminal.expect("bob has the focus\n", timeout=BOOT)
    terminal.send("\r")
    terminal.expect(PROMPT, timeout=BOOT)
    say(terminal, "echo I am not ${name:-ann}", "I am not ann\n")
    terminal.key("p")
    terminal.expect("the machine is paused")
    terminal.send("echo later\r")
    terminal.key("p")
    terminal.expect("the machine goes on", "\nlater\n", PROMPT)
    terminal.key("n")
    terminal.expect("ann has the focus\n")
    say(terminal, "echo still $name", "still ann\n")
    terminal.leave()
