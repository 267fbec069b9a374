"""Page tables, walked from outside the machine: EPT, NPT, and the four kinds of a processor's own.

By the formats of the manuals (SDM volume 3: chapter 5 for ordinary paging, 29.3 for EPT; APM volume
2: chapter 5 and 15.25 for nested paging) and over any function that reads physical memory, so that
what the machine says about its translations can be compared with what lies in its memory. Tables
are hostile input: whatever they hold, a walk ends after as many steps as there are levels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

Read = Callable[[int, int], bytes]
"""``read(address, length)`` gives physical memory, as `Machine.read_physical` does."""

PAGE = 4096

_ADDRESS = 0x000F_FFFF_FFFF_F000  # bits 51:12 of an entry of 8 bytes
_LARGE = 1 << 7  # PS: the entry maps a page, where it could refer to a table
_PRESENT, _WRITE, _USER, _NO_EXECUTE = 1 << 0, 1 << 1, 1 << 2, 1 << 63  # SDM 5.5, APM 5.3
_READ, _EXECUTE = 1 << 0, 1 << 2  # EPT, SDM 29.3.2; its bit 1 is write too
_ALL = frozenset({"read", "write", "execute", "user"})
_CR0_PG, _CR4_PSE, _CR4_PAE, _CR4_LA57 = 1 << 31, 1 << 4, 1 << 5, 1 << 12
_EFER_LMA, _EFER_NXE = 1 << 10, 1 << 11


@dataclass(frozen=True)
class Walk:
    """Where one address leads. What all levels permit together counts, as it does in hardware."""

    entries: tuple[int, ...]  # as read, from the root's table down; the last one decided
    address: int | None = None  # where the byte is, physically; None: nowhere
    size: int = 0  # of the page, or of the hole that the last entry leaves (bytes)
    allows: frozenset[str] = frozenset()  # of "read", "write", "execute", "user" (mode)

    @property
    def mapped(self) -> bool:
        """Does the address lead anywhere?"""
        return self.address is not None


@dataclass(frozen=True)
class _Format:
    """One kind of page tables: how an address is cut up, and what entries mean."""

    levels: tuple[tuple[int, int], ...]  # (lowest bit, width) of each index, the root's first
    large: tuple[int, ...]  # where, by that lowest bit, PS makes an entry map a page
    entry_bytes: int = 8
    present: int = _PRESENT  # an entry that has none of these bits is not

    @property
    def bits(self) -> int:
        """How many bits of an address the tables translate."""
        return sum(self.levels[0])


_FOUR_LEVELS = _Format(((39, 9), (30, 9), (21, 9), (12, 9)), (30, 21))
_FIVE_LEVELS = _Format(((48, 9), *_FOUR_LEVELS.levels), (30, 21))
_PAE = _Format(((30, 2), (21, 9), (12, 9)), (21,))
_32_BIT = _Format(((22, 10), (12, 10)), (22,), entry_bytes=4)
_32_BIT_NO_PSE = replace(_32_BIT, large=())
_EPT = replace(_FOUR_LEVELS, present=_READ | _WRITE | _EXECUTE)


def walk_ept(read: Read, root: int, guest: int) -> Walk:
    """Translate the guest-physical address ``guest`` by EPT; ``root`` is its PML4 table's address.

    A misconfigured entry (29.3.3.1) is followed like any other: whoever asks looks at `entries`.
    """
    return _walk(read, root & _ADDRESS, guest, _EPT)


def walk_npt(read: Read, root: int, guest: int) -> Walk:
    """Translate ``guest`` by nested paging; ``root`` is nCR3, of a host in long mode.

    Every access of the guest counts as one from user mode (APM 15.25.5): where that is forbidden
    the page is not reachable, so it does not count as mapped.
    """
    found = _walk(read, root & _ADDRESS, guest, _FOUR_LEVELS)
    hidden = found.mapped and "user" not in found.allows
    return Walk(found.entries, size=found.size) if hidden else found


NESTED: Mapping[str, Callable[[Read, int, int], Walk]] = {"ept": walk_ept, "npt": walk_npt}
"""The walks of nested page tables, by what a guest's records call them."""


def walk_long(read: Read, cr3: int, address: int, levels: int = 4) -> Walk:
    """Translate a linear address in long mode, with four or five ``levels``.

    An address that is not canonical leads nowhere.
    """
    layout = _FIVE_LEVELS if levels == 5 else _FOUR_LEVELS
    high = (address & (1 << 64) - 1) >> (layout.bits - 1)
    if high not in (0, (1 << (65 - layout.bits)) - 1):
        return Walk(())
    return _walk(read, cr3 & _ADDRESS, address & (1 << layout.bits) - 1, layout)


def walk_pae(read: Read, cr3: int, address: int) -> Walk:
    """Translate a 32-bit linear address by PAE paging (SDM 5.4)."""
    return _walk(read, cr3 & 0xFFFF_FFE0, address & 0xFFFF_FFFF, _PAE)


def walk_32_bit(read: Read, cr3: int, address: int, *, pse: bool = True) -> Walk:
    """Translate a 32-bit linear address by 32-bit paging (SDM 5.3); ``pse``: with 4 MiB pages."""
    layout = _32_BIT if pse else _32_BIT_NO_PSE
    return _walk(read, cr3 & 0xFFFF_F000, address & 0xFFFF_FFFF, layout)


def walk(read: Read, registers: Mapping[str, int], address: int) -> Walk:
    """Translate a linear address as the processor with these ``registers`` does.

    By cr0, cr3, cr4 and efer (SDM 5.1.1). Without paging an address leads to itself.
    """
    cr0, cr3, cr4 = registers["cr0"], registers["cr3"], registers["cr4"]
    efer = registers.get("efer", 0)
    if not cr0 & _CR0_PG:
        return Walk((), address & 0xFFFF_FFFF, PAGE, _ALL)
    if efer & _EFER_LMA:
        found = walk_long(read, cr3, address, 5 if cr4 & _CR4_LA57 else 4)
    elif cr4 & _CR4_PAE:
        found = walk_pae(read, cr3, address)
    else:
        return walk_32_bit(read, cr3, address, pse=bool(cr4 & _CR4_PSE))
    if found.mapped and not efer & _EFER_NXE:  # bit 63 is reserved then, and faults
        return Walk(found.entries) if any(e & _NO_EXECUTE for e in found.entries) else found
    return found


def through(read: Read, translate: Callable[[int], Walk]) -> Read:
    """Memory by addresses that ``translate`` translates, page by page.

    It gives fewer bytes where the next one is not mapped, or ``read`` has no more.
    """

    def translated(address: int, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            at = address + len(data)
            there = translate(at).address
            wanted = min(length - len(data), PAGE - at % PAGE)
            part = b"" if there is None else read(there, wanted)
            data += part
            if len(part) < wanted:
                break
        return bytes(data)

    return translated


def _walk(read: Read, root: int, address: int, layout: _Format) -> Walk:
    if not 0 <= address < 1 << layout.bits:
        return Walk(())
    entries: list[int] = []
    allows = _ALL
    table = root
    for low, width in layout.levels:
        index = address >> low & (1 << width) - 1
        data = read(table + index * layout.entry_bytes, layout.entry_bytes)
        entry = int.from_bytes(data, "little")
        entries.append(entry)
        if not entry & layout.present:
            return Walk(tuple(entries), size=1 << low)
        if not (layout is _PAE and low == 30):  # a PDPTE says nothing of these (SDM table 5-8)
            allows &= _permissions(entry, layout)
        if low == 12 or (low in layout.large and entry & _LARGE):
            page = _page(entry, low, layout)
            return Walk(tuple(entries), page | address & (1 << low) - 1, 1 << low, allows)
        table = entry & _ADDRESS
    raise AssertionError("an entry of the last level is a page or nothing")


def _permissions(entry: int, layout: _Format) -> frozenset[str]:
    if layout is _EPT:
        bits = {"read": entry & _READ, "write": entry & _WRITE, "execute": entry & _EXECUTE}
        return frozenset({"user", *(word for word, bit in bits.items() if bit)})
    bits = {"write": entry & _WRITE, "execute": ~entry & _NO_EXECUTE, "user": entry & _USER}
    return frozenset({"read", *(word for word, bit in bits.items() if bit)})


def _page(entry: int, low: int, layout: _Format) -> int:
    """The address of the page that an entry maps."""
    page = entry & _ADDRESS & -(1 << low)
    if layout.entry_bytes == 4 and low == 22:  # PSE-36: bits 20:13 are the address's 39:32
        page |= (entry >> 13 & 0xFF) << 32
    return page
