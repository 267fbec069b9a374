"""What lies between the harness and QEMU: serial lines of pipes, and memory files with holes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.engines.line import PipeLine, write_fileno
from harness.engines.qemu_snapshot import copy_sparse


def test_a_line_of_pipes_goes_both_ways_and_leaves_nothing(tmp_path: Path) -> None:
    line = PipeLine(tmp_path / "com1")
    with pytest.raises(BlockingIOError):
        line.recv(10)  # nothing has come, though nobody is there yet
    other = {end: os.open(tmp_path / f"com1.{end}", os.O_RDWR) for end in ("in", "out")}
    assert line.send(b"typed") == 5
    assert os.read(other["in"], 10) == b"typed"
    os.write(other["out"], b"said")
    assert line.recv(10) == b"said"
    for descriptor in other.values():
        os.close(descriptor)
    assert len({line.fileno(), write_fileno(line)}) == 2
    line.close()
    line.close()
    assert line.fileno() == -1
    assert list(tmp_path.iterdir()) == []


def test_a_line_holds_thousands_of_single_bytes_that_nobody_reads(tmp_path: Path) -> None:
    line = PipeLine(tmp_path / "com1")
    writer = os.open(tmp_path / "com1.out", os.O_RDWR | os.O_NONBLOCK)
    for _ in range(60_000):  # the size that every pipe has, where more is refused
        assert os.write(writer, b"x") == 1
    os.close(writer)
    line.close()


def test_a_line_whose_pipes_cant_be_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        PipeLine(tmp_path / "nowhere" / "com1")
    assert list(tmp_path.iterdir()) == []


def test_a_sparse_copy_is_equal_and_sparse(tmp_path: Path) -> None:
    size = 64 << 20
    with (tmp_path / "from").open("w+b") as source, (tmp_path / "to").open("w+b") as target:
        source.truncate(size)
        for at, data in ((0, b"first"), (20 << 20, b"middle" * 5000), (size - 4, b"last")):
            source.seek(at)
            source.write(data)
        source.flush()
        target.write(b"old" * 100_000)  # all of which must go
        target.flush()
        copy_sparse(source.fileno(), target.fileno())
        assert os.fstat(target.fileno()).st_size == size
        assert os.fstat(target.fileno()).st_blocks * 512 < 1 << 20
    assert (tmp_path / "to").read_bytes() == (tmp_path / "from").read_bytes()
