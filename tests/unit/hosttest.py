"""C drivers that run the hypervisor's own sources on this host, under sanitizers.

A driver is made of files of ``hv/`` and of ``tests/unit/hv/``. Two kinds:

- with a ``main`` of its own: `run_c` compiles and runs it, and fails the test with its output;
- of checks: each function ``void check_SENTENCE(void)`` is one. `Driver` finds them in the source,
  so that pytest can list them without a compiler, and runs each in a process of its own.

What is compiled stays in ``build/hosttest/`` under a digest of everything that goes into it.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HV = ROOT / "hv"
HERE = Path(__file__).parent / "hv"
CACHE = ROOT / "build" / "hosttest"

FLAGS = (
    "-std=gnu17",
    "-O1",
    "-g",
    "-Wall",
    "-Wextra",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
)

# Leaks are counted where they matter, by stand_in_pages.c; the sanitizer's own search needs ptrace,
# which containers often forbid.
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}

CHECK = re.compile(r"^void check_(\w+)\(void\) \{", re.MULTILINE)


def _digest(command: Sequence[str], files: Sequence[Path]) -> str:
    digest = hashlib.sha256("\0".join(command).encode())
    for path in [*files, *sorted(HV.rglob("*.h")), *sorted(HERE.glob("*.h"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def compile_c(
    name: str, sources: Sequence[Path], flags: Sequence[str] = (), directory: Path = CACHE
) -> Path:
    """The executable made of these sources; not compiled again if `directory` has it already."""
    command = [os.environ.get("HOSTCC", "gcc"), *FLAGS, f"-I{HV}", f"-I{HERE}", *flags]
    command += [str(source) for source in sources]
    target = directory / f"{name}-{_digest(command, sources)}"
    if target.exists():
        return target
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as temporary:
        made = Path(temporary) / name
        result = subprocess.run(
            [*command, "-o", str(made)], capture_output=True, text=True, check=False
        )
        if result.returncode:
            pytest.fail(f"{' '.join(command)}\n{result.stderr}", pytrace=False)
        older = [path for path in directory.glob(f"{name}-*") if path != target]
        made.replace(target)  # at once: another worker may be doing the same
    for path in older:
        path.unlink(missing_ok=True)
    return target


def run(program: Path, *arguments: str, timeout: float = 60) -> str:
    """What the program printed; fails the test unless it ends with 0 in `timeout` seconds."""
    try:
        result = subprocess.run(
            [program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=os.environ | ENVIRONMENT,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        printed = expired.stdout or b""
        text = printed.decode(errors="replace") if isinstance(printed, bytes) else printed
        pytest.fail(f"{program.name}: still running after {timeout} s\n{text}", pytrace=False)
    if result.returncode:
        pytest.fail(f"{program.name}: ended with {result.returncode}\n{result.stdout}", False)
    return result.stdout


def run_c(
    tmp_path: Path,
    sources: Sequence[Path | str],
    *,
    arguments: Sequence[str] = (),
    flags: Sequence[str] = (),
    timeout: float = 60,
) -> str:
    """Compile a driver with a ``main`` of its own into `tmp_path`, run it, return what it printed.

    Sources without a folder of their own are files of ``hv/`` or of ``tests/unit/hv/``.
    """
    paths = [_found(source) for source in sources]
    return run(compile_c(paths[0].stem, paths, flags, tmp_path), *arguments, timeout=timeout)


def _found(source: Path | str) -> Path:
    for path in (HV / source, HERE / source):  # an absolute one stays what it is
        if path.exists():
            return path
    raise FileNotFoundError(source)


@dataclass(frozen=True)
class Driver:
    """An executable of checks: `under_test` are in ``hv/``, the others in ``tests/unit/hv/``."""

    name: str
    under_test: tuple[str, ...]
    checks: tuple[str, ...]
    helpers: tuple[str, ...] = ("check.c", "stand_ins.c")
    flags: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """The checks' names, in the order of the sources."""
        return [name for file in self.checks for name in CHECK.findall((HERE / file).read_text())]

    def run(self, check: str) -> None:
        """Run one check; fails the test with what it printed."""
        run(self._compiled(), check)

    def _compiled(self) -> Path:
        names = self.names()
        lines = ['#include "check.h"', *(f"void check_{name}(void);" for name in names)]
        lines += ["const struct check checks[] = {"]
        lines += [f'    {{"{name}", check_{name}}},' for name in names]
        lines += ["    {0, 0},", "};", ""]
        text = "\n".join(lines)
        CACHE.mkdir(parents=True, exist_ok=True)
        table = CACHE / f"table-{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.c"
        if not table.exists():
            with tempfile.NamedTemporaryFile("w", dir=CACHE, suffix=".c", delete=False) as file:
                file.write(text)
            Path(file.name).replace(table)
        sources = [HV / file for file in self.under_test]
        sources += [HERE / file for file in (*self.checks, *self.helpers)]
        return compile_c(self.name, [*sources, table], self.flags)
