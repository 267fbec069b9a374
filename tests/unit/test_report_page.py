"""The page about a session: failures first, all in one file, and safe whatever guests wrote."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.report import page, session
from harness.report.durations import histogram
from harness.report.github import annotation
from harness.report.style import CSS
from harness.verdict import RunEnded, Verdict

HOSTILE = "</pre><script>alert(1)</script>\x1b[2J"


def leave(base: Path, name: str, **changes: Any) -> Path:
    """What a run leaves behind."""
    directory = base / name
    directory.mkdir(parents=True)
    outcome = {
        "scenario": name, "verdict": "passed", "expected": "passed", "sentence": "all is well",
        "evidence": [], "engine": "bochs", "cpu": None, "started": 1000.0, "seconds": 0.5,
        "records": [{"kind": "vm-stop", "guest": "hello", "exits": {"io": 90, "timer": 10}}],
    }  # fmt: skip
    (directory / "outcome.json").write_text(json.dumps(outcome | changes))
    (directory / "console.log").write_text(
        "[    0.100000] vm: hello starts: image 1 bytes\r\nhello| Hello\r\n"
        "[    0.300000] vm: hello ended by exit\r\n"
    )
    (directory / "records.jsonl").write_text('{"seq":0,"kind":"boot"}\n')
    return directory


def failing(base: Path) -> Path:
    directory = leave(
        base, "cpuid", verdict="panic", sentence="the hypervisor panicked", started=1001.0
    )
    (directory / "post-mortem.txt").write_text("stack:\n  handle_cpuid  hv/vm/cpuid.c:107\n")
    return directory


def written(base: Path) -> str:
    target = base.parent / "report.html"
    page.write(session.of_directory(base), target)
    return target.read_text()


def test_failures_come_first_with_their_post_mortem(tmp_path: Path) -> None:
    leave(tmp_path / "runs", "hello")
    failing(tmp_path / "runs")
    text = written(tmp_path / "runs")
    assert text.index("the hypervisor panicked") < text.index("handle_cpuid")
    assert text.index("handle_cpuid") < text.index('id="matrix"') < text.index('id="runs"')
    assert "1 failed, 1 passed" in text


def test_matrix_durations_timeline_exits_and_both_serial_streams_are_there(tmp_path: Path) -> None:
    leave(tmp_path / "runs", "hello")
    failing(tmp_path / "runs")
    text = written(tmp_path / "runs")
    cell = '<div class="cell"><span>passed</span> <span class="time">0.50 s</span></div>'
    assert f'<td class="passed">{cell}</td>' in text
    assert '<td class="failed"><div class="cell"><span>failed: panic' in text
    assert "hello on bochs, 0.50 s" in text  # in the timeline
    assert "exits of hello (100)" in text
    assert "hello: 0.100 to 0.300 s" in text
    assert "hello| Hello" in text
    assert "{&quot;seq&quot;:0,&quot;kind&quot;:&quot;boot&quot;}" in text


def test_a_page_says_what_it_is_about_and_names_no_place_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VANDERPOOL_ROOT", str(tmp_path))
    runs = tmp_path / "build" / "runs"
    leave(runs, "hello", sentence=f"{tmp_path}/hv/main.c is there")
    failing(runs)
    text = written(runs)
    assert "<h1>Vanderpool: 2 runs</h1>" in text
    assert "cpuid/replay.sh" in text
    assert "hv/main.c is there" in text
    assert str(tmp_path) not in text
    alone = tmp_path / "alone.html"
    page.write(session.of_directory(runs / "hello"), alone)
    assert "<h1>Vanderpool: hello on bochs</h1>" in alone.read_text()


def test_of_a_failed_test_the_machines_words_come_before_the_traceback() -> None:
    seen = {
        "name": "tests/test_it.py::test_it", "status": "failed", "seconds": 1.0,
        "reason": "def test_it(): ...",
        "sections": [("console", "hello"), ("post-mortem (/somewhere/here)", "handle_cpuid")],
    }  # fmt: skip
    text = "\n".join(page.body(session.of_tests([seen])))
    assert text.index("handle_cpuid") < text.index("def test_it") < text.index("hello")
    assert "<details open><summary>post-mortem</summary>" in text
    assert "<details><summary>traceback</summary>" in text
    plain = "\n".join(page.body(session.of_tests([{**seen, "sections": []}])))
    assert "<details open><summary>traceback</summary>" in plain


def test_what_the_post_mortem_tells_the_evidence_does_not_repeat(tmp_path: Path) -> None:
    console = "  [    0.100000] panic: there"
    directory = leave(
        tmp_path / "runs", "cpuid", verdict="panic",
        evidence=["stack:", "  0x10 handle_cpuid+0x2", "  0x20 main", "the last lines:", console],
    )  # fmt: skip
    (directory / "post-mortem.txt").write_text(
        "stack:\n  0x10 handle_cpuid+0x2\n  0x20 main\ncode:\n"
    )
    text = written(tmp_path / "runs")
    assert text.count("handle_cpuid+0x2") == 1
    assert f'<pre class="wrapped">the last lines:\n{console}</pre>' in text


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["ink", "quiet", "link", "good", "bad", "odd"])
def test_every_word_can_be_read_light_and_dark(mode: int, name: str) -> None:
    words = re.findall(rf"--{name}: (#\w{{6}})", CSS)
    papers = re.findall(r"--paper: (#\w{6})", CSS)
    dark, bright = sorted((luminance(words[mode]), luminance(papers[mode])))
    assert (bright + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2.2, 1.4.3


def test_a_page_loads_nothing(tmp_path: Path) -> None:
    leave(tmp_path / "runs", "hello")
    text = written(tmp_path / "runs")
    assert not re.search(r"\bsrc=|@import|url\(|<script|<link|https?://", text)
    assert "prefers-color-scheme: dark" in text


def test_what_a_guest_wrote_is_text_and_nothing_more(tmp_path: Path) -> None:
    directory = leave(
        tmp_path / "runs", "hello", sentence=HOSTILE, evidence=[HOSTILE], verdict="failed",
        engine=HOSTILE, records=[{"kind": "vm-stop", "guest": HOSTILE, "exits": {HOSTILE: 1}}],
    )  # fmt: skip
    (directory / "console.log").write_bytes(HOSTILE.encode() + b"\xff\x00\n")
    (directory / "post-mortem.txt").write_text(HOSTILE)
    text = written(tmp_path / "runs")
    assert "<script" not in text
    assert "\x1b" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"verdict": 1}', "{" * 9999, "\xff"])
def test_a_directory_that_holds_no_outcome_is_passed_over(tmp_path: Path, text: str) -> None:
    leave(tmp_path / "runs", "hello")
    other = tmp_path / "runs" / "other"
    other.mkdir()
    (other / "outcome.json").write_text(text, encoding="latin-1")
    assert len(session.of_directory(tmp_path / "runs").runs) == 1


def test_an_outcome_with_odd_values_does_no_harm(tmp_path: Path) -> None:
    leave(tmp_path / "runs", "hello", seconds="x", started=[], records=[1, {"kind": "vm-stop"}])
    leave(tmp_path / "runs", "cpuid", seconds=-1, started=5e300, evidence={}, sentence=None)
    assert "<h1>" in written(tmp_path / "runs")


def test_no_run_at_all_is_said(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(RunEnded) as caught:
            session.of_directory(place)
        assert caught.value.verdict is Verdict.BAD_USAGE


def test_a_page_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    leave(tmp_path / "runs", "hello")
    with pytest.raises(RunEnded, match="can't be written"):
        page.write(session.of_directory(tmp_path / "runs"), tmp_path / "no" / "report.html")


def test_a_browser_shows_it(tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if browser is None:
        pytest.skip("chromium is not installed")
    leave(tmp_path / "runs", "hello")
    failing(tmp_path / "runs")
    written(tmp_path / "runs")
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=1000",
            f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--dump-dom",
            (tmp_path / "report.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr  # no error in the page
    assert re.search(r"<article>.*handle_cpuid.*</article>", done.stdout, re.DOTALL)
    assert done.stdout.count("<rect") == 4  # two runs in the session, a guest in each


def test_a_histogram_counts_each_duration_once() -> None:
    lines = histogram([0.05, 0.15, 0.15, 0.3, 40.0])
    assert [int(line.split()[-4] if "#" not in line else line.split("s ", 1)[1].split()[0])
            for line in lines if "#" in line] == [1, 2, 1, 1]  # fmt: skip
    assert "over 30 s" in lines[-1]
    assert histogram([]) == []


def test_an_annotation_can_not_start_another_command() -> None:
    text = annotation("tests/a,b.toml", 0, "x::error", "one\n::error::two 100%")
    assert text.count("\n") == 0
    assert text == (
        "::error file=tests/a%2Cb.toml,line=1,title=x%3A%3Aerror::one%0A::error::two 100%25"
    )
