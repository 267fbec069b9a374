"""The engine matrix as people see it: every cell, every reason once, nothing that can harm."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness import matrix
from harness.deviations import Deviation, Table
from harness.diff import Target
from harness.matrix import Cell, Matrix
from harness.outcome import Outcome
from harness.report import matrix as report
from harness.report.screen import Screen
from harness.scenario import Scenario
from harness.verdict import RunEnded, Verdict

BOCHS, KVM = Target("bochs"), Target("qemu-kvm")
NO_KVM = "this host's KVM offers neither VMX nor SVM to its machines"
MATRIX = Matrix(
    ("hello", "panic"),
    (BOCHS, KVM),
    (
        Cell("hello", BOCHS, "passed", "passed", seconds=0.25, vendor="vmx"),
        Cell("hello", KVM, "skipped", sentence=NO_KVM),
        Cell("panic", BOCHS, "failed", "failed", "<script>\x1b[2J", 1.5, directory="/nowhere/run"),
        Cell("panic", KVM, "skipped", sentence=NO_KVM),
    ),
    3.25,
)


class Page(HTMLParser):
    """What a browser would find: the text of each cell, what is loaded, which tags stay open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.loaded: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if tag in ("th", "td"):
            self.cells.append("")
        found = dict(attributes)
        self.loaded += [str(found[key]) for key in ("src", "href") if key in found]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] and "table" in self.open and self.cells:
            self.cells[-1] += data.strip()


def shown() -> str:
    stream = io.StringIO()
    report.show(MATRIX, Screen(stream))
    return stream.getvalue()


def test_the_terminal_shows_every_cell_and_each_reason_once() -> None:
    lines = shown().splitlines()
    assert lines[0].split() == ["scenario", "bochs", "qemu-kvm"]
    assert lines[1].split() == ["VT-x"]
    assert re.fullmatch(r"hello +passed 0\.25 s +skipped \(1\)", lines[2])
    assert re.fullmatch(r"panic +failed +skipped \(1\)", lines[3])
    assert lines.count(f"(1) {NO_KVM}") == 1
    assert lines[-1] == "1 passed, 1 failed, 2 skipped in 3.2 s"


def test_a_failure_is_told_with_its_sentence_and_place_and_can_not_steer_the_terminal() -> None:
    text = shown()
    assert "failed  panic on bochs: <script>\\x1b[2J" in text
    assert "/nowhere/run" in text
    assert "\x1b" not in text


def test_the_page_is_whole_and_loads_nothing() -> None:
    page = Page("\n".join(report.page(MATRIX)))
    assert not page.open
    assert [link for link in page.loaded if not link.startswith("#reason-")] == []
    assert page.cells[:3] == ["Scenario", "bochsVT-x", "qemu-kvmdid not run"]
    assert page.cells[3:] == [
        "hello",
        "passed0.25 s",
        "skipped1",
        "panic",
        "failed1.50 s",
        "skipped1",
    ]


def test_what_a_guest_wrote_can_not_become_part_of_the_page() -> None:
    text = "\n".join(report.page(MATRIX))
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_the_page_is_light_or_dark_as_the_reader_likes() -> None:
    text = "\n".join(report.page(MATRIX))
    assert "prefers-color-scheme: dark" in text
    colours = [
        set(re.findall(r"--(\w[\w-]*):", part))
        for part in re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    ]
    assert len(colours) == 2
    assert colours[1] <= colours[0]


def test_the_json_has_every_cell_and_the_counts() -> None:
    document = MATRIX.as_json()
    assert document["counts"] == {"passed": 1, "failed": 1, "known": 0, "skipped": 2}
    assert document["machines"] == [
        {"name": "bochs", "vendor": "VT-x"},
        {"name": "qemu-kvm", "vendor": ""},
    ]
    assert [cell["status"] for cell in document["cells"]] == [
        "passed",
        "skipped",
        "failed",
        "skipped",
    ]


def test_an_unknown_engine_is_refused_before_anything_runs() -> None:
    with pytest.raises(RunEnded, match="there is no engine 'boches'") as ended:
        matrix.run([], [Target("boches")])
    assert ended.value.verdict is Verdict.BAD_USAGE


def test_a_page_that_can_not_be_written_is_one_sentence() -> None:
    with pytest.raises(RunEnded, match="the page can't be written to"):
        report.write_page(MATRIX, Path("/nonexistent/page.html"))


@pytest.mark.parametrize(
    ("verdict", "row", "status", "sentence"),
    [
        (Verdict.PASSED, False, "passed", ""),
        (Verdict.FAILED, False, "failed", "it went wrong"),
        (Verdict.FAILED, True, "known", "Bochs 2.7: it is (SDM 3C 27.2)"),
        (Verdict.PASSED, True, "failed", "it is said to fail: Bochs 2.7: it is (SDM 3C 27.2)"),
    ],
)
def test_a_scenario_that_the_table_says_to_fail_must_fail(
    monkeypatch: pytest.MonkeyPatch, verdict: Verdict, row: bool, status: str, sentence: str
) -> None:
    scenario = Scenario("made-up", Path("made-up.toml"), "")
    outcome = Outcome("made-up", verdict, sentence="it went wrong")
    known = Deviation(
        ("bochs",), "Bochs 2.7", "SDM 3C 27.2", "It must not be.", "it is", scenarios=("made-up",)
    )
    monkeypatch.setattr("harness.choose.unmet", lambda *_: ("", ""))
    monkeypatch.setattr("harness.runner.run", lambda *_, **__: outcome)
    monkeypatch.setattr("harness.deviations.table", lambda: Table((known,) if row else ()))
    cell = matrix.examine(scenario, BOCHS)
    assert (cell.status, cell.sentence) == (status, sentence)


@pytest.mark.parametrize(
    ("scenario", "machine", "why"),
    [
        (Scenario("a", Path("a.toml"), "", engines=("bochs",)), KVM, "it is about bochs"),
        (
            Scenario("a", Path("a.toml"), "", cpu="tigerlake"),
            Target("bochs", "ryzen"),
            "it is about the CPU tigerlake",
        ),
    ],
)
def test_a_machine_that_a_scenario_is_not_about_is_skipped(
    scenario: Scenario, machine: Target, why: str
) -> None:
    cell = matrix.examine(scenario, machine)
    assert (cell.status, cell.sentence) == ("skipped", why)
