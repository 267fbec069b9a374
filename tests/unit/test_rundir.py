"""Run directories: never shared, never lost on a failure, and a replay that survives any name."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import rundir
from harness.verdict import RunEnded, Verdict


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "a checkout"
    root.mkdir()
    monkeypatch.setenv("VANDERPOOL_ROOT", str(root))
    return root


def test_runs_at_the_same_moment_never_share_a_directory(checkout: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: rundir.create("hello"), range(40)))
    assert len(set(made)) == 40
    assert all(path.is_dir() and path.parent == checkout / "build" / "runs" for path in made)


def test_a_name_is_made_fit_for_a_path(checkout: Path) -> None:
    assert rundir.create("../../etc/x y").name.endswith("Z-etc-x-y")


def test_a_directory_that_was_asked_for_is_used(tmp_path: Path) -> None:
    assert rundir.create("x", tmp_path / "a" / "b") == tmp_path / "a" / "b"


@pytest.mark.parametrize("kind", ["full", "file", "below a file"])
def test_a_directory_that_is_taken_is_bad_usage(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "full":
        place.mkdir()
        (place / "thing").touch()
    else:
        place.touch()
    with pytest.raises(RunEnded, match="taken") as caught:
        rundir.create("x", place / "deeper" if kind == "below a file" else place)
    assert caught.value.verdict is Verdict.BAD_USAGE


def test_an_empty_directory_is_taken_once(tmp_path: Path) -> None:
    rundir.create("x", tmp_path / "place")
    with pytest.raises(RunEnded, match="taken"):
        rundir.create("x", tmp_path / "place")


def aged(path: Path) -> Path:
    """Make a finished run look an hour old."""
    hour_ago = path.stat().st_mtime - 3600
    os.utime(path / "as-expected", (hour_ago, hour_ago))
    return path.rename(path.with_name(path.name.replace("20", "19", 1)))


def passed(name: str) -> Path:
    path = rundir.create(name)
    rundir.finish(path, {"name": name}, as_expected=True)
    return path


def test_old_passes_are_pruned_and_everything_else_is_kept(checkout: Path) -> None:
    failed, unfinished = rundir.create("failed"), rundir.create("unfinished")
    rundir.finish(failed, {}, as_expected=False)
    old = [aged(passed(f"p{number}")) for number in range(5)]
    new = passed("new")
    rundir.prune(failed.parent, keep=3)
    assert [path.exists() for path in old] == [False, False, False, True, True]
    assert sorted(failed.parent.iterdir()) == sorted([failed, unfinished, new, *old[3:]])


def test_what_has_just_ended_is_never_pruned(checkout: Path) -> None:
    fresh = [passed("same") for _ in range(3)]
    rundir.prune(fresh[0].parent, keep=0)
    assert all(path.exists() for path in fresh)


def test_concurrent_runs_prune_without_harm(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [aged(passed(f"old{number}")) for number in range(30)]
    monkeypatch.setattr(rundir, "KEPT_PASSES", 3)
    with ThreadPoolExecutor(8) as pool:
        new = list(pool.map(passed, ["same"] * 30))
    assert all((path / "outcome.json").is_file() for path in new)
    assert not any(path.exists() for path in old)


def test_an_outcome_that_json_has_no_room_for_is_still_written(tmp_path: Path) -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for bad in (float("nan"), deep):
        text = rundir.to_json({"verdict": "passed", "records": [{"x": bad}]})
        assert json.loads(text)["verdict"] == "passed"


def test_the_replay_runs_the_same_words_whatever_is_in_them(checkout: Path, tmp_path: Path) -> None:
    words = ["run", 'it\'s "odd"', "--append", "a\nb $HOME `date` \\"]
    evil = "x\necho injected >&2\n$(touch hacked)"
    rundir.write_replay(tmp_path, words, ["engine", evil])
    script = tmp_path / "replay.sh"
    assert os.access(script, os.X_OK)
    assert json.loads((tmp_path / "argv.json").read_text()) == ["engine", evil]
    text = script.read_text()
    # Let the words be printed instead of carried out.
    printed = tmp_path / "print.sh"
    head, _, tail = text.partition("exec ")
    tail = shlex.join(["printf", "%s\\0"]) + " " + tail.split(" -m harness ", 1)[1]
    printed.write_text(head + tail)
    done = subprocess.run(
        ["sh", str(printed), "--more"], capture_output=True, check=True, text=True
    )
    assert done.stdout.split("\0")[:-1] == [*words, "--more"]
    assert done.stderr == ""
    assert not list(checkout.iterdir())


@pytest.mark.parametrize("name", ["argv.json", "replay.sh", "outcome.json.new"])
def test_a_full_disk_is_bad_usage(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/dev/full")

    def leave_everything() -> None:
        rundir.write_replay(tmp_path, ["run", "x"], ["engine"])
        rundir.finish(tmp_path, {"a": 1}, as_expected=True)

    with pytest.raises(RunEnded, match="can't be written: No space left on device") as caught:
        leave_everything()
    assert caught.value.verdict is Verdict.BAD_USAGE
    assert not (tmp_path / "outcome.json").exists()
