"""The state of a paused QEMU in two files, and back.

Devices go by snapshot-save into a qcow2 file that QEMU itself makes. RAM is a file already, so the
snapshot leaves it out (x-ignore-shared) and it is copied with its holes: of 128 MiB, most of which
nobody ever touched, that takes 20 ms instead of 130.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Protocol

DEVICES, RAM = "devices.qcow2", "ram"

_FILE, _NODE, _TAG = "snapshot-file", "snapshot", "it"


class Control(Protocol):
    """The part of a running QEMU that is needed here."""

    def qmp(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        """Execute a QMP command."""

    def job(self, command: str, arguments: dict[str, Any]) -> None:
        """Execute a QMP command that starts a job; return at the job's end."""


def save(control: Control, memory: int, directory: Path) -> None:
    """Write the state of a paused QEMU, whose RAM is the file ``memory``, to ``directory``."""
    devices = (directory / DEVICES).absolute()
    devices.touch()
    _open_file(control, devices)
    options = {"driver": "qcow2", "file": _FILE, "size": 0}
    control.job("blockdev-create", {"options": options})
    _transfer(control, "snapshot-save")
    with (directory / RAM).open("wb") as file:
        copy_sparse(memory, file.fileno())


def load(control: Control, memory: int, directory: Path, own: Path) -> None:
    """Give a QEMU that has not run yet the state in ``directory``; it stays paused.

    ``own``: a directory of this QEMU's own, since it may write to its copy.
    """
    devices = (own / DEVICES).absolute()
    shutil.copyfile(directory / DEVICES, devices)
    _open_file(control, devices)
    _transfer(control, "snapshot-load")
    devices.unlink()
    with (directory / RAM).open("rb") as file:
        copy_sparse(file.fileno(), memory)


def copy_sparse(source: int, target: int) -> None:
    """Make the file ``target`` (descriptors) equal to ``source``; holes stay holes."""
    size = os.fstat(source).st_size
    os.ftruncate(target, 0)  # what was in it is gone, in whoever maps it too
    os.ftruncate(target, size)
    at = 0
    while at < size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole is left
            return
        at = os.lseek(source, start, os.SEEK_HOLE)
        os.lseek(target, start, os.SEEK_SET)
        while start < at:
            start += os.sendfile(target, source, start, at - start)


def _open_file(control: Control, path: Path) -> None:
    control.qmp("blockdev-add", {"driver": "file", "node-name": _FILE, "filename": str(path)})


def _transfer(control: Control, command: str) -> None:
    """Run snapshot-save or snapshot-load on the open file, and close it."""
    control.qmp("blockdev-add", {"driver": "qcow2", "node-name": _NODE, "file": _FILE})
    capability = {"capability": "x-ignore-shared", "state": True}
    control.qmp("migrate-set-capabilities", {"capabilities": [capability]})
    control.job(command, {"tag": _TAG, "vmstate": _NODE, "devices": [_NODE]})
    control.qmp("blockdev-del", {"node-name": _NODE})
    control.qmp("blockdev-del", {"node-name": _FILE})
