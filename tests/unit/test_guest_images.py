"""Images out of Debian's packages: whole or not there, fetched once, a reason for each missing."""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import debian, project
from harness.debian import Package, Unobtainable, Wanted
from harness.guest_images import __main__ as command
from harness.guest_images import fetch, images

pytestmark = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="packages are taken apart by Debian's dpkg-deb"
)

DEBIAN = {"ID": "debian", "PRETTY_NAME": "Debian"}
APT = """#!/bin/sh
# apt with one package server, the directory {server}. Lists of i386 come with `update` alone.
for word; do
    case $word in
        Dir::State=*) lists=${{word#*=}} ;;
        APT::Architecture=*) private=${{word#*=}} ;;
        update) [ ! -e {server}/down ] && cp {server}/*.list $lists ;;
        depends) what=depends ;; show) what=show ;; download) what=download ;;
        *) last=$word ;;
    esac
done
name=${{last%%[:=]*}}
case $last in *:i386*) list=${{private:+$lists/$name.list}} ;; *) list={server}/$name.list ;; esac
[ -n "$what" ] || exit 0
echo "$what $last" >> {server}/asked
[ -n "$list" ] && [ -e "$list" ] || {{ echo "N: No packages found"; exit 100; }}
case $what in
    depends) sed -n 's/^Depends/  &/p' $list ;;
    show) cat $list ;;
    download)
        [ ! -e {server}/down ] || {{ echo "Could not resolve 'deb.debian.org'"; exit 100; }}
        cp {server}/$name.deb ${{name}}_1_any.deb ;;
esac
"""


def package(tree: Path, target: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    (tree / "DEBIAN").mkdir(parents=True)
    control = "Package: k\nVersion: 1\nArchitecture: all\nMaintainer: n <n@example.org>\n"
    (tree / "DEBIAN/control").write_text(control + "Description: a test\n")
    subprocess.run(["dpkg-deb", "-Zgzip", "-b", tree, target], check=True, capture_output=True)
    shutil.rmtree(tree)


class Server:
    """A package server that apt asks, and what was asked of it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir()
        self.offer("linux-image-cloud-amd64", "6.1", {}, "Depends: linux-image-6.1.0-9-cloud\n")
        self.offer("linux-image-6.1.0-9-cloud", "6.1.9-1", {"boot/vmlinuz-6.1.0-9": b"linux"})
        mach = {"boot/gnumach-1.8-486.gz": gzip.compress(b"mach")}
        self.offer("gnumach-image-1.8-486", "2:1.8-2", mach)
        self.offer("memtest86+", "6.10-4", {"boot/memtest86+x64.bin": b"memtest"})
        self.offer("busybox-static", "1:1.35", {"bin/busybox": b"busybox"})

    def offer(self, name: str, version: str, files: dict[str, bytes], more: str = "") -> None:
        package(self.place / "tree", self.place / f"{name}.deb", files)
        (self.place / f"{name}.list").write_text(f"Package: {name}\nVersion: {version}\n{more}")

    def withdraw(self, name: str) -> None:
        (self.place / f"{name}.list").unlink()

    def down(self) -> None:
        (self.place / "down").touch()

    def downloads(self) -> int:
        asked = self.place / "asked"
        return asked.read_text().count("download") if asked.exists() else 0


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Debian with a package server, and an empty checkout."""
    served = Server(tmp_path / "server")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("apt-get", "apt-cache"):
        (tools / name).write_text(APT.format(server=served.place))
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.delenv("VANDERPOOL_COVERAGE", raising=False)
    monkeypatch.setattr(project, "root", lambda: tmp_path / "checkout")
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: DEBIAN)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    return served


def quietly(text: str) -> None:
    pass


def here() -> dict[str, bytes]:
    """The images that are there; nothing half-made is beside them."""
    files = {path.name: path.read_bytes() for path in images.directory().iterdir()}
    files.pop(images.RECORD, None)
    assert not [name for name in files if name.startswith(".")]
    return files


ALL = {"linux": b"linux", "mach": b"mach", "memtest": b"memtest", "busybox": b"busybox"}


def test_every_image_is_fetched_once_and_then_is_there(server: Server) -> None:
    found = fetch.fetch(quietly)
    assert here() == ALL
    assert found["mach"].package == "gnumach-image-1.8-486 2:1.8-2"
    assert found["linux"].package == "linux-image-6.1.0-9-cloud 6.1.9-1"
    assert fetch.fetch(quietly) == found
    assert server.downloads() == 4


def test_only_what_is_asked_for_is_fetched(server: Server) -> None:
    assert set(fetch.fetch(quietly, only=("mach",))) == {"mach"}
    assert here() == {"mach": b"mach"}
    found = fetch.fetch(quietly, only=("linux",))
    assert set(found) == {"linux", "mach"}
    assert images.read() == found


def test_what_was_cleaned_away_comes_from_the_packages_that_are_kept(server: Server) -> None:
    fetch.fetch(quietly)
    shutil.rmtree(images.directory())
    server.down()
    fetch.fetch(quietly)
    assert here() == ALL


def test_without_network_and_packages_each_image_has_its_reason(server: Server) -> None:
    server.down()
    found = fetch.fetch(quietly)
    assert here() == {}
    assert found["linux"].missing == "the network or the package server can't be reached"
    reason = images.why_missing(images.directory() / "linux")
    assert "package server can't be reached); `make guests`" in (reason or "")


def test_a_network_that_is_not_there_is_tried_once(server: Server) -> None:
    server.down()
    fetch.fetch(quietly)
    assert server.downloads() == 2  # by the system's lists, then by private ones


def test_an_image_that_nobody_has_does_not_keep_the_others_away(server: Server) -> None:
    server.withdraw("memtest86+")
    found = fetch.fetch(quietly)
    assert here() == {name: data for name, data in ALL.items() if name != "memtest"}
    assert "memtest86+" in found["memtest"].missing


def test_a_package_without_the_image_is_named(server: Server) -> None:
    server.offer("memtest86+", "7", {"boot/other": b"x"})
    assert "memtest86+ 7 has no file" in fetch.fetch(quietly)["memtest"].missing


@pytest.mark.parametrize(
    "data", [b"no gzip", gzip.compress(b"mach" * 99)[:-9]], ids=["none", "cut"]
)
def test_an_image_whose_compression_is_damaged_is_not_taken(server: Server, data: bytes) -> None:
    server.offer("gnumach-image-1.8-486", "3", {"boot/gnumach-1.8-486.gz": data})
    assert "is damaged" in fetch.fetch(quietly)["mach"].missing
    assert "mach" not in here()


def test_a_damaged_image_is_made_anew_from_the_package_that_is_kept(server: Server) -> None:
    fetch.fetch(quietly)
    (images.directory() / "linux").write_bytes(b"lin")
    fetch.fetch(quietly)
    assert here() == ALL
    assert server.downloads() == 4


def test_a_damaged_package_is_fetched_anew(server: Server) -> None:
    fetch.fetch(quietly)
    shutil.rmtree(images.directory())
    for package_file in debian.directory().glob("memtest*"):
        package_file.write_bytes(b"half")
    fetch.fetch(quietly)
    assert here() == ALL
    assert server.downloads() == 5


def test_another_version_is_taken_only_by_who_asks_for_it(server: Server) -> None:
    fetch.fetch(quietly)
    server.offer("memtest86+", "7", {"boot/memtest86+x64.bin": b"newer"})
    fetch.fetch(quietly)
    assert here() == ALL
    fetch.fetch(quietly, renew=True)
    assert here() == {**ALL, "memtest": b"newer"}
    assert len(list(debian.directory().glob("memtest*"))) == 1


def test_another_version_that_can_not_be_had_leaves_what_is_there(server: Server) -> None:
    before = fetch.fetch(quietly)
    server.offer("memtest86+", "7", {"boot/memtest86+x64.bin": b"newer"})
    server.down()
    assert fetch.fetch(quietly, renew=True) == before
    assert here() == ALL


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"linux": 1}', '{"linux": {"x": 1}}'])
def test_a_damaged_record_is_written_anew_without_a_download(server: Server, damage: str) -> None:
    found = fetch.fetch(quietly)
    (images.directory() / images.RECORD).write_text(damage)
    assert fetch.fetch(quietly) == found
    assert server.downloads() == 4


def test_a_full_disk_is_a_reason_and_leaves_nothing_half_made(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        found = fetch.fetch(quietly)
    assert {one.missing for one in found.values()} == {"the disk is full"}
    assert here() == {}
    fetch.fetch(quietly)
    assert here() == ALL


def test_what_an_interrupted_download_left_is_cleared_away(server: Server) -> None:
    left = debian.directory() / ".unfinished-abc"
    left.mkdir(parents=True)
    (left / "linux.deb").write_bytes(b"half")
    fetch.fetch(quietly)
    assert not left.exists()


def test_who_comes_second_waits_and_says_so(server: Server) -> None:
    heard = []
    debian.directory().mkdir(parents=True)
    with (debian.directory() / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def say(text: str) -> None:
            heard.append(text)
            if "waiting" in text:
                fcntl.flock(lock, fcntl.LOCK_UN)

        fetch.fetch(say)
    assert heard[0] == "another process fetches packages; waiting for it"
    assert here() == ALL


def test_on_another_system_the_reason_names_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ubuntu = {"ID": "ubuntu", "ID_LIKE": "debian", "PRETTY_NAME": "Ubuntu 24.04"}
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: ubuntu)
    assert "this is Ubuntu 24.04" in fetch.fetch(quietly)["linux"].missing


def test_without_apt_the_reason_names_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert fetch.fetch(quietly)["linux"].missing == "apt-get is not installed"


def test_the_command_fails_for_who_insists_and_for_nobody_else(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.withdraw("memtest86+")
    assert command.main(["--if-possible"]) == 0
    said = capsys.readouterr()
    assert "guests: without memtest: " in said.err
    assert command.main([]) == 1
    assert "guests: linux: linux-image-6.1.0-9-cloud 6.1.9-1" in capsys.readouterr().out


def test_only_what_is_fetched_is_missing_for_want_of_fetching(server: Server) -> None:
    assert images.why_missing(images.directory() / "hello.bin") is None
    for name in ("mach", "linux-shell.cpio"):
        reason = images.why_missing(images.directory() / name)
        assert f"{name} is missing (it was not fetched yet)" in (reason or "")
    fetch.fetch(quietly)
    assert images.why_missing(images.directory() / "mach") is None


# What apt says


def test_the_kernel_behind_the_metapackage_is_found_by_what_apt_says() -> None:
    pattern = debian.KERNEL.stands_for
    said = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n  Suggests: x\n"
    assert debian.dependency(said, pattern) == "linux-image-6.1.0-56-cloud-amd64"
    alternatives = "linux-image-cloud-amd64\n |Depends: linux-image-6.12.9+deb13-cloud-amd64\n"
    assert debian.dependency(alternatives, pattern) == "linux-image-6.12.9+deb13-cloud-amd64"
    for nothing in ("", "N: Unable to locate package linux-image-cloud-amd64\n", "  Depends: x\n"):
        assert debian.dependency(nothing, pattern) is None


def test_the_version_is_the_one_that_apt_would_install() -> None:
    assert debian.candidate("Package: x\nVersion: 6.1.192-2\nDepends: y\n") == "6.1.192-2"
    assert debian.candidate("N: No packages found\n") is None


def test_a_package_is_known_by_the_name_of_its_file() -> None:
    kept = Package("gnumach-image-1.8-486", "2:1.8+git20221224-2", "i386")
    assert Package.in_file(Path(kept.file_name("0123abcd"))) == (kept, "0123abcd")
    for other in ("lock", "x_1_amd64.deb", "x_1_amd64.zz.deb"):
        assert Package.in_file(Path(other)) is None


def test_a_member_that_is_no_archive_is_one_clause(tmp_path: Path) -> None:
    for data in (b"", b"no package"):
        (tmp_path / "x.deb").write_bytes(data)
        with pytest.raises(Unobtainable, match=r"package x\.deb can't be unpacked"):
            list(debian.members(tmp_path / "x.deb"))


def test_a_package_fits_by_name_and_architecture_whatever_its_version() -> None:
    wanted = Wanted("memtest86+")
    assert wanted.fits(Package("memtest86+", "7"))
    assert not wanted.fits(Package("memtest86+", "7", "i386"))
    assert not wanted.fits(Package("memtest86", "7"))
