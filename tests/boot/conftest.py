"""Fixtures for tests that start machines: small kernels, built on demand, and the engines."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness import choose
from harness.engines.base import Boot, Engine
from harness.machine import Machine

SOURCES = Path(__file__).resolve().parent.parent / "kernels"

KernelBuilder = Callable[[str], Path]
MachineStarter = Callable[..., Machine]


@pytest.fixture(scope="session")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> KernelBuilder:
    """kernel("spin") assembles tests/kernels/spin.S, once, and gives the ELF file's path."""
    directory = tmp_path_factory.mktemp("kernels")

    def build(name: str) -> Path:
        image = directory / name
        if not image.exists():
            compiler = shutil.which("gcc")
            assert compiler is not None
            subprocess.run(
                [
                    compiler, "-m32", "-nostdlib", "-static", "-no-pie", "-o", str(image),
                    "-Wl,-Ttext-segment=0x100000,-z,noseparate-code,-z,noexecstack",
                    "-Wl,--build-id=none,--no-warn-rwx-segments", str(SOURCES / f"{name}.S"),
                ],
                check=True,
            )  # fmt: skip
        return image

    return build


@pytest.fixture(params=["bochs", "qemu-tcg"])
def any_engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine that works on every host, in turn."""
    return choose.engine(request.param)


@pytest.fixture
def bochs() -> Engine:
    """Bochs alone, for what only it offers."""
    return choose.engine("bochs")


@pytest.fixture
def qemu() -> Engine:
    """QEMU with TCG alone, for what only it offers."""
    return choose.engine("qemu-tcg")


@pytest.fixture
def start_machine(kernel: KernelBuilder, tmp_path: Path) -> Iterator[MachineStarter]:
    """start_machine(engine, "spin") boots a test kernel; every machine ends with the test."""
    with ExitStack() as machines:
        count = 0

        def start(
            engine: Engine, name: str, *, boot: Boot | None = None, **options: Any
        ) -> Machine:
            nonlocal count
            count += 1
            return machines.enter_context(
                Machine.start(
                    engine, boot or Boot(kernel(name)), tmp_path / f"machine-{count}", **options
                )
            )

        yield start
