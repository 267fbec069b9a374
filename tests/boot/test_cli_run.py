"""``hv run`` as a person or a script meets it: what is shown, what is kept, how it ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Hv

pytestmark = pytest.mark.usefixtures("bochs_here")


def run_directory(hv: Hv) -> Path:
    (found,) = (hv.root / "build" / "runs").iterdir()
    return found


def test_a_person_sees_engine_console_and_verdict_in_plain_text(hv: Hv) -> None:
    done = hv("run", "hello", "--engine", "bochs")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("engine: bochs (")
    assert any(line.startswith("hello| Hello") for line in lines)
    assert lines[-1].startswith("passed  hello on bochs in ")
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_the_choice_of_an_engine_says_why_it_is_not_a_better_one(hv: Hv) -> None:
    first = hv("run", "hello").stdout.splitlines()[0]
    assert first.startswith("engine: qemu-kvm") or "; not qemu-kvm: " in first


def test_the_run_directory_has_everything_and_replays_itself(hv: Hv) -> None:
    hv("run", "hello", "--engine", "bochs")
    directory = run_directory(hv)
    assert "Hello" in (directory / "console.log").read_text()
    records = (directory / "records.jsonl").read_text().splitlines()
    kinds = [json.loads(line)["kind"] for line in records]
    assert kinds[0] == "boot"
    assert kinds[-1] == "done"
    assert json.loads((directory / "outcome.json").read_text())["verdict"] == "passed"
    assert json.loads((directory / "argv.json").read_text())
    assert (directory / "engine.log").stat().st_size
    again = subprocess.run(
        [directory / "replay.sh"], env=hv.env(), capture_output=True, text=True, check=False
    )
    assert again.returncode == 0
    assert again.stdout.splitlines()[-1].startswith("passed  hello on bochs")


def test_json_is_one_document_with_guest_and_address_of_a_crash(hv: Hv) -> None:
    done = hv("run", "ept-escape", "--engine", "bochs", "--json")
    (outcome,) = json.loads(done.stdout)
    assert done.stderr == ""
    assert (outcome["verdict"], outcome["exit_code"], outcome["engine"]) == ("passed", 0, "bochs")
    (crash,) = outcome["crashes"]
    assert (crash["guest"], crash["reason"]) == ("ept-escape", "Memory violation")
    assert int(crash["address"], 16) >= 4 << 20
    assert Path(outcome["run_directory"]).is_dir()


def test_a_crash_that_nobody_expects_fails_the_run_and_is_explained(hv: Hv) -> None:
    path = hv.scenario("surprise", 'description = "x."\n[[guest]]\nimage = "ept-escape"\n')
    done = hv("run", path, "--engine", "bochs")
    assert done.returncode == 1
    assert "failed  surprise on bochs" in done.stdout
    assert "guest ept-escape was stopped: Memory violation at 0x" in done.stdout
    assert "(write)" in done.stdout
    assert "run directory: " in done.stdout


def test_a_guest_that_never_ends_meets_the_time_limit(hv: Hv) -> None:
    done = hv("run", "spin", "--timeout", "1")
    assert done.returncode == 10
    assert "spinning  spin on " in done.stdout
    assert ", as this scenario expects" in done.stdout


def test_a_panic_has_its_own_exit_code_and_its_stack(hv: Hv) -> None:
    done = hv("run", "panic", "--engine", "bochs", "--json")
    (outcome,) = json.loads(done.stdout)
    assert (done.returncode, outcome["verdict"], outcome["expected"]) == (3, "panic", "panic")
    assert any("stack" in line for line in outcome["evidence"])


def test_without_debug_the_same_guest_makes_no_panic(hv: Hv) -> None:
    text = 'description = "x."\n[[guest]]\nimage = "panic"\n[[expect]]\nrecord = "done"\n'
    done = hv("run", hv.scenario("calm", text), "--engine", "bochs")
    assert "panic:" not in done.stdout
    assert done.returncode != 3


def test_several_scenarios_end_with_the_first_bad_exit_code(hv: Hv) -> None:
    done = hv("run", "hello", "panic", "ept-escape", "--engine", "bochs")
    assert done.returncode == 3
    assert done.stdout.splitlines()[-1] == "2 passed, 1 panic"


def test_a_word_that_the_hypervisor_does_not_know_is_bad_usage_and_named(hv: Hv) -> None:
    done = hv("run", "hello", "--engine", "bochs", "--append", "colour=blue")
    assert done.returncode == 2
    assert "the hypervisor refused: command line: unknown word colour=blue" in done.stdout


def test_an_option_of_a_guest_that_the_hypervisor_does_not_know_is_bad_usage(hv: Hv) -> None:
    text = 'description = "x."\n[[guest]]\nimage = "hello"\noptions = { colour = "blue" }\n'
    done = hv("run", hv.scenario("odd", text), "--engine", "bochs")
    assert done.returncode == 2
    assert re.search(r"refused: .*colour", done.stdout)


def test_a_forbidden_pattern_of_the_scenario_fails_it(hv: Hv) -> None:
    text = 'description = "x."\nforbid = ["H.llo"]\n[[guest]]\nimage = "hello"\n'
    done = hv("run", hv.scenario("hush", text), "--engine", "bochs")
    assert done.returncode == 1
    assert "failed  hush on bochs" in done.stdout


def test_an_expectation_that_can_not_be_met_fails_when_the_machine_ends(hv: Hv) -> None:
    text = 'description = "x."\n[[guest]]\nimage = "hello"\n[[expect]]\nconsole = "Goodbye"\n'
    done = hv("run", hv.scenario("goodbye", text), "--engine", "bochs")
    assert done.returncode == 1
    assert "Goodbye" in done.stdout


def test_a_record_in_the_wrong_order_does_not_satisfy_an_expectation(hv: Hv) -> None:
    text = 'description = "x."\n[[guest]]\nimage = "hello"\n[[expect]]\nrecord = "vm-stop"\n'
    text += '[[expect]]\nrecord = "vm-start"\n'
    assert hv("run", hv.scenario("order", text), "--engine", "bochs").returncode == 1


def test_dry_run_boots_nothing_and_says_what_it_would(hv: Hv) -> None:
    done = hv("run", "demo", "--engine", "bochs", "--dry-run")
    assert done.returncode == 0
    assert "as 'hello.bin name=hello'" in done.stdout
    assert not (hv.root / "build" / "runs").exists()
    (document,) = json.loads(hv("run", "demo", "--engine", "bochs", "--dry-run", "--json").stdout)
    assert document["engine"] == "bochs"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_run_and_leaves_no_process(
    hv: Hv, number: signal.Signals, code: int
) -> None:
    with hv.start("run", "spin", "--engine", "bochs", "--timeout", "50") as command:
        wait_for(command, "spin| ")
        everything = hv.processes()
        assert len(everything) > 1
        command.send_signal(number)
        output = command.communicate(timeout=20)[0]
        assert command.returncode == code
    assert "Traceback" not in output
    assert hv.end_of(everything)


def test_a_hangup_that_nohup_ignores_does_not_end_the_run(hv: Hv) -> None:
    with hv.start("run", "spin", "--engine", "bochs", "--timeout", "3", prefix=("nohup",)) as run:
        wait_for(run, "spin| ")
        run.send_signal(signal.SIGHUP)
        output = run.communicate(timeout=60)[0]
        assert run.returncode == 10, "it went on to its time limit"
    assert "spinning  spin on bochs" in output


def test_a_harness_that_is_killed_takes_its_machine_along(hv: Hv) -> None:
    with hv.start("run", "spin", "--engine", "bochs", "--timeout", "50") as command:
        wait_for(command, "spin| ")
        everything = hv.processes()
        assert len(everything) > 1
        command.kill()
        command.communicate(timeout=20)
    assert hv.end_of(everything)


def test_a_reader_that_goes_away_ends_the_run_quietly(hv: Hv) -> None:
    with hv.start("run", "spin", "--engine", "bochs", "--timeout", "50") as command:
        assert command.stdout is not None
        command.stdout.readline()
        command.stdout.close()
        assert command.wait(timeout=20) == 141


def wait_for(command: subprocess.Popen[str], start: str) -> None:
    assert command.stdout is not None
    for line in command.stdout:
        if line.startswith(start):
            return
    raise AssertionError(f"no line starts with {start!r}")
