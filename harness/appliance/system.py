"""What the appliance takes from this system: QEMU, with all that it opens, each at its own path."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from harness.appliance.unavailable import Unavailable

FIRMWARE = (
    "qboot.rom", "bios-256k.bin", "kvmvapic.bin",
    "linuxboot_dma.bin", "multiboot_dma.bin", "multiboot.bin", "pvh.bin",
)  # fmt: skip

_INSTALL = "apt install qemu-system-x86"
_PATIENCE = 60.0  # seconds
_LIBRARY = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)
_MISSING = re.compile(r"^\s*(\S+) => not found$", re.MULTILINE)


def qemu() -> Path:
    """The installed QEMU: $QEMU, else qemu-system-x86_64; Unavailable if there is none."""
    named = os.environ.get("QEMU")
    found = shutil.which(named or "qemu-system-x86_64")
    if found is None:
        what = f"$QEMU names {named}, which is no program" if named else "QEMU is not installed"
        raise Unavailable(what, _INSTALL)
    with Path(found).open("rb") as file:
        if file.read(5) != b"\x7fELF\x02":
            raise Unavailable(f"{found} is not a 64-bit program that could be taken along")
    return Path(found)


def _ask(argv: list[str]) -> str:
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{argv[0]} can't be asked what it needs: {error}") from None
    return done.stdout.decode("utf-8", "replace")


def libraries(ldd: str) -> list[str]:
    """The paths in what ldd said, the dynamic loader among them; Unavailable if one is missing."""
    if missing := _MISSING.findall(ldd):
        raise Unavailable(f"QEMU lacks its own library {missing[0]}")
    return _LIBRARY.findall(ldd)


def firmware(directories: Iterable[str]) -> dict[str, Path]:
    """The firmware files that QEMU finds in its data directories, by name.

    Unavailable without a file that booting needs; qboot.rom may be missing, as for real QEMU.
    """
    found: dict[str, Path] = {}
    for name in FIRMWARE:
        for directory in directories:
            if (path := Path(directory.strip()) / name).is_file():
                found[name] = path
                break
    if "bios-256k.bin" not in found:
        raise Unavailable("QEMU's firmware bios-256k.bin is not installed", _INSTALL)
    return found


def files(program: Path) -> tuple[Path, ...]:
    """Every file that QEMU needs to run: itself, its libraries, its firmware."""
    needed = libraries(_ask(["ldd", str(program)]))
    directories = _ask([str(program), "-L", "help"]).splitlines()
    return (program, *map(Path, needed), *firmware(directories).values())


def version(program: Path) -> str:
    """What QEMU says of itself, its first line."""
    return next(iter(_ask([str(program), "--version"]).splitlines()), "unknown")
