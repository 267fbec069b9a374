"""The other commands of ``hv``: list, boot, doctor, completion, version."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import __version__, project
from tests.conftest import Hv


def test_the_version_is_the_package_s(hv: Hv) -> None:
    assert hv("--version").stdout == f"hv {__version__}\n"


def test_the_version_needs_no_command_line_library(hv: Hv) -> None:
    program = "import sys; from harness.cli import main; main(['--version']); "
    program += "print({'click', 'rich', 'pexpect', 'asyncio', 'elftools'} & set(sys.modules))"
    assert hv.python("-c", program).stdout.splitlines()[1] == "set()"


def test_the_list_has_every_scenario_and_can_be_narrowed(hv: Hv) -> None:
    names = [line.split()[0] for line in hv("list").stdout.splitlines()]
    assert sorted(names) == sorted(path.stem for path in project.scenarios().glob("*.toml"))
    assert hv("list", "--tag", "demo").stdout.startswith("demo  ")


def test_the_list_shows_what_each_scenario_needs(hv: Hv) -> None:
    needs = {line.split()[0]: line for line in hv("list").stdout.splitlines()}
    assert "  virtualization  " in needs["hello"]
    assert "  on bochs core2_penryn_t9600  " in needs["no-ept"]


@pytest.mark.usefixtures("qemu_here")
def test_any_multiboot_kernel_boots_and_its_power_off_is_a_pass(hv: Hv) -> None:
    done = hv("boot", "build/probe.elf", "--engine", "qemu-tcg", "--json")
    (outcome,) = json.loads(done.stdout)
    assert (done.returncode, outcome["verdict"], outcome["scenario"]) == (0, "passed", "probe")
    assert [record["kind"] for record in outcome["records"]] == ["probe"]


@pytest.mark.usefixtures("qemu_here")
def test_a_power_off_with_a_code_is_a_failure_that_names_it(
    hv: Hv, kernel: Callable[[str], Path]
) -> None:
    done = hv("boot", kernel("poweroff"), "--engine", "qemu-tcg")
    assert done.returncode == 1
    assert "powered off with code 5" in done.stdout


@pytest.mark.usefixtures("qemu_here")
def test_a_boot_ends_as_soon_as_the_console_shows_what_is_expected(hv: Hv) -> None:
    words = ("boot", "build/vanderpool.elf", "--engine", "qemu-tcg", "--cpu", "Nehalem")
    assert hv(*words, "--expect", "Vanderpool", "--expect", "refused: ").returncode == 0
    assert hv(*words, "--expect", "refused: ", "--expect", "Vanderpool").returncode == 1


@pytest.mark.usefixtures("bochs_here")
def test_our_own_image_can_be_booted_by_hand_with_a_module(hv: Hv) -> None:
    done = hv(
        *("boot", "build/vanderpool.elf", "--engine", "bochs"),
        *("--module", "build/guests/hello.bin name=greeter memory=2M", "--mem", "64"),
    )
    assert done.returncode == 0
    assert "greeter| Hello" in done.stdout


@pytest.mark.usefixtures("qemu_here", "bochs_here")
@pytest.mark.parametrize("engine", ["bochs", "qemu-tcg"])
def test_paths_may_have_blanks_and_commas_in_them(hv: Hv, engine: str) -> None:
    place = hv.root / "a b,c=d"
    place.mkdir()
    kernel = Path(shutil.copy(hv.root / "build/vanderpool.elf", place / "k, l.elf"))
    guest = Path(shutil.copy(hv.root / "build/guests/hello.bin", place / "g, h.bin"))
    run_dir = place / "the run"
    words = ("--module", f"{guest} name=greeter", "--engine", engine, "--run-dir", run_dir)
    said = hv("boot", kernel, *words, "--expect", r"greeter\| Hello|has no VT-x").stdout
    assert "passed  k, l on" in said
    replayed = subprocess.run(
        [run_dir / "replay.sh"], env=hv.env(), capture_output=True, text=True, check=False
    )
    assert "passed  k, l on" in replayed.stdout


@pytest.mark.usefixtures("qemu_here")
def test_what_a_kernel_writes_can_not_steer_the_terminal(
    hv: Hv, kernel: Callable[[str], Path]
) -> None:
    done = hv("boot", kernel("hostile"), "--engine", "qemu-tcg")
    assert done.returncode == 0
    assert "\\x1b[2J" in done.stdout
    assert "finished" in done.stdout
    assert all(character.isprintable() for character in done.stdout.replace("\n", ""))


@pytest.mark.usefixtures("qemu_here")
@pytest.mark.parametrize(
    ("name", "verdict", "code"), [("triple-fault", "triple-fault", 4), ("spin", "spinning", 10)]
)
def test_a_kernel_s_bad_end_has_its_own_exit_code(
    hv: Hv, kernel: Callable[[str], Path], name: str, verdict: str, code: int
) -> None:
    done = hv("boot", kernel(name), "--engine", "qemu-tcg", "--timeout", "1")
    assert done.returncode == code
    assert f"{verdict}  {name} on qemu-tcg" in done.stdout


def test_doctor_names_every_engine_and_how_to_get_it(hv: Hv) -> None:
    done = hv("doctor", "--json", PATH=str(hv.root))
    findings = json.loads(done.stdout)
    names = [engine["name"] for engine in findings["engines"]]
    assert names == ["qemu-kvm", "bochs", "qemu-tcg", "qemu-kvm-in-bochs"]
    assert not findings["usable"]
    assert done.returncode == 8
    assert all("install" in engine["remedy"] for engine in findings["engines"])


@pytest.mark.usefixtures("bochs_here")
def test_doctor_shows_what_each_engine_s_processor_offers(hv: Hv) -> None:
    done = hv("doctor")
    assert done.returncode == 0
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("bochs ")]
    assert "usable" in line
    assert " ept, " in done.stdout
    assert "/dev/kvm" in done.stdout


@pytest.mark.parametrize(
    ("shell", "place"),
    [
        ("/bin/bash", ".local/share/bash-completion/completions/hv"),
        ("/usr/bin/zsh", ".zfunc/_hv"),
        ("/usr/bin/fish", ".config/fish/completions/hv.fish"),
    ],
)
def test_completion_is_put_where_the_shell_looks(hv: Hv, shell: str, place: str) -> None:
    home = {"HOME": str(hv.root), "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""}
    done = hv("--install-completion", SHELL=shell, **home)
    assert done.returncode == 0
    assert "_HV_COMPLETE" in (hv.root / place).read_text()


def test_completion_for_an_unknown_shell_is_refused(hv: Hv) -> None:
    done = hv("--install-completion", SHELL="/bin/tcsh")
    assert done.returncode == 2
    assert "'tcsh'" in done.stderr


def test_a_scenario_s_name_is_completed(hv: Hv) -> None:
    done = hv(COMP_WORDS="hv run ept", COMP_CWORD="2", _HV_COMPLETE="bash_complete")
    assert done.stdout.splitlines() == ["plain,ept-escape"]
