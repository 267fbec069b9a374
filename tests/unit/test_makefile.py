"""What `make` promises before it does anything: its help, its honesty, and its quiet answers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import bootstrap

CHECKOUT = Path(bootstrap.__file__).parent.parent

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    return subprocess.run(
        ["make", *arguments],
        cwd=where, env=settings, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A checkout in which nothing has been set up or built."""
    shutil.copytree(CHECKOUT / "hv", tmp_path / "hv")
    shutil.copy(CHECKOUT / "Makefile", tmp_path)
    (tmp_path / "harness").mkdir()
    for name in ("__init__.py", "cpio.py"):  # of the harness, the build uses this alone
        shutil.copy(CHECKOUT / "harness" / name, tmp_path / "harness")
    (tmp_path / "build").mkdir()
    return tmp_path


def test_help_has_one_line_for_each_target() -> None:
    done = make(CHECKOUT, "help")
    listed = re.findall(r"^  make (\S+) +\S", done.stdout, re.MULTILINE)
    phony = re.findall(r"^\.PHONY: (.+)", (CHECKOUT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert done.returncode == 0
    assert set(" ".join(phony).split()) <= set(listed)
    assert {"run", "test", "check", "bench", "coverage", "debug", "clean", "help"} <= set(listed)
    assert len(listed) == len(set(listed))


def test_asking_whether_the_image_is_current_sets_nothing_up(fresh: Path) -> None:
    done = make(fresh, "-q", "build/vanderpool.elf")
    assert done.returncode == 1
    assert done.stdout == ""
    assert not (fresh / ".venv").exists()
    assert list((fresh / "build").iterdir()) == []


def test_without_python_the_one_thing_missing_is_named(fresh: Path) -> None:
    done = make(fresh, "run", "PYTHON=python-that-is-not-there")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer, and there is no python-that-is-not-there" in done.stderr


def test_an_old_python_is_told_so(fresh: Path) -> None:
    old = fresh / "old-python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.6.15\nexit 1\n', "utf-8")
    old.chmod(0o755)
    done = make(fresh, "run", f"PYTHON={old}")
    assert done.returncode != 0
    assert f"needs Python 3.11 or newer, but {old} is Python 3.6.15" in done.stderr


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.skipif(shutil.which("flock") is None, reason="flock is not installed")
def test_two_builds_at_once_do_not_disturb_each_other(fresh: Path) -> None:
    python = fresh / ".venv/bin/python"  # says that everything is set up
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n", "utf-8")
    python.chmod(0o755)
    with ThreadPoolExecutor(2) as both:
        done = [running.result() for running in [both.submit(make, fresh) for _ in range(2)]]
    assert [(one.returncode, one.stderr) for one in done] == [(0, ""), (0, "")]
    assert sorted(one.stdout.count("  LD  build/vanderpool.elf\n") for one in done) == [0, 1]


def test_clean_removes_what_was_built_and_keeps_what_was_set_up(fresh: Path) -> None:
    (fresh / "build/guests").mkdir()
    (fresh / "build/.gitkeep").touch()
    (fresh / ".venv").mkdir()
    assert make(fresh, "clean").returncode == 0
    assert [path.name for path in (fresh / "build").iterdir()] == [".gitkeep"]
    assert (fresh / ".venv").is_dir()
