"""The post-mortem of machines under nested KVM: QMP is all that there is to look at them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.outcome import Outcome
from harness.pytest_plugin import RunScenario
from harness.verdict import Verdict

ENGINE = "qemu-kvm-in-bochs"
ESCAPE = """
description = "A guest that nobody expects to be stopped."
requires = ["virtualization"]
engines = ["qemu-kvm-in-bochs"]
[[guest]]
image = "ept-escape"
[[expect]]
record = "done"
where = { status = "ok" }
"""

pytestmark = pytest.mark.appliance


def sections(outcome: Outcome) -> dict[str, list[str]]:
    assert outcome.directory is not None
    text = (outcome.directory / "post-mortem.txt").read_text()
    parts = [part.partition(":\n") for part in text.rstrip().split("\n\n")[1:]]
    return {title: body.splitlines() for title, _, body in parts}


def starting(part: dict[str, list[str]], start: str) -> list[str]:
    (found,) = (lines for title, lines in part.items() if title.startswith(start))
    return found


def test_a_guests_crash_under_nested_kvm_is_looked_at_where_it_happened(
    hv_scenario: RunScenario, tmp_path: Path
) -> None:
    path = tmp_path / "escape.toml"
    path.write_text(ESCAPE)
    outcome = hv_scenario(str(path), engine=ENGINE)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.sentence == (
        "guest ept-escape was stopped: Memory violation at 0x400000 (write)"
    )
    part = sections(outcome)
    assert "runs in root mode, at " in part["CPU 0"][0]
    assert any(" rip " in line for line in part["CPU 0"])
    assert any("crash_because" in line for line in part["stack of CPU 0"])
    assert any("=>" in line for line in part["code of CPU 0"])
    assert part["memory at RSP of CPU 0"]
    assert "long mode, 64-bit mode, at guest_main" in part["guest ept-escape"][0]
    assert "(hv/guests/ept-escape.c:" in part["stack of ept-escape"][0]
    assert any("=>" in line for line in part["code of ept-escape"])
    assert part["EPT walk of 0x400000, guest ept-escape"][-1].strip() == "not mapped"
    vmcs = "\n".join(part["current VMCS, as the hypervisor recorded it"])
    assert "EXIT_REASON 0x30\n" in vmcs  # EPT violation, SDM 3C appendix C
    assert "GUEST_PHYSICAL_ADDRESS 0x400000\n" in vmcs
    exits = starting(part, "last 32 exits of CPU 0, newest first")
    assert "ept-escape  memory write 0x400000 " in exits[0]
    assert exits[0].endswith("not done")


def test_a_panic_under_nested_kvm_names_function_file_and_line(hv_scenario: RunScenario) -> None:
    outcome = hv_scenario("cpuid", engine=ENGINE, append="debug=null-in-exit")
    assert outcome.verdict is Verdict.PANIC
    part = sections(outcome)
    assert "look_further" in part["stack"][0]
    assert "hv/vm/cpuid.c:" in part["stack"][0]
    assert any("=>" in line for line in part["code"])
    assert any(" cr2 0000000000000070" in line for line in part["registers at the trap"])
    assert "KVM keeps it to itself" in part["current VMCS"][0]
    (facts,) = (
        value
        for title, value in json.loads(
            (outcome.directory or Path()).joinpath("post-mortem.json").read_text()
        ).items()
        if title.startswith("last ")
    )
    assert (facts[0]["kind"], facts[0]["cycles"]) == ("cpuid", None)
