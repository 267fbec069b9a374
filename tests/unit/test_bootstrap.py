"""What set-up does and says. Nothing is installed: every command it runs is a stand-in."""

from __future__ import annotations

import errno
import os
import queue
import shutil
import sys
import threading
from pathlib import Path

import pytest

from harness import bootstrap
from harness.needs import Host

CHECKOUT = Path(bootstrap.__file__).parent.parent

PROGRAMS = ("gcc", "ld", "make", "bochs", "qemu-system-x86_64")

# Brings the programs that Debian's packages would bring, if it has package lists.
APT_GET = """#!/bin/sh
echo "apt-get $*" >> {log}
case "$*" in
*" update") touch {lists};;
*install*)
    [ -e {lists} ] || {{ echo "E: {complaint}"; exit 100; }}
    for name in gcc ld make bochs qemu-system-x86_64 gdb; do
        printf '#!/bin/sh\\n' > {bin}/$name; chmod +x {bin}/$name
    done;;
esac
"""

# Plays python3 for `-m venv`, and then the environment's own python for `-m pip install`.
PYTHON = """#!/bin/sh
echo "$*" >> {log}
case "$*" in
*"-m venv "*)
    for where in "$@"; do :; done
    mkdir -p "$where/bin"; cp "$0" "$where/bin/python";;
*" -e "*)
    printf '#!/bin/sh\\n' > "$(dirname "$0")/hv"; chmod +x "$(dirname "$0")/hv";;
*) if [ -e {broken} ]; then cat {broken}; exit 1; fi;;
esac
"""


class Machine:
    """A pretended machine: its PATH, its files, a checkout, and a log of the commands run on it."""

    def __init__(self, where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bin, self.files, self.root = where / "bin", where / "files", where / "checkout"
        self.log, self.lists, self.broken = where / "log", where / "lists", where / "broken"
        self.complaint = "Unable to locate package gcc"
        for directory in (self.bin, self.files, self.root / "harness", self.root / "build"):
            directory.mkdir(parents=True)
        for name in ("pyproject.toml", "harness/bootstrap.py", "harness/requirements.lock"):
            shutil.copy(CHECKOUT / name, self.root / name)
        self.log.touch()
        self.monkeypatch = monkeypatch
        self.manager = "apt-get"
        self.program("python3", PYTHON.format(log=self.log, broken=self.broken))
        monkeypatch.setenv("PATH", f"{self.bin}:/usr/bin:/bin")
        monkeypatch.setattr(sys, "executable", str(self.bin / "python3"))
        monkeypatch.setattr(bootstrap, "here", self.host)
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        self.lists.touch()

    def program(self, name: str, text: str = "#!/bin/sh\n") -> None:
        (self.bin / name).write_text(text, encoding="utf-8")
        (self.bin / name).chmod(0o755)

    def host(self) -> Host:
        # Only this PATH: what the real machine has installed must not matter.
        return Host("Pretend Linux", self.manager, path=str(self.bin), files=self.files)

    def equip(self) -> None:
        """Everything that Debian's packages would have brought."""
        for name in PROGRAMS:
            self.program(name)
        (self.files / "usr/include").mkdir(parents=True)
        (self.files / "usr/include/assert.h").touch()

    def with_apt(self) -> None:
        """An apt-get that brings programs, and what is not a program brought before."""
        text = APT_GET.format(
            log=self.log, lists=self.lists, bin=self.bin, complaint=self.complaint
        )
        self.program("apt-get", text)
        self.program("apt-cache", f"#!/bin/sh\n[ -e {self.lists} ]\n")
        (self.files / "usr/include").mkdir(parents=True)
        (self.files / "usr/include/assert.h").touch()

    def user_without_root(self, sudo: str | None = None) -> None:
        self.monkeypatch.setattr(os, "geteuid", lambda: 1000)
        if sudo:
            self.program("sudo", sudo)

    def set_up(self, *arguments: str) -> int:
        return bootstrap.main(list(arguments), root=self.root)

    def ran(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


# Packages


def test_as_root_the_missing_packages_are_named_and_then_installed(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.with_apt()
    assert machine.set_up() == 0
    said = capsys.readouterr().out
    assert said.index("missing Debian packages: gcc") < said.index("needs root")
    assert said.index("needs root") < said.index("apt-get install gcc")
    assert [line for line in machine.ran() if line.startswith("apt-get")] == [
        "apt-get -y -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 "
        "install --no-install-recommends gcc binutils make bochs bochsbios vgabios bochs-term "
        "qemu-system-x86"
    ]


def test_gdb_is_installed_only_for_those_who_debug_and_test(machine: Machine) -> None:
    machine.equip()
    assert machine.set_up() == 0
    assert machine.set_up("--ready") == 0
    assert machine.set_up("--ready", "--debugger") == 1
    apt = APT_GET.format(log=machine.log, lists=machine.lists, bin=machine.bin, complaint="")
    machine.program("apt-get", apt)
    machine.program("apt-cache")
    assert machine.set_up("--debugger") == 0
    (installed,) = [line for line in machine.ran() if line.startswith("apt-get")]
    assert installed.endswith("install --no-install-recommends gdb")
    assert machine.set_up("--ready", "--debugger") == 0


def test_package_lists_are_fetched_first_where_there_are_none(machine: Machine) -> None:
    machine.with_apt()
    machine.lists.unlink()
    assert machine.set_up() == 0
    verbs = [line.split()[7] for line in machine.ran() if line.startswith("apt-get")]
    assert verbs == ["update", "install"]


@pytest.mark.parametrize("complaint", ["404  Not Found", "Unable to locate package bochs"])
def test_old_package_lists_are_refreshed_once(machine: Machine, complaint: str) -> None:
    machine.complaint = complaint
    machine.with_apt()
    machine.lists.unlink()
    machine.program("apt-cache")  # knows the packages, but by old lists
    assert machine.set_up() == 0
    verbs = [line.split()[7] for line in machine.ran() if line.startswith("apt-get")]
    assert verbs == ["install", "update", "install"]


@pytest.mark.parametrize(
    ("complaint", "words"),
    [
        (
            "Failed to fetch gcc.deb  Temporary failure resolving 'deb.example'",
            "the network or the package server can't be reached",
        ),
        (
            "Failed to fetch gcc.deb  Certificate verification failed: self-signed certificate",
            "this machine does not trust the package server's certificate",
        ),
        (
            "Failed to fetch (_ssl.c:992): CERTIFICATE_VERIFY_FAILED\n"
            "ERROR: No matching distribution found for gcc==13",
            "this machine does not trust the package server's certificate",
        ),
    ],
    ids=["unreachable", "apt-certificate", "pip-certificate"],
)
def test_what_keeps_a_server_from_answering_is_named_as_the_cause(
    machine: Machine, complaint: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.complaint = complaint
    machine.with_apt()
    machine.lists.unlink()
    machine.program("apt-cache")
    assert machine.set_up() == bootstrap.FAILED
    said = capsys.readouterr().err
    assert complaint.splitlines()[0] in said
    assert said.splitlines()[-1].endswith(words)


def test_without_root_or_sudo_one_line_says_what_to_install(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.with_apt()
    machine.user_without_root()
    assert machine.set_up() == bootstrap.MISSING
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert error[0].endswith(
        "apt-get install --no-install-recommends gcc binutils make bochs bochsbios vgabios "
        "bochs-term qemu-system-x86"
    )
    assert machine.ran() == []


def test_sudo_that_asks_nothing_is_used(machine: Machine) -> None:
    machine.with_apt()
    machine.user_without_root(sudo=f'#!/bin/sh\necho sudo >> {machine.log}\nshift; exec "$@"\n')
    assert machine.set_up() == 0
    assert "sudo" in machine.ran()


def test_sudo_that_wants_a_password_is_not_asked_without_a_terminal(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.with_apt()
    machine.user_without_root(sudo=f"#!/bin/sh\necho sudo $* >> {machine.log}\nexit 1\n")
    with Path(os.devnull).open(encoding="ascii") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert machine.set_up() == bootstrap.MISSING
    assert machine.ran() == ["sudo -n true"]
    assert "no way to become root" in capsys.readouterr().err


def test_other_systems_are_told_their_own_package_names(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.manager = "dnf"
    assert machine.set_up() == bootstrap.MISSING
    error = capsys.readouterr().err
    assert "sudo dnf install gcc binutils make bochs bochs-debugger qemu-system-x86" in error
    assert "pacman" not in error
    assert machine.ran() == []


def test_packages_can_be_left_alone(machine: Machine) -> None:
    assert machine.set_up("--skip-packages") == 0
    assert machine.set_up("--ready", "--skip-packages") == 0
    assert machine.set_up("--ready") == 1


def test_a_compiler_of_ones_own_that_is_not_there_is_named(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host = Host("Pretend", "apt-get", cross="mine-", path=str(machine.bin), files=machine.files)
    monkeypatch.setattr(bootstrap, "here", lambda: host)
    assert machine.set_up() == bootstrap.MISSING
    assert "mine-gcc" in capsys.readouterr().err


# The virtual environment


def test_a_second_set_up_has_nothing_to_do(machine: Machine) -> None:
    machine.equip()
    assert machine.set_up("--ready") == 1
    assert machine.set_up() == 0
    assert machine.set_up("--ready") == 0
    before = machine.ran()
    assert machine.set_up() == 0
    assert machine.ran() == before


def test_only_pinned_and_hashed_packages_are_installed(machine: Machine) -> None:
    machine.equip()
    assert machine.set_up() == 0
    (downloads,) = [line for line in machine.ran() if "-r " in line]
    assert "--require-hashes" in downloads
    (own,) = [line for line in machine.ran() if " -e " in line]
    assert "--no-index" in own


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("Temporary failure in name resolution", "the network or the package server can't be"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES", "not what harness/requirements.lock promises"),
        ("something new", "it failed"),
    ],
)
def test_a_failed_download_is_explained_and_the_next_try_starts_anew(
    machine: Machine, capsys: pytest.CaptureFixture[str], words: str, sentence: str
) -> None:
    machine.equip()
    machine.broken.write_text(f"ERROR: {words}\n", encoding="utf-8")
    assert machine.set_up() == bootstrap.FAILED
    error = capsys.readouterr().err
    assert words in error
    assert sentence in error.splitlines()[-1]
    assert machine.set_up("--ready") == 1

    leftover = machine.root / ".venv/leftover"
    leftover.touch()
    machine.broken.unlink()
    assert machine.set_up() == 0
    assert machine.set_up("--ready") == 0
    assert not leftover.exists()


def test_long_output_of_a_failure_is_kept_in_a_file(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.equip()
    lines = [f"line {number}" for number in range(100)]
    machine.broken.write_text("\n".join(lines), encoding="utf-8")
    assert machine.set_up() == bootstrap.FAILED
    error = capsys.readouterr().err
    assert "line 99" in error
    assert "line 50" not in error
    assert "line 50" in (machine.root / "build/setup.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full", "/x")])
def test_an_interrupted_set_up_never_counts_as_ready(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    machine.equip()
    assert machine.set_up() == 0
    lock = machine.root / "harness/requirements.lock"
    lock.write_text(lock.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")

    def stopped(*_: object) -> None:
        raise stop

    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "must", stopped)
        assert machine.set_up() in (bootstrap.INTERRUPTED, bootstrap.FAILED)
    assert machine.set_up("--ready") == 1
    assert machine.set_up() == 0
    assert machine.set_up("--ready") == 0


def test_a_changed_lock_file_makes_the_environment_anew(machine: Machine) -> None:
    machine.equip()
    assert machine.set_up() == 0
    lock = machine.root / "harness/requirements.lock"
    lock.write_text(lock.read_text(encoding="utf-8") + "more==1\n", encoding="utf-8")
    assert machine.set_up("--ready") == 1


def test_settings_of_tools_do_not_make_the_environment_anew(machine: Machine) -> None:
    machine.equip()
    assert machine.set_up() == 0
    project = machine.root / "pyproject.toml"
    project.write_text(project.read_text(encoding="utf-8") + "\n[tool.x]\ny = 1\n", "utf-8")
    assert machine.set_up("--ready") == 0


def test_a_moved_checkout_is_noticed_and_repaired(machine: Machine) -> None:
    machine.equip()
    assert machine.set_up() == 0
    moved = machine.root.with_name("moved")
    machine.root.rename(moved)
    machine.root = moved
    assert machine.set_up("--ready") == 1
    assert machine.set_up() == 0
    assert machine.set_up("--ready") == 0


def test_another_python_is_noticed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.equip()
    assert machine.set_up() == 0
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    assert machine.set_up("--ready") == 1


def test_an_environment_whose_python_is_gone_is_made_anew(machine: Machine) -> None:
    machine.equip()
    assert machine.set_up() == 0
    python = machine.root / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/removed/python3")
    assert machine.set_up("--ready") == 1
    assert machine.set_up() == 0
    assert machine.set_up("--ready") == 0


def test_two_set_ups_at_once_wait_for_each_other_and_work_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.equip()
    said: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(bootstrap, "say", said.put)
    with bootstrap.alone(machine.root):
        second = threading.Thread(target=machine.set_up)
        second.start()
        assert "another set-up" in said.get(timeout=20)
        assert machine.ran() == []
    second.join(timeout=20)
    assert not second.is_alive()
    assert machine.set_up("--ready") == 0
