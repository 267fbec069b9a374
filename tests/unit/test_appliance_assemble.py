"""The appliance's cache: whole or not there, made once, and one sentence where it can't be made."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import bootstrap, cpio, debian
from harness.appliance import __main__ as command
from harness.appliance import assemble as assembling
from harness.appliance import kernel, system
from harness.appliance.assemble import assemble
from harness.appliance.unavailable import Unavailable
from harness.debian import Package
from tests.unit.test_appliance_parts import KERNEL, WHOLE, boot_image, legacy_lz4, package, sized

pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in assembling._TOOLS),
    reason="the tools that make an appliance are Debian's",
)

KERNEL_PACKAGE = Package("linux-image-6.1.0-9-cloud-amd64", "6.1.9-1")


class Store:
    """A package server, and what was asked of it."""

    def __init__(self, deb: Path) -> None:
        self.deb = deb
        self.downloads = 0
        self.newest = KERNEL_PACKAGE

    def fetch(self, say: debian.Say) -> tuple[Package, Path]:
        self.downloads += 1
        return self.newest, self.deb


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; this system is Debian, and its QEMU a few bytes."""
    qemu = tmp_path / "qemu-system-x86_64"
    qemu.write_bytes(b"qemu")
    monkeypatch.setattr(system, "qemu", lambda: qemu)
    monkeypatch.setattr(system, "files", lambda program: (program,))
    monkeypatch.setattr(system, "version", lambda program: "QEMU 7")
    monkeypatch.setattr(assembling, "directory", lambda: tmp_path / "cache")
    monkeypatch.setattr(debian, "directory", lambda: tmp_path / "packages")
    monkeypatch.setattr(assembling, "_agent", lambda work: qemu)  # compiling it takes a second
    debian_facts = {"ID": "debian", "PRETTY_NAME": "Debian"}
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: debian_facts)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    return tmp_path / "cache"


@pytest.fixture
def server(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    source = tmp_path / "module.c"
    source.write_text("int module;\n")
    subprocess.run(["gcc", "-c", source, "-o", tmp_path / "module.o"], check=True)
    module = (tmp_path / "module.o").read_bytes()
    image = boot_image(sized(legacy_lz4(KERNEL)))
    files = {name: image if name.startswith("boot/") else module for name in WHOLE}
    store = Store(package(tmp_path / "deb", files))
    monkeypatch.setattr(kernel, "fetch", store.fetch)
    monkeypatch.setattr(kernel, "listed", lambda: store.newest)
    return store


def made(place: Path) -> list[str]:
    """What is in the cache beside its lock."""
    return sorted(path.name for path in place.iterdir() if path.name != "lock")


def quietly(text: str) -> None:
    pass


def test_what_was_made_is_there_and_is_used_again(place: Path, server: Store) -> None:
    parts = assemble(quietly)
    assert parts.vmlinux.read_bytes() == KERNEL
    initramfs = parts.initramfs.read_bytes()
    for name in (b"init", b"dev/console", b"modules/kvm-intel.ko", b"qemu-system-x86_64"):
        assert name + b"\0" in initramfs
    assert parts.versions == {"kernel": str(KERNEL_PACKAGE), "qemu": "QEMU 7"}
    assert assemble(quietly) == parts
    assert server.downloads == 1
    assert made(place) == [parts.key]


def test_the_same_ingredients_make_the_same_bytes(place: Path, server: Store) -> None:
    first = assemble(quietly).initramfs.read_bytes()
    shutil.rmtree(place)
    assert assemble(quietly).initramfs.read_bytes() == first


def test_another_qemu_makes_another_appliance_and_the_old_one_goes(
    place: Path, server: Store
) -> None:
    old = assemble(quietly)
    system.qemu().write_bytes(b"newer qemu")
    new = assemble(quietly)
    assert new.key != old.key
    assert made(place) == [new.key]


def test_a_newer_kernel_is_taken_only_when_asked_for(place: Path, server: Store) -> None:
    old = assemble(quietly)
    server.newest = Package("linux-image-6.1.0-10-cloud-amd64", "6.1.10-1")
    assert assemble(quietly) == old
    assert assemble(quietly, renew=True).versions["kernel"] == str(server.newest)


def test_without_apts_lists_the_kernel_that_is_there_is_kept(
    place: Path, server: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = assemble(quietly)
    monkeypatch.setattr(kernel, "listed", lambda: None)
    assert assemble(quietly, renew=True) == old


def test_what_was_interrupted_is_not_taken_for_whole_and_is_cleared_away(
    place: Path, server: Store
) -> None:
    unfinished = place / ".unfinished-abc"
    (unfinished / "made").mkdir(parents=True)
    (unfinished / "made/vmlinux").write_bytes(b"half")
    assert assembling.availability().reason == "the appliance can be made from Debian's packages"
    parts = assemble(quietly)
    assert parts.vmlinux.read_bytes() == KERNEL
    assert made(place) == [parts.key]


@pytest.mark.parametrize("damage", ["", "{", "[]", "null"])
def test_a_cache_whose_description_is_damaged_is_made_anew(
    place: Path, server: Store, damage: str
) -> None:
    parts = assemble(quietly)
    (parts.vmlinux.parent / assembling.VERSIONS).write_text(damage)
    assert assemble(quietly) == parts
    assert server.downloads == 2


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    place: Path, server: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cpio, "write", full)
    with pytest.raises(Unavailable) as caught:
        assemble(quietly)
    assert caught.value.sentence == "there is no appliance: the disk is full."
    assert made(place) == []


def test_a_module_that_is_missing_in_the_kernel_package_is_named(
    place: Path, server: Store, tmp_path: Path
) -> None:
    files = {name: data for name, data in WHOLE.items() if not name.endswith("kvm-intel.ko")}
    server.deb = package(tmp_path / "lacking", files)
    with pytest.raises(Unavailable, match=r"cloud-amd64 6\.1\.9-1 has no module kvm-intel"):
        assemble(quietly)
    assert made(place) == []


def test_a_kernel_that_can_not_be_unpacked_is_named(
    place: Path, server: Store, tmp_path: Path
) -> None:
    server.deb = package(tmp_path / "odd", WHOLE)
    with pytest.raises(Unavailable, match=r"cloud-amd64 6\.1\.9-1 can't be used: it is no boot im"):
        assemble(quietly)


def test_a_module_that_is_no_module_is_one_sentence(
    place: Path, server: Store, tmp_path: Path
) -> None:
    image = boot_image(sized(legacy_lz4(KERNEL)))
    files = {name: image if name.startswith("boot/") else data for name, data in WHOLE.items()}
    server.deb = package(tmp_path / "odd", files)
    with pytest.raises(Unavailable, match="the module irqbypass can't be read"):
        assemble(quietly)


def test_two_at_a_time_make_it_once(place: Path, server: Store) -> None:
    heard = []
    place.mkdir()
    with (place / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def say(text: str) -> None:
            heard.append(text)
            if "waiting" in text:
                fcntl.flock(lock, fcntl.LOCK_UN)

        assemble(say)
    assert heard[0] == "another process makes the appliance; waiting for it"


def test_on_another_system_the_reason_names_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ubuntu = {"ID": "ubuntu", "ID_LIKE": "debian", "PRETTY_NAME": "Ubuntu 24.04"}
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: ubuntu)
    found = assembling.availability()
    assert not found.usable
    assert "this is Ubuntu 24.04 on x86_64" in found.reason
    with pytest.raises(Unavailable, match=r"Ubuntu 24\.04"):
        assemble(quietly)


def test_on_another_system_an_appliance_that_is_there_is_used(
    place: Path, server: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = assemble(quietly)
    monkeypatch.setattr("platform.freedesktop_os_release", dict)
    found = assembling.availability()
    assert (found.usable, found.reason) == (True, f"appliance with {KERNEL_PACKAGE}")
    assert assemble(quietly) == parts


def test_looking_whether_it_can_be_had_makes_nothing(place: Path) -> None:
    assert assembling.availability().usable
    assert not place.exists()


def test_a_tool_that_is_missing_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "apt-get is not installed" in assembling.availability().reason


@pytest.fixture
def no_network(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """apt tools that have no lists and reach nobody."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("apt-get", "apt-cache"):
        (tools / name).write_text(
            "#!/bin/sh\necho \"Could not resolve 'deb.debian.org'\"\nexit 100\n"
        )
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")


def test_without_network_it_is_one_sentence_with_what_helps(
    place: Path, no_network: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main() == 8
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "the network or the package server can't be reached" in said.err
    assert "to get it: Debian's package servers, once." in said.err
    assert made(place) == []


def test_apt_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "PATIENCE", 0.1)
    code, said = debian.run(["sleep", "1000"], tmp_path)
    assert code == 124
    assert "no end after" in said


def test_what_it_made_is_said_with_its_size(
    place: Path, server: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main() == 0
    said = capsys.readouterr().out
    assert f"kernel: {KERNEL_PACKAGE}" in said
    assert "vmlinux (0.0 MB)" in said


def test_importing_the_appliance_does_no_work() -> None:
    code = "import sys, harness.appliance.assemble; assert 'lz4' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
