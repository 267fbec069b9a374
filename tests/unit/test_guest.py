"""What a scenario says about its guests, and the boot modules and the machine that come of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import guest, project, scenario
from harness.engines.base import Module
from harness.verdict import RunEnded, Verdict

TOP = 'description = "x"\n'


def load(directory: Path, text: str) -> scenario.Scenario:
    path = directory / "one.toml"
    path.write_text(TOP + text, encoding="utf-8")
    return scenario.load(path)


def complaint(directory: Path, text: str) -> str:
    with pytest.raises(RunEnded) as caught:
        load(directory, text)
    assert caught.value.verdict is Verdict.BAD_USAGE
    return caught.value.sentence.removeprefix(str(directory / "one.toml"))


LINUX_AND_MACH = """
[[guest]]
image = "linux"
boot = "linux"
cmdline = 'console=ttyS0 name=fake dyndbg="file a.c +p"'
initrd = "linux-init.cpio"
options = { memory = "128M" }
[[guest]]
image = "mach"
boot = "multiboot"
cmdline = "console=com0"
modules = ["mach-task.elf $(task-create) $(task-resume)", "./own file"]
options = { memory = "32M" }
[[guest]]
image = "linux"
name = "twin"
boot = "linux"
initrd = "linux-init.cpio"
"""


def test_guests_of_all_protocols_become_module_strings(tmp_path: Path) -> None:
    linux, mach, twin = load(tmp_path, LINUX_AND_MACH).guests
    assert linux.path == project.guest_file("linux")
    assert linux.module_string == (
        "linux name=linux memory=128M boot=linux"
        r' cmdline="console=ttyS0 name=fake dyndbg=\"file a.c +p\"" initrd=linux-init.cpio'
    )
    assert mach.module_string == (
        "mach name=mach memory=32M boot=multiboot cmdline=console=com0"
        ' module="mach-task.elf $(task-create) $(task-resume)" module="own file"'
    )
    assert twin.module_string == "linux name=twin boot=linux initrd=linux-init.cpio"


def test_a_file_that_several_guests_name_is_one_module_after_all_guests(tmp_path: Path) -> None:
    modules = guest.boot_modules(load(tmp_path, LINUX_AND_MACH).guests)
    assert [module.path.name for module in modules] == [
        *("linux", "mach", "linux"),
        *("linux-init.cpio", "mach-task.elf", "own"),
    ]
    assert modules[3].string == "linux-init.cpio"
    assert [guest.is_guest(module, modules) for module in modules] == [True] * 3 + [False] * 3


def test_a_machine_holds_its_guests_their_files_and_the_hypervisor(tmp_path: Path) -> None:
    def machine(*memories: str, files: int = 0) -> int:
        file = tmp_path / "file"
        with file.open("wb") as out:
            out.truncate(files)
        guests = [guest.Guest(file, str(n), (("memory", m),)) for n, m in enumerate(memories)]
        return guest.machine_memory(guests, guest.boot_modules(guests))

    assert machine("4M") == guest.LEAST_MACHINE
    for memories, files in [(("128M",), 14 << 20), (("128M", "32M", "8M"), 30 << 20), (("2G",), 0)]:
        need = sum(guest.size(one) or 0 for one in memories) + files * len(memories)
        assert need + (16 << 20) < machine(*memories, files=files) << 20 < need + (160 << 20)
    assert machine("nonsense") == guest.LEAST_MACHINE


def test_a_machine_has_room_for_memory_that_begins_at_a_large_page(tmp_path: Path) -> None:
    def machine(pages: str) -> int:
        options = (("memory", "1G"), ("pages", pages))
        return guest.machine_memory([guest.Guest(tmp_path, "one", options)], [])

    assert machine("4K") == machine("2M") < 1200
    assert machine("1G") >= 2048


@pytest.mark.parametrize(
    ("text", "number"),
    [("128M", 128 << 20), ("0x10k", 16384), ("5", 5), ("1G", 1 << 30), ("", None), ("M", None),
     ("1T", None), ("-1", None), ("1 M", None), ("\u0663", None)],
)  # fmt: skip
def test_sizes_are_read_as_the_hypervisor_reads_them(text: str, number: int | None) -> None:
    assert guest.size(text) == number


def test_a_module_that_has_no_file_name_is_a_guest() -> None:
    bare = Module(Path("x"), "")
    assert guest.is_guest(bare, [bare])
    named = Module(Path("x"), 'x boot=linux cmdline="initrd=x" ')
    assert guest.is_guest(named, [named])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('boot = "lilo"\n', ":4: `boot` can't be 'lilo'; known: flat, linux, multiboot"),
        ('cmdline = "x"\n', ":4: `cmdline` is nothing for boot = 'flat'"),
        ('initrd = "x"\n', ":4: `initrd` is nothing for boot = 'flat'"),
        ('boot = "multiboot"\ninitrd = "x"\n', ":5: `initrd` is nothing for boot = 'multiboot'"),
        ('boot = "linux"\nmodules = ["x"]\n', ":5: `modules` is nothing for boot = 'linux'"),
        ('boot = "linux"\nmodules = "x"\n', ":5: `modules` must be a list of strings"),
        ('boot = "linux"\ninitrd = ["x"]\n', ":5: `initrd` must be a string, not a list"),
        ('boot = "linux"\ninitrd = ""\n', ":5: `initrd` names no file"),
        ('boot = "linux"\ninitrd = "x/"\n', ":5: `initrd` names no file"),
        ('boot = "multiboot"\nmodules = [" "]\n', ":5: `modules` names no file"),
        ('boot = "linux"\ncmdline = "a\\nb"\n', ":5: `cmdline` can't be told to the hypervisor"),
        ('boot = "linux"\ninitrd = "a\\u0000b"\n', ":5: `initrd` can't be told to the hypervisor"),
        ('boot = "linux"\ninitrd = "./one"\n', ":2: another module is called 'one' too"),
        (
            'boot = "multiboot"\nmodules = ["./x", "y/x"]\n',
            ":2: another module is called 'x' too",
        ),
    ],
)
def test_a_wrong_guest_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    assert complaint(tmp_path, '[[guest]]\nimage = "./one"\n' + text).startswith(said)
