"""The appliance itself: that it comes up and runs programs, and what is said where it can't."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import choose, cpio
from harness.appliance import assemble as assembling
from harness.appliance import boot, kernel, system
from harness.appliance.agent import Agent, Ended
from harness.appliance.assemble import Parts, assemble
from harness.appliance.boot import Appliance
from harness.engines import bochs_process
from harness.verdict import RunEnded, Verdict

pytestmark = pytest.mark.appliance

UP_AGAIN = 120.0  # seconds for one request, on a busy host


@pytest.fixture(scope="module")
def parts(request: pytest.FixtureRequest) -> Parts:
    for found in (assembling.availability(), choose.engine("bochs").availability()):
        if not found.usable:
            pytest.skip(found.reason)
    return assemble(print)


@pytest.fixture(scope="module")
def appliance(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    directory = tmp_path_factory.mktemp("appliance")
    brought = directory / "brought"
    brought.write_bytes(b"from the start")
    with boot.start(parts, directory, {"brought.txt": brought}) as running:
        yield running


@pytest.fixture(scope="module")
def agent(appliance: Appliance) -> Agent:
    return Agent(appliance.control)


def test_it_comes_up_and_runs_qemu(appliance: Appliance, agent: Agent) -> None:
    agent.run("version", [str(system.qemu()), "--version"], appliance.ports)
    agent.wait(lambda: agent.ended is not None, UP_AGAIN, "no end")
    assert agent.ended == Ended("version", "exit", 0)
    assert agent.log[0].startswith("QEMU emulator version")


def test_its_kernel_is_the_one_that_was_assembled(parts: Parts, appliance: Appliance) -> None:
    assert appliance.ready.kernel in parts.versions["kernel"]


def test_files_are_there_from_the_start_and_can_be_brought_later(
    appliance: Appliance, agent: Agent
) -> None:
    assert agent.have("brought.txt") == len(b"from the start")
    agent.put("later", bytes(range(256)) * 8)
    assert agent.have("later") == 2048
    over_disk = Agent(appliance.control, appliance.disk)
    over_disk.put("large", os.urandom(3_000_000))
    assert agent.have("large") == 3_000_000


def test_qemu_in_it_has_kvm_and_speaks_over_the_serial_lines(
    appliance: Appliance, agent: Agent
) -> None:
    argv = [
        str(system.qemu()), "-nodefaults", "-no-user-config", "-display", "none",
        "-machine", "q35,accel=kvm", "-cpu", "host,enforce", "-m", "16", "-S",
        "-chardev", "serial,id=qmp,path=/dev/ttyS3", "-mon", "chardev=qmp,mode=control",
    ]  # fmt: skip
    qmp = appliance.ports[2]
    qmp.settimeout(UP_AGAIN)
    agent.run("kvm", argv, appliance.ports)
    with qmp.makefile("rb") as lines:
        assert lines.readline().startswith(b'{"QMP"'), list(agent.log)
    agent.kill("kvm")
    agent.wait(lambda: agent.ended is not None, UP_AGAIN, "no end")
    assert agent.ended == Ended("kvm", "signal", signal.SIGKILL)
    # What it had still to say belongs to it, and not to the next run.
    agent.run("next", [str(system.qemu()), "--version"], appliance.ports)
    agent.wait(lambda: agent.ended is not None, UP_AGAIN, "no end")


def test_qemu_that_dies_at_once_says_why(appliance: Appliance, agent: Agent) -> None:
    agent.run("bad", [str(system.qemu()), "-machine", "no-such-machine"], appliance.ports)
    agent.wait(lambda: agent.ended is not None, UP_AGAIN, "no end")
    assert agent.ended == Ended("bad", "exit", 1)
    assert any("unsupported machine type" in line for line in agent.log)


Broken = Callable[[dict[str, cpio.Entry]], Parts]


@pytest.fixture
def with_initramfs(parts: Parts, tmp_path: Path) -> Broken:
    """The appliance's parts with another initramfs."""

    def make(contents: dict[str, cpio.Entry]) -> Parts:
        initramfs = tmp_path / "initramfs"
        with initramfs.open("wb") as out:
            cpio.write(out, contents)
        return Parts(parts.vmlinux, initramfs, "broken", parts.versions)

    return make


def test_a_damaged_initramfs_shows_the_tail_of_the_console(parts: Parts, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_bytes(parts.initramfs.read_bytes()[:5000] + os.urandom(5000))
    with pytest.raises(RunEnded, match=r"did not come up: .*Kernel panic") as caught:
        boot.start(Parts(parts.vmlinux, damaged, "damaged", {}), tmp_path, {}).close()
    assert caught.value.verdict is Verdict.ENGINE_DIED
    assert any("Kernel panic" in line for line in caught.value.evidence)


def test_a_module_that_linux_does_not_take_is_named(with_initramfs: Broken, tmp_path: Path) -> None:
    contents: dict[str, cpio.Entry] = {"/init": cpio.File(assembling._agent(tmp_path), 0o755)}
    (tmp_path / "module").write_bytes(b"no module")
    for name in kernel.MODULES:
        contents[f"/modules/{name}.ko"] = cpio.File(tmp_path / "module")
    with pytest.raises(RunEnded, match=r"can't work: /modules/irqbypass\.ko: ") as caught:
        boot.start(with_initramfs(contents), tmp_path, {}).close()
    assert caught.value.verdict is Verdict.ENGINE_DIED


def test_a_bochs_that_is_killed_while_it_starts_is_noticed_at_once(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = bochs_process.start

    def kill_it(*arguments: object) -> bochs_process.Started:
        started = start(*arguments)  # type: ignore[arg-type]
        started.process.kill()
        return started

    monkeypatch.setattr(bochs_process, "start", kill_it)
    with pytest.raises(RunEnded, match="did not come up: killed by SIGKILL") as caught:
        boot.start(parts, tmp_path, {})
    assert caught.value.verdict is Verdict.ENGINE_DIED


def test_a_name_that_could_leave_the_store_is_refused(parts: Parts, tmp_path: Path) -> None:
    with pytest.raises(RunEnded, match="no plain name") as caught:
        boot.start(parts, tmp_path, {"../init": parts.initramfs})
    assert caught.value.verdict is Verdict.BAD_USAGE


def test_when_bochs_is_killed_the_next_request_says_so(appliance: Appliance, agent: Agent) -> None:
    appliance.process.kill()
    with pytest.raises(RunEnded, match="ended by itself"):
        agent.have("brought.txt")
