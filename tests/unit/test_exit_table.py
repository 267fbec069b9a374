"""Every exit reason of the manual has a decided outcome, and the document says the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import exit_table, project, selftests

SOURCES = {
    vendor: exit_table.source_path(vendor).read_text(encoding="utf-8")
    for vendor in exit_table.VENDORS
}
DOCUMENT = exit_table.document_path().read_text(encoding="utf-8")

LAST = 77  # SDM 3D, appendix C
RESERVED = {35, 38, 42, 71}
CODES = {*range(0xA7), *range(0x400, 0x404), *range(-4, 0)}  # APM 2, appendix C


def test_every_exit_reason_of_the_manual_has_one_row() -> None:
    numbers = [row.number for row in exit_table.rows(SOURCES["vmx"])]
    assert sorted(numbers) == [n for n in range(LAST + 1) if n not in RESERVED]


def test_every_exit_code_of_the_manual_has_one_row() -> None:
    numbers = [row.number for row in exit_table.rows(SOURCES["svm"])]
    assert sorted(numbers) == sorted(CODES)


@pytest.mark.parametrize("vendor", exit_table.VENDORS)
def test_no_row_of_the_source_escapes_the_parser(vendor: str) -> None:
    lines = re.findall(r"^ {4}\[[^\]]+\] =\s*\{?", SOURCES[vendor], re.MULTILINE)
    assert len(lines) == len(exit_table.rows(SOURCES[vendor]))


def test_every_kind_of_exit_has_an_outcome() -> None:
    header = (project.root() / "hv" / "vm" / "exit.h").read_text(encoding="utf-8")
    kinds = set(re.findall(r"^    VM_EXIT_(\w+),", header, re.MULTILINE))
    assert kinds == set(exit_table.OUTCOMES)


@pytest.mark.parametrize("vendor", exit_table.VENDORS)
def test_the_document_is_up_to_date(vendor: str) -> None:
    made = exit_table.updated(DOCUMENT, vendor, SOURCES[vendor])
    assert made == DOCUMENT, "run python -m harness.exit_table"


@pytest.mark.parametrize(("vendor", "name"), [("vmx", "CPUID"), ("svm", "VMEXIT_CPUID")])
def test_a_changed_source_makes_the_document_out_of_date(vendor: str, name: str) -> None:
    changed = SOURCES[vendor].replace(
        f'{{"{name}", VM_EXIT_CPUID', f'{{"{name}", VM_EXIT_UNDEFINED'
    )
    assert exit_table.updated(DOCUMENT, vendor, changed) != DOCUMENT


def test_a_kind_without_an_outcome_is_an_error() -> None:
    with pytest.raises(KeyError, match="VM_EXIT_NEW"):
        exit_table.table(SOURCES["vmx"].replace("VM_EXIT_CPUID", "VM_EXIT_NEW"))


def error_rows() -> dict[str, str]:
    section = DOCUMENT[DOCUMENT.index("## VM-instruction errors") :]
    return dict(re.findall(r"^\| (\w+) \| (.*) \|$", section, re.MULTILINE))


def test_every_error_number_is_provoked_or_explained() -> None:
    source = (project.root() / "hv" / "vmx" / "errors.c").read_text(encoding="utf-8")
    numbers = set(re.findall(r"\[(\d+)\] = ", source))
    assert len(numbers) == 25
    assert numbers <= set(error_rows())
    for number in numbers:
        row = error_rows()[number]
        assert "`" in row.split("|")[0] or len(row.split("|")[1].strip()) > 5


def test_the_selftests_that_the_document_names_exist() -> None:
    listed = {
        name
        for path in (project.root() / "hv" / "selftest").glob("*.c")
        for name in re.findall(
            r"^SELFTEST\(\s*(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    named = {name for row in error_rows().values() for name in re.findall(r"`(\w+)`", row)}
    assert len(named) > 15
    assert named <= listed


def test_the_list_from_the_symbols_is_the_list_in_the_sources() -> None:
    image: Path = selftests.image()
    assert image.exists(), "run make"
    found = {test.name for test in selftests.listed(image)}
    sources = "".join(p.read_text() for p in (project.root() / "hv" / "selftest").glob("*.c"))
    assert found == set(re.findall(r"^SELFTEST\(\s*(\w+)", sources, re.MULTILINE))
