"""What an image says about itself, and whether it is fresh."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from harness import image
from harness.verdict import RunEnded, Verdict


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An executable with two functions in assembly, one with a size, and a build id."""
    directory = tmp_path_factory.mktemp("linked")
    source = directory / "a.S"
    source.write_text(
        ".globl _start, sized\n_start: nop\nnop\n.type sized, @function\n"
        "sized: nop\nnop\n.size sized, . - sized\n.skip 16\n"
    )
    output = directory / "a.elf"
    compiler = shutil.which("gcc")
    assert compiler is not None
    subprocess.run(
        [
            compiler, "-nostdlib", "-static", "-no-pie", "-o", str(output),
            "-Wl,--build-id=0x00112233445566778899aabbccddeeff00112233", str(source),
        ],
        check=True,
    )  # fmt: skip
    return output


def test_the_build_id_is_read_from_the_note(linked: Path) -> None:
    assert image.build_id(linked) == "00112233445566778899aabbccddeeff00112233"


def test_a_file_without_a_build_id_has_none(tmp_path: Path, linked: Path) -> None:
    assert image.build_id(tmp_path / "missing") is None
    other = tmp_path / "other"
    for data in (b"", b"\x7fELF", b"\x7fELF\x02\x01" + b"\xff" * 100, linked.read_bytes()[:100]):
        other.write_bytes(data)
        assert image.build_id(other) is None


def test_addresses_become_names_with_offsets(linked: Path) -> None:
    symbols = image.symbols(linked)
    sized = symbols.address("sized")
    start = symbols.address("_start")
    assert sized is not None
    assert start is not None
    assert symbols.symbolize(sized) == "sized"
    assert symbols.symbolize(sized + 1) == "sized+0x1"
    assert symbols.symbolize(sized + 2) is None  # past its end
    assert symbols.symbolize(start + 1) == "_start+0x1"  # no size: up to the next symbol
    assert symbols.symbolize(0) is None
    assert symbols.address("nothing") is None


def test_a_file_that_is_no_elf_has_no_symbols(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    for path in (tmp_path / "text", tmp_path / "missing", tmp_path):
        assert image.symbols(path).symbolize(0x1000) is None


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of its own whose image depends on one source file."""
    (tmp_path / "build").mkdir()
    (tmp_path / "source").write_text("1")
    (tmp_path / "Makefile").write_text("build/vanderpool.elf: source\n\tcp source $@\n")
    monkeypatch.setenv("VANDERPOOL_ROOT", str(tmp_path))
    subprocess.run(["make", "-s", "-C", str(tmp_path)], check=True)
    return tmp_path


def test_a_fresh_image_is_accepted_and_a_stale_one_refused(checkout: Path) -> None:
    import os

    built = checkout / "build" / "vanderpool.elf"
    image.require_fresh(built)
    newer = built.stat().st_mtime + 10
    os.utime(checkout / "source", (newer, newer))
    with pytest.raises(RunEnded, match="older than its sources: run `make`") as caught:
        image.require_fresh(built)
    assert caught.value.verdict is Verdict.STALE_IMAGE


def test_only_the_checkouts_own_image_is_asked_about(checkout: Path) -> None:
    other = checkout / "other.elf"
    other.write_text("")
    image.require_fresh(other)
    (checkout / "Makefile").unlink()
    (checkout / "source").write_text("newer")
    image.require_fresh(checkout / "build" / "vanderpool.elf")


def test_make_in_trouble_is_no_answer(checkout: Path) -> None:
    (checkout / "Makefile").write_text("$(error no)\n")
    image.require_fresh(checkout / "build" / "vanderpool.elf")
