"""``hv diff`` and ``hv matrix``: what is the same, what is not, and that nothing is left behind."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from harness import deviations, diff, scenario
from harness.diff import Target
from tests.conftest import Hv

pytestmark = pytest.mark.usefixtures("bochs_here", "qemu_here")

VENDOR = """
description = "A guest tells who made its processor."
requires = ["virtualization"]

[[guest]]
image = "vendor"

[[expect]]
record = "done"
where = { status = "ok" }
"""


def test_hello_is_the_same_under_vt_x_and_amd_v(hv: Hv) -> None:
    done = hv("diff", "hello")
    assert done.stdout == "same  hello on bochs and qemu-tcg\n"
    assert done.returncode == 0


@pytest.mark.parametrize("name", ["demo", "ept-escape", "mmio", "modes", "neighbours", "timer"])
def test_what_guests_observe_is_the_same_everywhere_but_for_what_is_known(name: str) -> None:
    found = scenario.find(name)
    reference, *others = (
        diff.run(found, Target.parse(text)) for text in ("bochs", "bochs:ryzen", "qemu-tcg")
    )
    for other in others:
        comparison = diff.compare(found, reference, other, deviations.table())
        assert comparison.same, "\n".join(diff.described(comparison))


def test_a_guest_that_shows_its_engine_is_found_out(hv: Hv) -> None:
    path = hv.scenario("vendor", VENDOR)
    done = hv("diff", path)
    assert done.returncode == 1
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0] == "guest vendor: console lines differ from number 1 on"
    assert "- my processor was made by GenuineIntel" in lines
    assert "+ my processor was made by AuthenticAMD" in lines
    assert lines[-1] == "different  vendor on bochs and qemu-tcg"


def test_any_machines_can_be_compared_and_the_first_is_the_reference(hv: Hv) -> None:
    path = hv.scenario("vendor", VENDOR)
    on = ("bochs", "bochs:corei7_haswell_4770", "bochs:ryzen")
    done = hv("diff", path, *(word for name in on for word in ("--on", name)), "--json")
    assert done.returncode == 1
    haswell, ryzen = json.loads(done.stdout)
    assert (haswell["left"], haswell["right"], haswell["same"]) == (on[0], on[1], True)
    assert (ryzen["right"], ryzen["same"]) == (on[2], False)
    (difference,) = [d for d in ryzen["differences"] if d["respect"] == "console"]
    assert difference["right"] == ["my processor was made by AuthenticAMD"]


def test_two_runs_of_one_deterministic_machine_are_the_same(hv: Hv) -> None:
    assert hv("diff", "demo", "--on", "bochs", "--on", "bochs").returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("hello", "--on", "bochs"), 2, "a comparison needs two machines"),
        (("hello", "--on", "bochs", "--on", "boches"), 2, "there is no engine 'boches'"),
        (("helo",), 2, "did you mean 'hello'?"),
        (("no-ept", "--on", "bochs", "--on", "qemu-tcg"), 8, "qemu-tcg: "),
    ],
)
def test_what_can_not_be_compared_is_one_sentence(
    hv: Hv, words: tuple[str, ...], code: int, sentence: str
) -> None:
    done = hv("diff", *words)
    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_the_matrix_has_three_machines_that_ran_and_says_why_one_did_not(hv: Hv) -> None:
    page = hv.root / "matrix.html"
    done = hv("matrix", "hello", "no-ept", "panic", "--html", page)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["scenario", "bochs", "bochs:ryzen", "qemu-tcg", "qemu-kvm"]
    assert lines[1].split()[:3] == ["VT-x", "AMD-V", "AMD-V"]
    hello = next(line for line in lines if line.startswith("hello "))
    assert len(re.findall(r"passed \d", hello)) >= 3
    panic = next(line for line in lines if line.startswith("panic "))
    assert len(re.findall(r"passed: panic \d", panic)) >= 3
    assert any(line.endswith("it is about the CPU core2_penryn_t9600") for line in lines)
    assert page.read_text().startswith("<!doctype html>")


def test_a_failure_in_the_matrix_fails_it_and_is_told(hv: Hv) -> None:
    path = hv.scenario("wrong", VENDOR.replace('"ok"', '"never"'))
    done = hv("matrix", path, "--on", "bochs:corei7_haswell_4770", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert [machine["name"] for machine in document["machines"]][-1] == "bochs:corei7_haswell_4770"
    (cell,) = [c for c in document["cells"] if c["machine"] == "qemu-tcg"]
    assert (cell["status"], cell["verdict"]) == ("failed", "failed")
    assert Path(cell["directory"]).is_dir()


def test_an_unknown_machine_of_the_matrix_is_refused(hv: Hv) -> None:
    done = hv("matrix", "hello", "--on", "boches")
    assert done.returncode == 2
    assert "there is no engine 'boches'" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_matrix_that_is_ended_leaves_no_emulator(hv: Hv, number: signal.Signals) -> None:
    path = hv.scenario("endless", VENDOR.replace("vendor", "spin") + "\n")
    process = hv.start("matrix", path)
    while not any((hv.root / "build" / "runs").glob("*/records.jsonl")):
        assert process.poll() is None
        hv.end_of([process.pid], 0.05)
    started = hv.processes()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode in (128 + number, -number)
    assert hv.end_of(started)
