"""Memory by the names of the sources, on every engine, running or frozen."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from harness import typed
from harness.engines.base import EndKind
from harness.machine import Machine
from harness.pytest_plugin import BootMachine
from harness.verdict import RunEnded, Verdict

VMX = ("vmx", "ept")


def test_structures_arrays_texts_and_enumerations_are_decoded(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["spin"], requires=VMX)
    machine.expect("spin. spinning")
    assert machine.read("vms[0].options.name") == "spin"
    options = machine.read("vms[0].options")
    assert (options["memory"], options["mode"]) == (4 << 20, "VCPU_LONG")
    assert machine.read("vms[0].end") == "VM_RUNNING"
    assert machine.read("debug") == "DEBUG_NONE"
    assert machine.read("troubled") == 0


def test_a_running_machine_is_read_as_it_runs(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["spin"], requires=VMX)
    machine.expect("spin. spinning")
    before = sum(machine.read("vms[0].exits"))
    for _ in range(400):  # a slice of a millisecond ends with an exit
        if sum(machine.read("vms[0].exits")) > before:
            return
        machine.watch(time.monotonic() + 0.02)
    pytest.fail("no exit was counted")


def test_a_frozen_machine_is_read_too(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["hello"], engine="bochs", requires=VMX)
    assert machine.wait().kind is EndKind.POWER_OFF
    stop = machine.expect_record("vm-stop", guest="hello")
    assert sum(machine.read("vms[0].exits")) == sum(stop["exits"].values())
    assert machine.read("vms[0].end") == "VM_ENDED_EXIT"


@pytest.mark.parametrize(("engine", "needs"), [("bochs", VMX), ("qemu-tcg", ("svm",))])
def test_pointers_are_followed_while_a_guest_runs_and_when_the_machine_is_paused(
    boot_machine: BootMachine, engine: str, needs: tuple[str, ...]
) -> None:
    machine = boot_machine(modules=["spin"], engine=engine, requires=needs)
    machine.expect("spin. spinning")
    assert machine.read("vms[0].vcpu->vm->options.name") == "spin"
    machine.pause()
    assert machine.read("vms[0].vcpu.vm.vcpu->state").startswith("VCPU_")
    assert isinstance(machine.read("vms[0].vcpu.registers.rax"), int)
    assert machine.read("vms[0].vcpu") == machine.read("vms[0].vcpu->vm->vcpu")
    assert machine.read("vms[0].map->nested")["root"] % 4096 == 0
    assert machine.read("vms[0].memory[0]") in range(256)


def test_memory_on_qemu_is_read_the_same_way(boot_machine: BootMachine) -> None:
    machine = boot_machine(command_line="debug=spin", engine="qemu-tcg")
    machine.expect("Vanderpool on ")
    assert machine.read("troubled") == 0
    assert machine.read("vms[0].options.name") == ""


@pytest.fixture
def machine(boot_machine: BootMachine) -> Machine:
    return boot_machine(command_line="debug=spin", engine="qemu-tcg")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("vmss[0]", "has no variable 'vmss'; did you mean 'vms'?"),
        ("vms[0].optionz", "there is no 'optionz'; did you mean 'options'?"),
        ("vms[128].end", "has no element [128]"),
        ("", "has no variable ''"),
        ("vms[0].options->name", "vms[0].options is no pointer, its members follow a dot"),
        ("vms[0].vcpu->state", "vms[0].vcpu is a null pointer"),
        ("vms[0].vcpu[3].state", "vms[0].vcpu is a null pointer"),
        ("vms[0].", "'.' is neither .NAME, ->NAME nor [N]"),
        ("vms[-1].end", "'[-1].end' is neither .NAME, ->NAME nor [N]"),
        ("vms[99999999999999999999].end", "is neither .NAME, ->NAME nor [N]"),
    ],
)
def test_a_name_that_is_not_there_is_named_with_the_nearest(
    machine: Machine, path: str, sentence: str
) -> None:
    with pytest.raises(RunEnded) as caught:
        machine.read(path)
    assert caught.value.verdict is Verdict.BAD_USAGE
    assert sentence in caught.value.sentence


def test_of_two_variables_of_one_name_neither_is_guessed(tmp_path: Path) -> None:
    compiler = shutil.which("gcc")
    assert compiler is not None
    for name, value in (("one", 1), ("two", 2)):
        text = f"static int same = {value};\nint *use_{name} = &same;\n"
        (tmp_path / f"{name}.c").write_text(text)
    subprocess.run(
        [compiler, "-g", "-O0", "-nostdlib", "-static", "-no-pie", "-Wl,-e,0",
         "-Wl,--build-id=none", "-o", "image", "one.c", "two.c"],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    image = tmp_path / "image"

    def memory(address: int, length: int) -> bytes:
        from harness.image import contents

        return contents(image, address, length)

    with pytest.raises(RunEnded, match=r"'same' is in one.c and two.c: which one .* can't be told"):
        typed.read(memory, image, "same")
