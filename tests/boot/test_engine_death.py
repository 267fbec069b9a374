"""An engine that dies, hangs, or was never there: always one sentence, never a hanging harness."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import choose
from harness.engines import bochs_process, bochs_running, qemu_running
from harness.engines.base import Boot, EndKind, Engine, Module
from harness.machine import Machine
from harness.verdict import RunEnded, Verdict

Start = Callable[..., Machine]
Kernel = Callable[[str], Path]

VARIABLES = {"bochs": "BOCHS", "qemu-tcg": "QEMU"}


def a_program(path: Path, text: str) -> Path:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def test_a_missing_engine_names_what_to_install(
    any_engine: Engine, start_machine: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert not any_engine.availability().usable
    boot = Boot(Path(__file__).parent.parent.parent / "build" / "probe.elf")
    with pytest.raises(RunEnded, match="is not installed; to get it: apt install ") as caught:
        start_machine(any_engine, "", boot=boot)
    assert caught.value.verdict is Verdict.ENGINE_MISSING


def test_a_variable_that_names_no_program_is_named(
    any_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLES[any_engine.name], "/nonexistent/emulator")
    available = any_engine.availability()
    assert not available.usable
    assert "/nonexistent/emulator" in available.reason


def test_an_engine_that_dies_at_once_gets_its_last_words_heard(
    any_engine: Engine, start_machine: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = a_program(tmp_path / "qemu-dying", 'echo "qemu-dying: no oil left" >&2\nexit 1\n')
    monkeypatch.setenv(VARIABLES[any_engine.name], str(dying))
    with pytest.raises(RunEnded, match=r"ended by itself: .*no oil left") as caught:
        start_machine(any_engine, "spin").wait()
    assert caught.value.verdict is Verdict.ENGINE_DIED


def test_an_engine_that_never_connects_is_given_up(
    start_machine: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = a_program(tmp_path / "idle", f"echo $$ > {tmp_path}/pid\nexec sleep 1000\n")
    monkeypatch.setenv("BOCHS", str(idle))
    monkeypatch.setattr(bochs_process, "CONNECTED_WITHIN", 0.5)
    with pytest.raises(RunEnded, match="did not connect its serial ports") as caught:
        start_machine(choose.engine("bochs"), "spin")
    assert caught.value.verdict is Verdict.ENGINE_DIED
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_an_unknown_cpu_model_is_named(
    bochs: Engine, qemu: Engine, start_machine: Start, kernel: Kernel
) -> None:
    boot = Boot(kernel("spin"), cpu_model="abacus")
    with pytest.raises(RunEnded, match="no CPU model 'abacus'") as caught:
        start_machine(bochs, "spin", boot=boot)
    assert caught.value.verdict is Verdict.BAD_USAGE
    with pytest.raises(RunEnded, match=r"ended by itself: .*CPU model 'abacus'") as caught:
        start_machine(qemu, "spin", boot=boot).wait()
    assert caught.value.verdict is Verdict.ENGINE_DIED


def test_an_engine_that_is_killed_is_not_a_machine_that_powered_off(
    any_engine: Engine, start_machine: Start
) -> None:
    machine = start_machine(any_engine, "spin")
    machine.expect("spinning")
    os.kill(machine.running.process.pid, signal.SIGKILL)
    with pytest.raises(RunEnded, match="ended by itself: killed by SIGKILL") as caught:
        machine.expect("never")
    assert caught.value.verdict is Verdict.ENGINE_DIED


def test_an_engine_that_stops_answering_is_killed(
    any_engine: Engine, start_machine: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = start_machine(any_engine, "spin")
    machine.expect("spinning")
    machine.pause()
    monkeypatch.setattr(bochs_running, "ANSWER_WITHIN", 0.2)
    monkeypatch.setattr(qemu_running, "ANSWER_WITHIN", 0.2)
    os.kill(machine.running.process.pid, signal.SIGSTOP)
    with pytest.raises(RunEnded, match="answer") as caught:
        machine.registers()
    assert caught.value.verdict is Verdict.ENGINE_DIED
    assert machine.running.process.poll() is not None


def test_leaving_a_machine_ends_and_reaps_its_engine(
    any_engine: Engine, kernel: Kernel, tmp_path: Path
) -> None:
    with Machine.start(any_engine, Boot(kernel("spin")), tmp_path / "m") as machine:
        machine.expect("spinning")
        process = machine.running.process
    assert process.poll() is not None
    assert machine.end is not None
    assert machine.end.kind is EndKind.KILLED
    machine.kill()  # once more does no harm


def test_the_same_bad_image_gives_the_same_sentence_everywhere(
    start_machine: Start, kernel: Kernel, tmp_path: Path
) -> None:
    (tmp_path / "big").write_bytes(bytes(3 << 20))
    boots = {
        "does not exist": Boot(tmp_path / "nothing"),
        "no multiboot 1 header": Boot(tmp_path / "big"),
        "does not fit in 4 MiB": Boot(
            kernel("args"), modules=(Module(tmp_path / "big", "big"),), memory_mib=4
        ),
        "control character": Boot(kernel("args"), "two\nlines"),
        "MiB of memory can't be given": Boot(kernel("args"), memory_mib=1),
        "CPUs can't be given": Boot(kernel("args"), cpus=1000),
    }
    for sentence, boot in boots.items():
        said = set()
        for name in ("bochs", "qemu-tcg"):
            with pytest.raises(RunEnded, match=sentence) as caught:
                start_machine(choose.engine(name), "", boot=boot)
            assert caught.value.verdict is Verdict.BAD_USAGE
            said.add(caught.value.sentence)
        assert len(said) == 1


OLD_QEMU = """case "$*" in --version) echo "QEMU emulator version 4.2.1 (Debian)"; exit 0;; esac
echo "qemu-system-x86_64: -action: invalid option" >&2
exit 1
"""


def test_an_old_qemu_is_told_from_a_broken_one(
    start_machine: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = a_program(tmp_path / "qemu-system-x86_64", OLD_QEMU)
    monkeypatch.setenv("QEMU", str(old))
    with pytest.raises(RunEnded) as caught:
        start_machine(choose.engine("qemu-tcg"), "spin").wait()
    assert caught.value.verdict is Verdict.ENGINE_DIED
    assert caught.value.sentence.endswith("qemu 4.2.1 is too old: 6.0 or newer is needed.")
    new = OLD_QEMU.replace("4.2.1", "9.2.0")
    monkeypatch.setenv("QEMU", str(a_program(tmp_path / "new", new)))
    with pytest.raises(RunEnded, match=r"ended by itself: .*-action: invalid option"):
        start_machine(choose.engine("qemu-tcg"), "spin").wait()


def test_a_qemu_that_closes_its_control_channel_is_ended(
    start_machine: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import os, re, signal, sys; fd = re.search(r'socket,fd=(\\d+)', ' '.join(sys.argv))[1]"
    code += "; os.close(int(fd)); signal.pause()"
    closing = f'exec {sys.executable} -c "{code}" "$@"\n'
    monkeypatch.setenv("QEMU", str(a_program(tmp_path / "closing", closing)))
    machine = start_machine(choose.engine("qemu-tcg"), "spin")
    with pytest.raises(RunEnded, match="ended by itself: it closed its QMP") as caught:
        machine.expect("anything", timeout=30)
    assert caught.value.verdict is Verdict.ENGINE_DIED
    assert machine.running.process.poll() is not None


def test_a_memory_file_that_cant_be_made_is_one_sentence(
    qemu: Engine, start_machine: Start, kernel: Kernel
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, limits[1]))
    try:
        with pytest.raises(RunEnded, match=r"a file of 128 MiB .* can't be made: ") as caught:
            start_machine(qemu, "spin", boot=Boot(kernel("spin")))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.verdict is Verdict.BAD_USAGE
