"""The table of engine differences is well-formed, names what there is, and the document agrees."""

from __future__ import annotations

import re

import pytest

from harness import choose, deviations, project, scenario, selftests

TABLE = deviations.table()
DOCUMENT = deviations.document_path().read_text(encoding="utf-8")

ROW = """
[[deviation]]
engines = ["bochs"]
cpus = ["tigerlake"]
whose = "Bochs 2.7"
section = "SDM 3C 27.2"
rule = "This must not be."
instead = "it is"
selftests = ["some_test"]
"""


def test_the_document_is_up_to_date() -> None:
    assert deviations.updated(DOCUMENT, TABLE) == DOCUMENT, "run python -m harness.deviations"


def test_a_changed_table_makes_the_document_out_of_date() -> None:
    assert deviations.updated(DOCUMENT, deviations.parse(ROW)) != DOCUMENT


def test_what_shows_a_deviation_exists() -> None:
    sources = "".join(p.read_text() for p in (project.root() / "hv" / "selftest").glob("*.c"))
    known_selftests = set(re.findall(r"^SELFTEST\(\s*(\w+)", sources, re.MULTILINE))
    guests = {path.stem for path in (project.root() / "hv" / "guests").glob("*.[cS]")}
    scenarios = {path.stem for path in scenario.paths()}
    for row in TABLE.deviations:
        assert set(row.selftests) <= known_selftests
        assert set(row.guests) <= guests
        assert set(row.scenarios) <= scenarios
        assert all((project.root() / name).is_file() for name in row.worked_around)
        told = "".join(p.read_text() for p in (project.root() / "hv" / "guests").glob("*.[cS]"))
        assert not [check for check in row.checks if f'"{check}"' not in re.sub(r'"\s+"', "", told)]


def test_every_row_cites_a_section_of_a_manual() -> None:
    for row in TABLE.deviations:
        assert re.match(r"(SDM [23][A-D]|APM 2) \d+(\.\d+)*|APM 3, \w+", row.section), row


def test_no_selftest_has_two_rows_for_one_machine() -> None:
    engines = {name for row in TABLE.deviations for name in row.engines}
    models = {cpu for row in TABLE.deviations for cpu in row.cpus} | {None}
    for test in selftests.listed(selftests.image()):
        for engine in engines:
            for cpu in models:
                rows = [
                    row
                    for row in TABLE.deviations
                    if test.name in row.selftests and row.concerns(engine, cpu)
                ]
                assert len(rows) <= 1, f"{test.name} on {engine} {cpu}"


def test_a_row_counts_on_its_engine_and_its_cpus_alone() -> None:
    known = deviations.parse(ROW)
    assert known.of_selftest("some_test", "bochs", "tigerlake") is not None
    assert known.of_selftest("some_test", "bochs", None) is None
    assert known.of_selftest("some_test", choose.NAMES[0], "tigerlake") is None
    assert known.of_selftest("another_test", "bochs", "tigerlake") is None


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('engines = ["bochs"]', "engines = []", "deviation 1 names no engine"),
        ('engines = ["bochs"]', 'engines = "bochs"', "`engines` must be a list of names"),
        ('whose = "Bochs 2.7"', "", "deviation 1 lacks `whose`"),
        ('rule = "This must not be."', 'rule = " "', "deviation 1 lacks `rule`"),
        ('selftests = ["some_test"]', "", "names nothing that shows it"),
        ("cpus", "cpu", "unknown key 'cpu'"),
        ("[[deviation]]", "[[deviations]]", "unknown tables: deviations"),
    ],
)
def test_a_malformed_row_is_named(old: str, new: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        deviations.parse(ROW.replace(old, new))


def test_a_cell_can_not_break_the_table() -> None:
    known = deviations.parse(ROW.replace("it is", "it | is"))
    assert r"it \| is" in deviations.updated(DOCUMENT, known)


LATITUDE = """
[[latitude]]
record = "vm-stop"
fields = ["ticks"]
guests = ["one"]
vendors = true
why = "Pace."
"""


def test_a_latitude_counts_for_its_guests_and_vendors_alone() -> None:
    (row,) = deviations.parse(LATITUDE).latitudes
    assert row.concerns("any", "one", vendors=True)
    assert not row.concerns("any", "one", vendors=False)
    assert not row.concerns("any", "another", vendors=True)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('why = "Pace."', "", "latitude 1 lacks `why`"),
        ("vendors = true", 'vendors = "all"', "`vendors` must be true or false"),
        ("record =", "exits = ['timer']\nrecord =", "needs either `exits`, or `record`"),
        ('record = "vm-stop"', "exits = ['timer']", "needs either `exits`, or `record`"),
        ("guests", "guest", "unknown key 'guest'"),
        ("guests", "bits = -1\nguests", "`bits` must be a mask"),
        ('fields = ["ticks"]', "bits = 1", "`bits` must be a mask for `fields`"),
    ],
)
def test_a_malformed_latitude_is_named(old: str, new: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        deviations.parse(LATITUDE.replace(old, new))


def test_the_exits_that_may_differ_are_kinds_of_exit() -> None:
    header = (project.root() / "hv" / "vm" / "exit.h").read_text(encoding="utf-8")
    names = re.findall(r"^    VM_EXIT_(\w+),", header, re.MULTILINE)
    kinds = {name.lower().replace("_", "-") for name in names} | {"any"}
    guests = {path.stem for path in (project.root() / "hv" / "guests").glob("*.[cS]")}
    for row in TABLE.latitudes:
        assert set(row.exits) <= kinds
        assert set(row.guests) <= guests


def test_the_checks_that_must_fail_are_those_of_that_guest_on_that_machine() -> None:
    row = ROW.replace("selftests =", 'guests = ["one"]\nchecks = ["this holds"]\nselftests =')
    known = deviations.parse(row)
    assert known.failing_checks("one", "bochs", "tigerlake") == {"this holds"}
    assert not known.failing_checks("one", "bochs", None)
    assert not known.failing_checks("two", "bochs", "tigerlake")
