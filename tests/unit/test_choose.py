"""The best engine that will do is chosen, and each better one is passed over with a reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import choose, probe
from harness.engines.base import Availability, Boot, Engine, Running, Say, silently
from harness.engines.qemu import QemuTcg
from harness.verdict import RunEnded, Verdict, bad_usage

Candidates = Callable[[], list[Engine]]


class Fake:
    default_cpu = "plain"
    processes: tuple[str, ...] = ()
    patience = 1.0

    def __init__(
        self, name: str, features: set[str] | RunEnded, control: set[str] | None = None,
        *, missing: bool = False,
    ) -> None:  # fmt: skip
        self.name = name
        self.features = features
        self.control = frozenset(control or ())
        self.missing = missing

    def availability(self) -> Availability:
        if self.missing:
            return Availability(False, f"{self.name} is not installed", f"apt install {self.name}")
        return Availability(True, self.name)

    def launch(self, boot: Boot, directory: Path, say: Say = silently) -> Running:
        raise AssertionError("choosing starts nothing by itself")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the engines whose CPU was measured."""
    asked: list[str] = []

    def features(engine: Fake, cpu: str | None = None, _: Say = silently) -> frozenset[str]:
        asked.append(engine.name)
        if isinstance(engine.features, RunEnded):
            raise engine.features
        return frozenset(engine.features)

    monkeypatch.setattr(probe, "features", features)
    return asked


def among(*fakes: Fake) -> Candidates:
    return lambda: list(fakes)


FAST = Fake("fast", {"vmx"}, {"qmp", "hardware"}, missing=True)
SLOW = Fake("slow", {"vmx", "ept"}, {"step"})
BARE = Fake("bare", {"svm"}, {"qmp"})


def test_the_first_that_will_do_is_chosen_and_the_rest_explained(measured: list[str]) -> None:
    choice = choose.choose(["svm"], candidates=among(FAST, SLOW, BARE))
    assert choice.engine.name == "bare"
    assert choice.passed_over == [
        ("fast", "fast is not installed"),
        ("slow", "its CPU plain has no svm"),
    ]


def test_control_words_need_no_measurement(measured: list[str]) -> None:
    assert choose.choose(["qmp"], candidates=among(BARE)).engine.name == "bare"
    assert choose.choose(candidates=among(SLOW)).engine.name == "slow"
    assert measured == []


def test_hardware_is_tried_even_when_nothing_is_required(measured: list[str]) -> None:
    broken = Fake("kvm", RunEnded(Verdict.TIMEOUT, "it took too long."), {"hardware"})
    choice = choose.choose(candidates=among(broken, SLOW))
    assert measured == ["kvm"]
    assert choice.passed_over == [("kvm", "a trial boot failed: it took too long")]


def test_names_narrow_the_choice(measured: list[str]) -> None:
    both = among(SLOW, BARE)
    assert choose.choose(name="bare", candidates=both).engine.name == "bare"
    assert choose.choose(only=["bare"], candidates=both).engine.name == "bare"


def test_no_engine_means_each_ones_reason_and_remedy(measured: list[str]) -> None:
    with pytest.raises(RunEnded) as caught:
        choose.choose(["vmx", "svm"], candidates=among(FAST, SLOW, BARE))
    assert caught.value.verdict is Verdict.ENGINE_MISSING
    for part in ("offers svm, vmx", "fast: fast is not installed", "slow: its CPU plain has no"):
        assert part in caught.value.sentence
    assert caught.value.evidence == ("to get fast: apt install fast",)


def test_a_named_engine_that_will_not_do_is_never_replaced(measured: list[str]) -> None:
    with pytest.raises(RunEnded, match="the engine bare here does not offer vmx") as caught:
        choose.choose(["vmx"], name="bare", candidates=among(SLOW, BARE))
    assert caught.value.verdict is Verdict.ENGINE_MISSING


def test_an_unknown_name_is_bad_usage() -> None:
    for arguments in ({"name": "vmware"}, {"only": ["vmware"]}):
        with pytest.raises(RunEnded, match="no engine 'vmware': it must be one of auto") as caught:
            choose.choose(**arguments)
        assert caught.value.verdict is Verdict.BAD_USAGE


def test_a_probe_that_is_not_built_is_the_users_to_fix(measured: list[str]) -> None:
    unbuilt = Fake("slow", bad_usage("not built: run `make` first."))
    with pytest.raises(RunEnded, match="run `make` first"):
        choose.choose(["vmx"], candidates=among(unbuilt))


def test_the_real_engines_come_best_first() -> None:
    assert [engine.name for engine in choose.engines()] == list(choose.NAMES)


def test_an_engine_without_the_firmware_is_passed_over_unmeasured(measured: list[str]) -> None:
    with_firmware = Fake("roomy", {"vmx"}, {"qboot", "seabios"})
    choice = choose.choose(["seabios"], candidates=among(SLOW, with_firmware))
    assert choice.engine.name == "roomy"
    assert choice.passed_over == [("slow", "it does not boot with seabios")]
    assert measured == []


def test_what_no_cpu_could_give_is_said_of_the_engine(measured: list[str]) -> None:
    with pytest.raises(RunEnded, match=r"\(slow: it does not offer qmp, snapshots\)"):
        choose.choose(["vmx", "qmp", "snapshots"], candidates=among(SLOW))
    assert measured == []  # no CPU was asked


def test_a_run_that_must_repeat_gets_the_kind_of_engine_that_does() -> None:
    class Counting(Fake):
        def counting(self) -> Fake:
            return Fake(self.name, {"svm"}, {*self.control, "deterministic"})

    quick = Counting("quick", {"svm"}, {"qmp"})
    chosen = choose.choose(["qmp", "deterministic"], candidates=among(SLOW, quick)).engine
    assert chosen.control == {"qmp", "deterministic"}
    assert choose.choose(["qmp"], candidates=among(SLOW, quick)).engine is quick


def test_qemus_own_kind_that_repeats_counts_instructions_and_keeps_its_options() -> None:
    usual = QemuTcg(extra=("-S",))
    counting = usual.counting()
    assert counting.extra[:3] == ("-S", "-icount", "shift=0,sleep=off")
    assert "deterministic" in counting.control
    assert "deterministic" not in usual.control
    assert counting.counting() is counting


def test_a_reason_and_what_would_help_are_one_sentence_that_quotes_no_prose_as_a_command() -> None:
    kvm = Availability(False, "KVM does not nest", "a host whose kvm_intel nests")
    assert kvm.sentence == "KVM does not nest; to get it: a host whose kvm_intel nests."
    assert Availability(False, "it is broken").sentence == "it is broken."
