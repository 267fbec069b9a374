"""What a CPU on an engine offers, measured: a tiny image boots once and says it; cached."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from harness import project
from harness.engines.base import Boot, Engine, Say, silently
from harness.image import build_id
from harness.verdict import RunEnded, Verdict, bad_usage

TIME_LIMIT = 15.0  # seconds; an engine that can't do this boot in time is of no use
_MEMORY_MIB = 32


def report(engine: Engine, cpu: str | None = None, say: Say = silently) -> dict[str, Any]:
    """The probe image's record for ``cpu`` (None: the engine's default) on ``engine``.

    From the cache if nothing that matters has changed since. Raises RunEnded: BAD_USAGE if the
    image isn't built, else whatever stopped the boot.
    """
    image = project.probe_image()
    if not image.exists():
        raise bad_usage(f"{image} is not built: run `make` first.")
    cached = _cached(engine, cpu, image)
    if cached is not None:
        return cached
    measured = _measure(engine, cpu, image, say)
    with contextlib.suppress(OSError):
        _store(_file(engine, cpu, image), measured)
    return measured


def _file(engine: Engine, cpu: str | None, image: Path) -> Path:
    return project.cache() / f"probe-{engine.name}-{_key(engine, cpu, image)}.json"


def _cached(engine: Engine, cpu: str | None, image: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        known = json.loads(_file(engine, cpu, image).read_text())
        # Whatever else a damaged file may hold, it is not what this image said.
        whole = isinstance(known, dict) and isinstance(known.get("features"), list)
        if whole and known.get("build") == build_id(image):
            return dict(known)
    return None


def features(engine: Engine, cpu: str | None = None, say: Say = silently) -> frozenset[str]:
    """The features that ``cpu`` has on ``engine``: "vmx", "ept", "svm", ... Raises as `report`.

    Among them is "virtualization" where the hypervisor can run guests, whoever made the CPU.
    """
    return _words(report(engine, cpu, say))


def known(engine: Engine, cpu: str | None = None) -> frozenset[str] | None:
    """What `features` would say, if that was measured before; boots nothing."""
    image = project.probe_image()
    cached = _cached(engine, cpu, image) if image.exists() else None
    return None if cached is None else _words(cached)


def _words(said: dict[str, Any]) -> frozenset[str]:
    kind = said.get("virtualization")  # "vmx", "svm" or null
    words = {str(word) for word in (*said["features"], *([kind] if kind else []))}
    if words >= {"vmx", "ept"} or words >= {"svm", "npt"}:
        words.add("virtualization")
    return frozenset(words)


def _key(engine: Engine, cpu: str | None, image: Path) -> str:
    """Changes with everything that the answer depends on."""
    find = getattr(engine, "binary", None)
    binary = find() if find is not None else None
    parts: list[object] = [engine.name, cpu or engine.default_cpu, build_id(image), binary]
    if binary is not None:
        with contextlib.suppress(OSError):
            status = Path(binary).stat()
            parts += [status.st_size, status.st_mtime_ns]
    parts.append(getattr(engine, "version", str)())  # what else is in it
    if "hardware" in engine.control:  # then the host's CPU and kernel answer
        parts.append(os.uname().release)
        with contextlib.suppress(OSError):
            lines = Path("/proc/cpuinfo").read_text().splitlines()
            parts += [line for line in lines if line.startswith(("model name", "microcode"))][:2]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]


def _measure(engine: Engine, cpu: str | None, image: Path, say: Say) -> dict[str, Any]:
    from harness.machine import Machine

    boot = Boot(image, memory_mib=_MEMORY_MIB, cpu_model=cpu)
    with tempfile.TemporaryDirectory(prefix="hv-probe-") as directory:
        with Machine.start(
            engine,
            boot,
            Path(directory),
            on_progress=say,
            expect_build=build_id(image),
            limit=TIME_LIMIT * engine.patience,
        ) as machine:
            record = machine.expect_record("probe", timeout=TIME_LIMIT)
        found = record.get("features")
        if not isinstance(found, list):
            raise RunEnded(Verdict.FAILED, "the probe's record has no list of features.")
        return dict(record.data)


def _store(path: Path, data: dict[str, Any]) -> None:
    """Write ``data`` so that a reader sees all of it or nothing: tests run side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".new", delete=False) as file:
        new = Path(file.name)
    try:
        new.write_text(json.dumps(data), encoding="utf-8")
        new.replace(path)
    except OSError:
        new.unlink()
        raise
