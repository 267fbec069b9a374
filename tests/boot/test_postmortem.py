"""A machine that came to a bad end: what its post-mortem says, on the terminal and in its files."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import postmortem, trace
from harness.engines.base import Engine
from harness.machine import Machine
from harness.outcome import Outcome
from harness.pytest_plugin import BootMachine, RunScenario
from harness.verdict import RunEnded, Verdict
from tests.boot.where import BOCHS_VMX, EVERYWHERE, Where

Start = Callable[..., Machine]

VMX = ("vmx", "ept")


def files(outcome: Outcome) -> tuple[str, dict[str, object]]:
    assert outcome.directory is not None
    text = (outcome.directory / "post-mortem.txt").read_text()
    return text, json.loads((outcome.directory / "post-mortem.json").read_text())


def sections(text: str) -> dict[str, str]:
    parts = [part.partition(":\n") for part in text.split("\n\n")[1:]]
    return {title: body for title, _, body in parts}


def test_a_null_pointer_in_an_exit_handler_is_named_by_function_file_and_line(
    hv_scenario: RunScenario,
) -> None:
    outcome = hv_scenario("cpuid", append="debug=null-in-exit")
    assert outcome.verdict is Verdict.PANIC
    source = (Path(__file__).parents[2] / "hv" / "vm" / "cpuid.c").read_text().splitlines()
    line = next(n for n, text in enumerate(source, 1) if "= (uint32_t)registers->rax" in text)
    text, _ = files(outcome)
    part = sections(text)
    stack = part["stack"].splitlines()
    assert "look_further" in stack[0]
    assert stack[0].endswith(f"hv/vm/cpuid.c:{line}")
    assert "vmx_exited_traced" in stack[1]
    (here,) = (text for text in part["code"].splitlines() if "=>" in text)
    assert "(%r" in here  # it reads through a register
    assert "cr2 0000000000000070" in part["registers at the trap"]
    assert any("look_further" in one and str(line) in one for one in outcome.evidence)
    assert any("=>" in one for one in outcome.post_mortem), "the terminal shows it too"


def test_the_current_vmcs_is_decoded_by_field_name(boot_machine: BootMachine) -> None:
    machine = boot_machine(
        modules=["cpuid"], command_line="debug=null-in-exit", engine="bochs", requires=VMX
    )
    with pytest.raises(RunEnded) as caught:
        machine.wait()
    found = postmortem.examine(machine, caught.value)
    assert found is not None
    (vmcs,) = (one.data for one in found.sections if one.title.startswith("current VMCS of CPU 0"))
    assert vmcs["EXIT_REASON"] == "0xa"  # CPUID, SDM 3C appendix C
    assert vmcs["GUEST_CR3"] == "0x1000"
    assert vmcs["HOST_CR3"] == f"{machine.registers()['cr3']:#x}"
    assert int(vmcs["GUEST_CS_ACCESS_RIGHTS"], 16) & 0x9F == 0x9B  # a present code segment
    start = machine.expect_record("vm-start", guest="cpuid")
    root = int(vmcs["EPT_POINTER"], 16) & ~0xFFF
    assert "ept" not in start or int(start["ept"]["root"], 16) == root


def test_a_guests_crash_that_the_scenario_wants_has_no_post_mortem(
    hv_scenario: RunScenario,
) -> None:
    outcome = hv_scenario("hostile", engine="bochs")
    assert outcome.as_expected
    assert outcome.post_mortem == []


def test_a_guest_that_is_stopped_is_taken_apart(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["ept-escape"], requires=VMX)
    machine.wait()
    found = postmortem.examine(machine, RunEnded(Verdict.FAILED, "guest ept-escape was stopped"))
    assert found is not None
    part = sections(found.text())
    assert "long mode, 64-bit mode, at guest_main" in part["guest ept-escape"]
    assert "(hv/guests/ept-escape.c:" in part["guest ept-escape"]
    assert "hv/guests/runtime.S:" in part["stack of ept-escape"]
    (here,) = (line for line in part["code of ept-escape"].splitlines() if "=>" in line)
    assert "movb $1, 0x400000" in here
    walk = part["EPT walk of 0x400000, guest ept-escape"].splitlines()
    assert [line.split()[0] for line in walk] == ["PML4E", "PDPTE", "PDE", "not"]
    assert "guest_start" in part["memory at RSP of ept-escape"]


@pytest.mark.parametrize(("engine", "cpu"), [("qemu-tcg", None), ("bochs", "ryzen")])
def test_under_amd_v_a_stopped_guest_has_its_walk_of_nested_page_tables(
    boot_machine: BootMachine, engine: str, cpu: str | None
) -> None:
    machine = boot_machine(modules=["ept-escape"], engine=engine, cpu=cpu, requires=["svm", "npt"])
    machine.wait()
    found = postmortem.examine(machine, RunEnded(Verdict.FAILED, "guest ept-escape was stopped"))
    assert found is not None
    walk = sections(found.text())["NPT walk of 0x400000, guest ept-escape"].splitlines()
    assert [line.split()[0] for line in walk] == ["PML4E", "PDPTE", "PDE", "not"]
    assert [line.split(maxsplit=2)[2] for line in walk[:3]] == ["rwx", "rwx", "not present"]


def scenario(directory: Path, guest: str, expect: str, timeout: float = 20) -> str:
    """A scenario file: its guest, and the one thing that it expects."""
    path = directory / "case.toml"
    path.write_text(
        f'description = "x."\nrequires = ["virtualization"]\ntimeout = {timeout}\n'
        f'[[guest]]\nimage = "{guest}"\n[[expect]]\n{expect}\n'
    )
    return str(path)


@EVERYWHERE
def test_a_machine_that_a_guests_crash_has_frozen_goes_on(
    boot_machine: BootMachine, where: Where
) -> None:
    machine = boot_machine(
        modules=["ept-escape", "hello"],
        command_line="crash=freeze",
        engine=where.engine,
        cpu=where.cpu,
        requires=["virtualization"],
    )
    seen: list[tuple[bool, bool]] = []
    machine.at_crash = lambda: seen.append((machine.frozen, machine.read("vms[0].vcpu") != 0))
    machine.expect_record("report", guest="hello", passed=True)
    assert machine.expect_record("crash", guest="ept-escape")["freezes"] is True
    machine.expect_record("done", status="guest-crashed")
    machine.wait()
    assert seen == [(True, True)], "once, and its processor was still there"
    assert not machine.frozen
    assert machine.read("vms[0].vcpu") == 0


def test_what_is_to_become_of_a_crash_must_be_a_word_that_is_known(
    boot_machine: BootMachine,
) -> None:
    machine = boot_machine(command_line="crash=burn")
    message = machine.expect_record("refused", reason="bad-option")["message"]
    assert message == "command line: crash=burn is neither freeze nor go-on"


OK = 'record = "done"\nwhere = { status = "ok" }'
IN_ROOT_MODE = ("CPU 0", "stack of CPU 0", "code of CPU 0", "memory at RSP of CPU 0")


@EVERYWHERE
def test_a_guests_crash_is_looked_at_before_its_machine_is_taken_apart(
    hv_scenario: RunScenario, tmp_path: Path, where: Where
) -> None:
    outcome = hv_scenario(scenario(tmp_path, "ept-escape", OK), engine=where.engine, cpu=where.cpu)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.sentence == "guest ept-escape was stopped: Memory violation at 0x400000 (write)"
    text, facts = files(outcome)
    part = sections(text)
    assert set(IN_ROOT_MODE) <= set(part)
    assert "crash_because" in part["stack of CPU 0"]
    assert "hv/vm/crash.c:" in part["stack of CPU 0"]
    kind = "vmx" if where == BOCHS_VMX else "svm"
    (title,) = (one for one in part if one.startswith("current VMC"))
    structure = facts[title]
    assert isinstance(structure, dict)
    if kind == "vmx":
        assert title.startswith("current VMCS of CPU 0, at 0x")
        assert structure["EXIT_REASON"] == "0x30"  # EPT violation, SDM 3C appendix C
        assert structure["GUEST_PHYSICAL_ADDRESS"] == "0x400000"
    else:
        assert title == "current VMCB"
        assert structure["control.exitcode"] == "0x400"  # VMEXIT_NPF, APM 2 appendix C
        assert structure["control.exitinfo2"] == "0x400000"
    assert "long mode, 64-bit mode, at guest_main" in part["guest ept-escape"]
    assert "=>" in part["code of ept-escape"]
    assert part["stack of ept-escape"]
    assert "guest_start" in part["memory at RSP of ept-escape"]
    nested = "EPT" if kind == "vmx" else "NPT"
    assert part[f"{nested} walk of 0x400000, guest ept-escape"].endswith("not mapped")
    (exits,) = (body for title, body in part.items() if title.startswith("last 32 exits of CPU 0"))
    assert "ept-escape  memory write 0x400000 " in exits.splitlines()[0]
    page = "\n".join(outcome.post_mortem)
    assert "last 32 exits" in page, "a terminal's page has room for the beginning of all"
    assert title in page
    console = outcome.directory and (outcome.directory / "console.log").read_text()
    assert console
    assert "ept-escape ended by crash" in console, "it went on, to the end of its logs"


@EVERYWHERE
@pytest.mark.parametrize(
    ("guest", "words", "expect", "verdict", "wanted"),
    [
        ("hello", "", 'console = "Goodbye"', Verdict.FAILED, ("last 32 exits",)),
        ("cpuid", "debug=null-in-exit", OK, Verdict.PANIC, ("stack", "code", "last ", "current")),
        ("hello", "debug=triple-fault", OK, Verdict.TRIPLE_FAULT, ()),
        ("hello", "debug=bad-guest", OK, Verdict.VM_ENTRY_FAILED, ("current", "last ")),
        ("hello", "debug=spin", OK, Verdict.SPINNING, ("samples",)),
    ],
)
def test_whatever_the_verdict_the_machine_is_there_to_be_looked_at(
    hv_scenario: RunScenario,
    tmp_path: Path,
    where: Where,
    guest: str,
    words: str,
    expect: str,
    verdict: Verdict,
    wanted: tuple[str, ...],
) -> None:
    limit = 1.5 if verdict is Verdict.SPINNING else 20
    path = scenario(tmp_path, guest, expect, limit)
    outcome = hv_scenario(path, engine=where.engine, cpu=where.cpu, append=words)
    assert outcome.verdict is verdict
    text, facts = files(outcome)
    part = sections(text)
    assert set(IN_ROOT_MODE) <= set(part)
    assert " rip " in part["CPU 0"]
    assert "=>" in part["code of CPU 0"]
    for start in wanted:
        assert any(title.startswith(start) for title in part), start
    assert not any("could not be read" in body for body in part.values())
    assert facts["verdict"] == verdict.word


def test_a_page_of_it_fits_a_terminal(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["ept-escape"], requires=VMX)
    machine.wait()
    found = postmortem.examine(machine, RunEnded(Verdict.FAILED, "guest ept-escape was stopped"))
    assert found is not None
    assert 10 < len(found.page()) <= 61


def test_a_guest_that_spins_is_taken_apart_where_it_spins(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["spin"], requires=VMX, limit=1.5)
    with pytest.raises(RunEnded) as caught:
        machine.wait(timeout=1000)
    found = postmortem.examine(machine, caught.value)
    assert found is not None
    text = found.text()
    assert "samples" in sections(text)
    where_its_tables_are = "ept" in next(r for r in machine.records if r.kind == "vm-start")
    # At this very moment it may be the hypervisor that runs.
    if where_its_tables_are and "CPU 0 runs it in long mode" in text:
        (here,) = (
            line for line in sections(text)["code of guest spin"].splitlines() if "=>" in line
        )
        assert "pause" in here or "jmp" in here


def test_a_triple_fault_leaves_registers_and_code(any_engine: Engine, start_machine: Start) -> None:
    machine = start_machine(any_engine, "triple-fault")
    with pytest.raises(RunEnded) as caught:
        machine.wait()
    found = postmortem.examine(machine, caught.value)
    assert found is not None
    part = sections(found.text())
    assert "rip" in part["CPU 0"]
    assert "=>" in part["code of CPU 0"]


def test_every_processor_is_there(any_engine: Engine, start_machine: Start) -> None:
    from harness.engines.base import Boot

    image = start_machine(any_engine, "spin").boot.image
    machine = start_machine(any_engine, "", boot=Boot(image, cpus=2), limit=0.7)
    with pytest.raises(RunEnded) as caught:
        machine.wait(timeout=1000)
    found = postmortem.examine(machine, caught.value)
    assert found is not None
    part = sections(found.text())
    assert "runs in root mode" in part["CPU 0"]
    assert "waits to be started" in part["CPU 1"]


def test_an_engine_that_is_dead_leaves_what_is_known(
    any_engine: Engine, start_machine: Start
) -> None:
    machine = start_machine(any_engine, "spin")
    machine.expect("spinning")
    os.kill(machine.running.process.pid, signal.SIGKILL)
    with pytest.raises(RunEnded) as caught:
        machine.wait()
    assert caught.value.verdict is Verdict.ENGINE_DIED
    found = postmortem.examine(machine, caught.value)
    assert found is not None
    assert "the emulator has ended" in found.text()


def test_a_stopped_emulator_is_not_asked(any_engine: Engine, start_machine: Start) -> None:
    machine = start_machine(any_engine, "spin", limit=0.5)
    machine.expect("spinning")
    os.kill(machine.running.process.pid, signal.SIGSTOP)
    with pytest.raises(RunEnded) as caught:
        machine.wait(timeout=1000)
    found = postmortem.examine(machine, caught.value)
    assert found is not None
    assert "the emulator is stopped by a signal" in found.text()


def test_a_bad_request_has_no_post_mortem(any_engine: Engine, start_machine: Start) -> None:
    machine = start_machine(any_engine, "spin")
    assert postmortem.examine(machine, RunEnded(Verdict.BAD_USAGE, "no")) is None


def test_records_that_lie_do_no_harm(any_engine: Engine, start_machine: Start) -> None:
    """A kernel may write any record: none of its values is trusted."""
    from harness.records import Record

    machine = start_machine(any_engine, "spin")
    machine.expect("spinning")
    lie = {"registers": {"rip": [1], "rsp": "0x1" * 40, "\x1b": "0x0"}, "rip": "-1", "stack": "x"}
    crash = lie | {
        "guest": "\x1b[2J",
        "reason": {"a": 1},
        "code": "zz",
        "frames": [None],
        "ept": [],
    }
    crash |= {"address": "0x0", "ept": {"entries": [-1, "0x1"], "misconfigured": "\x1b"}}
    machine.records.append(Record(0, "panic", lie))
    machine.records.append(Record(1, "crash", crash))
    found = postmortem.examine(machine, RunEnded(Verdict.PANIC, "\x1b[2J"))
    assert found is not None
    assert "\x1b" not in found.text()
    assert "\x1b" not in "".join(found.page())


def test_a_test_that_fails_shows_the_post_mortem_of_its_machine(
    pytester_run: Callable[[str], str],
) -> None:
    output = pytester_run(
        "def test_it(boot_machine):\n"
        "    machine = boot_machine(modules=['cpuid'], command_line='debug=null-in-exit')\n"
        "    machine.expect_record('done', status='ok')\n"
    )
    assert "post-mortem (" in output
    assert "registers at the trap:" in output
    assert "=> " in output


@pytest.fixture
def pytester_run(tmp_path: Path) -> Callable[[str], str]:
    """Run a test module with the plugin in a pytest of its own; what it printed."""
    from tests.conftest import Hv

    def run(source: str) -> str:
        path = tmp_path / "test_inner.py"
        path.write_text(source)
        root = Path(__file__).parents[2]
        return Hv(root).pytest("-q", "--rootdir", str(tmp_path), str(path)).stdout

    return run


@pytest.mark.parametrize(("engine", "cpu"), [("qemu-tcg", None), ("bochs", "ryzen")])
def test_under_amd_v_the_current_vmcb_is_decoded(
    boot_machine: BootMachine, engine: str, cpu: str | None
) -> None:
    machine = boot_machine(
        modules=["spin"], engine=engine, cpu=cpu, requires=["svm", "npt"], limit=1.5
    )
    with pytest.raises(RunEnded) as caught:
        machine.wait(timeout=1000)
    found = postmortem.examine(machine, caught.value)
    assert found is not None
    (vmcb,) = (one.data for one in found.sections if one.title == "current VMCB")
    start = machine.expect_record("vm-start", guest="spin")
    assert int(vmcb["control.n_cr3"], 16) == int(start["npt"]["root"], 16)
    assert vmcb["state.cr3"] == "0x1000"


@EVERYWHERE
def test_the_last_exits_of_a_processor_are_there_without_being_asked_for(
    boot_machine: BootMachine, where: Where
) -> None:
    machine = boot_machine(
        modules=["spin", "panic"],
        command_line="debug=panic",
        engine=where.engine,
        cpu=where.cpu,
        requires=["virtualization"],
    )
    with pytest.raises(RunEnded) as caught:
        machine.wait()
    found = postmortem.examine(machine, caught.value)
    assert found is not None
    (section,) = (one for one in found.sections if one.title.startswith("last "))
    older = sum(trace.fetch(machine.read_physical, machine.boot.image).overwritten)
    assert older > 0
    assert section.title == f"last 32 exits of CPU 0, newest first, after {older} older ones"
    assert len(section.lines) == 32
    assert section.data[0]["guest"] == "panic"
    assert section.data[0]["cycles"] is None, "it was in this exit's handler"
    assert "panic  hypercall panic " in section.lines[0]
    assert section.lines[0].endswith("not done")
    times = [one["time"] for one in section.data]
    assert times == sorted(times, reverse=True)
    assert {one["guest"] for one in section.data} <= {"spin", "panic"}, "whoever had the processor"


def test_a_hypervisor_that_keeps_no_exits_is_said_to_keep_none(hv_scenario: RunScenario) -> None:
    outcome = hv_scenario("cpuid", append="debug=null-in-exit trace=off")
    text, _ = files(outcome)
    assert "booted without trace=" in sections(text)["last exits"]
