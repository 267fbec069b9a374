"""Debian's packages: found, downloaded and taken apart without root, kept under build/packages/.

apt's own lists are used where they are good. Where they are missing or outdated, or name no package
of the wanted architecture, private ones are fetched: a user may neither refresh the system's lists
nor wait for somebody who may.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import bootstrap, project, supervise

Say = Callable[[str], None]

TOOLS = ("apt-get", "apt-cache", "dpkg-deb")

_ONCE = "Debian's package servers, once"
_LARGEST_MEMBER = 256 << 20  # bytes
_UNFINISHED = ".unfinished-"
_DIGITS = 16  # of a package's SHA-256, in the name of its file


class Unobtainable(Exception):
    """A package, or what should be in it, can't be had: why, and what would help, a clause each."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True)
class Package:
    """A package by name, version and architecture."""

    name: str
    version: str
    architecture: str = "amd64"

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def qualified(self) -> str:
        """Its name for apt, whichever architecture that takes for its own."""
        return self.name if self.architecture == "amd64" else f"{self.name}:{self.architecture}"

    def file_name(self, digest: str) -> str:
        """What its file in our cache is called, as `in_file` reads it."""
        version = self.version.replace(":", "%3a")
        return f"{self.name}_{version}_{self.architecture}.{digest}.deb"

    @staticmethod
    def in_file(file: Path) -> tuple[Package, str] | None:
        """The package in a file of our cache and its digest, by the file's name; None: neither."""
        fits = re.fullmatch(r"([^_]+)_([^_]+)_([^_.]+)\.([0-9a-f]+)\.deb", file.name)
        if fits is None:
            return None
        name, version, architecture, digest = fits.groups()
        return Package(name, version.replace("%3a", ":"), architecture), digest


@dataclass(frozen=True)
class Wanted:
    """A package to look for. ``stands_for``: the wanted one has such a name, this depends on it."""

    name: str
    architecture: str = "amd64"
    stands_for: str = ""  # a regular expression

    def find(self, apt: Apt) -> Package | None:
        """The package that apt's lists name, or None."""
        name: str | None = self.name
        if self.stands_for:
            name = dependency(apt.run("apt-cache", "depends", self.name)[1], self.stands_for)
        if name is None:
            return None
        package = Package(name, "", self.architecture)
        shown = apt.run("apt-cache", "show", "--no-all-versions", package.qualified)[1]
        version = candidate(shown)
        return None if version is None else Package(name, version, self.architecture)

    def fits(self, package: Package) -> bool:
        """Is it such a package, of whichever version?"""
        pattern = self.stands_for or re.escape(self.name)
        right_name = re.fullmatch(pattern, package.name) is not None
        return right_name and package.architecture == self.architecture


KERNEL = Wanted("linux-image-cloud-amd64", stands_for=r"linux-image-\d\S*")
"""The smallest kernel that Debian builds."""
KERNEL_IMAGE = r"boot/vmlinuz-[^/]+"
"""Where such a package has it, a regular expression."""


def dependency(depends: str, pattern: str) -> str | None:
    """The package that a metapackage stands for, from what ``apt-cache depends`` said."""
    found = re.search(rf"^ *\|?Depends: ({pattern})$", depends, re.MULTILINE)
    return found[1] if found else None


def candidate(show: str) -> str | None:
    """The version that apt would install, from ``apt-cache show --no-all-versions``."""
    found = re.search(r"^Version: (\S+)$", show, re.MULTILINE)
    return found[1] if found else None


class Apt:
    """apt, with the system's lists or, given an architecture, private ones below ``directory``."""

    def __init__(self, directory: Path, private: str = "") -> None:
        self._directory = directory
        self._options = ["-q", "-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=20"]
        if os.geteuid() == 0:  # else apt becomes a user who can't see our directory
            self._options += ["-o", "APT::Sandbox::User=root"]
        if private:
            for place in ("state/lists/partial", "cache/archives/partial"):
                (directory / place).mkdir(parents=True, exist_ok=True)
            self._options += [
                "-o", f"Dir::State={directory / 'state'}",
                "-o", "Dir::State::status=/var/lib/dpkg/status",
                "-o", f"Dir::Cache={directory / 'cache'}",
                "-o", f"APT::Architecture={private}", "-o", f"APT::Architectures={private}",
                "-o", "Acquire::Languages=none",  # descriptions are half of it
            ]  # fmt: skip

    def run(self, tool: str, *words: str) -> tuple[int, str]:
        """Run apt-get or apt-cache; its exit code and all that it said."""
        return run([tool, *self._options, *words], self._directory)

    def download(self, package: Package) -> tuple[Path | None, str]:
        """Fetch ``package``; its file, or None and what apt said. apt checks its digest."""
        code, said = self.run("apt-get", "download", f"{package.qualified}={package.version}")
        found = sorted(self._directory.glob(f"{package.name}_*.deb"))
        return (found[0] if found and code == 0 else None), said


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


def require() -> None:
    """Raise Unobtainable where there are no packages of Debian's: another system, or no apt."""
    try:
        facts = platform.freedesktop_os_release()
    except OSError:
        facts = {}
    families = {facts.get("ID", ""), *facts.get("ID_LIKE", "").split()}
    if "debian" not in families or "ubuntu" in families or platform.machine() != "x86_64":
        name = facts.get("PRETTY_NAME", platform.system())
        raise Unobtainable(
            f"it is made from Debian's packages for amd64, and this is {name} on"
            f" {platform.machine()}"
        )
    for tool in TOOLS:
        if shutil.which(tool) is None:
            raise Unobtainable(f"{tool} is not installed", "make setup")


def directory() -> Path:
    """Where packages are kept, whatever is made from them."""
    return project.root() / "build" / "packages"


def listed(wanted: Wanted) -> Package | None:
    """The package that the system's lists name, or None; no network is used."""
    place = directory()
    place.mkdir(parents=True, exist_ok=True)
    return wanted.find(Apt(place))


def fetch(wanted: Wanted, say: Say, offline: str = "") -> tuple[Package, Path]:
    """A package out of the cache, or else downloaded: what to call it, and its file.

    The version that the system's lists name is preferred; without them, or without a network, what
    is in the cache serves. Raises Unobtainable. Two of these at a time wait for each other.
    ``offline``: why the network need not be tried; then only the cache is.
    """
    place = directory()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with _alone(place, say):
            for unfinished in place.glob(f"{_UNFINISHED}*"):
                shutil.rmtree(unfinished, ignore_errors=True)
            package = wanted.find(Apt(place))
            cached = _cached(place, wanted)
            if cached and package in (cached[0], None):
                return cached
            try:
                if offline:
                    raise Unobtainable(offline, _ONCE)
                require()
                fetched = _download(place, wanted, package, say)
            except Unobtainable:
                if cached is None:
                    raise
                return cached
            if cached is not None:
                cached[1].unlink(missing_ok=True)
            return fetched
    except OSError as error:
        raise Unobtainable(out_of_luck(error, place)) from None


def out_of_luck(error: OSError, place: Path) -> str:
    """Why a file can't be written, as one clause."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "the disk is full" if full else f"{error.filename or place}: {error.strerror}"


@contextlib.contextmanager
def _alone(place: Path, say: Say) -> Iterator[None]:
    with (place / "lock").open("wb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process fetches packages; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _digest(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()[:_DIGITS]


def _cached(place: Path, wanted: Wanted) -> tuple[Package, Path] | None:
    """The newest such package in the cache that is whole; what is damaged is removed."""
    files = sorted(place.glob("*.deb"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files:
        known = Package.in_file(file)
        if known is None or not wanted.fits(known[0]):
            continue
        if known[1] == _digest(file):
            return known[0], file
        file.unlink()
    return None


def _download(
    place: Path, wanted: Wanted, package: Package | None, say: Say
) -> tuple[Package, Path]:
    """Fetch it: as ``package``, which the system's lists name, or else what newer ones name."""
    said = ""
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=place) as name:
        work = Path(name)
        for private in ("", wanted.architecture):
            apt = Apt(work, private)
            if private:
                say(f"fetching lists of packages for {private}: the system's do not serve")
                said = apt.run("apt-get", "update")[1]
                package = wanted.find(apt)
            if package is None:
                continue
            say(f"downloading {package}")
            file, said = apt.download(package)
            if file is not None:
                return package, file.rename(place / package.file_name(_digest(file)))
    why = bootstrap.cause(said)
    if why == "it failed":
        last = said.strip().splitlines()[-1:]
        why = f"apt can't provide {wanted.name}" + (f" ({last[0]})" if last else "")
    raise Unobtainable(why.rstrip(".") or f"apt knows no {wanted.name}", _ONCE)


def members(package: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
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
                    yield member.name.removeprefix("./"), file.read
    except (tarfile.TarError, EOFError) as error:
        raise Unobtainable(f"the package {package.name} can't be unpacked: {error}") from None
    finally:
        supervise.end(process)
        with contextlib.suppress(OSError):
            process.stdout.close()
