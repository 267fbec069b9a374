"""Guest images with a word of the test's choosing written into them (hv/guests/parameter.h)."""

from __future__ import annotations

from pathlib import Path

from harness import project
from harness.engines.base import Module

MARK = b"<param>\0"
TEXT_SIZE = 24


def module(
    image: str, directory: Path, *, parameter: int | str | None = None, **options: str
) -> Module:
    """The guest ``image`` as a module; ``options`` are words of its string (name, memory, mode).

    ``parameter`` goes into a copy of the image, in ``directory``.
    """
    path = project.guest(image)
    if parameter is not None:
        data = path.read_bytes()
        assert data.count(MARK) == 1, f"{path.name} takes no parameter"
        if isinstance(parameter, int):
            word = parameter.to_bytes(8, "little")
        else:
            word = parameter.encode().ljust(TEXT_SIZE, b"\0")
            assert len(word) == TEXT_SIZE, parameter
            assert word.endswith(b"\0"), parameter
        start = data.index(MARK) + len(MARK)
        path = directory / f"{image}-{parameter}.bin"
        path.write_bytes(data[:start] + word + data[start + len(word) :])
        options.setdefault("name", image)
    words = " ".join(f"{key}={value}" for key, value in options.items())
    # QEMU takes the first word for a file's name: no two images may share it.
    return Module(path, f"{path.name} {words}".strip())
