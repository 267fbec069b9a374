"""The bench without machines: budgets, plots, the README's table."""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from harness import bench, job, project
from harness.bench import budgets, document, machines, plots, walks
from harness.bench.figures import Figure
from harness.verdict import RunEnded, Verdict


def exact(name: str, value: float) -> Figure:
    return Figure("exits", name, value, "instructions", exact=True)


def test_a_figure_over_its_budget_is_named_with_value_and_budget() -> None:
    (sentence,) = budgets.passed([exact("CPUID", 111)], {"exits: CPUID": 110})
    assert sentence == "exits: CPUID is 111 instructions, over its budget of 110."


def test_a_figure_at_its_budget_passes() -> None:
    assert budgets.passed([exact("CPUID", 110)], {"exits: CPUID": 110}) == []


def test_an_exact_figure_without_a_budget_is_complained_about() -> None:
    (sentence,) = budgets.passed([exact("new", 1)], {"exits: old": 1})
    assert sentence == "exits: new is 1 instructions, and has no budget."


def test_a_part_that_has_no_budgets_is_not_checked() -> None:
    assert budgets.passed([exact("new", 1)], {"scale: old": 1}) == []


def test_wall_clock_figures_are_never_checked() -> None:
    assert budgets.passed([Figure("boots", "slow", 99.0, "s")], {"boots: slow": 1}) == []


def test_a_budget_that_no_figure_was_held_to_is_complained_about() -> None:
    granted = {"exits: VT-x, CPUID": 110, "exits: QEMU, CPUID": 700, "walks: bare": 4}
    without = Figure("exits", "QEMU", None, "instructions", note="needs QEMU")
    assert budgets.unmeasured([without], granted, ["exits"]) == [
        "exits: VT-x, CPUID was not measured."
    ]
    assert len(budgets.unmeasured([], granted, ["exits"])) == 2
    assert not budgets.unmeasured([exact("VT-x, CPUID", 110), without], granted, ["exits"])


def test_a_part_that_cannot_be_measured_leaves_the_others_in_the_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(part: str, say: object) -> list[Figure]:
        if part == "exits":
            raise RunEnded(Verdict.ENGINE_MISSING, "there is no emulator.")
        return [Figure(part, "some", 1.0, "s")]

    monkeypatch.setattr(bench, "measure", measure)
    monkeypatch.setattr(job, "require_fresh", lambda _: None)
    monkeypatch.setattr(project, "build", lambda: tmp_path)
    assert bench.main(["exits", "idle"]) == 0
    said = capsys.readouterr().out
    assert "there is no emulator." in said
    assert "some" in said
    with pytest.raises(RunEnded):
        bench.main(["exits"], check=True)


@pytest.mark.parametrize("check", [False, True])
def test_no_part_is_measured_beside_an_appliance_of_one_before(
    check: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def measure(part: str, say: object) -> list[Figure]:
        done.append(part)
        raise RunEnded(Verdict.ENGINE_DIED, "the appliance's machine hangs.")

    done: list[str] = []
    monkeypatch.setattr(bench, "measure", measure)
    monkeypatch.setattr(machines, "end_appliance", lambda: done.append("ended"))
    monkeypatch.setattr(job, "require_fresh", lambda _: None)
    monkeypatch.setattr(project, "build", lambda: tmp_path)
    with pytest.raises(RunEnded) if check else contextlib.nullcontext():
        bench.main(["nested", "boots"], check=check)
    assert done == (["nested", "ended"] if check else ["nested", "ended", "boots", "ended"])


def test_figures_that_cannot_be_kept_are_not_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bench").touch()
    monkeypatch.setattr(job, "require_fresh", lambda _: None)
    monkeypatch.setattr(project, "build", lambda: tmp_path)
    with pytest.raises(RunEnded) as ended:
        bench.main(["exits"])
    assert ended.value.verdict is Verdict.BAD_USAGE


def test_the_exact_figures_of_the_readme_are_within_their_budgets() -> None:
    readme = (project.root() / "README.md").read_text(encoding="utf-8")
    rows = readme.partition(document.START)[2].partition(document.END)[0].splitlines()
    start = next(n for n, row in enumerate(rows) if row.startswith("| instructions"))
    places = [cell.strip() for cell in rows[start].split("|")[2:-1]]
    granted = budgets.read()
    checked = 0
    for row in rows[start + 2 :]:
        if not row:
            break
        kind, *cells = [cell.strip() for cell in row.split("|")[1:-1]]
        for place, cell in zip(places, cells, strict=True):
            budget = granted.get(f"exits: {place}: {kind}")
            if cell and budget is not None:
                assert float(cell) <= budget, (place, kind)
                checked += 1
    assert checked == 26 * 2 + 22


@pytest.mark.parametrize("text", ["exits = 1", "[exits]\nCPUID = '110'", "[exits]\nx = true", "["])
def test_damaged_budgets_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text(text)
    monkeypatch.setattr(budgets, "path", lambda: file)
    with pytest.raises(RunEnded) as ended:
        budgets.read()
    assert ended.value.verdict is Verdict.BAD_USAGE


def test_a_walk_of_two_dimensions_reads_as_many_entries_as_the_manual_says() -> None:
    assert [walks.entries_read(levels) for levels in (0, 2, 3, 4)] == [4, 14, 19, 24]


def test_plots_are_well_formed_and_have_every_value() -> None:
    figures = [exact(f"{w}, trace off: {n}", v) for w in ("VT-x", "AMD-V") for n, v in
               (("CPUID", 110), ("a < b & c", 220))]  # fmt: skip
    (svg,) = plots.of("exits", figures).values()
    texts = [element.text for element in _texts(svg)]
    assert texts.count("110") == 2
    assert "a < b & c" in texts


@pytest.mark.parametrize("part", ["exits", "scale", "workers"])
def test_what_could_not_be_measured_is_not_plotted(part: str) -> None:
    assert not plots.of(part, [Figure(part, "all of it", None, "", note="there is no emulator.")])


def test_a_long_label_of_a_plot_begins_in_the_picture() -> None:
    longest = "timer, to the next guest but one"
    ends = [text for text in _texts(plots.bars("", ["CPUID", longest], [])) if text.text == longest]
    (x,) = (float(text.attrib["x"]) for text in ends)
    assert x - 7.5 * len(longest) > 0


def test_one_label_is_at_one_place_in_all_charts() -> None:
    charts = [("boot", ["2", "8", "32"], plots.Series("boot", [1, 2, 3])),
              ("fairness", ["8", "32"], plots.Series("fairness", [1, 1]))]  # fmt: skip
    quiet = [text for text in _texts(plots.lines("", charts)) if text.text == "8"]
    assert len({text.attrib["x"] for text in quiet}) == 1
    assert len(quiet) == 2


def _texts(svg: str) -> list[ET.Element]:
    return list(ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"))


def test_what_could_not_be_measured_is_in_the_table_with_its_reason() -> None:
    figure = Figure("boots", "by GRUB", None, "s", note="needs grub-mkrescue")
    assert "| boots | by GRUB | not measured | needs grub-mkrescue |" in document.table(
        [figure], "2026-01-01", "a machine"
    )


def test_functions_have_a_row_and_kinds_of_exits_a_column_for_each_processor() -> None:
    found = [
        Figure("breakdown", f"{where}, {kind}: {function}", count, "instructions", exact=True)
        for where, kind, function, count in (
            ("VT-x", "CPUID, leaf 1", "answer", 76),
            ("VT-x", "MMIO write", "walk", 123),
            ("VT-x", "MMIO write", "answer", 4),
            ("AMD-V", "MMIO write", "walk", 124),
        )
    ]
    text = document.by_function(found)
    vtx, amdv = text.split("## AMD-V")
    assert "| instructions | CPUID, leaf 1 | MMIO write |" in vtx
    assert "| `answer` | 76 | 4 |" in vtx
    assert "| `walk` |  | 123 |" in vtx
    assert "| `walk` | 124 |" in amdv


def test_the_readme_has_the_table_and_its_plots_are_there() -> None:
    readme = (project.root() / "README.md").read_text(encoding="utf-8")
    assert document.START in readme
    assert document.END in readme
    for plot in document.PLOTS:
        assert f"docs/{plot}" in readme
        ET.parse(project.root() / "docs" / plot)
