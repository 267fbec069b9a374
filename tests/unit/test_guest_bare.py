"""A guest's system without the hypervisor: what the bare machine gets, and what it prints."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from harness import multiboot
from harness.guest import DataFile, Guest
from harness.guest_images import bare, slowdown
from harness.verdict import RunEnded

START = 0x1000000
CODE = b"\x90" * 5000


def bzimage(setup_sectors: int = 2) -> bytes:
    """The header of a bzImage with as much in it as a loader looks at, and its code."""
    image = bytearray((setup_sectors + 1) * 512)
    image[0x1F1] = setup_sectors
    image[0x201] = 0x66  # the jump over the header
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<Q", image, 0x258, START)
    return bytes(image) + CODE


@pytest.fixture
def linux(tmp_path: Path) -> Guest:
    (tmp_path / "linux").write_bytes(bzimage())
    (tmp_path / "disk.cpio").write_bytes(b"disk")
    disk = DataFile(tmp_path / "disk.cpio")
    return Guest(tmp_path / "linux", "linux", (("memory", "64M"),), "linux", "quiet", disk)


def content(image: Path, address: int, size: int) -> bytes:
    """What lies at a physical address once ``image`` is loaded."""
    for segment in multiboot.read(image).segments:
        if segment.address <= address < segment.address + segment.file_size:
            offset = segment.offset + address - segment.address
            return image.read_bytes()[offset : offset + size]
    raise AssertionError(f"nothing is at {address:#x}")


def test_linux_is_packed_as_a_kernel_that_every_engine_boots(linux: Guest, tmp_path: Path) -> None:
    boot = bare.boot(linux, tmp_path, "more")
    assert boot.memory_mib == 64
    assert content(boot.image, START, len(CODE)) == CODE
    entry = multiboot.read(boot.image).entry
    stub = content(boot.image, entry, 12)
    (params,) = struct.unpack_from("<I", stub, 1)
    assert stub == b"\xbe" + struct.pack("<I", params) + b"\xb8" + struct.pack("<I", START) + (
        b"\xff\xe0"
    )
    page = content(boot.image, params, 0x1000)
    (line,) = struct.unpack_from("<I", page, 0x228)
    assert content(boot.image, line, 11) == b"quiet more\0"
    disk, size = struct.unpack_from("<II", page, 0x218)
    assert content(boot.image, disk, size) == b"disk"
    regions = [struct.unpack_from("<QQI", page, 0x2D0 + 20 * i) for i in range(page[0x1E8])]
    assert regions == [(0, 0x9FC00, 1), (1 << 20, 63 << 20, 1)]


def test_gnu_mach_is_booted_as_it_is(tmp_path: Path) -> None:
    task = DataFile(tmp_path / "task.elf", "$(task-create)")
    memory = (("memory", "32M"),)
    guest = Guest(tmp_path / "mach", "mach", memory, "multiboot", "console=com0", modules=(task,))
    boot = bare.boot(guest, tmp_path)
    assert (boot.image, boot.command_line, boot.memory_mib) == (guest.path, "console=com0", 32)
    assert [module.string for module in boot.modules] == ["task.elf $(task-create)"]


@pytest.mark.parametrize("size", [0, 0x1F0, 0x200, 0x240])
def test_a_kernel_that_is_cut_off_is_one_sentence(linux: Guest, tmp_path: Path, size: int) -> None:
    linux.path.write_bytes(bzimage()[:size])
    with pytest.raises(RunEnded, match="is no kernel of Linux"):
        bare.boot(linux, tmp_path)


def test_a_guest_of_ours_can_not_do_without_the_hypervisor(tmp_path: Path) -> None:
    with pytest.raises(RunEnded, match="'hello' can't do without the hypervisor"):
        bare.boot(Guest(tmp_path / "hello.bin", "hello"), tmp_path)


def test_the_figures_are_those_that_the_first_programs_print() -> None:
    linux = (
        "init: Linux 6.1 x86_64, in user space at tick 1234\n"
        "init: SHA-256 00ff took 56 ticks\ninit: 16 processes took 78 ticks\n"
    )
    assert slowdown.figures(linux) == {"user space": 1234, "sum": 56, "processes": 78}
    mach = "task: GNU Mach, in user space at tick 0x10\ntask: CRC-32 df6fd768 took 0x20 ticks\n"
    assert slowdown.figures(mach) == {"user space": 16, "sum": 32}
