"""The appliance's two files, made from Debian's kernel, this system's QEMU, and our own agent.

They are kept under build/appliance/, in a directory named after the kernel and a digest of all that
went in. It appears by one rename, so what is there is whole, whatever interrupted the making of it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness import bootstrap, cpio, debian, project
from harness.appliance import kernel, system, vmlinux
from harness.appliance.unavailable import Unavailable
from harness.debian import Package, Say
from harness.engines.base import Availability

KERNEL = "vmlinux"
INITRAMFS = "initramfs.cpio"
VERSIONS = "versions.json"

_HERE = Path(__file__).parent
_INSIDE = _HERE / "inside"
_RECIPE = ("assemble.py", "../cpio.py", "kernel.py", "system.py", "vmlinux.py")
_UNFINISHED = ".unfinished-"
_TOOLS = (*debian.TOOLS, "gcc", "objcopy", "ldd")
_NOT_LOADED = (".BTF", ".orc_unwind", ".orc_unwind_ip", "__mcount_loc")  # sections of modules
_COMPILE = ("-std=gnu17", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s")


@dataclass(frozen=True)
class Parts:
    """What Bochs boots, and what is in it."""

    vmlinux: Path
    initramfs: Path
    key: str
    versions: Mapping[str, str]  # "kernel", "qemu": name and version


def directory() -> Path:
    """Where appliances are kept."""
    return project.root() / "build" / "appliance"


def availability() -> Availability:
    """Can there be an appliance here? Quick: no network, nothing is made."""
    try:
        parts = _newest(_digest(system.files(system.qemu())))
        if parts is None:
            _require_debian()
    except Unavailable as unavailable:
        return Availability(False, unavailable.reason, unavailable.remedy)
    if parts is None:
        return Availability(True, "the appliance can be made from Debian's packages")
    return Availability(True, f"appliance with {parts.versions['kernel']}")


def assemble(say: Say, *, renew: bool = False) -> Parts:
    """The appliance, made now if there is none. ``renew``: also if apt knows another kernel.

    Raises Unavailable. Two of these at a time wait for each other; ``say`` hears what takes long.
    """
    needed = system.files(system.qemu())
    digest = _digest(needed)
    place = directory()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with _alone(place, say):
            parts = _newest(digest)
            if parts is None or (renew and _outdated(parts)):
                _require_debian()
                parts = _make(place, needed, digest, say)
            _remove_others(place, parts)
            return parts
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else f"{error.filename or place}: {error.strerror}"
        raise Unavailable(reason) from None


def _require_debian() -> None:
    try:
        debian.require()
    except debian.Unobtainable as error:
        raise Unavailable(error.reason, error.remedy) from None
    for tool in _TOOLS:
        if shutil.which(tool) is None:
            raise Unavailable(f"{tool} is not installed", "make setup")


def _digest(files: tuple[Path, ...]) -> str:
    """Of all that goes in but the kernel."""
    digest = hashlib.sha256()
    for path in (*sorted(_INSIDE.iterdir()), *(_HERE / name for name in _RECIPE)):
        digest.update(path.read_bytes())
    for path in files:
        facts = path.stat()
        digest.update(f"{path} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


def _newest(digest: str) -> Parts | None:
    """The appliance with that digest, if there is one."""
    for place in sorted(directory().glob(f"*-{digest}"), reverse=True):
        with contextlib.suppress(OSError, ValueError):
            versions = json.loads((place / VERSIONS).read_text(encoding="utf-8"))
            if isinstance(versions, dict) and "kernel" in versions:
                return Parts(place / KERNEL, place / INITRAMFS, place.name, versions)
    return None


def _outdated(parts: Parts) -> bool:
    listed = kernel.listed()
    return listed is not None and str(listed) != parts.versions["kernel"]


@contextlib.contextmanager
def _alone(place: Path, say: Say) -> Iterator[None]:
    with (place / "lock").open("wb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process makes the appliance; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _remove_others(place: Path, parts: Parts) -> None:
    """Remove older appliances, and what a killed one has left."""
    for other in place.iterdir():
        if other.is_dir() and other.name != parts.key:
            shutil.rmtree(other, ignore_errors=True)


def _make(place: Path, needed: tuple[Path, ...], digest: str, say: Say) -> Parts:
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=place) as name:
        work = Path(name)
        package, file = kernel.fetch(say)
        say("taking the kernel apart")
        image = kernel.take_apart(file, str(package), work)
        made = work / "made"
        made.mkdir()
        try:
            (made / KERNEL).write_bytes(vmlinux.extract(image.read_bytes()))
        except vmlinux.BadKernel as error:
            raise Unavailable(f"the kernel in {package} can't be used: {error}") from None
        say("making the initramfs")
        with (made / INITRAMFS).open("wb") as out:
            cpio.write(out, _contents(work, needed))
        versions = {"kernel": str(package), "qemu": system.version(needed[0])}
        (made / VERSIONS).write_text(json.dumps(versions), encoding="utf-8")
        target = place / f"{_plain(package)}-{digest}"
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)
    return Parts(target / KERNEL, target / INITRAMFS, target.name, versions)


def _plain(package: Package) -> str:
    return "".join(c if c.isalnum() or c in ".+-" else "_" for c in package.version)


def _contents(work: Path, needed: tuple[Path, ...]) -> dict[str, cpio.Entry]:
    contents: dict[str, cpio.Entry] = {
        "/init": cpio.File(_agent(work), 0o755),
        "/dev/console": cpio.CharacterDevice(5, 1),
    }
    for module in kernel.MODULES:
        contents[f"/modules/{module}.ko"] = cpio.File(_lean(work, module))
    for path in needed:
        contents[os.path.normpath(path)] = cpio.File(path, 0o755)
    return contents


def _agent(work: Path) -> Path:
    sources = sorted(str(path) for path in _INSIDE.glob("*.c"))
    target = work / "agent"
    _must(["gcc", *_COMPILE, "-o", str(target), *sources], work, "the agent can't be compiled")
    return target


def _lean(work: Path, module: str) -> Path:
    """The module without what Linux would only check and throw away.

    Verifying signatures, preparing each function to be traced, and sorting tables for unwinding
    the stack are more than half of all the instructions that would run until the appliance is up.
    """
    target = work / f"{module}.lean.ko"
    without = [f"--remove-section={section}" for section in _NOT_LOADED]
    argv = ["objcopy", "--strip-debug", *without, f"{module}.ko", target.name]  # nor the signature
    _must(argv, work, f"the module {module} can't be read")
    return target


def _must(argv: list[str], work: Path, what: str) -> None:
    code, said = debian.run(argv, work)
    if code:
        cause = bootstrap.cause(said)
        last = said.strip().splitlines()[-1:] or [cause]
        raise Unavailable(f"{what}: {last[0] if cause == 'it failed' else cause}")
