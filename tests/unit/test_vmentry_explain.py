"""`hv explain` and the verdict vm-entry-failed say which rule is broken, or why they can't."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.commands import invoke
from harness.judge import Judge
from harness.scenario import Scenario
from harness.verdict import RunEnded, Verdict
from harness.vmentry import document
from tests.unit.vmentry_data import crash_record

DUMPS = Path(__file__).parent / "dumps"


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Any:
    def give(data: bytes, *, terminal: bool = False) -> None:
        stream = SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: terminal)
        monkeypatch.setattr(sys, "stdin", stream)

    return give


def test_a_file_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["explain", str(DUMPS / "kvm-6.1-long-mode.txt")]) == 0
    shown = capsys.readouterr().out
    assert "guest.cs.d (SDM 3C 27.3.1.2; exit reason 0x80000021: invalid guest state)" in shown


@pytest.mark.parametrize("words", [["explain"], ["explain", "-"]])
def test_standard_input_is_explained(
    words: list[str], stdin: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin(b"guest_rflags=0\n")
    assert invoke(words) == 0
    assert "guest.rflags.one" in capsys.readouterr().out


def test_a_run_directory_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "records.jsonl").write_text(json.dumps(crash_record(cr3_target_count=5)))
    assert invoke(["explain", str(tmp_path)]) == 0
    assert "CR3-target count = 0x5" in capsys.readouterr().out


def test_json_has_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "crash.json"
    file.write_text(json.dumps(crash_record(cr3_target_count=5)))
    assert invoke(["explain", "--json", str(file)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reported"] == {"error": 7, "reason": None, "qualification": 0}
    [violation] = found["violations"]
    assert violation["rule"] == "exec.cr3-target-count"
    assert violation["section"] == "27.2.1.1"
    assert violation["error"] == 7
    assert violation["fields"] == {"cr3_target_count": "0x5"}
    assert "the processor has 4" in violation["sentence"]


def test_nothing_wrong_is_an_exit_code_of_its_own(stdin: Any) -> None:
    stdin(b"guest_rflags=2\n")
    assert invoke(["explain"]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["explain", "/nowhere/at/all"], "/nowhere/at/all can't be read: No such file"),
        (["explain", __file__], "can't be explained: it is none of these"),
        (["explain", "--cpu", "z80", __file__], "no processor is called 'z80'"),
        (["explain", "/dev/zero"], "/dev/zero can't be explained: it is longer than 4 MiB"),
    ],
)
def test_what_can_not_be_explained_is_told_in_a_sentence(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_directory_without_a_run_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["explain", str(tmp_path)]) == 2
    assert "is no run directory: there is no records.jsonl in it" in capsys.readouterr().err


def test_a_terminal_is_not_waited_for(stdin: Any, capsys: pytest.CaptureFixture[str]) -> None:
    stdin(b"", terminal=True)
    assert invoke(["explain"]) == 2
    assert "name a file" in capsys.readouterr().err


def verdict(record: dict[str, Any]) -> RunEnded:
    judge = Judge(Scenario(name="some", path=Path("some.toml"), description="Some run."))
    assert judge.see("crash", record)
    assert judge.decided is not None
    return judge.decided


def test_the_verdict_shows_the_explanation_and_not_the_raw_fields() -> None:
    ended = verdict(crash_record(cr3_target_count=5))
    assert ended.verdict is Verdict.VM_ENTRY_FAILED
    shown = "\n".join(ended.evidence)
    assert "exec.cr3-target-count (SDM 3C 27.2.1.1; VM-instruction error 7" in shown
    assert "CR3-target count = 0x5, but it must not be greater" in shown
    assert "0x6800" not in shown
    assert ended.facts["fields"]["0x6800"]


@pytest.mark.parametrize("change", [{"fields": []}, {"msrs": {"x": {}}}, {"region": []}])
def test_a_hostile_record_is_a_verdict_all_the_same(change: dict[str, Any]) -> None:
    ended = verdict(crash_record() | change)
    assert ended.verdict is Verdict.VM_ENTRY_FAILED
    assert ended.evidence


def test_the_document_is_up_to_date() -> None:
    text = document.document_path().read_text(encoding="utf-8")
    assert document.updated(text) == text, "run python -m harness.vmentry.document"


def test_a_document_without_a_place_for_the_tables_is_an_error() -> None:
    with pytest.raises(ValueError, match="no place"):
        document.updated("# Something else\n")
