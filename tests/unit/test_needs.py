"""What a machine is taken for, and which packages it is asked for."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from harness import needs
from harness.needs import Host

CHECKOUT = Path(needs.__file__).parent.parent

NOBLE = 'PRETTY_NAME="Ubuntu 24.04.1 LTS"\nNAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n'
BOOKWORM = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n'

BARE = "gcc binutils libc6-dev make bochs bochsbios vgabios bochs-term qemu-system-x86 python3-venv"


def bare(tmp_path: Path, **facts: object) -> Host:
    """A machine with nothing on it."""
    settings: dict[str, object] = {
        "name": "Pretend", "manager": "apt-get", "path": str(tmp_path), "files": tmp_path,
        "has_ensurepip": False,
    }  # fmt: skip
    return Host(**{**settings, **facts})  # type: ignore[arg-type]


def names(host: Host) -> str:
    return " ".join(needs.packages(needs.missing(host), host.manager))


@pytest.mark.parametrize(
    ("os_release", "platform", "manager"),
    [
        (BOOKWORM, "linux", "apt-get"),
        (NOBLE, "linux", "apt-get"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "linux", "apt-get"),
        ("ID=fedora\n", "linux", "dnf"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "linux", "dnf"),
        ("ID=arch\n", "linux", "pacman"),
        ("ID=manjaro\nID_LIKE=arch\n", "linux", "pacman"),
        ("", "darwin", "brew"),
        ("ID=nixos\n", "linux", ""),
        ("not what it should be \x00 = '", "linux", ""),
    ],
)
def test_the_package_manager_follows_from_the_system(
    os_release: str, platform: str, manager: str
) -> None:
    assert needs.describe(os_release, platform)[1] == manager


def test_a_system_is_called_what_it_calls_itself() -> None:
    assert needs.describe(NOBLE, "linux")[0] == "Ubuntu 24.04.1 LTS"


def test_a_bare_debian_or_ubuntu_needs_exactly_these(tmp_path: Path) -> None:
    assert names(bare(tmp_path)) == BARE


def test_what_is_there_is_not_asked_for(tmp_path: Path) -> None:
    for file in ("gcc", "ld", "make", "qemu-system-x86_64"):
        (tmp_path / file).touch(0o755)
    headers = tmp_path / "usr/include"
    headers.mkdir(parents=True)
    (headers / "assert.h").touch()
    assert names(bare(tmp_path, has_ensurepip=True)) == "bochs bochsbios vgabios bochs-term"


def test_debians_bochs_needs_its_terminal_display(tmp_path: Path) -> None:
    programs = tmp_path / "usr/bin"
    programs.mkdir(parents=True)
    (programs / "bochs").touch(0o755)
    for file in ("usr/share/bochs/BIOS-bochs-latest", "usr/share/vgabios/vgabios.bin"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    asked = names(bare(tmp_path, path=str(programs)))
    assert "bochs-term" in asked
    assert "bochsbios" not in asked
    assert "vgabios" not in asked


def test_a_bochs_of_ones_own_needs_none_of_debians_parts(tmp_path: Path) -> None:
    (tmp_path / "bochs").touch(0o755)
    assert "bochs" not in names(bare(tmp_path))


def test_on_arm_debian_brings_a_cross_compiler(tmp_path: Path) -> None:
    host = bare(tmp_path, machine="aarch64", cross="x86_64-linux-gnu-")
    assert names(host).startswith(
        "gcc-x86-64-linux-gnu binutils-x86-64-linux-gnu libc6-dev-amd64-cross make bochs"
    )


def test_the_cross_prefix_on_x86_is_the_compiler_of_the_house(tmp_path: Path) -> None:
    assert names(bare(tmp_path, cross="x86_64-linux-gnu-")) == BARE


@pytest.mark.parametrize("manager", ["dnf", "pacman", "brew"])
def test_other_systems_get_one_line_with_their_names(tmp_path: Path, manager: str) -> None:
    cross = "x86_64-elf-" if manager == "brew" else ""
    host = bare(tmp_path, name="Elsewhere", manager=manager, cross=cross)
    line = needs.by_hand(host, needs.missing(host))
    assert "\n" not in line
    assert "Elsewhere" in line
    assert f"{manager} " in line
    assert "bochs" in line
    assert "qemu" in line


def test_an_unknown_system_gets_all_the_names_there_are(tmp_path: Path) -> None:
    host = bare(tmp_path, manager="")
    line = needs.by_hand(host, needs.missing(host))
    assert all(way in line for way in ("dnf install", "pacman -S", "brew install"))


def test_every_direct_dependency_is_pinned_to_what_the_lock_has() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (CHECKOUT / "harness/requirements.lock").read_text(encoding="utf-8")
    for pin in project["dependencies"] + project["optional-dependencies"]["dev"]:
        name, version = pin.split("==")
        normal = name.lower().replace(".", "-").replace("_", "-")
        assert f"\n{normal}=={version} " in lock
