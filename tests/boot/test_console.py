"""A guest that has the console for itself: what is typed is for it, what it prints comes raw."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from harness.engines.base import Module
from harness.machine import Machine
from harness.pytest_plugin import BootMachine
from harness.verdict import RunEnded, Verdict
from tests.boot.guest_images import module
from tests.boot.where import BOCHS_SVM, BOCHS_VMX, EVERYWHERE, QEMU_SVM, Where, on

PASTE = {BOCHS_VMX: 64 << 10, BOCHS_SVM: 8 << 10, QEMU_SVM: 4 << 10}  # bytes
UNFINISHED = 256  # bytes of a line that are shown again (hv/core/foreground.h)


def echoes(*names: str) -> list[Module]:
    return [module("echo", Path(), name=name) for name in names]


def boot(boot_machine: BootMachine, where: Where, modules: Iterable[Module], focus: str) -> Machine:
    return boot_machine(
        modules=list(modules),
        engine=where.engine,
        cpu=where.cpu,
        command_line=f"console={focus}",
        requires=("virtualization",),
        limit=60,
    )


def fnv(data: bytes) -> str:
    value = 14695981039346656037
    for byte in data:
        value = (value ^ byte) * 1099511628211 & (1 << 64) - 1
    return f"{value:#x}"


@EVERYWHERE
def test_a_guest_in_hlt_answers_what_is_typed(boot_machine: BootMachine, where: Where) -> None:
    machine = boot(boot_machine, where, echoes("a"), "a")
    assert machine.expect_record("focus")["guest"] == "a"
    machine.expect(r"console: a has the focus\r\n> ")
    machine.send("hello\r")
    machine.expect(r"hello\nyou said: hello\n> ")
    machine.send("exit 7\r")
    stop = machine.expect_record("vm-stop", guest="a")
    assert (stop["reason"], stop["code"]) == ("exit", 7)
    machine.wait()


@EVERYWHERE
def test_nothing_that_is_pasted_is_lost(boot_machine: BootMachine, where: Where) -> None:
    data = bytes(byte * 7 % 251 for byte in range(PASTE[where]))
    machine = boot(boot_machine, where, echoes("a"), "a")
    machine.expect(r"> ")
    machine.send(f"sum {len(data)}\r")
    machine.expect("ready\n")
    machine.send(data)
    assert machine.expect(r"sum (0x[0-9a-f]+)\n", timeout=60)[1] == fnv(data)
    machine.send("\r")
    machine.expect(r"you said: ")


@on(BOCHS_VMX, QEMU_SVM)
def test_the_focus_changes_by_command_and_each_guest_hears_what_is_for_it(
    boot_machine: BootMachine, where: Where
) -> None:
    machine = boot(boot_machine, where, echoes("a", "b"), "b")
    machine.expect(r"> ")
    machine.send("half")
    machine.expect("half")
    assert machine.ask("focus a", "focus")["guest"] == "a"
    machine.expect(r"\r\n\[[^\n]*\] console: a has the focus\r\n> ")
    machine.send("one\r")
    machine.expect(r"you said: one\n> ")
    assert machine.ask("focus b", "focus")["guest"] == "b"
    machine.expect(r"console: b has the focus\r\n> half")  # its line as it was left
    machine.send(" and half\r")
    machine.expect("you said: half and half\n")


@on(BOCHS_VMX)
def test_lines_of_others_come_whole_between_and_the_unfinished_line_is_shown_again(
    boot_machine: BootMachine, where: Where
) -> None:
    machine = boot(boot_machine, where, echoes("a", "b"), "b")
    machine.expect(r"> ")
    machine.send("tick\r")
    machine.expect("tick 0x1\n")
    machine.ask("focus a", "focus")
    machine.expect(r"a has the focus\r\n> ")
    machine.send("abc")
    machine.expect(r"> a?b?c?\r\nb\| tick 0x[0-9a-f]+\r\n> a?b?c?")
    machine.expect(r"\r\nb\| tick 0x[0-9a-f]+\r\n> abc\r\nb\| tick")
    machine.send("\r")
    machine.expect("you said: abc\n")
    machine.ask("focus b", "focus")
    machine.send("x")  # ends the ticks
    machine.send("\r")
    machine.expect("you said: x\n")


@on(BOCHS_VMX)
def test_a_line_without_end_is_shown_again_in_part(boot_machine: BootMachine, where: Where) -> None:
    machine = boot(boot_machine, where, echoes("a"), "a")
    machine.expect(r"> ")
    typed = "0123456789" * 12
    for _ in range(3):  # the guest takes lines of up to 127 bytes
        machine.send(typed + "\x7f" * len(typed))
        machine.expect(typed)
    machine.send("last")
    machine.expect("last")
    machine.ask("focus a", "focus")
    shown = machine.expect(r"a has the focus\r\n([^\n]*last)")[1]
    assert 4 <= len(shown) <= UNFINISHED


@on(BOCHS_VMX, QEMU_SVM)
def test_the_focus_passes_on_when_the_guest_that_has_it_ends(
    boot_machine: BootMachine, where: Where
) -> None:
    machine = boot(boot_machine, where, echoes("a", "b", "c"), "b")
    machine.expect(r"> ")
    machine.send("exit 0\r")
    machine.expect(r"b ended by exit[^\n]*\n[^\n]*console: c has the focus\r\n> ")
    with machine.allow("crash") if "crash" in machine.forbidden else machine.allow():
        machine.send("crash\r")
        machine.expect(r"c stopped: Triple fault.*console: a has the focus\r\n> ")
        machine.send("exit 0\r")
        machine.expect_record("done")


@on(BOCHS_VMX)
def test_a_guest_that_does_not_read_holds_what_is_typed_and_nobody_up(
    boot_machine: BootMachine, where: Where
) -> None:
    machine = boot(boot_machine, where, echoes("a", "b"), "a")
    machine.expect(r"> ")
    machine.send("deaf\r")
    machine.expect("deaf\n")
    machine.send("x" * 1000 + "\r")
    machine.ask("focus b", "focus")
    machine.expect(r"you said: x{100,}")  # what waited is for whoever has the focus now
    machine.send("exit 0\r")
    machine.expect_record("vm-stop", guest="b")


@on(BOCHS_VMX)
def test_a_focus_that_can_t_be_is_refused(boot_machine: BootMachine, where: Where) -> None:
    machine = boot(boot_machine, where, echoes("a", "b"), "a")
    machine.expect(r"> ")
    for words in ("focus", "focus nobody", "focus a=b"):
        with pytest.raises(RunEnded) as ended:
            machine.ask(words, "focus")
        assert ended.value.verdict is Verdict.BAD_USAGE
    machine.send("exit 0\r")
    machine.expect_record("focus", guest="b")
    with pytest.raises(RunEnded) as ended:
        machine.ask("focus a", "focus")  # it has ended
    assert ended.value.verdict is Verdict.BAD_USAGE


@on(BOCHS_VMX)
def test_without_the_boot_word_there_is_no_focus_and_lines_are_prefixed(
    boot_machine: BootMachine, where: Where
) -> None:
    machine = boot_machine(modules=[*echoes("a"), "busy"], engine=where.engine)
    with pytest.raises(RunEnded) as ended:
        machine.ask("focus a", "focus")
    assert ended.value.verdict is Verdict.BAD_USAGE
    machine.expect(r"\na\| > \r\n")  # it sleeps with nothing to wake it, and so has ended
    assert machine.expect_record("vm-stop", guest="a")["reason"] == "halt"


@on(BOCHS_VMX)
def test_a_console_for_nobody_refuses_the_boot_and_names_it(
    boot_machine: BootMachine, where: Where
) -> None:
    for name in ("nobody", "", "x" * 40):
        machine = boot(boot_machine, where, echoes("a"), name)
        refused = machine.expect_record("refused")
        assert refused["reason"] == "bad-option"
        assert f"console={name}" in refused["message"]
