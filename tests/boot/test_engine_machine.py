"""What a machine does, watched through every engine alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.engines.base import Boot, EndKind, Engine, Module, Unsupported
from harness.machine import Machine
from harness.records import Record
from harness.verdict import RunEnded, Verdict

Start = Callable[..., Machine]
Kernel = Callable[[str], Path]


def test_console_records_and_power_off_reach_the_harness(
    any_engine: Engine, start_machine: Start
) -> None:
    raw: list[bytes] = []
    seen: list[Record] = []
    machine = start_machine(
        any_engine,
        "poweroff",
        on_console=raw.append,
        on_record=seen.append,
        expect_build="00c0ffee",
    )
    assert machine.expect(r"Good (\w+)\r")[1] == "morning"
    assert machine.expect_record("done", status="ok")["code"] == 5
    end = machine.wait()
    assert end.kind is EndKind.POWER_OFF
    assert end.code == (5 if any_engine.name == "qemu-tcg" else None)
    assert b"".join(raw) == b"Good morning\r\n"
    assert [r.kind for r in seen] == ["boot", "done"]
    assert machine.problems == []
    assert (machine.directory / "console.log").read_bytes() == b"Good morning\r\n"
    assert machine.running.process.poll() is not None


def test_what_is_typed_reaches_the_machine(any_engine: Engine, start_machine: Start) -> None:
    machine = start_machine(any_engine, "echo")
    machine.expect("ready")
    machine.send("hello, pond")
    machine.expect("HELLO, POND")
    machine.console.sendline("again")  # pexpect's own way
    machine.console.expect_exact("AGAIN\r")
    machine.send(".")
    assert machine.wait().kind is EndKind.POWER_OFF


def test_command_line_and_modules_arrive_as_given(
    any_engine: Engine, start_machine: Start, kernel: Kernel, tmp_path: Path
) -> None:
    files = tmp_path / "some files, with odd names"
    files.mkdir()
    (files / "one.bin").write_bytes(b"(one is short)")
    (files / "two,2.bin").write_bytes(b"(two is " + b"." * 700_000 + b"$")  # several Bochs blocks
    boot = Boot(
        kernel("args"),
        'debug=none text="a, b"',
        (
            Module(files / "one.bin", "one.bin name=first memory=4M"),
            Module(files / "two,2.bin", "two,2.bin name=second,b"),
            Module(files / "one.bin", "one.bin"),
        ),
    )
    machine = start_machine(any_engine, "args", boot=boot)
    machine.wait()
    console = (machine.directory / "console.log").read_text().splitlines()
    assert console == [
        'command line <args debug=none text="a, b">',
        "module <one.bin name=first memory=4M> starts with <(one is > ends with <)>",
        "module <two,2.bin name=second,b> starts with <(two is > ends with <$>",
        "module <one.bin> starts with <(one is > ends with <)>",
    ]


def test_a_triple_fault_is_never_a_clean_end(any_engine: Engine, start_machine: Start) -> None:
    machine = start_machine(any_engine, "triple-fault")
    machine.expect("about to fault")
    with pytest.raises(RunEnded) as caught:
        machine.wait()
    assert caught.value.verdict is Verdict.TRIPLE_FAULT
    assert caught.value.sentence == (
        "the processor triple-faulted: it met an exception that no handler could take."
    )
    assert machine.wait(allow=[EndKind.TRIPLE_FAULT]).kind is EndKind.TRIPLE_FAULT


def test_a_triple_fault_ends_a_wait_for_something_else(
    any_engine: Engine, start_machine: Start
) -> None:
    with pytest.raises(RunEnded) as caught:
        start_machine(any_engine, "triple-fault").expect("all is well", timeout=20)
    assert caught.value.verdict is Verdict.TRIPLE_FAULT
    assert any("about to fault" in line for line in caught.value.evidence)


def test_a_reset_is_told_from_a_triple_fault(any_engine: Engine, start_machine: Start) -> None:
    machine = start_machine(any_engine, "reset")
    with pytest.raises(RunEnded, match="reset itself") as caught:
        machine.wait()
    assert caught.value.verdict is Verdict.FAILED


def test_powering_off_too_early_fails_the_wait(any_engine: Engine, start_machine: Start) -> None:
    with pytest.raises(RunEnded, match=r"powered off.* before 'Good evening' appeared") as caught:
        start_machine(any_engine, "poweroff").expect("Good evening")
    assert caught.value.verdict is Verdict.FAILED
    assert "nearest line: Good morning" in caught.value.evidence
    with pytest.raises(RunEnded, match="before a 'report' record, guest='x' came"):
        start_machine(any_engine, "poweroff").expect_record("report", guest="x")


def test_a_wait_ends_at_its_timeout_and_names_what_it_missed(
    any_engine: Engine, start_machine: Start
) -> None:
    machine = start_machine(any_engine, "spin")
    machine.expect("spinning")
    with pytest.raises(RunEnded, match=r"0\.05 s passed before 'never' appeared") as caught:
        machine.expect("never", timeout=0.05)
    assert caught.value.verdict is Verdict.TIMEOUT
    with pytest.raises(RunEnded, match="before the machine powered off"):
        machine.wait(timeout=0.05)


def test_no_wait_outlasts_the_limit_of_the_machine(
    any_engine: Engine, start_machine: Start
) -> None:
    machine = start_machine(any_engine, "spin", limit=1.0)
    machine.expect("spinning")
    with pytest.raises(RunEnded, match=r"the time limit of 1 s passed") as caught:
        machine.wait(timeout=1000)
    assert caught.value.verdict is Verdict.SPINNING


def test_a_panic_beats_every_wait_and_brings_its_stack(
    any_engine: Engine, start_machine: Start
) -> None:
    waits: tuple[Callable[[Machine], object], ...] = (
        lambda m: m.expect("never"),
        lambda m: m.expect_record("report"),
        lambda m: m.wait(),
    )
    for wait in waits:
        with pytest.raises(RunEnded, match="panicked: the pond is empty") as caught:
            wait(start_machine(any_engine, "panic"))
        assert caught.value.verdict is Verdict.PANIC
        assert any(line.split()[0] == "0x100100" for line in caught.value.evidence)
        assert caught.value.facts["record"]["message"] == "the pond is empty"


def test_what_came_before_a_panic_can_still_be_expected(
    any_engine: Engine, start_machine: Start
) -> None:
    machine = start_machine(any_engine, "panic")
    machine.expect_record("boot")
    machine.expect("all is well")
    with machine.allow("panic"):
        machine.expect("panic: the pond is empty")
        machine.expect_record("panic")
        assert machine.wait().kind is EndKind.POWER_OFF


def test_a_pattern_that_a_test_forbids_competes_too(
    any_engine: Engine, start_machine: Start
) -> None:
    machine = start_machine(any_engine, "poweroff")
    machine.forbidden["manners"] = (r"Good \w+", Verdict.FAILED)
    with pytest.raises(RunEnded, match=r"forbidden output \(manners\).*Good morning") as caught:
        machine.expect("never")
    assert caught.value.verdict is Verdict.FAILED


def test_an_image_of_another_build_is_refused(any_engine: Engine, start_machine: Start) -> None:
    machine = start_machine(any_engine, "poweroff", expect_build="12345678")
    with pytest.raises(RunEnded, match=r"runs build 00c0ffee, but .* is build 12345678") as caught:
        machine.wait()
    assert caught.value.verdict is Verdict.STALE_IMAGE


def test_hostile_output_is_data_and_nothing_more(any_engine: Engine, start_machine: Start) -> None:
    machine = start_machine(any_engine, "hostile")
    machine.expect("3rd \\(13\\) exception")  # looks like Bochs's own words, and is not taken so
    machine.expect("finished")
    assert machine.wait().kind is EndKind.POWER_OFF
    assert [r.kind for r in machine.records] == ["report", "done"]
    problems = "\n".join(machine.problems)
    for wrong in ("not JSON", "not an object", 'no "seq" number', "longer than 65536", "record 0"):
        assert wrong in problems
    assert not any(c < " " for line in machine.tail for c in line)


def test_a_flood_of_output_neither_stops_nor_fills_the_harness(
    any_engine: Engine, start_machine: Start
) -> None:
    machine = start_machine(any_engine, "flood")
    machine.expect("~{1000}")
    with pytest.raises(RunEnded, match="passed before"):
        machine.expect("never", timeout=0.3)
    machine.pause()  # though the serial line is full
    assert machine.registers()["rdx"] in (0x3F8, 0x3FD)
    machine.resume()
    with pytest.raises(RunEnded, match="wait for the machine to read"):
        machine.send("x" * (2 << 20))


def test_a_paused_machine_shows_registers_and_memory(
    any_engine: Engine, start_machine: Start
) -> None:
    machine = start_machine(any_engine, "spin")
    machine.expect("spinning")
    machine.pause()
    machine.pause()
    registers = machine.registers()
    assert registers["rdi"] == 0x12345678
    assert registers["cs"]
    assert registers["cr0"] & 1
    assert 0x100000 <= registers["rip"] < 0x101000
    image = machine.read_physical(0x100000, 0x2000)
    marker = 0x100000 + image.index(b"Vanderpool marks")
    assert machine.read_physical(marker + 1, 3) == b"and"
    machine.write_physical(marker + 1, b"ondering")
    assert machine.read_physical(marker, 16) == b"Vonderingl marks"
    counter = marker + 16
    stands = machine.read_physical(counter, 4)
    assert machine.read_physical(counter, 4) == stands
    machine.resume()
    machine.resume()
    with pytest.raises(RunEnded):
        machine.wait(timeout=0.02)
    assert machine.read_physical(counter, 4) != stands  # by itself, in a running machine


def test_memory_that_is_not_there_is_refused(any_engine: Engine, start_machine: Start) -> None:
    machine = start_machine(any_engine, "spin")
    machine.expect("spinning")
    with pytest.raises(RunEnded, match="not in the machine's memory") as caught:
        machine.write_physical(0x40000000, b"x")
    assert caught.value.verdict is Verdict.BAD_USAGE


def test_what_an_engine_lacks_is_said(bochs: Engine, qemu: Engine, start_machine: Start) -> None:
    machine = start_machine(bochs, "spin")
    for call in (machine.reset, machine.nmi, lambda: machine.qmp("query-status")):
        with pytest.raises(Unsupported):
            call()
    with pytest.raises(Unsupported):
        start_machine(qemu, "spin").step()


def test_bochs_steps_one_instruction_at_a_time(bochs: Engine, start_machine: Start) -> None:
    machine = start_machine(bochs, "spin")
    machine.expect("spinning")
    machine.pause()
    visited = []
    for _ in range(200):  # enough to leave the loop that prints for the one that spins
        visited.append(machine.registers()["rip"])
        machine.step()
    loop = visited[-4:]
    assert loop[0] == loop[2] != loop[1] == loop[3]  # incl, jmp, incl, jmp


def test_a_screen_full_of_prompts_is_not_taken_for_the_debugger(
    bochs: Engine, start_machine: Start
) -> None:
    machine = start_machine(bochs, "screen")
    machine.expect("screen written")
    machine.pause()
    assert machine.read_physical(0xB8000, 4) == b"<\x07b\x07"
    assert machine.registers()["cs"] == 8


def test_qmp_answers_and_its_events_are_kept(qemu: Engine, start_machine: Start) -> None:
    machine = start_machine(qemu, "spin")
    machine.expect("spinning")
    assert machine.qmp("query-status")["status"] == "running"
    machine.pause()
    assert machine.qmp("query-status")["status"] == "paused"
    assert [event["event"] for event in machine.events] == ["STOP"]
    with pytest.raises(RunEnded, match="QEMU refused no-such-command"):
        machine.qmp("no-such-command")


def test_a_triple_faulted_machine_stays_for_inspection(
    any_engine: Engine, start_machine: Start
) -> None:
    machine = start_machine(any_engine, "triple-fault")
    machine.wait(allow=[EndKind.TRIPLE_FAULT])
    assert machine.running.process.poll() is None
    assert 0x100000 <= machine.registers()["rip"] < 0x101000
    assert b"about to fault" in machine.read_physical(0x100000, 0x1000)


def test_a_panic_that_the_kernel_tells_the_machine_of_freezes_it(
    qemu: Engine, start_machine: Start
) -> None:
    machine = start_machine(qemu, "pvpanic")
    with pytest.raises(RunEnded, match="reported a panic through the machine") as caught:
        machine.expect("never")
    assert caught.value.verdict is Verdict.PANIC
    assert machine.end is not None
    assert machine.end.kind is EndKind.GUEST_PANIC
    assert machine.registers()["rdi"] == 0x600DF00D
    assert b"dying" in machine.read_physical(0x100000, 0x1000)
    machine.reset()
    machine.expect("dying")


def test_a_reset_begins_the_records_anew_and_forgets_old_output(
    qemu: Engine, start_machine: Start
) -> None:
    machine = start_machine(qemu, "halves")
    machine.expect("half")
    machine.reset()  # in the middle of the record numbered 0
    machine.expect("half")
    machine.send("x")
    assert machine.expect_record("whole")["value"] == 42
    assert machine.problems == []


@pytest.mark.parametrize("firmware", ["qboot", "seabios"])
def test_the_reset_button_starts_the_kernel_anew(
    qemu: Engine, start_machine: Start, kernel: Kernel, firmware: str
) -> None:
    machine = start_machine(qemu, "", boot=Boot(kernel("echo"), firmware=firmware))
    machine.expect("ready")
    machine.reset()
    machine.expect("ready")
    machine.send("x.")
    machine.expect("X")
    assert machine.wait().kind is EndKind.POWER_OFF


def test_an_nmi_reaches_the_processor(qemu: Engine, start_machine: Start) -> None:
    machine = start_machine(qemu, "nmi")
    machine.expect("listening")
    machine.nmi()  # no handler can take it
    assert machine.wait(allow=[EndKind.TRIPLE_FAULT]).kind is EndKind.TRIPLE_FAULT


def test_several_machines_run_side_by_side(any_engine: Engine, start_machine: Start) -> None:
    machines = [start_machine(any_engine, "echo") for _ in range(3)]
    for number, machine in enumerate(machines):
        machine.expect("ready")
        machine.send(f"machine {number}")
    for number, machine in enumerate(machines):
        machine.expect(f"MACHINE {number}")


def test_a_machine_does_not_wait_until_what_it_writes_is_read(
    qemu: Engine, start_machine: Start
) -> None:
    machine = start_machine(qemu, "chatty")
    finished = b"all is written"
    deadline = time.monotonic() + 30
    while machine.read_physical(0x200000, len(finished)) != finished:
        machine.qmp("query-status")  # takes time, and reads no serial line
        assert time.monotonic() < deadline
    machine.pause()
    machine.drain()
    assert (machine.directory / "console.log").stat().st_size == 20_000
