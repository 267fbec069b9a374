"""Each self-test of the hypervisor is a test of its own; all of a CPU model run in one boot.

The parameters come from the image's symbols, so they are listed without a boot. What an engine does
otherwise than the manual says stands in harness/deviations.toml.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from harness import deviations, image, project, selftests
from harness.pytest_plugin import BootMachine
from harness.records import Record
from harness.selftests import Result, Status
from harness.verdict import RunEnded

VMX = ("vmx", "ept")
IMAGE = selftests.image()
LISTED = selftests.listed(IMAGE) if IMAGE.exists() else []

# None: the default CPU of whatever engine is chosen. The others are models of Bochs.
MODELS = (
    None,
    "corei7_ivy_bridge_3770k",
    "corei7_haswell_4770",
    "corei7_icelake_u",
    "tigerlake",
    "corei5_lynnfield_750",
)


@dataclass(frozen=True)
class Run:
    """One boot of the self-test image."""

    engine: str
    records: list[Record]
    results: dict[str, Result]

    def record(self, kind: str) -> Record:
        return next(record for record in self.records if record.kind == kind)


_runs: dict[str | None, Run] = {}  # by CPU model: one boot each in this process


def run(boot_machine: BootMachine, cpu: str | None) -> Run:
    if cpu not in _runs:
        assert IMAGE.exists(), "run make"
        machine = boot_machine(
            IMAGE,
            requires=VMX,
            cpu=cpu,
            engine="bochs" if cpu else None,
            memory_mib=24,
            limit=60,
        )
        ended = ""
        try:
            with machine.allow("panic", "trap"):
                machine.wait(60)
        except RunEnded as error:
            ended = error.sentence
        for record in machine.records:
            if record.kind == "panic":
                ended = str(record["message"])
        assert machine.records, f"the machine said nothing: {ended}"
        assert machine.records[0]["build"] == image.build_id(IMAGE), "not the image on the disk"
        assert not machine.problems
        found = selftests.results(LISTED, machine.records, ended)
        _runs[cpu] = Run(machine.engine.name, machine.records, found)
    return _runs[cpu]


@pytest.mark.parametrize("cpu", MODELS, ids=lambda cpu: cpu or "default")
@pytest.mark.parametrize("name", [test.name for test in LISTED])
def test_selftest(boot_machine: BootMachine, name: str, cpu: str | None) -> None:
    done = run(boot_machine, cpu)
    result = done.results[name]
    deviation = deviations.table().of_selftest(name, done.engine, cpu)
    if deviation and result.status is Status.FAILED and "machine ended" not in result.message:
        pytest.xfail(f"{deviation}: {result.message}")
    if result.status is Status.SKIPPED:
        pytest.skip(result.message)
    assert result.status is Status.PASSED, result.message
    assert not deviation, f"{done.engine} is said to deviate: {deviation}"


@pytest.mark.parametrize("cpu", MODELS, ids=lambda cpu: cpu or "default")
def test_every_field_that_a_cpu_has_is_named(boot_machine: BootMachine, cpu: str | None) -> None:
    header = (project.root() / "hv" / "vmx" / "fields.h").read_text(encoding="utf-8")
    named = {int(number, 16) for number in re.findall(r"= (0x[0-9a-f]{4}),", header)}
    assert len(named) > 150
    encodings = set(run(boot_machine, cpu).record("vmcs-fields")["encodings"])
    assert not {hex(encoding) for encoding in encodings - named}


def test_one_selftest_can_be_run_alone(boot_machine: BootMachine) -> None:
    name = LISTED[0].name
    machine = boot_machine(IMAGE, requires=VMX, command_line=f"only={name}")
    assert machine.expect_record("selftest")["name"] == name
    assert machine.expect_record("done")["status"] == "ok"
    assert [record["name"] for record in machine.records if record.kind == "selftest"] == [name]


def test_selftests_can_be_left_out(boot_machine: BootMachine) -> None:
    first, second, third = (test.name for test in LISTED[:3])
    words = f"only={first} only={second} only={third} skip={first} skip={third}"
    machine = boot_machine(IMAGE, requires=VMX, command_line=words)
    assert machine.expect_record("done")["status"] == "ok"
    ran = [record["name"] for record in machine.records if record.kind == "selftest"]
    assert ran == [second]


@pytest.mark.parametrize("word", ["only", "skip"])
def test_a_selftest_that_does_not_exist_is_refused(boot_machine: BootMachine, word: str) -> None:
    machine = boot_machine(IMAGE, requires=VMX, command_line=f"{word}=nonsense")
    assert "nonsense" in machine.expect_record("refused", reason="bad-option")["message"]


def test_the_product_carries_no_selftest() -> None:
    def symbols(path: Path) -> set[str]:
        with path.open("rb") as file:
            table = ELFFile(file).get_section_by_name(".symtab")
            assert isinstance(table, SymbolTableSection)
            return {symbol.name for symbol in table.iter_symbols()}

    ours = {name for name in symbols(IMAGE) if name.startswith(("selftest", "attempt_"))}
    assert len(ours) > 50
    assert not ours & symbols(project.image())


def test_sentences_are_read_without_a_boot() -> None:
    assert len(LISTED) > 40
    for test in LISTED:
        assert re.fullmatch(r"[a-z][a-z0-9_]+", test.name)
        assert len(test.sentence) > 20
        assert test.sentence[0].isalnum()
