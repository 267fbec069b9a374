"""A guest's system on the bare machine of an engine, without the hypervisor: what to compare with.

GNU Mach is a multiboot kernel, and any engine boots it as it is. Linux gets what our hypervisor's
loader gives it (``hv/vm/load_linux.c``), packed as a multiboot kernel of four instructions.
"""

from __future__ import annotations

import struct
from pathlib import Path

from harness.engines.base import Boot, Module
from harness.guest import Guest
from harness.verdict import bad_usage

_STUB_AT = 1 << 20
_INITRD_AT = 8 << 20  # below the kernel, which unpacks itself to 16 MiB and up
_STUB_FILE = 0x1000  # where the stub's page is in the file: multiboot looks at the first 8 KiB
_HEADER = struct.Struct("<III")
_ZERO_PAGE = 0x1000
_LOW_MEMORY_END = 0x9FC00

# Fields of struct boot_params; Documentation/arch/x86/{zero-page,boot}.rst of Linux.
_E820_ENTRIES, _SETUP, _E820 = 0x1E8, 0x1F1, 0x2D0
_JUMP, _TYPE_OF_LOADER, _CODE32_START = 0x201, 0x210, 0x214
_RAMDISK_IMAGE, _CMD_LINE_PTR, _PREF_ADDRESS = 0x218, 0x228, 0x258


def boot(guest: Guest, directory: Path, words: str = "") -> Boot:
    """How to boot the system of ``guest`` alone; what has to be written goes to ``directory``.

    Linux gets ``words`` more on its command line. RunEnded BAD_USAGE if it is a guest of ours, or
    damaged.
    """
    memory_mib = max(1, guest.memory >> 20)
    if guest.boot == "multiboot":
        modules = tuple(Module(one.path, one.string) for one in guest.modules)
        return Boot(guest.path, guest.cmdline, modules, memory_mib)
    if guest.boot != "linux":
        raise bad_usage(f"guest {guest.name!r} can't do without the hypervisor: it is one of ours.")
    initrd = guest.initrd.path.read_bytes() if guest.initrd else b""
    image = directory / f"{guest.name}-bare.elf"
    try:
        whole = pack(guest.path.read_bytes(), initrd, f"{guest.cmdline} {words}", memory_mib)
    except (struct.error, IndexError):
        raise bad_usage(f"{guest.path} is no kernel of Linux.") from None
    image.write_bytes(whole)
    return Boot(image, memory_mib=memory_mib)


def pack(kernel: bytes, initrd: bytes, command_line: str, memory_mib: int) -> bytes:
    """A multiboot ELF file that enters the bzImage ``kernel`` by Linux's 32-bit boot protocol.

    struct.error or IndexError if ``kernel`` is cut off.
    """
    code_offset = ((kernel[_SETUP] or 4) + 1) * 512
    (start,) = struct.unpack_from("<Q", kernel, _PREF_ADDRESS)
    zero_page = bytearray(_ZERO_PAGE)
    header_end = _JUMP + 1 + kernel[_JUMP]
    zero_page[_SETUP:header_end] = kernel[_SETUP:header_end]
    zero_page[_TYPE_OF_LOADER] = 0xFF
    command_line_at = _STUB_AT + 0x1000 + _ZERO_PAGE
    struct.pack_into("<I", zero_page, _CODE32_START, start)
    struct.pack_into("<I", zero_page, _CMD_LINE_PTR, command_line_at)
    struct.pack_into("<II", zero_page, _RAMDISK_IMAGE, _INITRD_AT if initrd else 0, len(initrd))
    zero_page[_E820_ENTRIES] = 2
    high = (memory_mib << 20) - (1 << 20)
    struct.pack_into(
        "<QQIQQI", zero_page, _E820, 0, _LOW_MEMORY_END, 1, 1 << 20, high, 1
    )  # fmt: skip
    stub = _HEADER.pack(0x1BADB002, 0, -0x1BADB002 & 0xFFFFFFFF)
    entry = _STUB_AT + len(stub)
    stub += b"\xbe" + struct.pack("<I", _STUB_AT + 0x1000)  # mov $zero_page, %esi
    stub += b"\xb8" + struct.pack("<I", start) + b"\xff\xe0"  # jmp *start
    low = stub.ljust(0x1000, b"\0") + zero_page + command_line.encode() + b"\0"
    return _elf(entry, {_STUB_AT: low, _INITRD_AT: initrd, start: kernel[code_offset:]})


def _elf(entry: int, segments: dict[int, bytes]) -> bytes:
    """An ELF32 file that puts each of ``segments`` at its physical address."""
    parts = {address: data for address, data in segments.items() if data}
    head = struct.pack(
        "<4sBBB9xHHIIIIIHHHHHH", b"\x7fELF", 1, 1, 1,
        2, 3, 1, entry, 52, 0, 0, 52, 32, len(parts), 0, 0, 0,
    )  # fmt: skip
    offset = _STUB_FILE
    body = b""
    for address, data in parts.items():
        size = len(data)
        head += struct.pack("<8I", 1, offset, address, address, size, size, 7, 0x1000)
        padded = data.ljust(-(-size // 0x1000) * 0x1000, b"\0")
        body += padded
        offset += len(padded)
    return head.ljust(_STUB_FILE, b"\0") + body
