"""The self-test image: which self-tests it holds, and how each of them ended in a boot.

The list comes out of the ELF file: one symbol ``selftest_NAME`` a self-test, in the section
``.selftests``, each a structure of pointers: name, sentence, function (hv/selftest/selftest.h).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from harness import project
from harness.records import Record

SECTION = ".selftests"
PREFIX = "selftest_"


@dataclass(frozen=True)
class SelfTest:
    """One self-test: its name, and the sentence that it proves."""

    name: str
    sentence: str


class Status(Enum):
    """How a self-test ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Result:
    """How a self-test ended, and why where it did not pass."""

    status: Status
    message: str = ""


def image() -> Path:
    """The self-test image that `make` builds."""
    return project.build() / "vanderpool-selftest.elf"


def listed(path: Path) -> list[SelfTest]:
    """The self-tests in the image at ``path``, in the order in which they run."""
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    with path.open("rb") as file:
        elf = ELFFile(file)
        section = elf.get_section_by_name(SECTION)
        index = elf.get_section_index(SECTION)
        table = elf.get_section_by_name(".symtab")
        if section is None or not isinstance(table, SymbolTableSection):
            raise ValueError(f"{path} holds no self-tests")
        symbols = sorted(
            (symbol["st_value"], symbol.name)
            for symbol in table.iter_symbols()
            if symbol["st_shndx"] == index and symbol.name.startswith(PREFIX)
        )
        start, data = section["sh_addr"], section.data()
        found = []
        for address, name in symbols:
            sentence = data[address - start + 8 : address - start + 16]
            text = _string_at(elf, int.from_bytes(sentence, "little"))
            found.append(SelfTest(name.removeprefix(PREFIX), text))
        return found


def _string_at(elf: object, address: int) -> str:
    for section in elf.iter_sections():  # type: ignore[attr-defined]
        start = section["sh_addr"]
        if start and start <= address < start + section["sh_size"]:
            rest = section.data()[address - start :]
            return bytes(rest[: rest.index(0)]).decode()
    raise ValueError(f"no section holds the string at {address:#x}")


def results(
    order: Sequence[SelfTest], records: Iterable[Record], ended: str = ""
) -> dict[str, Result]:
    """How each of ``order`` ended, by name. ``ended``: why the machine did not get to its end.

    A self-test without a record was running when the machine ended; those after it did not run.
    """
    found: dict[str, Result] = {}
    for record in records:
        if record.kind == "selftest":
            found[str(record["name"])] = _result(record)
    culprit = ""
    for test in order:
        if test.name in found:
            continue
        if culprit:
            found[test.name] = Result(Status.FAILED, f"did not run: {culprit} ended the machine")
        else:
            culprit = test.name
            why = ended or "no record of it came"
            found[test.name] = Result(Status.FAILED, f"was running when the machine ended: {why}")
    return found


def _result(record: Record) -> Result:
    if not record["passed"]:
        count = record["failed_checks"]
        more = f" (and {count - 1} more)" if count > 1 else ""
        return Result(Status.FAILED, f"{record['message']}{more}")
    if record["skipped"]:
        return Result(Status.SKIPPED, str(record["skipped"]))
    return Result(Status.PASSED)
