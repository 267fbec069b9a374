"""Counters out of memory become what gcov reads; machines add up; another build's are refused."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import coverage
from harness.image import contents
from harness.verdict import RunEnded, Verdict

SCRIPT = Path(__file__).parents[2] / "hv" / "boot" / "coverage.ld"
SOURCE = """\
int chosen(int x) {
    if (x > 3)
        return 1;
    return 2;
}
void _start(void) {
    chosen(5);
    for (;;)
        ;
}
"""
FLAGS = ("-O0", "-g", "-ffreestanding", "-fno-pic", "-fprofile-arcs", "-ftest-coverage",
         "-fprofile-info-section")  # fmt: skip

Memory = Callable[[int, int], bytes]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A small image that counts, as `make coverage` builds them."""
    compiler = shutil.which("gcc")
    assert compiler is not None
    (tmp_path / "small.c").write_text(SOURCE)
    subprocess.run([compiler, *FLAGS, "-c", "-o", "small.c.o", "small.c"], cwd=tmp_path, check=True)
    subprocess.run(
        [compiler, "-nostdlib", "-static", "-no-pie", f"-Wl,-T,{SCRIPT}",
         "-Wl,--defsym=__gcov_merge_add=1", "-Wl,-z,noexecstack", "-o", "image", "small.c.o"],
        cwd=tmp_path, check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return tmp_path / "image"


def memory(values: dict[int, int]) -> Memory:
    """A machine's memory in which the counters at these addresses are not 0."""

    def read(address: int, length: int) -> bytes:
        return b"".join(
            struct.pack("<q", values.get(at, 0)) for at in range(address, address + length, 8)
        )

    return read


def test_what_a_machine_counted_is_what_gcov_shows(image: Path) -> None:
    (unit,) = coverage.units(image)
    gcov = shutil.which("gcov")
    assert gcov is not None
    for count, shown in ((0, {"#####"}), (7, {"7", "14"})):  # by which arcs is gcc's own affair
        counted = {f.address + 8 * n: count for f in unit.functions for n in range(f.count)}
        values = coverage.read((unit,), memory(counted))[unit.gcda]
        Path(unit.gcda).write_bytes(coverage.gcda(unit, values))
        done = subprocess.run(
            [gcov, "-t", "small.c.gcda"],
            cwd=image.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        lines = [line.split(":", 2) for line in done.stdout.splitlines()]
        assert {count.strip() for count, line, _ in lines if line.strip() == "2"} <= shown


def test_the_counters_of_machines_add_up(image: Path) -> None:
    (unit,) = coverage.units(image)
    size = sum(f.count for f in unit.functions)
    one = {"image": str(image), "counters": {unit.gcda: [1] * size}}
    ((_, total),) = coverage.merge(iter([one, one, one])).values()
    assert total == [3] * size


def test_counters_of_another_build_are_refused(image: Path) -> None:
    (unit,) = coverage.units(image)
    stale = {"image": str(image), "counters": {unit.gcda: [1]}}
    with pytest.raises(RunEnded, match="has been built anew since") as caught:
        coverage.merge(iter([stale]))
    assert caught.value.verdict is Verdict.BAD_USAGE


def test_the_product_counts_nothing() -> None:
    from harness import project

    assert coverage.units(project.image()) == ()
    assert contents(project.image(), 0, 1) == b""


def test_the_table_lists_the_least_covered_first() -> None:
    def row(name: str, covered: int) -> dict[str, object]:
        return {
            "filename": name, "line_covered": covered, "line_total": 10,
            "line_percent": covered * 10.0, "branch_covered": 1, "branch_total": 2,
            "branch_percent": 50.0,
        }  # fmt: skip

    summary = row("", 12) | {"files": [row("hv/a.c", 10), row("hv/b.c", 2)]}
    lines = coverage.table(summary).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["hv/b.c", "hv/a.c", "total"]
    assert "2 of 10" in lines[1]
    assert "50.0 %" in lines[1]
