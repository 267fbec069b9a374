"""Processors whose capabilities are known: those of Bochs' models, as their MSRs and CPUID tell.

``python -m harness.vmentry.processors`` records them anew, by a boot of each model.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from harness.vmentry.capabilities import Capabilities

MODELS = (
    "corei5_lynnfield_750",
    "corei5_arrandale_m520",
    "corei7_sandy_bridge_2600k",
    "corei7_ivy_bridge_3770k",
    "corei7_haswell_4770",
    "broadwell_ult",
    "corei7_skylake_x",
    "corei3_cnl",
    "corei7_icelake_u",
    "tigerlake",
)


def _path() -> Path:
    return Path(__file__).with_name("processors.json")


@cache
def recorded() -> dict[str, Any]:
    """What each of them told of itself, as in a crash record: "msrs" and "cpuid"."""
    found: dict[str, Any] = json.loads(_path().read_text(encoding="utf-8"))
    return found


def names() -> list[str]:
    """The names of all known processors."""
    return list(recorded())


def find(name: str) -> Capabilities:
    """The processor called ``name``; KeyError if none is."""
    from harness.vmentry import source_record

    return source_record.capabilities(recorded()[name])


def _record(model: str, directory: Path) -> dict[str, Any]:
    """What a boot of a model tells of it: the crash record of an entry that fails on purpose."""
    from harness import runner, scenario
    from harness.vmentry import source_record

    runner.run(
        scenario.find("hello"),
        engine="bochs",
        cpu=model,
        append="debug=bad-controls",
        directory=directory,
    )
    text = (directory / "records.jsonl").read_text(encoding="utf-8")
    crash = source_record.find(text)
    if crash is None or "msrs" not in crash:
        raise RuntimeError(f"{model} gave no record of its capabilities: see {directory}")
    return {"msrs": crash["msrs"], "cpuid": crash["cpuid"]}


def main() -> int:
    """Record every model."""
    import tempfile

    found = {}
    with tempfile.TemporaryDirectory() as directory:
        for model in MODELS:
            print(model)
            found[model] = _record(model, Path(directory) / model)
    _path().write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
