"""Every request that can't be carried out gets one sentence and an exit code, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Hv

GOOD = 'description = "x."\n[[guest]]\nimage = "hello"\n'


def complaint(hv: Hv, code: int, *words: str | Path, **env: str) -> str:
    done = hv(*words, **env)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said
    return said


def test_an_unknown_scenario_gets_the_nearest_name(hv: Hv) -> None:
    said = complaint(hv, 2, "run", "ept-escap")
    assert said == "hv: there is no scenario 'ept-escap'; did you mean 'ept-escape'?\n"


def test_nothing_runs_when_one_of_several_names_is_unknown(hv: Hv) -> None:
    complaint(hv, 2, "run", "hello", "helo")
    assert not (hv.root / "build" / "runs").exists()


def test_an_unknown_scenario_is_still_one_json_document(hv: Hv) -> None:
    done = hv("run", "helo", "--json")
    (outcome,) = json.loads(done.stdout)
    assert (done.returncode, outcome["verdict"], outcome["exit_code"]) == (2, "bad-usage", 2)


def test_malformed_toml_is_named_with_file_and_line(hv: Hv) -> None:
    path = hv.scenario("broken", 'description = "x."\ntags = [\n"a"\ntimeout = 3\n')
    assert f"{path}:4: " in complaint(hv, 2, "run", path)


def test_a_list_with_a_broken_file_shows_the_others_and_fails(hv: Hv) -> None:
    (hv.root / "tests" / "scenarios").unlink()
    place = hv.root / "tests" / "scenarios"
    place.mkdir()
    (place / "good.toml").write_text(GOOD)
    (place / "bad.toml").write_text("nonsense = 1\n")
    said = complaint(hv, 2, "list")
    assert "good      x." in said
    assert "bad.toml:1: unknown key 'nonsense'" in said


def test_an_unknown_tag_names_those_that_there_are(hv: Hv) -> None:
    assert "did you mean 'demo'?" in complaint(hv, 2, "list", "--tag", "dmeo")


def test_an_image_that_is_not_built_says_what_builds_it(hv: Hv) -> None:
    (hv.root / "build" / "vanderpool.elf").unlink()
    assert "vanderpool.elf is missing; `make` builds it" in complaint(hv, 2, "run", "hello")


def test_a_guest_without_an_image_is_named(hv: Hv) -> None:
    path = hv.scenario("ghost", GOOD.replace("hello", "ghost"))
    said = complaint(hv, 2, "run", path)
    assert "guest 'ghost' has no image" in said


def test_an_image_that_is_older_than_its_sources_is_stale(hv: Hv) -> None:
    image = hv.root / "build" / "vanderpool.elf"
    content = image.read_bytes()
    image.unlink()
    image.write_bytes(content)
    (hv.root / "Makefile").write_text("build/vanderpool.elf: source.c\n\tfalse\n")
    (hv.root / "source.c").touch()
    os.utime(image, (1, 1))
    assert "older than its sources" in complaint(hv, 9, "run", "hello")


@pytest.mark.usefixtures("bochs_here")
def test_a_run_directory_that_is_taken_is_left_alone(hv: Hv) -> None:
    place = hv.root / "place"
    place.mkdir()
    (place / "mine").touch()
    assert "is taken" in complaint(hv, 2, "run", "hello", "--run-dir", place)
    assert [path.name for path in place.iterdir()] == ["mine"]


def test_one_run_directory_does_not_hold_two_runs(hv: Hv) -> None:
    assert "one scenario" in complaint(hv, 2, "run", "hello", "demo", "--run-dir", "x")


def test_a_missing_engine_says_what_to_install(hv: Hv) -> None:
    said = complaint(hv, 8, "run", "hello", "--engine", "bochs", PATH=str(hv.root))
    assert "bochs" in said
    assert "install" in said


def test_an_engine_without_what_the_scenario_requires_is_no_fit(hv: Hv) -> None:
    said = complaint(hv, 8, "run", "hello", "--engine", "qemu-tcg", "--cpu", "Nehalem")
    assert "its CPU Nehalem has no virtualization" in said or "not installed" in said


@pytest.mark.usefixtures("qemu_here")
def test_an_engine_that_dies_at_once_is_quoted(hv: Hv) -> None:
    fake = hv.root / "qemu"
    fake.write_text("#!/bin/sh\necho 'qemu: the moon is in the wrong phase' >&2\nexit 1\n")
    fake.chmod(0o755)
    said = complaint(hv, 7, "run", "no-vmx", QEMU=str(fake))
    assert "engine-died  no-vmx on qemu-tcg" in said
    assert "the moon is in the wrong phase" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["boot", "nothing.elf"], "there is no kernel nothing.elf"),
        (["boot", "/bin/sh"], "multiboot"),
        (["boot", "build/probe.elf", "--module", "none a=b"], "there is no module none"),
        (["boot", "build/probe.elf", "--module", " "], "--module needs a file"),
        (["boot", "build/probe.elf", "--expect", "("], "is not a regular expression"),
        (["boot", "build/probe.elf", "--smp", "0"], "--smp"),
        (["boot", "build/probe.elf", "--timeout", "-1"], "--timeout"),
        (["run", "spin", "--timeout", "nan"], "nan is no number of seconds"),
        (["run", "hello", "--engine", "vmware"], "--engine"),
        (["run"], "NAME"),
        (["rnu"], "rnu"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_line_that_makes_no_sense_is_bad_usage(
    hv: Hv, words: list[str], said: str
) -> None:
    assert said in complaint(hv, 2, *words)


def test_a_module_that_does_not_fit_in_memory_is_bad_usage(hv: Hv) -> None:
    large = hv.root / "large.bin"
    with large.open("wb") as file:
        file.truncate(100 << 20)
    said = complaint(hv, 2, "boot", "build/probe.elf", "--mem", "64", "--module", str(large))
    assert "large.bin" in said


def test_an_elf_of_another_machine_is_bad_usage(hv: Hv) -> None:
    header = bytearray(64)
    header[:6] = b"\x7fELF\x02\x01"
    header[18:20] = (183).to_bytes(2, "little")  # EM_AARCH64
    path = hv.root / "arm.elf"
    path.write_bytes(bytes(header))
    assert "multiboot" in complaint(hv, 2, "boot", path).lower()


@pytest.mark.usefixtures("qemu_here")
@pytest.mark.parametrize("limit", [0, 150, 5000])
def test_a_disk_that_takes_no_more_is_one_sentence(hv: Hv, limit: int) -> None:
    # A limit on the size of a file fails writes as a full disk does, at any place one likes.
    script = (
        "import resource, sys; from harness.cli import main;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY));"
        "sys.exit(main(['run', 'no-vmx']))"
    )
    done = hv.python("-c", script)
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert "Traceback" not in said
    assert "File too large" in said
    assert not hv.processes()


@pytest.mark.parametrize("words", [["list"], ["run", "no-vmx", "--dry-run", "--json"]])
def test_an_output_that_takes_no_more_is_one_sentence(hv: Hv, words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "harness", *words],
            cwd=hv.root, env=hv.env(), stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "hv: the output can't be written: No space left on device\n"


@pytest.mark.usefixtures("qemu_here")
def test_a_run_does_without_the_streams_that_the_shell_closed(hv: Hv) -> None:
    for closed in (">&-", ">&- 2>&- <&-"):
        command = f'exec "$0" -m harness run no-vmx {closed}'
        done = subprocess.run(
            ["sh", "-c", command, sys.executable],
            cwd=hv.root, env=hv.env(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
