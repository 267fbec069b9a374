"""The 64 KiB reset ROM that boots a machine straight into a multiboot kernel.

At reset a processor starts 16 bytes below 4 GiB in real mode (SDM 3A 9.1.4). This code enters flat
32-bit protected mode and jumps to the kernel with what multiboot promises: nothing else runs, so
the first instruction of the kernel comes a few hundred instructions after power-on.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

SIZE = 0x10000
MOST_MSRS = 64
BLOCK = 128 * 1024  # Bochs allocates RAM in blocks of this size, on first access

_TOP = 1 << 32
_ACPI = 0xF0000  # where the ROM shows a second time
_CODE16 = 0xFFFFFE00
_CODE32 = 0xFFFFF000
_GDT = 0xFFFFFF00
_CMOS_MARK = (0x7F, 0xA5)  # a CMOS byte that nothing else uses, and the value that says "was here"


def build(
    *, entry: int, info: int, base: int, size: int, cpus: int, msrs: Sequence[tuple[int, int]] = ()
) -> bytes:
    """The ROM for a kernel at ``entry`` with its information at ``info``, both physical.

    ``base`` and ``size`` are those of the one blob that holds everything (bytes). ``msrs`` are
    written first, at most `MOST_MSRS`.
    """
    rom = bytearray(SIZE)

    def put(address: int, data: bytes) -> None:
        offset = address - (_TOP - SIZE)
        rom[offset : offset + len(data)] = data

    for offset, table in _acpi_tables(cpus).items():
        rom[offset : offset + len(table)] = table
    put(_GDT, struct.pack("<QQQ", 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF))
    put(_GDT + 24, struct.pack("<HI", 23, _GDT))
    put(_CODE16, _real_mode())
    put(_CODE32, _protected_mode(entry, info, base, max(1, -(-size // BLOCK)), msrs))
    put(_TOP - 16, b"\xe9" + struct.pack("<H", (_CODE16 - (_TOP - 13)) & 0xFFFF))  # jmp _CODE16
    return bytes(rom)


def _real_mode() -> bytes:
    return b"".join(
        (
            b"\xfa\xfc",  # cli; cld
            b"\x66\x2e\x0f\x01\x16" + struct.pack("<H", (_GDT + 24) & 0xFFFF),  # lgdtl %cs:GDT+24
            b"\x0f\x20\xc0\x0c\x01\x0f\x22\xc0",  # CR0.PE = 1
            b"\x66\xea" + struct.pack("<IH", _CODE32, 8),  # ljmpl $8, $_CODE32
        )
    )


def _protected_mode(
    entry: int, info: int, base: int, blocks: int, msrs: Sequence[tuple[int, int]]
) -> bytes:
    index, mark = _CMOS_MARK
    shutdown = b"".join(b"\xb0" + bytes((c,)) + b"\xee" for c in b"Shutdown")  # mov al; outb
    return b"".join(
        (
            b"\x66\xb8\x10\x00\x8e\xd8\x8e\xc0\x8e\xd0\x8e\xe0\x8e\xe8",  # ds es ss fs gs = 0x10
            # A second pass is a reset of the machine. RAM isn't what it was: end instead, by
            # Bochs's shutdown port. CMOS remembers across resets.
            bytes((0xB0, index, 0xE6, 0x70, 0xE4, 0x71, 0x3C, mark)),  # al = cmos[index]; cmp
            bytes((0x75, 4 + len(shutdown) + 2)),  # jne past the next two lines
            b"\x66\xba\x00\x89" + shutdown,  # mov $0x8900, %dx; "Shutdown"
            b"\xeb\xfe",  # jmp .
            bytes((0xB0, mark, 0xE6, 0x71)),  # cmos[index] = mark
            # Bochs places the blob into its blocks one after the other: touch them in that order.
            b"\xbe" + struct.pack("<I", base),  # esi = base
            b"\xb9" + struct.pack("<I", blocks),  # ecx = blocks
            b"\x8b\x06\x81\xc6" + struct.pack("<I", BLOCK),  # 1: mov (%esi), %eax; esi += BLOCK
            b"\x49\x75\xf5",  # dec ecx; jnz 1b
            # Memory is write-back and cached, as firmware leaves it: IA32_MTRR_DEF_TYPE, CR0.
            b"\xb9\xff\x02\x00\x00\x31\xd2\xb8\x06\x08\x00\x00\x0f\x30",
            b"\x0f\x20\xc0\x25\xff\xff\xff\x9f\x0f\x22\xc0",
            *(_write_msr(number, value) for number, value in msrs),
            b"\xb8\x02\xb0\xad\x2b\xbb" + struct.pack("<I", info),  # eax = magic, ebx = info
            b"\xb9" + struct.pack("<I", entry) + b"\xff\xe1",  # jmp *entry
        )
    )


def _write_msr(number: int, value: int) -> bytes:
    low, high = value & 0xFFFFFFFF, value >> 32
    return struct.pack("<BIBIBI", 0xB9, number, 0xB8, low, 0xBA, high) + b"\x0f\x30"  # wrmsr


def _acpi_tables(cpus: int) -> dict[int, bytes]:
    """RSDP, RSDT and MADT for ``cpus`` processors, by offset into the ROM (ACPI 6.4, 5.2)."""

    def table(signature: bytes, body: bytes) -> bytes:
        data = bytearray(
            struct.pack(
                "<4sIBB6s8sIII", signature, 36 + len(body), 1, 0,
                b"VNDRPL", b"VNDRPOOL", 1, 0x4C50_4456, 1,
            )
            + body
        )  # fmt: skip
        data[9] = -sum(data) & 0xFF
        return bytes(data)

    madt = struct.pack("<II", 0xFEE00000, 1)
    for cpu in range(cpus):
        madt += struct.pack("<BBBBI", 0, 8, cpu, cpu, 1)  # local APIC, enabled
    madt += struct.pack("<BBBBII", 1, 12, cpus, 0, 0xFEC00000, 0)  # I/O APIC
    madt += struct.pack("<BBBBIH", 2, 10, 0, 0, 2, 0)  # the timer's IRQ 0 is input 2
    rsdt_at, madt_at = 0x40, 0x100
    rsdp = bytearray(struct.pack("<8sB6sBI", b"RSD PTR ", 0, b"VNDRPL", 0, _ACPI + rsdt_at))
    rsdp[8] = -sum(rsdp) & 0xFF
    return {
        0: bytes(rsdp),
        rsdt_at: table(b"RSDT", struct.pack("<I", _ACPI + madt_at)),
        madt_at: table(b"APIC", madt),
    }
