"""What goes wrong with the appliance, or in it: one sentence at once, and the next run works."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from harness.appliance import session
from harness.engines.qemu_kvm_in_bochs import QemuKvmInBochs
from harness.pytest_plugin import BootMachine
from harness.verdict import RunEnded, Verdict
from tests.conftest import Hv

ENGINE = "qemu-kvm-in-bochs"
RUN_WITHIN = 400.0  # seconds; two of them on a busy host

pytestmark = pytest.mark.appliance


def test_a_qemu_that_dies_at_once_says_why_and_leaves_the_appliance_to_the_next(
    boot_machine: BootMachine,
) -> None:
    machine = boot_machine(modules=["hello"], engine=QemuKvmInBochs(extra=("-no-such-option",)))
    with pytest.raises(RunEnded, match="no-such-option") as caught:
        machine.wait()
    assert caught.value.verdict is Verdict.ENGINE_DIED
    bochs = machine.running.process.pid
    following = boot_machine(modules=["hello"], engine=ENGINE)
    assert following.running.process.pid == bochs
    assert following.expect_record("done")["status"] == "ok"


def test_bochs_killed_in_the_middle_is_said_at_once_and_the_next_run_gets_a_new_one(
    boot_machine: BootMachine,
) -> None:
    machine = boot_machine(modules=["spin"], engine=ENGINE, limit=60)
    machine.expect("hv: Vanderpool")
    os.kill(machine.running.process.pid, signal.SIGKILL)
    with pytest.raises(RunEnded, match="the appliance was killed by SIGKILL") as caught:
        machine.wait(timeout=30)
    assert caught.value.verdict is Verdict.ENGINE_DIED
    following = boot_machine(modules=["hello"], engine=ENGINE)
    assert following.running.process.pid != machine.running.process.pid
    assert following.expect_record("done")["status"] == "ok"


def test_a_second_machine_at_a_time_is_refused_in_one_process(boot_machine: BootMachine) -> None:
    boot_machine(modules=["spin"], engine=ENGINE)
    with pytest.raises(RunEnded, match="one machine at a time") as caught:
        boot_machine(modules=["hello"], engine=ENGINE)
    assert caught.value.verdict is Verdict.BAD_USAGE


@pytest.fixture
def alone(hv: Hv, monkeypatch: pytest.MonkeyPatch) -> Hv:
    """``hv`` with an appliance of its own, whose parts are there already."""
    available = QemuKvmInBochs().availability()
    if not available.usable:
        pytest.skip(available.reason)
    from harness import project

    monkeypatch.delenv(session.VARIABLE, raising=False)
    (hv.root / "build" / "appliance").symlink_to(project.root() / "build" / "appliance")
    return hv


def test_nothing_is_left_of_an_appliance_whose_harness_is_killed(alone: Hv) -> None:
    running = alone.start("run", "hello", "--engine", ENGINE)
    assert running.stdout is not None
    while "starting the appliance" not in running.stdout.readline():
        assert running.poll() is None
    everything = alone.processes()
    assert len(everything) >= 2
    running.kill()
    running.communicate()
    assert alone.end_of(everything)
    assert alone.end_of(alone.processes())


def test_an_appliance_that_can_not_start_is_said_in_its_own_words(alone: Hv) -> None:
    done = alone("run", "hello", "--engine", ENGINE, BOCHS=str(a_bochs_that_dies(alone.root)))
    assert done.returncode == Verdict.ENGINE_DIED.exit_code, done.stdout
    assert "no oil left" in done.stdout + done.stderr


def a_bochs_that_dies(directory: Path) -> Path:
    program = directory / "dying"
    program.write_text('#!/bin/sh\necho "no oil left" >&2\nexit 1\n')
    program.chmod(0o755)
    return program


def test_two_runs_at_a_time_have_an_appliance_each(alone: Hv) -> None:
    both = [alone.start("run", "hello", "--engine", ENGINE) for _ in range(2)]
    said = [running.communicate(timeout=RUN_WITHIN)[0] for running in both]
    for running, text in zip(both, said, strict=True):
        assert running.returncode == 0, text
        assert "under KVMKVMKVM" in text
        assert "starting the appliance" in text  # nobody waits in silence
