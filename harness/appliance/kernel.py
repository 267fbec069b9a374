"""The appliance's kernel and its modules, out of Debian's package."""

from __future__ import annotations

import lzma
import re
from pathlib import Path

from harness import debian
from harness.appliance.unavailable import Unavailable

WANTED = debian.KERNEL
MODULES = ("irqbypass", "kvm", "kvm-intel")


def listed() -> debian.Package | None:
    """The kernel package that the system's lists name, or None; no network is used."""
    return debian.listed(WANTED)


def fetch(say: debian.Say) -> tuple[debian.Package, Path]:
    """The kernel's package and its file; Unavailable if it can't be had."""
    try:
        return debian.fetch(WANTED, say)
    except debian.Unobtainable as error:
        raise Unavailable(error.reason, error.remedy) from None


def take_apart(package: Path, called: str, directory: Path) -> Path:
    """Put the modules of the kernel in ``package`` into ``directory``; the boot image's path there.

    Raises Unavailable if it lacks something, naming it.
    """
    try:
        image, found = _take_apart(package, called, directory)
    except debian.Unobtainable as error:
        raise Unavailable(error.reason, error.remedy) from None
    for name in MODULES:
        if name not in found:
            raise Unavailable(f"the kernel package {called} has no module {name}")
    if image is None:
        raise Unavailable(f"the package {called} has no kernel")
    return image


def _take_apart(package: Path, called: str, directory: Path) -> tuple[Path | None, set[str]]:
    wanted = {f"{name}.ko{ending}": name for name in MODULES for ending in ("", ".xz")}
    image: Path | None = None
    found = set[str]()
    for path, data in debian.members(package):
        if re.fullmatch(debian.KERNEL_IMAGE, path):
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
            (directory / f"{name}.ko").write_bytes(content)
            found.add(name)
    return image, found
