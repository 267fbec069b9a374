"""The hypervisor's own part in a post-mortem: where it stopped, and how it came there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from harness.engines.base import EndKind
from harness.image import source_line, symbols
from harness.postmortem.body import Body
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
from harness.unwind import return_addresses

STACK_WORDS = 24
LONGEST_FUNCTION = 4096  # bytes: one that is longer is not disassembled from its start
CODE_AHEAD = 96  # bytes of code read from RIP on


def panicked(body: Body) -> Iterator[Section]:
    """Where the hypervisor panicked or trapped, by its record."""
    panic = body.panic
    if panic is None:
        return
    registers = registers_in(panic)
    rip = number(panic.get("rip")) or registers.get("rip", 0)
    exact = panic.get("vector") is not None
    if registers:
        yield Section("registers at the trap", register_lines(registers), registers, page=6)
    above = return_addresses_of(body, registers) or numbers(panic.get("stack"), 32)
    # For people the verdict's own evidence has the stack already.
    yield replace(_stack(body, [rip, *above], exact=exact), page=0)
    yield _code(body, rip, exact=exact)
    if "rsp" in registers:
        yield _memory(body, registers["rsp"])


def in_root_mode(body: Body) -> Iterator[Section]:
    """Where its processors are in root mode.

    After an orderly end, at a guest's crash, or after a panic that has told more itself, that is
    for the file alone.
    """
    end = body.machine.end
    orderly = body.panic is not None or (end is not None and end.kind is EndKind.POWER_OFF)
    orderly = orderly or body.machine.frozen
    for cpu, state in body.cpus.items():
        if body.places.in_guest(state):
            continue
        rip = state.registers.get("rip", 0)
        which = f" of CPU {cpu}"
        for section in (
            _stack(body, [rip, *return_addresses_of(body, state.registers)], which=which),
            _code(body, rip, which),
            _memory(body, state.registers.get("rsp", 0), which),
        ):
            yield replace(section, page=0) if orderly else section


def return_addresses_of(body: Body, registers: Mapping[str, int]) -> list[int]:
    """By frame pointers, as far as they lead to the image's own functions."""

    table = symbols(body.places.image)
    found = return_addresses(body.read, registers.get("rbp", 0))
    known = [table.symbolize_return(address) is not None for address in found]
    return found[: known.index(False)] if False in known else found


def _stack(body: Body, addresses: Sequence[int], *, exact: bool = True, which: str = "") -> Section:
    image = body.places.image
    table = symbols(image)
    lines, data = [], []
    for index, address in enumerate(addresses):
        here = exact and index == 0  # the others are where calls return to
        name = table.symbolize(address) if here else table.symbolize_return(address)
        place = source_line(image, address - (not here)) if name else None
        lines.append("  ".join(filter(None, (f"{address:#x}", name or "?", place))))
        data.append({"address": f"{address:#x}", "symbol": name, "line": place})
    return Section(f"stack{which}", lines, data, page=10)


def _code(body: Body, rip: int, which: str = "", *, exact: bool = True) -> Section:
    """The instructions around ``rip``, from the start of its function.

    Not ``exact``: a call returns there, and may be the last thing in its function.
    """
    start = symbols(body.places.image).start_of(rip - (not exact))
    if start is None or rip - start > LONGEST_FUNCTION:
        start = rip
    code = body.read(start, rip - start + CODE_AHEAD)
    bits = mode_of(
        next((one.registers for one in body.cpus.values()), {"cr0": 1, "efer": 1 << 10})
    )[1]
    return Section(f"code{which}", code_lines(code, start, rip, bits))


def _memory(body: Body, rsp: int, which: str = "") -> Section:
    """Words from RSP up, with what they may point to."""
    data = body.read(rsp & ~7, STACK_WORDS * 8)
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data) // 8 * 8, 8)]
    return Section(
        f"memory at RSP{which}",
        word_lines(words, rsp & ~7, 8, symbols(body.places.image).symbolize),
        [f"{word:#x}" for word in words],
        page=6,
    )
