"""Two runs are compared by what guests can observe; what may differ comes from the table alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from harness import deviations, diff
from harness.diff import Seen, Target
from harness.guest import Guest
from harness.scenario import Scenario
from harness.verdict import RunEnded

SCENARIO = Scenario("made-up", Path("made-up.toml"), "", guests=(Guest(Path("hello.bin"), "one"),))

TABLE = deviations.parse(
    """
[[deviation]]
engines = ["qemu-tcg"]
whose = "QEMU 7.2"
section = "APM 2 15.1"
rule = "This must not be."
instead = "it is"
guests = ["sinner"]

[[latitude]]
exits = ["timer"]
why = "Pace."

[[latitude]]
record = "vm-stop"
fields = ["ticks", "registers.cr4"]
why = "Pace."

[[latitude]]
record = "boot"
why = "Not a guest's affair."

[[latitude]]
exits = ["control-register"]
vendors = true
why = "They intercept differently."

[[latitude]]
record = "crash"
fields = ["registers.rflags"]
bits = 0x10000
why = "RF."

[[deviation]]
engines = ["qemu-tcg"]
whose = "QEMU 7.2"
section = "APM 2 15.1"
rule = "This must not be."
instead = "it ends"
scenarios = ["doomed"]

[[latitude]]
exits = ["any"]
guests = ["free"]
why = "It does what it likes."
"""
)


def seen(engine: str = "bochs", vendor: str = "vmx", **more: Any) -> Seen:
    plain = {
        "console": {"one": ["a", "b"]},
        "records": {"one": [{"kind": "vm-stop", "seq": 4, "guest": "one", "reason": "exit"}]},
        "exits": {"one": [("cpuid", "leaf 0x1"), ("io", "out 0x3f8")]},
    }
    return Seen(Target(engine), "passed", "all is well", vendor, **{**plain, **more})


def compare(right: Seen, left: Seen | None = None, guest: str = "hello") -> diff.Comparison:
    guests = (Guest(Path(f"{guest}.bin"), "one"),)
    scenario = dataclasses.replace(SCENARIO, guests=guests)
    return diff.compare(scenario, left or seen(), right, TABLE)


def test_two_runs_that_show_the_same_are_the_same() -> None:
    assert compare(seen("qemu-tcg")) == diff.Comparison(
        "made-up", Target("bochs"), Target("qemu-tcg"), ()
    )


def test_the_first_line_that_differs_is_shown_with_its_context() -> None:
    numbers = [str(n) for n in range(20)]
    left = seen(console={"one": numbers})
    right = seen("qemu-tcg", console={"one": [*numbers[:10], "x", *numbers[11:]]})
    comparison = compare(right, left)
    (found,) = comparison.differences
    assert not comparison.same
    assert (found.guest, found.respect, found.line) == ("one", "console", 11)
    assert found.before == ("7", "8", "9")
    assert found.left == ("10", "11", "12", "13")
    assert found.right == ("x", "11", "12", "13")


def test_a_list_that_ends_sooner_differs_where_it_ends() -> None:
    (found,) = compare(seen("qemu-tcg", console={"one": ["a"]})).differences
    assert (found.line, found.left, found.right) == (2, ("b",), ())
    assert any("(nothing more)" in line for line in diff.described(compare(seen(console={}))))


def test_another_verdict_is_a_difference_with_both_sentences() -> None:
    right = dataclasses.replace(seen("qemu-tcg"), verdict="panic", sentence="it panicked")
    (found,) = compare(right).differences
    assert found.respect == "verdict"
    assert (found.left, found.right) == (("passed: all is well",), ("panic: it panicked",))


def test_exits_are_compared_by_kind_and_by_what_was_asked_for() -> None:
    (found,) = compare(
        seen(exits={"one": [("cpuid", "leaf 0x2"), ("io", "out 0x3f8")]})
    ).differences
    assert (found.respect, found.right[0]) == ("exits", "cpuid leaf 0x2")


def test_exits_that_depend_on_pace_do_not_count() -> None:
    exits = [("timer", ""), ("cpuid", "leaf 0x1"), ("timer", ""), ("io", "out 0x3f8")]
    assert compare(seen(exits={"one": exits})).same


def test_what_vendors_intercept_differently_counts_within_a_vendor() -> None:
    exits = {"one": [("cpuid", "leaf 0x1"), ("control-register", "clts cr0"), ("io", "out 0x3f8")]}
    assert compare(seen("qemu-tcg", vendor="svm", exits=exits)).same
    assert not compare(seen("bochs", vendor="vmx", exits=exits)).same


def test_a_guest_whose_exits_are_free_is_compared_by_the_rest() -> None:
    right = seen("qemu-tcg", exits={"one": [("hlt", "")]})
    assert not compare(right).same
    assert compare(right, guest="free").same
    assert not compare(seen(console={}, exits={}), guest="free").same


@pytest.mark.parametrize(
    ("member", "same"),
    [
        ({"ticks": 7}, True),
        ({"registers": {"cr4": "0x20"}}, True),
        ({"registers": {"cr3": "0x20"}}, False),
        ({"reason": "halt"}, False),
        ({"seq": 9}, True),
    ],
)
def test_of_a_record_only_what_the_table_names_may_differ(
    member: dict[str, Any], same: bool
) -> None:
    record = {"kind": "vm-stop", "seq": 4, "guest": "one", "reason": "exit", **member}
    assert compare(seen(records={"one": [record]})).same is same


def test_a_record_that_is_free_as_a_whole_may_be_absent() -> None:
    assert compare(seen(records={**seen().records, "": [{"kind": "boot", "cpu": "x"}]})).same


def test_a_known_deviation_is_shown_and_does_not_count() -> None:
    comparison = compare(seen("qemu-tcg", console={"one": ["a"]}), guest="sinner")
    assert comparison.same
    assert comparison.differences[0].known == ("qemu-tcg: QEMU 7.2: it is (APM 2 15.1)",)
    lines = list(diff.described(comparison))
    assert lines[0].startswith("known: guest one: console lines differ")
    assert any("QEMU 7.2" in line for line in lines)
    assert not compare(seen("bochs", console={"one": ["a"]}), guest="sinner").same


def test_exits_are_not_compared_where_the_trace_has_no_beginning_and_that_is_said() -> None:
    comparison = compare(seen("qemu-tcg", exits={"one": []}, lost=7))
    assert comparison.same
    assert comparison.notes == (
        "exits were not compared: qemu-tcg had 7 more than its trace keeps",
    )


def test_what_a_guest_wrote_can_not_steer_the_terminal() -> None:
    comparison = compare(seen(console={"one": ["\x1b[2J"]}))
    assert not any("\x1b" in line for line in diff.described(comparison))


def test_a_record_that_nests_without_end_is_only_a_line() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    record = {"kind": "report", "guest": "one", **deep}
    (found,) = compare(seen(records={"one": [record]})).differences
    assert "  (nested too deep)" in found.right


@pytest.mark.parametrize(
    ("text", "machine"), [("bochs", Target("bochs")), ("bochs:ryzen", Target("bochs", "ryzen"))]
)
def test_a_machine_is_written_as_engine_and_cpu(text: str, machine: Target) -> None:
    assert Target.parse(text) == machine
    assert str(machine) == text


@pytest.mark.parametrize(
    ("flags", "same"), [("0x10046", True), ("0x46", True), ("0x47", False), ("RF", False)]
)
def test_of_a_register_only_the_bits_that_the_table_names_may_differ(
    flags: str, same: bool
) -> None:
    def crash(rflags: str) -> dict[str, Any]:
        record = {"kind": "crash", "guest": "one", "registers": {"rflags": rflags, "cr0": "0x11"}}
        return {"one": [record]}

    left = seen(records=crash("0x46"))
    assert compare(seen("qemu-tcg", records=crash(flags)), left).same is same


def test_a_scenario_that_is_known_to_fail_somewhere_makes_no_difference_there() -> None:
    scenario = dataclasses.replace(SCENARIO, name="doomed")
    right = dataclasses.replace(
        seen("qemu-tcg", console={}, exits={}), verdict="triple-fault", sentence="it ended"
    )
    comparison = diff.compare(scenario, seen(), right, TABLE)
    assert comparison.same
    assert {one.respect for one in comparison.differences} == {"verdict", "console", "exits"}
    assert all(one.known for one in comparison.differences)
    right = dataclasses.replace(right, machine=Target("bochs", "ryzen"))
    assert not diff.compare(scenario, seen(), right, TABLE).same


def test_a_scenario_about_another_cpu_is_not_compared() -> None:
    scenario = dataclasses.replace(SCENARIO, cpu="tigerlake")
    with pytest.raises(RunEnded, match="made-up is about the CPU tigerlake"):
        diff.run(scenario, Target("bochs", "ryzen"))
