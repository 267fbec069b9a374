"""Which lines of the hypervisor were executed: its counters, read out of the machine's memory.

The images in build/coverage/ are compiled with -fprofile-arcs -fprofile-info-section: every arc of
the control flow has a counter in .bss, and .gcov_info points to descriptions of them. No library in
the image collects them. This module reads the descriptions from the ELF file and the counters from
each machine at its end, adds up all machines, and writes the .gcda files that gcov expects.

The layout of the descriptions and of .gcda is that of GCC 12 (gcc/gcov-io.h, libgcc/libgcov.h).
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import project
from harness.engines.base import Unsupported
from harness.verdict import RunEnded, bad_usage

if TYPE_CHECKING:
    from harness.machine import Machine

GCC = 12  # whose layout this is
_COUNTERS = 8  # kinds of counters (GCOV_COUNTERS)
_MAGIC, _FUNCTION, _ARCS = 0x67636461, 0x01000000, 0x01A10000  # "gcda" and its tags
_CHUNK = 8192  # bytes read at once; counters that lie closer are read together


@dataclass(frozen=True)
class Function:
    """One function's counters; of the eight kinds there is one here: how often arcs were taken."""

    ident: int
    line_checksum: int
    control_flow_checksum: int
    address: int
    count: int


@dataclass(frozen=True)
class Unit:
    """One object file: what gcov will want to know, and where its counters are."""

    gcda: str  # the file that gcov will look for
    version: int
    stamp: int
    checksum: int
    functions: tuple[Function, ...]


def collect(machine: Machine) -> None:
    """Keep the counters of a machine that is about to end; nothing if it can't be read any more."""
    with suppress(RunEnded, Unsupported, OSError):
        found = units(machine.boot.image)
        if not found or machine.host.is_stopped():
            return
        if machine.running.process.poll() is None:
            machine.running.pause()
        counters = read(found, machine.read_physical)
        directory = project.build() / "counters"
        directory.mkdir(parents=True, exist_ok=True)
        document = {"image": str(machine.boot.image), "counters": counters}
        with tempfile.NamedTemporaryFile("w", dir=directory, suffix=".json", delete=False) as file:
            json.dump(document, file)


@lru_cache(maxsize=4)
def units(image: Path) -> tuple[Unit, ...]:
    """What ``image`` counts; empty if it does not. BAD_USAGE: not by the layout of GCC 12."""
    from harness.image import contents, symbols

    names = symbols(image).by_name
    start, end = names.get("gcov_info_start"), names.get("gcov_info_end")
    if start is None or end is None:
        return ()

    def take(form: str, address: int) -> tuple[Any, ...]:
        data = contents(image, address, struct.calcsize(form))
        if len(data) < struct.calcsize(form):
            raise bad_usage(f"{image}: its coverage descriptions are not those of GCC {GCC}")
        return struct.unpack(form, data)

    return tuple(_unit(image, take, take("<Q", at)[0]) for at in range(start, end, 8))


def _unit(image: Path, take: Callable[[str, int], tuple[Any, ...]], at: int) -> Unit:
    from harness.image import contents

    version, _, _next, stamp, checksum, name = take("<IIQIIQ", at)
    merge = take(f"<{_COUNTERS}Q", at + 32)  # a function to merge each kind that there is
    count, _, table = take("<IIQ", at + 96)
    if not merge[0] or any(merge[1:]):
        raise bad_usage(f"{image}: its coverage descriptions are not those of GCC {GCC}")
    functions = []
    for index in range(count):
        (info,) = take("<Q", table + 8 * index)
        key, ident, lines, flow = take("<QIII", info) if info else (0, 0, 0, 0)
        if key != at:
            continue  # the linker kept another object's copy of it
        values, _, address = take("<IIQ", info + 24)
        functions.append(Function(ident, lines, flow, address, values))
    path = contents(image, name, 4096).split(b"\0", 1)[0].decode()
    return Unit(path, version, stamp, checksum, tuple(functions))


def read(found: tuple[Unit, ...], memory: Callable[[int, int], bytes]) -> dict[str, list[int]]:
    """Every counter, by object file, one function's after the other's."""
    wanted = sorted((f.address, 8 * f.count) for unit in found for f in unit.functions)
    chunks: list[tuple[int, bytes]] = []
    at = 0
    while at < len(wanted):
        start, end = wanted[at][0], wanted[at][0] + wanted[at][1]
        while at < len(wanted) and wanted[at][0] - start < _CHUNK:
            end = max(end, wanted[at][0] + wanted[at][1])
            at += 1
        chunks.append((start, memory(start, end - start)))

    def values(function: Function) -> Iterator[int]:
        start, data = max(chunk for chunk in chunks if chunk[0] <= function.address)
        offset = function.address - start
        yield from struct.unpack_from(f"<{function.count}q", data, offset)

    return {unit.gcda: [v for f in unit.functions for v in values(f)] for unit in found}


def gcda(unit: Unit, values: list[int]) -> bytes:
    """The .gcda file with these counters."""
    out = bytearray(struct.pack("<4I", _MAGIC, unit.version, unit.stamp, unit.checksum))
    at = 0
    for one in unit.functions:
        mine = values[at : at + one.count]
        at += one.count
        out += struct.pack(
            "<5I", _FUNCTION, 12, one.ident, one.line_checksum, one.control_flow_checksum
        )
        if any(mine):
            out += struct.pack(f"<Ii{one.count}q", _ARCS, 8 * one.count, *mine)
        else:
            out += struct.pack("<Ii", _ARCS, -8 * one.count)  # all of them are 0
    return bytes(out) + bytes(4)


def merge(documents: Iterator[Mapping[str, Any]]) -> dict[str, tuple[Unit, list[int]]]:
    """The counters of all machines added up, by object file. Images share object files."""
    total: dict[str, tuple[Unit, list[int]]] = {}
    for document in documents:
        for unit in units(Path(document["image"])):
            values = document["counters"].get(unit.gcda)
            if not isinstance(values, list) or len(values) != sum(f.count for f in unit.functions):
                raise bad_usage(
                    f"{document['image']} has been built anew since its counters were read"
                )
            _, before = total.get(unit.gcda, (unit, [0] * len(values)))
            total[unit.gcda] = unit, [a + b for a, b in zip(before, values, strict=True)]
    return total


def report() -> int:
    """Write the .gcda files and let gcovr show lines and branches; its exit code."""
    directory = project.build() / "counters"
    files = sorted(directory.glob("*.json"))
    if not files:
        raise bad_usage(f"there are no counters in {directory}: `make coverage` fills it")
    documents = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    for path, (unit, values) in merge(documents).items():
        Path(path).write_bytes(gcda(unit, values))
    html = project.build() / "html"
    html.mkdir(exist_ok=True)
    root = project.root()
    summary = html / "summary.json"
    gcovr = [
        sys.executable, "-m", "gcovr", "--root", str(root), "--filter", str(root / "hv") + "/",
        "--object-directory", str(project.build() / "hv"),
        "--gcov-executable", f"gcov-{GCC}" if _there(f"gcov-{GCC}") else "gcov",
        "--exclude-unreachable-branches", "--html-nested", str(html / "index.html"),
        "--json-summary", str(summary), str(project.build() / "hv"),
    ]  # fmt: skip
    done = subprocess.run(gcovr, cwd=root, check=False).returncode
    if done:
        return done
    print(f"coverage of hv/ by {len(files)} machines, merged:")
    print(table(json.loads(summary.read_text(encoding="utf-8"))))
    print(f"every line: {html / 'index.html'}")
    return 0


def table(summary: Mapping[str, Any]) -> str:
    """Lines and branches by file, out of gcovr's summary, the least covered first."""

    def row(name: str, one: Mapping[str, Any]) -> str:
        lines = f"{one['line_covered']:>6} of {one['line_total']:<5} {one['line_percent']:>5.1f} %"
        if not one["branch_total"]:
            return f"{name:<32}{lines}"
        branches = f"{one['branch_covered']:>6} of {one['branch_total']:<5}"
        return f"{name:<32}{lines}  {branches} {one['branch_percent']:>5.1f} %"

    files = sorted(summary["files"], key=lambda one: (one["line_percent"], one["filename"]))
    head = f"{'':<32}{'lines':>14}{'':>8}  {'branches':>14}"
    return "\n".join([head, *(row(one["filename"], one) for one in files), row("total", summary)])


def _there(program: str) -> bool:
    import shutil

    return shutil.which(program) is not None


if __name__ == "__main__":
    sys.exit(report())
