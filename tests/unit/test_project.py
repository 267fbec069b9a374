"""The checkout is found from where the user is."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import project


def a_checkout(path: Path, name: str = "vanderpool") -> Path:
    path.mkdir(parents=True)
    (path / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')
    return path


def test_the_variable_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VANDERPOOL_ROOT", str(tmp_path))
    assert project.root() == tmp_path
    assert project.image() == tmp_path / "build" / "vanderpool.elf"
    assert project.guest("hello") == tmp_path / "build" / "guests" / "hello.bin"


def test_the_checkout_is_found_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VANDERPOOL_ROOT", raising=False)
    checkout = a_checkout(tmp_path / "checkout")
    inside = a_checkout(checkout / "vendor" / "other", name="other") / "deep"
    inside.mkdir()
    monkeypatch.chdir(inside)
    assert project.root() == checkout


def test_elsewhere_the_package_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VANDERPOOL_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("not [ toml")
    assert project.root() == Path(project.__file__).parent.parent
