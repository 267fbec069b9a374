"""What QEMU says: on standard error, and in its human monitor."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.engines.base import Activity

# What the monitor prints for `info registers`.
_SELECTOR = re.compile(r"^(ES|CS|SS|DS|FS|GS|LDT|TR) ?=([0-9a-f]{4})\b", re.MULTILINE)
_TABLE = re.compile(r"^(GDT|IDT)= +([0-9a-f]+) ([0-9a-f]+)", re.MULTILINE)

_UNKNOWN = re.compile(
    r"invalid option|Invalid parameter|is unexpected|Property .* not found"
    r"|not a valid device|[Uu]nknown |No such option"
)


def tail(log: Path, most: int = 1 << 16) -> bytes:
    """The last ``most`` bytes of ``log``; nothing if it is not there."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - most))
            return file.read(most)
    except OSError:
        return b""


def last_words(said: bytes) -> tuple[str, ...]:
    """The last lines that QEMU wrote to standard error, the most telling one first."""
    text = said.decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()][-12:]
    first = errors(lines)[-1:]
    return (*first, *(line for line in lines if line not in first))


def errors(lines: Sequence[str]) -> list[str]:
    """Those of ``lines`` that are QEMU's errors, not its warnings."""
    return [
        line for line in lines
        if re.match(r"\S*qemu\S*: ", line) and ": warning: " not in line and ": info: " not in line
    ]  # fmt: skip


def unknown_to_it(words: Sequence[str]) -> bool:
    """Does QEMU complain that it does not know what it was told, as an old one does?"""
    return any(_UNKNOWN.search(line) for line in words)


def version(said: str) -> tuple[int, ...] | None:
    """The version out of what `--version` prints."""
    found = re.search(r"version (\d+(?:\.\d+)*)", said)
    return tuple(int(part) for part in found[1].split(".")) if found else None


def parse_registers(text: str) -> dict[str, int]:
    """Registers out of the monitor's `info registers`, by lower-case manual name."""
    found: dict[str, int] = {}
    for name, value in re.findall(r"\b([A-Z][A-Z0-9]{1,4}) ?=([0-9a-f]{8,16})\b", text):
        found[name.lower()] = int(value, 16)
    for name, selector in _SELECTOR.findall(text):
        found[name.lower()] = int(selector, 16)
    for name, base, limit in _TABLE.findall(text):
        found[f"{name.lower()}r"] = int(base, 16)
        found[f"{name.lower()}r_limit"] = int(limit, 16)
    for old, new in (("rfl", "rflags"), ("efl", "rflags")):
        if old in found:
            found[new] = found.pop(old)
    for name in ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp", "ip"):  # 32-bit mode names
        if f"e{name}" in found:
            found[f"r{name}"] = found.pop(f"e{name}")
    return found


_RESET_VECTOR = (0xF000, 0xFFF0)  # SDM 3A 11.1.4: CS and RIP after reset


def parse_activity(text: str, registers: Mapping[str, int]) -> Activity:
    """What a processor does, out of the monitor's `info registers`.

    QEMU calls a processor that waits for its SIPI halted too: that one still is where it was reset.
    """
    if not re.search(r"\bHLT=1\b", text):
        return Activity.ACTIVE
    at_reset = (registers.get("cs"), registers.get("rip")) == _RESET_VECTOR
    return Activity.WAITS if at_reset else Activity.HALTED
