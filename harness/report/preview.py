"""``--dry-run``: what would be booted."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from harness.job import Job
from harness.report.screen import Screen
from harness.report.terminal import engine_line
from harness.report.text import plain


def show(jobs: Sequence[Job], *, as_json: bool) -> int:
    """Print every job and return the exit code, which is 0."""
    screen = Screen(sys.stdout)
    if as_json:
        import json

        screen.line(json.dumps([_document(job) for job in jobs], indent=2))
        return 0
    for job in jobs:
        _show(screen, job)
    return 0


def _show(screen: Screen, job: Job) -> None:
    boot = job.boot
    screen.line(screen.styled(plain(job.name), bold=True))
    screen.line(f"  {engine_line(job)}")
    screen.line(f"  machine: {boot.cpus} CPU, {boot.memory_mib} MiB, at most {job.limit:g} s")
    screen.line(f"  image: {boot.image} {plain(boot.command_line)}".rstrip())
    for module in boot.modules:
        screen.line(f"  module: {module.path} as {plain(module.string)!r}")
    for expectation in job.expectations:
        screen.line(f"  expects: {plain(str(expectation))}")
    if job.scenario:
        screen.line(f"  verdict: {job.scenario.verdict.word}")


def _document(job: Job) -> dict[str, Any]:
    boot = job.boot
    return {
        "scenario": job.name,
        "engine": job.choice.engine.name,
        "passed_over": [{"engine": name, "why": why} for name, why in job.choice.passed_over],
        "cpu": boot.cpu_model or job.choice.engine.default_cpu,
        "cpus": boot.cpus,
        "memory_mib": boot.memory_mib,
        "timeout": job.limit,
        "image": str(boot.image),
        "command_line": boot.command_line,
        "modules": [{"path": str(one.path), "string": one.string} for one in boot.modules],
        "expects": [str(expectation) for expectation in job.expectations],
        "verdict": job.scenario.verdict.word if job.scenario else None,
        "replay": ["hv", *job.replay],
    }
