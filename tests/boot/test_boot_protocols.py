"""Guests by the Linux and multiboot protocols get what their scenario says, to the last character.

The guest is hv/guests/boot-protocols.S, a kernel of both kinds, which prints what it was handed.
"""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import project
from harness.engines.base import Module
from harness.pytest_plugin import BootMachine, RunScenario
from tests.boot.where import EVERYWHERE, Where

ROOT = Path(__file__).parents[2]
IMAGE = project.guest("boot-protocols")
TRICKY = r"""quote="a b" $(reboot) `id` $HOME,comma,,comma \n 'single' 100% #not =x= "two" é"""
DATA = bytes(range(256)) * 20 + b"odd"


def facts(of: bytes) -> str:
    return f"{len(of):08x} {sum(of):08x}"


def scenario(directory: Path, *guests: dict[str, Any], **top: Any) -> Path:
    """A scenario file; JSON's strings and lists are TOML's too."""

    def table(values: dict[str, Any]) -> str:
        return "".join(
            f"{key} = {{ memory = {json.dumps(value)} }}\n"
            if key == "options"
            else f"{key} = {json.dumps(value, ensure_ascii=False)}\n"
            for key, value in values.items()
        )

    text = table({"description": "x", "requires": ["virtualization"], **top})
    for guest in guests:
        text += "[[guest]]\n" + table({"image": str(IMAGE), "options": "8M", **guest})
    path = directory / "one.toml"
    path.write_text(text, encoding="utf-8")
    return path


def said(directory: Path | None, guest: str) -> list[str]:
    """The lines of one guest."""
    assert directory is not None
    console = (directory / "console.log").read_text(encoding="utf-8", errors="replace")
    return re.findall(rf"^{guest}\| (.*?)\r?$", console, re.MULTILINE)


def both_kinds(directory: Path) -> Path:
    """A Linux guest and a multiboot one, which share a file."""
    (directory / "data.img").write_bytes(DATA)
    (directory / "more.img").write_bytes(b"more")
    modules = ["./data.img $(task-create) $(task-resume)", './more.img "a b",c \\', "./data.img"]
    return scenario(
        directory,
        {"name": "linux", "boot": "linux", "cmdline": TRICKY, "initrd": "./data.img"},
        {"name": "multi", "boot": "multiboot", "cmdline": TRICKY, "modules": modules},
    )


def expect_both_kinds(directory: Path | None) -> None:
    end = ["memory 00800000", "bios 00000000"]
    assert said(directory, "linux") == [
        "protocol linux", f"cmdline {TRICKY}", f"file initrd {facts(DATA)}", *end
    ]  # fmt: skip
    assert said(directory, "multi") == [
        "protocol multiboot",
        f"cmdline {TRICKY}",
        f"file data.img $(task-create) $(task-resume) {facts(DATA)}",
        f'file more.img "a b",c \\ {facts(b"more")}',
        f"file data.img {facts(DATA)}",
        *end,
    ]


@EVERYWHERE
def test_a_kernel_gets_its_command_line_its_files_and_its_memory_map(
    hv_scenario: RunScenario, tmp_path: Path, where: Where
) -> None:
    outcome = hv_scenario(str(both_kinds(tmp_path)), engine=where.engine, cpu=where.cpu)
    assert outcome.as_expected, outcome.sentence
    expect_both_kinds(outcome.directory)


@pytest.mark.appliance
def test_a_kernel_gets_them_through_the_appliance_too(
    hv_scenario: RunScenario, tmp_path: Path
) -> None:
    outcome = hv_scenario(str(both_kinds(tmp_path)), engine="qemu-kvm-in-bochs")
    assert outcome.as_expected, outcome.sentence
    expect_both_kinds(outcome.directory)


def test_a_replay_hands_over_the_same(hv_scenario: RunScenario, tmp_path: Path) -> None:
    outcome = hv_scenario(str(both_kinds(tmp_path)), engine="bochs")
    assert outcome.directory is not None
    script = outcome.directory / "replay.sh"
    again = subprocess.run(
        [script, "--json"],
        capture_output=True, check=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    (found,) = json.loads(again.stdout)
    assert found["tick"] == outcome.tick
    expect_both_kinds(Path(found["run_directory"]))


def test_a_dry_run_shows_each_file_once_and_what_each_kernel_is_told(tmp_path: Path) -> None:
    path = both_kinds(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", path, "--engine", "bochs", "--dry-run", "--json"],
        capture_output=True, check=True, cwd=ROOT, timeout=60,
    )  # fmt: skip
    (job,) = json.loads(done.stdout)
    names = [Path(module["path"]).name for module in job["modules"]]
    assert names == ["boot-protocols.bin", "boot-protocols.bin", "data.img", "more.img"]
    assert r"quote=\"a b\" $(reboot) `id` $HOME,comma" in job["modules"][0]["string"]


@EVERYWHERE
def test_the_longest_command_line_arrives_whole_and_a_longer_one_is_refused(
    hv_scenario: RunScenario, tmp_path: Path, where: Where
) -> None:
    longest = "".join(f"a{number:03}=" + "'x y'," * 3 + " " for number in range(120))[:2047]
    guest = {"name": "linux", "boot": "linux"}
    path = scenario(tmp_path, {**guest, "cmdline": longest})
    outcome = hv_scenario(str(path), engine=where.engine, cpu=where.cpu)
    assert outcome.as_expected, outcome.sentence
    lines = said(outcome.directory, "linux")  # the console breaks lines as long as this
    assert f"cmdline {longest}memory" in "".join(lines)
    path = scenario(tmp_path, {**guest, "cmdline": longest + "z"})
    outcome = hv_scenario(str(path), engine=where.engine, cpu=where.cpu)
    assert outcome.verdict.word == "bad-usage"
    assert "cmdline has too many characters" in outcome.sentence


def broken(directory: Path, name: str, offset: int, form: str, value: int) -> Path:
    """A copy of the image with another number at that place."""
    image = bytearray(IMAGE.read_bytes())
    struct.pack_into(form, image, offset, value)
    path = directory / f"{name}.bin"
    path.write_bytes(image)
    return path


def test_a_broken_image_stops_only_its_own_guest(boot_machine: BootMachine, tmp_path: Path) -> None:
    images = {
        "sound": IMAGE,
        "magic": broken(tmp_path, "magic", 0x202, "<I", 0x12345678),
        "syssize": broken(tmp_path, "syssize", 0x1F4, "<I", 0xFFFFFFFF),
        "setup_sects": broken(tmp_path, "setup_sects", 0x1F1, "<B", 255),
    }
    modules = [
        Module(path, f"{path.name} name={name} memory=8M boot=linux")
        for name, path in images.items()
    ]
    multi = broken(tmp_path, "load_addr", 0x400 + 4 + 16, "<I", 0xFFFFF000)
    modules.append(Module(multi, f"{multi.name} name=load_addr memory=8M boot=multiboot"))
    machine = boot_machine(modules=modules, requires=["virtualization"])
    machine.expect_record("done", status="guest-crashed")
    refused = {r["guest"]: r for r in machine.records if r.kind == "vm-refused"}
    assert refused.keys() == {"magic", "syssize", "setup_sects", "load_addr"}
    assert {record["reason"] for record in refused.values()} == {"bad-image"}
    assert refused["syssize"]["message"].startswith("syssize is 0xffffffff")
    assert refused["setup_sects"]["message"].startswith("setup_sects is 255")
    assert refused["load_addr"]["message"].startswith("load_addr 0xfffff000")
    assert "HdrS" in refused["magic"]["message"]
    assert "bios 00000000" in said(machine.directory, "sound")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("boot=linux initrd=none.img", "initrd=none.img is the name of none"),
        ("boot=linux initrd=other.bin", "names a module that has options"),
        ("initrd=data.img", "initrd= is nothing for boot=flat"),
        ("cmdline=x", "cmdline= is nothing for boot=flat"),
        ("boot=linux module=data.img", "module= is nothing for boot=linux"),
        ("boot=multiboot initrd=data.img", "initrd= is nothing for boot=multiboot"),
        ("boot=linux mode=long", "mode= is nothing for boot=linux"),
        ("boot=efi", "boot=efi is none of flat, linux, multiboot"),
        ("boot=multiboot" + " module=data.img" * 5, "module= comes more than 4 times"),
        (f'boot=multiboot module="data.img {"x" * 300}"', "more than 255 characters"),
        ('boot=linux cmdline="x', "cmdline has a quote that does not end"),
    ],
)
def test_a_wrong_word_stops_the_boot_by_name(
    boot_machine: BootMachine, tmp_path: Path, words: str, said: str
) -> None:
    data = tmp_path / "data.img"
    data.write_bytes(b"data")
    modules = [
        Module(IMAGE, f"boot-protocols.bin name=one memory=8M {words}"),
        Module(project.guest("hello"), "other.bin name=other"),
        Module(data, "data.img"),
    ]
    machine = boot_machine(modules=modules, requires=["virtualization"])
    assert said in machine.expect_record("refused", reason="bad-option")["message"]


@pytest.mark.parametrize("second", ["q name=q boot=linux initrd=p", "q"])
def test_a_guest_that_is_also_data_stops_the_boot(boot_machine: BootMachine, second: str) -> None:
    """Named by itself or by another one, it would never be started, and nobody would say so."""
    first = "p name=p boot=linux initrd=p" if second == "q" else "p name=p boot=linux initrd=q"
    machine = boot_machine(
        modules=[Module(IMAGE, first), Module(IMAGE, second)], engine="bochs",
        requires=["virtualization"],
    )  # fmt: skip
    refused = machine.expect_record("refused", reason="bad-option")
    assert "names a module that has options: p name=p" in refused["message"]


def test_guests_of_a_scenario_get_a_machine_that_holds_them(
    hv_scenario: RunScenario, tmp_path: Path
) -> None:
    guests = [{"name": f"g{n}", "boot": "linux", "options": "96M"} for n in range(2)]
    outcome = hv_scenario(str(scenario(tmp_path, *guests)))
    assert outcome.as_expected, outcome.sentence
    for guest in guests:
        assert "memory 06000000" in said(outcome.directory, str(guest["name"]))


def test_a_guest_can_have_two_gibibytes_but_not_on_bochs(
    hv_scenario: RunScenario, tmp_path: Path
) -> None:
    guest = {"name": "huge", "boot": "multiboot", "options": "2G"}
    path = scenario(tmp_path, guest, timeout=60)
    refused = hv_scenario(str(path), engine="bochs")
    assert refused.verdict.word == "bad-usage"
    assert "bochs has at most 2048 MiB" in refused.sentence
    outcome = hv_scenario(str(path), engine="qemu-tcg")
    assert outcome.as_expected, outcome.sentence
    assert "memory 80000000" in said(outcome.directory, "huge")
