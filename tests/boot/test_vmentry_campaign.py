"""Campaigns of VM entries on Bochs: what they find, and what stops them and does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from harness import choose, project
from harness.verdict import RunEnded, Verdict
from harness.vmentry import campaign, chunk, deviations, spread, tester
from harness.vmentry.campaign import Total
from harness.vmentry.chunk import Plan
from harness.vmentry.fields import BY_NAME
from harness.vmentry.mutate import Mutation
from harness.vmentry.spread import Dask, Processes, Result
from harness.vmentry.tester import Tester
from harness.vmentry.wire import Case, Kind
from tests.conftest import PATIENCE, Hv

MODELS = ("corei7_skylake_x", "corei7_haswell_4770", "corei5_lynnfield_750", "tigerlake")
RFLAGS, FS_BASE = BY_NAME["guest_rflags"].encoding, BY_NAME["host_fs_base"].encoding
CR0, EVENT = BY_NAME["guest_cr0"].encoding, BY_NAME["vm_entry_interruption_information"].encoding

needs_dask = pytest.mark.skipif(
    find_spec("distributed") is None, reason="distributed is not installed: the extra `dask`"
)
pytestmark = pytest.mark.usefixtures("bochs_here")


@pytest.fixture
def fuzz(hv: Hv) -> Hv:
    """``hv`` in a checkout that has the campaign's image too."""
    link = hv.root / "build" / tester.image().name
    link.symlink_to(project.root() / "build" / link.name)
    hv.environment["TMPDIR"] = str(hv.root)  # what a killed one leaves behind goes with the test
    return hv


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Tester]:
    with Tester(choose.engine("bochs"), MODELS[0], tmp_path, tester.built()) as running:
        yield running


def plan(count: int = 90, size: int = 30, cpu: str = MODELS[0]) -> Plan:
    return Plan(5, count, (cpu,), "bochs", tester.built(), size)


def without_time(results: list[Result]) -> list[Result]:
    timeless = [{k: v for k, v in one.items() if k != "seconds"} for one in results]
    return sorted(timeless, key=lambda one: (one["cpu"], one["chunk"]))


def emulator(running: Tester) -> int:
    assert running._machine is not None
    return running._machine.running.process.pid


def until(happened: Callable[[], bool], running: subprocess.Popen[str]) -> None:
    """Look until something has happened, or ``running`` has ended, or patience has."""
    deadline = time.monotonic() + PATIENCE
    while not happened() and running.poll() is None and time.monotonic() < deadline:
        pass


# What a campaign finds


def test_at_every_rule_s_edge_processors_decide_as_the_rules_say(fuzz: Hv) -> None:
    cpus = [word for model in MODELS for word in ("--cpu", model)]
    done = fuzz("fuzz", "vmentry", "--count", str(chunk.SIZE), *cpus, "--json")
    found = json.loads(done.stdout)
    assert (found["disagreements"], found["unexplained"], done.returncode) == ([], 0, 0)
    assert found["cases"] + found["left_out"] == len(MODELS) * chunk.SIZE
    assert found["undecided"] == {}
    assert found["rules_alone"] >= 255
    # A row of the table that no longer occurs has to go.
    rows = [row.id for row in deviations.table() if "bochs" in row.engines]
    assert sorted(found["deviations"]) == sorted(rows)


def test_cases_leave_nothing_behind_for_the_next_one(machine: Tester) -> None:
    good = Case(0, ((RFLAGS, 0x46),))
    spoilt = [
        Case(0, ((RFLAGS, 0),)),
        Case(0, ((FS_BASE, 0x1234),)),
        Case(0, ((FS_BASE, 1 << 63),)),
    ]
    tried = [case for bad in spoilt for case in (good, bad)] * 10
    kinds = [outcome.kind for outcome in machine.attempt(tried)]
    one = [Kind.ENTERED, Kind.REFUSED, Kind.ENTERED, Kind.ENTERED, Kind.ENTERED, Kind.FAILED_VALID]
    assert kinds == one * 10


def test_every_mode_of_a_guest_has_a_base(machine: Tester) -> None:
    bases = machine.target.bases
    assert [base.name for base in bases.values()] == ["long", "protected", "pae", "v86", "real"]
    outcomes = machine.attempt([Case(number, ((RFLAGS, 0),)) for number in bases])
    assert {(outcome.kind, outcome.words) for outcome in outcomes} == {
        (Kind.REFUSED, "VMENTER FAIL: RFLAGS[1] cleared")
    }


def test_a_disagreement_is_made_small_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    debugctl = BY_NAME["guest_ia32_debugctl"].encoding
    writes = ((debugctl, 0xF00 << 32 | 1), (RFLAGS, 0x246), (FS_BASE, 0x1234))
    mutations = [Mutation(Case(0, ((RFLAGS, 0),)), "fine"), Mutation(Case(0, writes), "odd")]
    monkeypatch.setattr(chunk, "_mutations", lambda *_: iter(mutations * 2))
    monkeypatch.setattr(chunk, "table", lambda: ())
    result = chunk.run(plan(), MODELS[0], 0)
    assert (result["cases"], result["disagreements"]) == (4, 2)
    (found,) = result["found"]
    (name, value), *others = found["changes"].items()
    assert (name, others) == ("guest_ia32_debugctl", [])
    assert int(value, 16).bit_count() == 1
    assert found["processor"].startswith("entered")
    assert [rule["rule"] for rule in found["rules_say"]] == ["guest.debugctl"]
    assert found["times"] == 2


# Machines and workers that are lost


def test_a_frame_whose_machine_died_is_tried_again_on_another(machine: Tester) -> None:
    first = emulator(machine)
    cases = [Case(0, ((RFLAGS, 0),)), Case(0)] * 40
    outcomes = machine.attempt(cases, lambda: os.kill(first, signal.SIGKILL))
    kinds = [Kind.REFUSED, Kind.ENTERED] * 40
    assert [outcome.kind for outcome in outcomes] == kinds
    assert emulator(machine) != first


def test_a_case_at_which_the_engine_ends_is_told_and_the_others_are_tried(machine: Tester) -> None:
    cases = [Case(0, ((RFLAGS, 0),)), Case(0, ((EVENT, 0x8000_0700),)), Case(0)]
    kinds = [outcome.kind for outcome in machine.attempt(cases)]
    assert kinds == [Kind.REFUSED, Kind.DIED, Kind.ENTERED]


def test_a_case_at_which_the_machine_hangs_is_told_and_others_can_be_tried(
    machine: Tester, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tester, "ANSWER_WITHIN", 1.0)
        wait_for_sipi = Case(0, ((BY_NAME["guest_activity_state"].encoding, 3),))
        assert [outcome.kind for outcome in machine.attempt([wait_for_sipi])] == [Kind.HUNG]
    assert [outcome.kind for outcome in machine.attempt([Case(0)])] == [Kind.ENTERED]


def test_an_engine_that_ends_again_and_again_ends_the_campaign(
    machine: Tester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tester, "MOST_STARTS", 4)
    with pytest.raises(RunEnded, match="the machine was lost 4 times") as ended:
        machine.attempt([Case(0, ((EVENT, 0x8000_0700),))] * 3)
    assert ended.value.verdict is Verdict.ENGINE_DIED


def test_a_chunk_whose_worker_was_killed_is_done_by_another() -> None:
    whole = plan()
    with Processes(whole, 2) as workers:
        results: list[Result] = []
        for result in workers.results(whole.chunks()):
            if not results:
                os.kill(workers.processes[-1], signal.SIGKILL)
            results.append(result)
    assert [one["chunk"] for one in without_time(results)] == [0, 1, 2]


def test_a_stopped_campaign_goes_on_to_the_same_end(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(total: Total) -> None:
        if len(total.results) == 1:
            raise Stop

    for name in ("whole", "halves"):
        (tmp_path / name).mkdir()
    with campaign.opened(tmp_path / "whole", plan()) as (whole, file):
        campaign.go_on(whole, file, jobs=1)
    with campaign.opened(tmp_path / "halves", plan()) as (halves, file), pytest.raises(Stop):
        campaign.go_on(halves, file, jobs=1, progress=stop)
    with campaign.opened(tmp_path / "halves", None) as (halves, file):
        campaign.go_on(halves, file, jobs=1)
        assert halves.fresh == whole.fresh - halves.results[MODELS[0], 0]["cases"]
    assert without_time(list(halves.results.values())) == without_time(list(whole.results.values()))


def test_ctrl_c_says_how_to_go_on_and_leaves_no_process(fuzz: Hv) -> None:
    running = fuzz.start("fuzz", "vmentry", "--jobs", "2", "--run-dir", fuzz.root / "run")
    until(lambda: len(fuzz.processes()) >= 3, running)
    running.send_signal(signal.SIGINT)
    output, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    assert f"`hv fuzz vmentry --resume {fuzz.root / 'run'}` goes on" in output


@pytest.mark.parametrize(
    "options", [(), pytest.param(("--dask",), marks=needs_dask)], ids=["processes", "dask"]
)
def test_no_worker_or_emulator_survives_the_harness(fuzz: Hv, options: Sequence[str]) -> None:
    def names() -> list[str]:
        return [name for pid in fuzz.processes() if (name := _name(pid))]

    running = fuzz.start("fuzz", "vmentry", "--jobs", "2", *options)
    until(lambda: sum(name.startswith("bochs") for name in names()) >= 2, running)
    pids = fuzz.processes()
    running.kill()
    running.communicate()
    assert len(pids) >= 5  # hv, two workers, two emulators
    assert fuzz.end_of(pids)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


# Dask


@needs_dask
def test_a_dask_cluster_comes_to_the_same_results() -> None:
    whole = plan(60)
    with Processes(whole, 1) as workers:
        expected = without_time(list(workers.results(whole.chunks())))
    with Dask(whole, 2, None) as cluster:
        assert without_time(list(cluster.results(whole.chunks()))) == expected
        address = cluster.address
        with Dask(whole, 2, address) as joined:
            assert without_time(list(joined.results(whole.chunks()))) == expected
    assert address.startswith("tcp://127.0.0.1:")


@needs_dask
def test_a_chunk_whose_dask_worker_was_killed_is_done_by_another() -> None:
    whole = plan(120)
    with Dask(whole, 2, None) as cluster:
        results: list[Result] = []
        for result in cluster.results(whole.chunks()):
            if not results:
                os.kill(cluster.processes[0], signal.SIGKILL)
            results.append(result)
    assert [one["chunk"] for one in without_time(results)] == [0, 1, 2, 3]


@needs_dask
def test_a_scheduler_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "CONNECT_WITHIN", 0.2)
    with pytest.raises(
        RunEnded, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1 "
    ) as ended:
        Dask(plan(), 1, "tcp://127.0.0.1:1")
    assert ended.value.verdict is Verdict.BAD_USAGE


# What a user can get wrong


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--cpu", "i8086"], "Bochs has no CPU model 'i8086'"),
        (["--count", "0"], "0 is not in the range x>=1"),
        (["--count", "-5"], "-5 is not in the range x>=1"),
        (["--seed", "-1"], "-1 is not in the range x>=0"),
        (["--run-dir", "build/vanderpool.elf/x"], "build/vanderpool.elf/x"),
        (["--resume", "nowhere"], "there is no directory nowhere"),
        (["--resume", "."], "holds no campaign"),
        (["--resume", ".", "--seed", "3"], "--resume goes on with what was planned"),
        pytest.param(
            ["--dask", "morse:code"], "'morse:code' is no scheduler's address", marks=needs_dask
        ),
    ],
)
def test_bad_requests_are_told_in_one_sentence(fuzz: Hv, words: list[str], sentence: str) -> None:
    done = fuzz("fuzz", "vmentry", *words)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cpu_that_can_t_run_the_image_is_told(fuzz: Hv) -> None:
    done = fuzz("fuzz", "vmentry", "--count", "1", "--cpu", "core2_penryn_t9600")
    assert done.returncode != 0
    assert "no EPT" in done.stderr
    assert "--resume" not in done.stderr  # that would end the same way


def test_an_image_that_is_not_built_or_not_the_one_of_the_campaign_is_told(
    fuzz: Hv, tmp_path: Path
) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old = Plan(1, 5, (MODELS[0],), "bochs", "0" * 40)
    with campaign.opened(tmp_path / "old", old):
        pass
    done = fuzz("fuzz", "vmentry", "--resume", tmp_path / "old")
    assert done.returncode == 9
    assert "not the image that this campaign began with" in done.stderr
    (fuzz.root / "build" / tester.image().name).unlink()
    done = fuzz("fuzz", "vmentry", "--run-dir", tmp_path / "new")
    assert done.returncode == 2
    assert "is not built: run `make` first" in done.stderr


def test_a_chunk_that_always_loses_its_worker_ends_the_campaign(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "harness" / "vmentry"
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(RunEnded, match="lost its worker 3 times"), Processes(plan(), 1) as workers:
        list(workers.results(plan().chunks()))
    assert not broken.exists()


def test_a_campaign_s_directory_has_all_that_it_found(fuzz: Hv, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    done = fuzz("fuzz", "vmentry", "--count", "40", "--seed", "9", "--run-dir", directory)
    assert done.returncode == 0
    assert "no unexplained disagreement" in done.stdout
    assert f"kept in {directory}" in done.stdout
    known: dict[str, Any] = json.loads((directory / campaign.PLAN).read_text())
    assert (known["seed"], known["count"], known["cpus"]) == (9, 40, ["corei7_skylake_x"])
    again = fuzz("fuzz", "vmentry", "--resume", directory, "--json")
    assert json.loads(again.stdout)["complete"] is True
