"""``--interactive``: a person at a machine's console, and a terminal that always comes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.boot.terminal import Terminal
from tests.conftest import Hv

ENGINES = ["bochs", "qemu-tcg"]
ON_EACH = pytest.mark.parametrize("engine", ENGINES)
PASTE = {"bochs": 64 << 10, "qemu-tcg": 4 << 10}  # bytes
PROMPT = "> "  # of the guest `echo`
pytestmark = pytest.mark.usefixtures("bochs_here", "qemu_here")


@pytest.fixture(autouse=True)
def ended(hv: Hv) -> Iterator[None]:
    """Whatever becomes of a test, its terminals are hung up before its processes are counted."""
    yield
    Terminal.hang_up()


@pytest.fixture
def echoes(hv: Hv) -> str:
    """A scenario of two guests that answer what is typed."""
    text = 'description = "d"\nrequires = ["virtualization"]\n'
    for name in ("ann", "bob"):
        text += f'[[guest]]\nimage = "echo"\nname = "{name}"\n'
    return str(hv.scenario("echoes", text))


@ON_EACH
def test_what_is_typed_is_answered_and_the_escape_key_leaves(
    hv: Hv, echoes: str, engine: str
) -> None:
    terminal = Terminal(hv, "run", echoes, "--engine", engine)
    terminal.expect("Ctrl-] then q leaves", "console: ann has the focus", PROMPT)
    assert terminal.raw()
    terminal.send("hello\r")
    terminal.expect("hello\n", "you said: hello\n", PROMPT)
    terminal.send("half\x03")  # the guest's, not ours
    terminal.expect("half^C\n> ")
    terminal.send("\x04\x1a\x1c\x11\x13go on\r")  # nor are these
    terminal.expect("you said: go on")
    terminal.leave()


@ON_EACH
def test_the_focus_goes_from_guest_to_guest(hv: Hv, echoes: str, engine: str) -> None:
    terminal = Terminal(hv, "run", echoes, "--engine", engine)
    terminal.expect("ann has the focus", PROMPT)
    terminal.send("to ann")
    terminal.expect("to ann")
    terminal.key("n")
    terminal.expect("console: bob has the focus\n> ")
    terminal.send("to bob\r")
    terminal.expect("you said: to bob\n> ")
    terminal.key("?")
    terminal.expect("guests: 1 ann, 2 bob (has the console)\n")
    terminal.key("1")
    terminal.expect("console: ann has the focus\n> to ann")
    terminal.send("\r")
    terminal.expect("you said: to ann\n> ")
    terminal.key("3")
    terminal.expect("there is no guest 3\n")
    terminal.send("exit 0\r")
    terminal.expect("ann ended by exit", "console: bob has the focus\n> ")
    terminal.key("n")
    terminal.expect("there is no other guest\n")
    terminal.send("exit 0\r")
    terminal.expect("passed")
    assert terminal.status() == 0


@ON_EACH
def test_a_paused_machine_answers_when_it_goes_on(hv: Hv, echoes: str, engine: str) -> None:
    terminal = Terminal(hv, "run", echoes, "--engine", engine)
    terminal.expect(PROMPT)
    terminal.send("abc")
    terminal.expect("abc")
    terminal.key("p")
    terminal.expect("hv: the machine is paused; Ctrl-] p lets it go on\n> abc")
    terminal.send("def\r")
    terminal.key("p")
    terminal.expect("hv: the machine goes on\n", "you said: abcdef\n")
    terminal.key("p")
    terminal.expect("the machine is paused")
    terminal.leave()


def test_other_keys_after_the_escape_key_do_nothing_but_twice_it_is_one(
    hv: Hv, kernel: Callable[[str], Path]
) -> None:
    terminal = Terminal(hv, "boot", str(kernel("echo")), "--engine", "qemu-tcg")
    terminal.expect("ready")
    terminal.key("x")
    terminal.expect("Ctrl-] x is no key of mine")
    terminal.key("\x07")
    terminal.expect("Ctrl-] \\x07 is no key of mine")
    terminal.key("n")
    terminal.expect("there is no other guest")
    terminal.send("abc\x1b[A")
    terminal.expect("ABC\x1b[A")
    terminal.key("\x1d")
    terminal.expect("\x1d")
    terminal.send(".")
    terminal.expect("passed")
    assert terminal.status() == 0


@ON_EACH
def test_a_paste_arrives_whole(hv: Hv, echoes: str, engine: str) -> None:
    text = "".join(chr(33 + at * 7 % 89) for at in range(PASTE[engine]))
    value = 14695981039346656037
    for byte in text.encode():
        value = (value ^ byte) * 1099511628211 & (1 << 64) - 1
    terminal = Terminal(hv, "run", echoes, "--engine", engine)
    terminal.expect(PROMPT)
    terminal.send(f"sum {len(text)}\r")
    terminal.expect("ready\n")
    terminal.send(text)
    terminal.expect(f"sum {value:#x}\n", timeout=90)
    terminal.leave()


def test_the_lines_of_a_guest_in_the_background_leave_what_is_typed_alone(
    hv: Hv, echoes: str
) -> None:
    terminal = Terminal(hv, "run", echoes, "--engine", "bochs")
    terminal.expect(PROMPT)
    terminal.send("tick\r")
    terminal.expect("tick 0x1\n")
    terminal.key("n")
    terminal.expect("bob has the focus\n> ")
    terminal.send("abc")
    for _ in range(3):
        terminal.child.expect(r"> abc\r*\nann\| tick 0x[0-9a-f]+\r*\n")
    terminal.send("\r")
    terminal.expect("you said: abc\n")
    terminal.leave()


def test_a_guest_that_crashes_leaves_the_other_at_the_console(hv: Hv, echoes: str) -> None:
    terminal = Terminal(hv, "run", echoes, "--engine", "bochs")
    terminal.expect(PROMPT)
    terminal.send("crash\r")
    terminal.expect("ann stopped: Triple fault", "bob has the focus\n> ")
    terminal.send("still here\r")
    terminal.expect("you said: still here\n")
    terminal.send("exit 0\r")
    terminal.expect("failed", "guest ann was stopped: Triple fault")
    assert terminal.status() == 1


def test_what_a_guest_prints_decides_nothing(hv: Hv, echoes: str) -> None:
    terminal = Terminal(hv, "run", echoes, "--engine", "bochs")
    terminal.expect(PROMPT)
    terminal.send("forge\r")
    terminal.expect("\n[    0.000001] panic: not really\n> ")
    terminal.send("go on\r")
    terminal.expect("you said: go on\n> ")
    terminal.send("exit 0\r")
    terminal.expect("bob has the focus\n> ")
    terminal.send("exit 0\r")
    terminal.expect("passed")
    assert terminal.status() == 0


# Every way out


def test_a_panic_of_the_hypervisor_gives_the_terminal_back(hv: Hv, echoes: str) -> None:
    words = ("--append", "debug=panic", "--engine", "bochs")
    terminal = Terminal(hv, "run", echoes, *words)
    terminal.expect(PROMPT)
    terminal.send("panic\r")
    terminal.expect("panic", "the hypervisor panicked")
    assert terminal.status() == 3


@ON_EACH
def test_an_engine_that_is_killed_gives_the_terminal_back(hv: Hv, echoes: str, engine: str) -> None:
    terminal = Terminal(hv, "run", echoes, "--engine", engine)
    terminal.expect(PROMPT)
    program = "bochs" if engine == "bochs" else "qemu"
    victims = [pid for pid in hv.processes() if program in Path(f"/proc/{pid}/comm").read_text()]
    assert victims
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    terminal.expect("engine-died")
    assert terminal.status() == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_that_ends_the_harness_gives_the_terminal_back(
    hv: Hv, echoes: str, number: signal.Signals
) -> None:
    terminal = Terminal(hv, "run", echoes, "--engine", "bochs")
    terminal.expect(PROMPT)
    terminal.child.kill(number)
    assert terminal.status() == 128 + number


def test_a_harness_that_is_suspended_gives_the_terminal_back_until_it_goes_on(
    hv: Hv, echoes: str
) -> None:
    terminal = Terminal(hv, "run", echoes, "--engine", "bochs")
    terminal.expect(PROMPT)
    terminal.child.kill(signal.SIGTSTP)
    _, status = os.waitpid(terminal.child.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert terminal.attributes() == terminal.usual
    terminal.child.kill(signal.SIGCONT)
    terminal.send("hello\r")
    terminal.expect("you said: hello\n")
    assert terminal.raw()
    terminal.leave()


def test_an_error_in_the_harness_gives_the_terminal_back(hv: Hv, echoes: str) -> None:
    wrong = hv.root / "sitecustomize.py"
    wrong.write_text(
        "import harness.keyboard\n"
        "def broken(self, key): raise ZeroDivisionError\n"
        "harness.keyboard.Keyboard._command = broken\n",
        encoding="utf-8",
    )
    path = f"{hv.root}:{hv.env()['PYTHONPATH']}"
    terminal = Terminal(hv, "run", echoes, "--engine", "bochs", PYTHONPATH=path)
    terminal.expect(PROMPT)
    terminal.key("x")
    terminal.expect("ZeroDivisionError")
    assert terminal.status() == 1


def test_what_a_guest_did_to_the_look_of_the_terminal_is_undone(
    hv: Hv, kernel: Callable[[str], Path]
) -> None:
    terminal = Terminal(hv, "boot", str(kernel("echo")), "--engine", "qemu-tcg")
    terminal.expect("ready")
    terminal.send("\x1b[31;1")
    terminal.expect("\x1b[31;1")
    terminal.key("q")
    terminal.expect("\x1b[m")
    assert terminal.status() == 130


@pytest.mark.usefixtures("bochs_here")
def test_a_run_that_ends_by_itself_gives_the_terminal_back(hv: Hv) -> None:
    terminal = Terminal(hv, "run", "hello", "--engine", "bochs")
    terminal.expect("Hello from a guest", "passed")
    assert terminal.status() == 0


def test_without_a_terminal_it_is_refused(hv: Hv) -> None:
    done = hv("run", "hello", "--interactive")
    assert done.returncode == 2
    assert done.stderr == "hv: --interactive needs a terminal for its input and its output\n"
