"""CPU models by the emulators' own lists, as programs that play their parts print them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import choose, models
from harness.verdict import RunEnded, Verdict

BOCHS = """#!/bin/sh
test "$*" = "--help cpu" || exit 1
echo "000i[      ] BXSHARE not set. using compile time default" >&2
printf 'Supported CPU models:\\n\\nbx_generic\\ncorei7_skylake_x\\nryzen\\n\\n' >&2
"""
QEMU = """#!/bin/sh
test "$*" = "-cpu help" || exit 1
echo "Available CPUs:"
echo "x86 EPYC                  (alias configured by machine type)"
echo "x86 Nehalem-v1            Intel Core i7 9xx"
echo "x86 max                   Enables all features"
echo
echo "Recognized CPUID flags:"
echo "  3dnow 3dnowext"
"""


@pytest.fixture(autouse=True)
def emulators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("BOCHS", BOCHS), ("QEMU", QEMU)):
        program = tmp_path / name.lower()
        program.write_text(text)
        program.chmod(0o755)
        monkeypatch.setenv(name, str(program))


def test_each_emulator_says_what_it_knows() -> None:
    assert models.of(choose.engine("bochs")) == ("bx_generic", "corei7_skylake_x", "ryzen")
    for name in ("qemu-tcg", "qemu-kvm", "qemu-kvm-in-bochs"):
        assert models.of(choose.engine(name)) == ("EPYC", "Nehalem-v1", "max")


@pytest.mark.parametrize(
    ("cpu", "engine", "sentence"),
    [
        ("skylake", "bochs", "bochs has no CPU model 'skylake'; the nearest are corei7_skylake_x,"),
        ("epic", "qemu-tcg", "qemu-tcg has no CPU model 'epic'; the nearest are EPYC,"),
        ("epic", "qemu-kvm", "qemu-kvm has no CPU model 'epic'; the nearest are EPYC,"),
        ("nehalem", "auto", "no engine here has a CPU model 'nehalem'; the nearest are Nehalem-v1"),
        ("ryzen", "qemu-kvm-in-bochs", "qemu-kvm-in-bochs has no CPU model 'ryzen'"),
    ],
)
def test_a_model_that_nobody_knows_is_bad_usage_whatever_the_engine(
    cpu: str, engine: str, sentence: str
) -> None:
    with pytest.raises(RunEnded) as caught:
        choose.known_model(cpu, engine)
    assert caught.value.verdict is Verdict.BAD_USAGE
    assert sentence in caught.value.sentence


@pytest.mark.parametrize(("cpu", "engine"), [("ryzen", "auto"), ("EPYC,-npt", "qemu-tcg")])
def test_a_model_that_one_knows_is_none(cpu: str, engine: str) -> None:
    choose.known_model(cpu, engine)


def test_an_emulator_that_is_not_there_or_says_nothing_forbids_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QEMU", str(tmp_path / "missing"))
    choose.known_model("anything", "qemu-tcg")
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\n")
    silent.chmod(0o755)
    monkeypatch.setenv("BOCHS", str(silent))
    choose.known_model("anything", "bochs")
