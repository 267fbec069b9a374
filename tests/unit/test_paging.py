"""Page tables built by hand, word by word as the manuals have them, and where they lead."""

from __future__ import annotations

from typing import Any

import pytest

from harness import paging
from harness.paging import Walk

P, RW, US, PS, NX = 1, 2, 4, 0x80, 1 << 63
EVERYTHING = frozenset({"read", "write", "execute", "user"})


class Memory:
    """Physical memory in which only what was stored is not zero; counts what is read."""

    def __init__(self, entries: dict[int, int], width: int = 8) -> None:
        self.entries, self.width, self.reads = entries, width, 0

    def read(self, address: int, length: int) -> bytes:
        assert length == self.width
        self.reads += 1
        return self.entries.get(address, 0).to_bytes(length, "little")


LONG = Memory(
    {
        0x1000 + 8 * 511: 0x2000 | P | RW | US,  # the top half's last 512G
        0x1000: 0x2000 | P | RW | US,
        0x2000 + 8 * 2: 0x8000_0000 | P | RW | US | PS,  # a page of 1G
        0x2000: 0x3000 | P | RW | US,
        0x3000 + 8 * 1: 0x60_0000 | P | RW | PS | NX,  # a page of 2M
        0x3000: 0x4000 | P | US,
        0x4000 + 8 * 5: 0xABC000 | P | RW | US,  # a page of 4K, below a table that forbids writing
    }
)


@pytest.mark.parametrize(
    ("address", "leads_to", "size", "allows"),
    [
        (0x5123, 0xABC123, 4 << 10, frozenset({"read", "execute", "user"})),
        (0x20_0001, 0x60_0001, 2 << 20, frozenset({"read", "write"})),
        (0x8765_4321, 0x8765_4321, 1 << 30, EVERYTHING),
        (0xFFFF_FF80_0000_5FFF, 0xABCFFF, 4 << 10, frozenset({"read", "execute", "user"})),
    ],
)
def test_a_long_mode_address_leads_where_its_tables_say(
    address: int, leads_to: int, size: int, allows: frozenset[str]
) -> None:
    found = paging.walk_long(LONG.read, 0x1018, address)  # PCD and PWT are no part of the address
    assert (found.address, found.size, found.allows) == (leads_to, size, allows)
    assert found.mapped


def test_a_hole_says_how_far_it_reaches() -> None:
    found = paging.walk_long(LONG.read, 0x1000, 0x6000)
    assert found == Walk((0x2007, 0x3007, 0x4005, 0), None, 4 << 10)
    assert paging.walk_long(LONG.read, 0x1000, 0x40_0000).size == 2 << 20
    assert paging.walk_long(LONG.read, 0x1000, 1 << 39).size == 512 << 30


def test_an_address_that_is_not_canonical_leads_nowhere_without_a_read() -> None:
    before = LONG.reads
    for address in (1 << 47, (1 << 64) - (1 << 48), 1 << 63):
        assert paging.walk_long(LONG.read, 0x1000, address) == Walk(())
    assert LONG.reads == before
    assert paging.walk_long(LONG.read, 0x1000, 1 << 47, levels=5).entries == (0x2007, 0)


def test_five_levels_start_one_table_higher() -> None:
    memory = Memory({0x9000: 0x1000 | P | RW | US, **LONG.entries})
    found = paging.walk_long(memory.read, 0x9000, 0x5123, levels=5)
    assert (found.address, len(found.entries)) == (0xABC123, 5)


def test_tables_that_lead_round_in_a_circle_end_after_four_steps() -> None:
    circle = Memory({0x1000 + 8 * index: 0x1007 for index in range(512)})
    found = paging.walk_long(circle.read, 0x1000, 0x1234_5678_9ABC)
    assert len(found.entries) == 4
    assert found.address == 0x1ABC


def test_pae_has_four_pointers_without_permissions() -> None:
    memory = Memory(
        {
            0x1020 + 8 * 3: 0x2000 | P,
            0x2000 + 8 * 511: 0x20_0000 | P | RW | US | PS,
            0x2000: 0x3000 | P | RW,
            0x3000: 0x7000 | P | RW | US,
        }
    )
    top = paging.walk_pae(memory.read, 0x1020, 0xFFE0_0010)  # 32 bytes are enough for a table
    assert (top.address, top.size, top.allows) == (0x20_0010, 2 << 20, EVERYTHING)
    low = paging.walk_pae(memory.read, 0x1020, 0xC000_0010)
    assert (low.address, low.allows) == (0x7010, frozenset({"read", "write", "execute"}))
    assert paging.walk_pae(memory.read, 0x1020, 0).entries == (0,)


def test_32_bit_paging_has_large_pages_above_4_gigabytes_and_only_with_pse() -> None:
    memory = Memory({0x1000: 0x0040_0000 | 0x3 << 13 | P | RW | PS, 0x1004: 0x2000 | P | US}, 4)
    memory.entries[0x2000 + 4 * 7] = 0xFFFF_F000 | P | RW
    large = paging.walk_32_bit(memory.read, 0x1000, 0x1234)
    assert (large.address, large.size) == (0x3_0040_1234, 4 << 20)
    assert paging.walk_32_bit(memory.read, 0x1000, 0x1234, pse=False).size == 4 << 10
    small = paging.walk_32_bit(memory.read, 0x1000, 0x40_7ABC)
    assert (small.address, small.allows) == (0xFFFF_FABC, frozenset({"read", "execute"}))


def test_ept_takes_any_permission_for_presence() -> None:
    memory = Memory(
        {
            0x1000: 0x2000 | 7,
            0x2000: 0x3000 | 7,
            0x3000: 0x20_0000 | 0x6 << 3 | 0b101 | PS,
            0x3000 + 8: 0x4000 | 0b100,  # execute-only
            0x4000: 0x8000 | 7,
        }
    )
    large = paging.walk_ept(memory.read, 0x1000 | 0x5E, 0x1000)  # an EPTP with its low bits
    assert (large.address, large.allows) == (0x20_1000, frozenset({"read", "execute", "user"}))
    assert paging.walk_ept(memory.read, 0x1000, 0x20_0000).allows == frozenset({"execute", "user"})
    assert not paging.walk_ept(memory.read, 0x1000, 0x20_1000).mapped
    assert paging.walk_ept(memory.read, 0x1000, 1 << 48) == Walk(())


def test_nested_paging_reaches_only_pages_that_user_mode_may() -> None:
    assert paging.walk_npt(LONG.read, 0x1000, 0x5123).address == 0xABC123
    forbidden = paging.walk_npt(LONG.read, 0x1000, 0x20_0001)
    assert not forbidden.mapped
    assert len(forbidden.entries) == 3


PAGING: list[tuple[dict[str, int], Any]] = [
    ({"cr0": 0x11, "cr4": 0}, lambda: Walk((), 0x5123, 4096, EVERYTHING)),
    (
        {"cr0": 1 << 31, "cr4": 0x20, "efer": 0xD00},
        lambda: paging.walk_long(LONG.read, 0x1000, 0x5123),
    ),
    ({"cr0": 1 << 31, "cr4": 0x20}, lambda: paging.walk_pae(LONG.read, 0x1000, 0x5123)),
]


@pytest.mark.parametrize(("registers", "expected"), PAGING)
def test_the_registers_choose_the_kind_of_paging(registers: dict[str, int], expected: Any) -> None:
    assert paging.walk(LONG.read, {"cr3": 0x1000, **registers}, 0x5123) == expected()


def test_no_execute_is_a_reserved_bit_until_efer_allows_it() -> None:
    registers = {"cr0": 1 << 31, "cr3": 0x1000, "cr4": 0x20, "efer": 1 << 10}
    assert not paging.walk(LONG.read, registers, 0x20_0000).mapped
    registers["efer"] |= 1 << 11
    assert paging.walk(LONG.read, registers, 0x20_0000).mapped


def test_translated_memory_is_read_page_by_page_up_to_what_is_not_mapped() -> None:
    memory = bytes(range(256)) * 48  # three pages
    pages = {0x7000: 0x2000, 0x8000: 0x0000, 0xA000: 0x1000}

    def translate(address: int) -> paging.Walk:
        page = pages.get(address & ~0xFFF)
        return paging.Walk((), None if page is None else page | address & 0xFFF)

    read = paging.through(lambda at, length: memory[at : at + length], translate)
    assert read(0x7FFE, 4) == memory[0x2FFE:0x3000] + memory[:2]
    assert read(0x8FFE, 4) == memory[0x0FFE:0x1000]
    assert read(0x9000, 4) == b""
    assert read(0x7000, 0) == b""
