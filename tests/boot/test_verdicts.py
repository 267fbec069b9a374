"""How a run can end, each verdict provoked: its word, its exit code, its sentence, its evidence.

Here are those that a time limit brings and those that need a machine; what a bad request brings is
in test_cli_bad_input.py, and what a dying engine brings in test_engine_death.py.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import project, supervise
from harness.engines.base import Engine, Module
from harness.hosttime import HostTime
from harness.machine import Machine
from harness.pytest_plugin import BootMachine, RunScenario
from harness.verdict import RunEnded, Verdict

Start = Callable[..., Machine]
Kernel = Callable[[str], Path]

VMX = ("vmx", "ept")


def ended(machine: Machine, wait: float = 1000) -> RunEnded:
    with pytest.raises(RunEnded) as caught:
        machine.wait(timeout=wait)
    return caught.value


def test_every_verdict_has_a_word_and_an_exit_code_of_its_own() -> None:
    assert len({verdict.word for verdict in Verdict}) == len(Verdict)
    assert len({verdict.exit_code for verdict in Verdict}) == len(Verdict)


def test_a_machine_that_goes_round_in_one_place_is_spinning(
    any_engine: Engine, start_machine: Start
) -> None:
    machine = start_machine(any_engine, "spin", limit=2)  # a busy host takes one to boot
    machine.expect(r"spinning\r\n")  # nothing is left to be printed: now it goes round
    end = ended(machine)
    assert end.verdict is Verdict.SPINNING
    assert end.sentence.startswith("the kernel was spinning: in 20 of 20 samples CPU 0 was in ")
    assert "the time limit of 2 s passed before the machine powered off" in end.sentence
    assert len(end.facts["samples"]) == 20
    assert "20 samples of the processors:" in end.evidence
    assert any("root mode" in line and "interrupts off" in line for line in end.evidence)


def test_a_machine_that_halts_with_interrupts_off_is_halted_for_good(
    any_engine: Engine, start_machine: Start
) -> None:
    end = ended(start_machine(any_engine, "halt", limit=0.7))
    assert end.verdict is Verdict.HALTED
    assert (
        "no processor could ever wake again: CPU 0 is halted with interrupts off in for_good"
        in (end.sentence)
    )
    assert any("for_good, is halted, interrupts off" in line for line in end.evidence)


def test_a_machine_that_gets_on_with_something_has_only_run_out_of_time(
    any_engine: Engine, start_machine: Start
) -> None:
    machine = start_machine(any_engine, "wander", limit=0.7)
    machine.expect("wandering")
    end = ended(machine)
    assert end.verdict is Verdict.TIMEOUT
    assert end.sentence == "the time limit of 0.7 s passed before the machine powered off."
    assert len(end.facts["samples"]) == 20


def test_a_guest_that_spins_is_named_with_its_line(boot_machine: BootMachine) -> None:
    end = ended(boot_machine(modules=["spin"], requires=VMX, limit=1.5))
    assert end.verdict is Verdict.SPINNING
    assert end.sentence.startswith("guest spin was spinning: in ")
    assert "guest_main" in end.sentence
    assert "(hv/guests/spin.c:" in end.sentence
    assert any("guest spin guest_main" in line for line in end.evidence)


def test_of_several_guests_the_one_that_spins_is_named(boot_machine: BootMachine) -> None:
    other = Module(project.guest("spin"), "spin.bin name=other")
    end = ended(boot_machine(modules=["spin", other], requires=VMX, limit=1.5))
    samples = end.facts["samples"]
    assert {one["guest"] for one in samples if one["guest_mode"]} <= {"spin", "other"}
    assert any(one["symbol"].startswith("guest_main") for one in samples if one["guest_mode"])


def test_a_hypervisor_that_spins_is_named_with_its_line(boot_machine: BootMachine) -> None:
    end = ended(boot_machine(command_line="debug=spin", requires=VMX, limit=1.0))
    assert end.verdict is Verdict.SPINNING
    assert "CPU 0 was in debug_run" in end.sentence
    assert "(hv/debug.c:" in end.sentence


def test_processors_that_were_never_started_say_nothing(
    any_engine: Engine, start_machine: Start, kernel: Kernel
) -> None:
    from harness.engines.base import Boot

    end = ended(start_machine(any_engine, "", boot=Boot(kernel("halt"), cpus=2), limit=0.7))
    assert end.verdict is Verdict.HALTED
    assert any(
        line.startswith("  CPU 1") and "waits to be started" in line for line in end.evidence
    )


def test_a_stopped_emulator_is_the_hosts_fault(any_engine: Engine, start_machine: Start) -> None:
    machine = start_machine(any_engine, "spin", limit=0.7)
    machine.expect("spinning")
    os.kill(machine.running.process.pid, signal.SIGSTOP)
    end = ended(machine)
    assert end.verdict is Verdict.STARVED_HOST
    assert "the host starved the emulator: for " in end.sentence
    assert "it was stopped by a signal; that the time limit of 0.7 s passed before" in end.sentence


def test_an_emulator_that_gets_hardly_any_processor_is_the_hosts_fault(
    any_engine: Engine, start_machine: Start, tmp_path: Path
) -> None:
    """It has to share one processor with so many others that a tenth of it can't be its own."""
    machine = start_machine(any_engine, "spin")
    process = machine.running.process.pid
    if not Path(f"/proc/{process}/schedstat").exists():
        pytest.skip("this kernel does not count how long a process waits for a processor")
    machine.expect("spinning")
    shared = {min(os.sched_getaffinity(0))}
    command = ("sh", "-c", "kill -STOP $$; while :; do :; done")
    others = [supervise.spawn(command, tmp_path) for _ in range(24)]
    try:
        threads = [int(entry.name) for entry in Path(f"/proc/{process}/task").iterdir()]
        for one in (*(other.pid for other in others), *threads):
            os.sched_setaffinity(one, shared)
        for other in others:
            os.waitid(os.P_PID, other.pid, os.WSTOPPED)
            os.kill(other.pid, signal.SIGCONT)
        # The limit is short, and counts from here: what came before may have taken longer. Not
        # shorter, for Linux counts a wait when it is over, and with so many each is long.
        machine.limit, machine.started = 0.5, time.monotonic()
        machine.host = HostTime(process)
        end = ended(machine)
    finally:
        for other in others:
            supervise.end(other)
    assert end.verdict is Verdict.STARVED_HOST
    told = re.fullmatch(
        r"the host starved the emulator: for ([\d.]+) of ([\d.]+) s it waited for a processor; "
        r"that the time limit of 0.5 s passed before the machine powered off says nothing "
        r"about the machine.",
        end.sentence,
    )
    assert told
    assert float(told[1]) > 9 * 0.2
    assert float(told[2]) >= float(told[1])
    assert end.facts["host_waited"] > end.facts["host_stopped"]


def test_a_limit_is_extended_by_what_the_host_did_not_give(
    any_engine: Engine, start_machine: Start
) -> None:
    machine = start_machine(any_engine, "halt", limit=2.0)
    machine.expect("halting")
    process = machine.running.process
    os.kill(process.pid, signal.SIGSTOP)
    threading.Timer(1.5, os.kill, (process.pid, signal.SIGCONT)).start()
    end = ended(machine)
    assert end.verdict is Verdict.HALTED
    assert end.facts["host_stopped"] >= 1.0
    assert any(line.startswith("the limit was extended by the ") for line in end.evidence)


def test_an_emulator_that_idles_is_not_starved(qemu: Engine, start_machine: Start) -> None:
    """QEMU sleeps while its processor is halted: it gets no CPU time because it wants none."""
    machine = start_machine(qemu, "halt", limit=0.7)
    end = ended(machine)
    assert end.verdict is Verdict.HALTED
    assert end.facts["host_stopped"] == 0


def test_a_scenario_that_spins_has_the_exit_code_of_its_verdict(hv_scenario: RunScenario) -> None:
    outcome = hv_scenario("hello", append="debug=spin", timeout=1.0)
    assert (outcome.verdict, outcome.exit_code) == (Verdict.SPINNING, 10)


def test_a_failed_expectation_shows_the_pattern_the_nearest_line_and_the_tail(
    boot_machine: BootMachine,
) -> None:
    machine = boot_machine(modules=["hello"], requires=VMX)
    with pytest.raises(RunEnded) as caught:
        machine.expect("hello. Hello from a geust")
    end = caught.value
    assert end.verdict is Verdict.FAILED
    assert "before 'hello. Hello from a geust' appeared" in end.sentence
    assert any("nearest line: hello| Hello from a guest" in e for e in end.evidence)
    assert "the console's last lines:" in end.evidence


def test_guests_that_are_no_elf_files_have_no_symbols_and_no_trouble(
    boot_machine: BootMachine, tmp_path: Path
) -> None:
    flat = tmp_path / "loop.bin"
    flat.write_bytes(b"\xeb\xfe")  # jmp to itself
    end = ended(boot_machine(modules=[Module(flat, "loop.bin name=loop")], requires=VMX, limit=1.2))
    assert end.verdict is Verdict.SPINNING
    assert end.sentence.startswith("guest loop was spinning: in ")
    assert "0x100000" in end.sentence
