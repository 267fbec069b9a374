"""The bench without machines: budgets, plots, the README's table."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from harness.bench import budgets, document, plots, walks
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
    texts = [
        element.text for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]
    assert texts.count("110") == 2
    assert "a < b & c" in texts


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
    from harness import project

    readme = (project.root() / "README.md").read_text(encoding="utf-8")
    assert document.START in readme
    assert document.END in readme
    for plot in document.PLOTS:
        assert f"docs/{plot}" in readme
        ET.parse(project.root() / "docs" / plot)
