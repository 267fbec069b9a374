"""The image as a file: what a boot loader and the harness rely on before any of it runs."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).parents[2]
MAGIC, ADDRESS_FIELDS = 0x1BADB002, 1 << 16


@pytest.fixture(params=["vanderpool.elf", "vanderpool-selftest.elf", "probe.elf"])
def image(request: pytest.FixtureRequest) -> Path:
    path = ROOT / "build" / str(request.param)
    assert path.exists(), "run make"
    return path


def multiboot_header(data: bytes) -> tuple[int, tuple[int, ...]]:
    at = data.index(struct.pack("<I", MAGIC))
    return at, struct.unpack_from("<8I", data, at)


def test_the_multiboot_header_is_early_and_sums_to_zero(image: Path) -> None:
    at, header = multiboot_header(image.read_bytes())
    assert at <= 8192 - 32
    assert at % 4 == 0
    assert sum(header[:3]) & 0xFFFF_FFFF == 0
    assert header[1] & ADDRESS_FIELDS


def test_the_address_fields_load_the_same_bytes_as_the_elf_headers(image: Path) -> None:
    data = image.read_bytes()
    at, (_, _, _, header_address, load, load_end, bss_end, entry) = multiboot_header(data)
    with image.open("rb") as file:
        elf = ELFFile(file)
        assert elf.header.e_entry == entry
        segments = [s for s in elf.iter_segments() if s.header.p_type == "PT_LOAD"]
        for segment in segments:
            offset = at - (header_address - load) + segment.header.p_paddr - load
            assert offset == segment.header.p_offset
        last = segments[-1].header
        assert load_end == last.p_paddr + last.p_filesz
        assert bss_end == last.p_paddr + last.p_memsz


def test_no_segment_is_both_writable_and_executable(image: Path) -> None:
    with image.open("rb") as file:
        for segment in ELFFile(file).iter_segments():
            flags = segment.header.p_flags
            assert not (flags & 1 and flags & 2), segment.header


def test_the_same_source_gives_the_same_bytes_in_another_directory(tmp_path: Path) -> None:
    copy = tmp_path / "somewhere-else"
    shutil.copytree(ROOT / "hv", copy / "hv")
    target = "build/vanderpool.elf"
    subprocess.run(["make", "-s", "-f", "hv/hv.mk", target], cwd=copy, check=True)
    assert (copy / target).read_bytes() == (ROOT / target).read_bytes()
