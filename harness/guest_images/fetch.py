"""Puts the images of real systems where the hypervisor's other guests are."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Collection
from pathlib import Path

from harness import bootstrap, debian
from harness.guest_images import images
from harness.guest_images.images import IMAGES, Found, Image


def fetch(say: debian.Say, *, renew: bool = False, only: Collection[str] = ()) -> dict[str, Found]:
    """See to it that every image is there that can be; what became of each, by file name.

    ``only``: the files that matter now; none: all.

    What is there stays, unless ``renew`` and apt knows another version. One that can't be had does
    not keep the others away. OSError if what was found can't be written down.
    """
    place = images.directory()
    place.mkdir(parents=True, exist_ok=True)
    before = images.read()
    found = dict(before)
    offline = ""
    for image in IMAGES:
        if only and image.file not in only:
            continue
        here = images.whole(image, before)
        if here and not (renew and _outdated(image, before[image.file])):
            found[image.file] = before[image.file]
            continue
        try:
            found[image.file] = _fetch(image, place, say, offline)
        except debian.Unobtainable as error:
            if here:
                found[image.file] = before[image.file]
                continue
            if error.reason == bootstrap.UNREACHABLE:
                offline = error.reason  # one time-out is enough
            (place / image.file).unlink(missing_ok=True)  # damaged, or nobody knows what
            found[image.file] = Found(missing=error.reason)
    if found != before:
        images.write(found)
    return found


def _outdated(image: Image, found: Found) -> bool:
    listed = debian.listed(image.package)
    return listed is not None and str(listed) != found.package


def _fetch(image: Image, place: Path, say: debian.Say, offline: str) -> Found:
    package, file = debian.fetch(image.package, say, offline)
    data = _member(file, image.member)
    if data is None:
        raise debian.Unobtainable(f"the package {package} has no file like {image.member}")
    unfinished = place / f".unfinished-{image.file}-{os.getpid()}"
    try:
        unfinished.write_bytes(data)
        found = Found(str(package), images.digest(unfinished))
        unfinished.rename(place / image.file)
    except OSError as error:
        raise debian.Unobtainable(debian.out_of_luck(error, place)) from None
    finally:
        unfinished.unlink(missing_ok=True)
    return found


def _member(package: Path, pattern: str) -> bytes | None:
    for path, data in debian.members(package):
        if re.fullmatch(pattern, path):
            if not path.endswith(".gz"):
                return data()
            try:
                return gzip.decompress(data())
            except (OSError, EOFError, zlib.error) as error:
                raise debian.Unobtainable(f"{path} in {package.name} is damaged: {error}") from None
    return None
