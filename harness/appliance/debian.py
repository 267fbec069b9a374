"""A kernel out of Debian's packages: found, downloaded and taken apart without root.

apt's own lists are used where they are good. Where they are missing or outdated, private ones are
fetched: a user may neither refresh the system's lists nor wait for somebody who may.
"""

from __future__ import annotations

import contextlib
import lzma
import os
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import bootstrap, supervise
from harness.appliance.unavailable import Unavailable

Say = Callable[[str], None]

METAPACKAGE = "linux-image-cloud-amd64"  # the smallest kernel that Debian builds
MODULES = ("irqbypass", "kvm", "kvm-intel")

_DOWNLOAD = "It needs Debian's package servers once; then `make appliance` works without them."
_LARGEST_MEMBER = 256 << 20  # bytes


@dataclass(frozen=True)
class Package:
    """A package by name and version."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def dependency(depends: str) -> str | None:
    """The kernel package that the metapackage stands for, from what ``apt-cache depends`` said."""
    found = re.search(r"^ *\|?Depends: (linux-image-\d\S*)", depends, re.MULTILINE)
    return found[1] if found else None


def candidate(show: str) -> str | None:
    """The version that apt would install, from ``apt-cache show --no-all-versions``."""
    found = re.search(r"^Version: (\S+)$", show, re.MULTILINE)
    return found[1] if found else None


class Apt:
    """apt, with the system's lists or with private ones below ``directory``."""

    def __init__(self, directory: Path, private: bool = False) -> None:
        self._directory = directory
        self._options = ["-q", "-o", "Acquire::Retries=2"]
        if os.geteuid() == 0:  # else apt becomes a user who can't see our directory
            self._options += ["-o", "APT::Sandbox::User=root"]
        if private:
            for place in ("state/lists/partial", "cache/archives/partial"):
                (directory / place).mkdir(parents=True, exist_ok=True)
            self._options += [
                "-o", f"Dir::State={directory / 'state'}",
                "-o", "Dir::State::status=/var/lib/dpkg/status",
                "-o", f"Dir::Cache={directory / 'cache'}",
            ]  # fmt: skip

    def run(self, tool: str, *words: str) -> tuple[int, str]:
        """Run apt-get or apt-cache; its exit code and all that it said."""
        return run([tool, *self._options, *words], self._directory)

    def kernel(self) -> Package | None:
        """The kernel package that the lists name, or None."""
        name = dependency(self.run("apt-cache", "depends", METAPACKAGE)[1])
        if name is None:
            return None
        version = candidate(self.run("apt-cache", "show", "--no-all-versions", name)[1])
        return None if version is None else Package(name, version)

    def download(self, package: Package) -> tuple[Path | None, str]:
        """Fetch ``package``; its file, or None and what apt said. apt checks its digest."""
        _, said = self.run("apt-get", "download", f"{package.name}={package.version}")
        found = sorted(self._directory.glob(f"{package.name}_*.deb"))
        return (found[0] if found else None), said


def run(argv: Sequence[str], directory: Path) -> tuple[int, str]:
    """Run a program that needs no input; its exit code and all that it said, in English."""
    try:
        process = supervise.spawn(
            argv,
            directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            environment={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    except OSError as error:
        return 127, f"{argv[0]}: {error.strerror}"
    try:
        output, _ = process.communicate(timeout=bootstrap.PATIENCE)
    except subprocess.TimeoutExpired:
        return 124, f"{argv[0]}: no end after {bootstrap.PATIENCE:.0f} s"
    finally:
        supervise.end(process)
        assert process.stdout is not None
        process.stdout.close()
    return process.returncode, output.decode("utf-8", "replace")


def listed_kernel(directory: Path) -> Package | None:
    """The kernel package that the system's lists name, or None; no network is used."""
    return Apt(directory).kernel()


def fetch_kernel(directory: Path, say: Say) -> tuple[Package, Path]:
    """The kernel's package, downloaded into ``directory``; Unavailable if it can't be had."""
    said = ""
    for private in (False, True):
        apt = Apt(directory, private)
        if private:
            say("fetching package lists: the system's are missing or out of date")
            said = apt.run("apt-get", "update")[1]
        package = apt.kernel()
        if package is None:
            continue
        say(f"downloading {package}")
        file, said = apt.download(package)
        if file is not None:
            return package, file
    why = bootstrap.cause(said)
    if why == "it failed":
        last = said.strip().splitlines()[-1:]
        why = f"apt can't provide {METAPACKAGE}" + (f" ({last[0]})" if last else "")
    raise Unavailable(why.rstrip(".") or f"apt knows no {METAPACKAGE}", _DOWNLOAD)


def take_apart(package: Path, called: str, directory: Path) -> Path:
    """Put the modules of the kernel in ``package`` into ``directory``; the boot image's path there.

    Raises Unavailable if it lacks something, naming it.
    """
    wanted = {f"{name}.ko{ending}": name for name in MODULES for ending in ("", ".xz")}
    image: Path | None = None
    found: dict[str, Path] = {}
    for path, data in _members(package):
        if re.fullmatch(r"(\./)?boot/vmlinuz-[^/]+", path):
            image = directory / "vmlinuz"
            image.write_bytes(data())
        elif (name := wanted.get(path.rsplit("/", 1)[-1])) and "lib/modules/" in path:
            content = data()
            if path.endswith(".xz"):
                try:
                    content = lzma.decompress(content)
                except lzma.LZMAError as error:
                    raise Unavailable(
                        f"the module {name} in {called} is damaged: {error}"
                    ) from None
            found[name] = directory / f"{name}.ko"
            found[name].write_bytes(content)
    for name in MODULES:
        if name not in found:
            raise Unavailable(f"the kernel package {called} has no module {name}")
    if image is None:
        raise Unavailable(f"the package {called} has no kernel")
    return image


def _members(package: Path) -> Iterable[tuple[str, Callable[[], bytes]]]:
    """Each regular file in the package: its path, and a function that reads it."""
    process = supervise.spawn(
        ("dpkg-deb", "--fsys-tarfile", str(package)),
        package.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                if member.isreg() and member.size <= _LARGEST_MEMBER:
                    file = archive.extractfile(member)
                    assert file is not None
                    yield member.name, file.read
    except (tarfile.TarError, EOFError) as error:
        raise Unavailable(f"the package {package.name} can't be unpacked: {error}") from None
    finally:
        supervise.end(process)
        with contextlib.suppress(OSError):
            process.stdout.close()
