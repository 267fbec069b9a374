"""Which images there are, which package has each, and whether they are here.

What `make guests` found, or why it did not, is kept beside the images in ``images.json``: where one
is missing, its scenarios are skipped with that reason.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from harness import debian, project

RECORD = "images.json"


@dataclass(frozen=True)
class Image:
    """An image: its file in build/guests/, and the package that has it where ``member`` says."""

    file: str
    package: debian.Wanted
    member: str  # a regular expression; what ends in .gz is unpacked


IMAGES = (
    Image("linux", debian.KERNEL, debian.KERNEL_IMAGE),
    Image("mach", debian.Wanted("gnumach-image-1.8-486", "i386"), r"boot/gnumach-[^/]+\.gz"),
    Image("memtest", debian.Wanted("memtest86+"), r"boot/memtest86\+x64(\.bin)?"),
    Image("busybox", debian.Wanted("busybox-static"), r"(usr/)?bin/busybox"),
)

NEEDED_BY = {"linux-shell.cpio": "busybox"}
"""What the build makes of an image, and of which."""


@dataclass(frozen=True)
class Found:
    """What became of an image: the package that it is from, or why it could not be had."""

    package: str = ""
    digest: str = ""  # SHA-256 of the file
    missing: str = ""


def directory() -> Path:
    """Where the images are."""
    return project.build() / "guests"


def read() -> dict[str, Found]:
    """What `make guests` wrote down, by file name; empty where it has not run or it is damaged."""
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        data = json.loads((directory() / RECORD).read_text(encoding="utf-8"))
        return {str(name): Found(**found) for name, found in data.items()}
    return {}


def write(found: Mapping[str, Found]) -> None:
    """Write that down; OSError if it can't be."""
    unfinished = directory() / f".unfinished-{RECORD}-{os.getpid()}"
    data = {name: asdict(one) for name, one in found.items()}
    unfinished.write_text(json.dumps(data, indent=1), encoding="utf-8")
    unfinished.rename(directory() / RECORD)


def digest(path: Path) -> str:
    """The SHA-256 of a file; "" if it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def whole(image: Image, found: Mapping[str, Found]) -> bool:
    """Is the image here, as it was when it was fetched?"""
    known = found.get(image.file)
    return known is not None and bool(known.digest) and known.digest == digest(
        directory() / image.file
    )  # fmt: skip


def lacking(paths: Iterable[Path]) -> str | None:
    """Why a guest can't run that needs the files ``paths``, if one is ours to fetch; else None."""
    return next(filter(None, map(why_missing, paths)), None)


def why_missing(path: Path) -> str | None:
    """Why the file ``path`` is not there, if it is one that `make guests` provides; else None."""
    name = NEEDED_BY.get(path.name, path.name)
    if path.parent != directory() or path.exists() or all(name != one.file for one in IMAGES):
        return None
    known = read().get(name)
    reason = known.missing if known and known.missing else "it was not fetched yet"
    return f"{path.name} is missing ({reason}); `make guests` fetches it"
