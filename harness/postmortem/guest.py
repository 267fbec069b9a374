"""The guests' part in a post-mortem: those that crashed, and those that were running."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.engines.base import CpuState
from harness.image import Symbols, contents, source_line, symbols
from harness.postmortem.body import Body
from harness.postmortem.kernel import CODE_AHEAD, LONGEST_FUNCTION
from harness.postmortem.section import Section
from harness.postmortem.words import (
    code_lines,
    mode_of,
    number,
    numbers,
    register_lines,
    registers_in,
    word_lines,
)


def guests(body: Body) -> Iterator[Section]:
    """Each guest that crashed, by its record; and those that run on a processor now."""
    for record in [r for r in body.machine.records if r.kind == "crash"][:4]:
        yield from _crashed(body, record.data)
    for cpu, state in body.cpus.items():
        if body.places.in_guest(state):
            yield from _running(body, cpu, state)


def _running(body: Body, cpu: int, state: CpuState) -> Iterator[Section]:
    """A guest that a processor was running when the machine was frozen."""
    registers = state.registers
    place = body.places.of(state)
    mode, bits = mode_of(registers)
    head = f"CPU {cpu} runs it in {mode}, at {place}"
    yield Section(place.who, [head, *register_lines(registers)], dict(registers))
    read = body.of_guest(place.guest, registers)
    if read is None:
        return
    rip, rsp = place.address, registers.get("rsp", 0)
    table = symbols(place.image) if place.image else Symbols()
    start = table.start_of(rip)
    start = rip if start is None or rip - start > LONGEST_FUNCTION else start
    code = read(start, rip - start + CODE_AHEAD)
    yield Section(f"code of {place.who}", code_lines(code, start, rip, bits))
    size = bits // 8
    data = read(rsp, 16 * size)
    words = [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]
    lines = word_lines(words, rsp, size, table.symbolize)
    yield Section(f"memory at RSP of {place.who}", lines, page=4)


def _crashed(body: Body, record: Mapping[str, Any]) -> Iterator[Section]:
    guest = str(record.get("guest", "?"))
    registers = registers_in(record)
    mode, bits = mode_of(registers, record.get("word"))
    rip = number(record.get("rip")) or 0
    place = body.places.at(rip, guest)
    reason = record.get("reason")
    yield Section(
        f"guest {guest}",
        [f"{reason}; in {mode}, at {place}", *register_lines(registers)],
        {"reason": reason, "mode": mode, "place": str(place), "registers": registers},
        page=1,  # for people the verdict's own evidence has the registers already
    )
    frames = numbers(record.get("frames"), 16)
    if frames and place.image:
        table, image = symbols(place.image), place.image
        lines = [f"{rip:#x}  {place}"]
        for address in frames:
            name = table.symbolize_return(address)
            line = source_line(image, address - 1) if name else None
            lines.append("  ".join(filter(None, (f"{address:#x}", name or "?", line))))
        yield Section(f"stack of {guest}", lines)
    try:
        code = bytes.fromhex(str(record.get("code", "")))
    except ValueError:
        code = b""
    if code:
        yield Section(f"code of {guest}", _guest_code(body, guest, code, rip, bits))
    words = numbers(record.get("stack"), 16)
    if words:
        size = bits // 8
        names = symbols(place.image) if place.image else Symbols()
        lines = word_lines(words, registers.get("rsp", 0), size, names.symbolize)
        yield Section(f"memory at RSP of {guest}", lines, page=4)
    yield from _translation(guest, record)


def _guest_code(body: Body, guest: str, code: bytes, rip: int, bits: int) -> list[str]:
    """As the guest had it in memory; what comes before, out of its ELF file, if that agrees."""

    image = body.places.guests.get(guest)
    start = symbols(image).start_of(rip) if image else None
    if image and start is not None and rip - start <= LONGEST_FUNCTION:
        before = contents(image, start, rip - start + len(code))
        if before[rip - start :] == code:
            return code_lines(before, start, rip, bits)
    return code_lines(code, rip, rip, bits)


def _translation(guest: str, record: Mapping[str, Any]) -> Iterator[Section]:
    """The nested page walk of the address that could not be reached, as the hypervisor saw it."""
    for kind, rights in (("ept", _ept_rights), ("npt", _npt_rights)):
        walk, address = record.get(kind), record.get("address")
        if not isinstance(walk, Mapping) or number(address) is None:
            continue
        levels = ("PML4E", "PDPTE", "PDE", "PTE")
        entries = numbers(walk.get("entries"), len(levels))
        lines = [
            f"{level:<6} {entry:016x}  {rights(entry)}"
            for level, entry in zip(levels, entries, strict=False)
        ]
        why = walk.get("misconfigured")
        end = f"misconfigured: {why}" if why else "mapped" if walk.get("mapped") else "not mapped"
        yield Section(f"{kind.upper()} walk of {address}, guest {guest}", [*lines, end])


def _ept_rights(entry: int) -> str:
    """The permissions of an EPT entry (SDM 3C 29.3.2)."""
    if not entry & 7:
        return "not present"
    return "".join(c if entry >> bit & 1 else "-" for bit, c in enumerate("rwx")) + _page(entry)


def _npt_rights(entry: int) -> str:
    """The permissions of an NPT entry: those of a user, all that guests are (APM 2 15.25.5)."""
    present, writable, user, no_execute = (entry >> bit & 1 for bit in (0, 1, 2, 63))
    if not present:
        return "not present"
    if not user:
        return "---" + _page(entry)
    return f"r{'w' if writable else '-'}{'-' if no_execute else 'x'}" + _page(entry)


def _page(entry: int) -> str:
    return ", maps a page" if entry & 1 << 7 else ""
