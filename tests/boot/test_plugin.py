"""The pytest plugin, seen from a project that uses it: items, fixtures, options, reports."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.conftest import Hv, installed

HELLO = 'description = "x."\nrequires = ["vmx"]\n[[guest]]\nimage = "hello"\n'
NEVER = HELLO + '[[expect]]\nconsole = "Goodbye"\n'


@pytest.mark.usefixtures("bochs_here")
def test_a_scenario_file_is_a_test_with_properties_in_junit(hv: Hv) -> None:
    hv.scenario("greets", HELLO + '[[expect]]\nconsole = "Hello"\n')
    done = hv.pytest("--junit-xml=report.xml", "--engine", "bochs", "scenarios")
    assert done.returncode == 0, done.stdout
    (case,) = ET.parse(hv.root / "report.xml").iter("testcase")
    assert case.get("name") == "greets"
    properties = {one.get("name"): one.get("value") for one in case.iter("property")}
    assert properties["engine"] == "bochs"
    assert properties["verdict"] == "passed"
    assert str(properties["run_directory"]).startswith(str(hv.root / "build" / "runs"))


@pytest.mark.usefixtures("bochs_here")
def test_a_failure_shows_sentence_evidence_and_run_directory_and_no_traceback(hv: Hv) -> None:
    hv.scenario("waits", NEVER)
    done = hv.pytest("--engine", "bochs", "scenarios")
    assert done.returncode == 1
    assert "failed, where passed was expected (bochs)" in done.stdout
    assert "Goodbye" in done.stdout
    assert "hello| Hello" in done.stdout
    assert "run directory: build/runs/" in done.stdout
    assert "runner.py" not in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.usefixtures("bochs_here")
def test_the_verdict_that_the_file_names_is_the_one_that_passes(hv: Hv) -> None:
    hv.scenario("good", 'verdict = "failed"\n' + NEVER)
    hv.scenario("bad", 'verdict = "panic"\n' + HELLO)
    done = hv.pytest("--engine", "bochs", "scenarios", "-n", "2", "-p", "xdist", "-rA")
    assert "1 failed, 1 passed" in done.stdout
    assert "PASSED scenarios/good.toml::good" in done.stdout
    assert "passed, where panic was expected" in done.stdout


@pytest.mark.usefixtures("qemu_here")
def test_what_an_engine_can_not_do_is_skipped_unless_it_is_required(hv: Hv) -> None:
    hv.scenario("greets", HELLO)
    skipped = hv.pytest("--engine", "qemu-tcg", "-rs", "scenarios")
    assert skipped.returncode == 0
    (reason,) = [line for line in skipped.stdout.splitlines() if line.startswith("SKIPPED")]
    assert "qemu-tcg" in reason
    assert "vmx" in reason
    other = hv.pytest("--engine", "qemu-tcg", "--require", "ept", "scenarios")
    assert other.returncode == 0
    required = hv.pytest(
        "--engine", "qemu-tcg", "--require", "ept", "--require", "vmx", "scenarios"
    )
    assert required.returncode == 1
    assert "--require vmx: " in required.stdout


def test_a_broken_scenario_file_is_an_error_with_file_and_line(hv: Hv) -> None:
    hv.scenario("broken", HELLO + "[[expect]]\nconsole = '('\n")
    done = hv.pytest("scenarios")
    assert done.returncode != 0
    assert "broken.toml:6: `console` is not a regular expression" in done.stdout
    assert "scenario.py" not in done.stdout


def test_other_people_s_files_are_left_alone(hv: Hv) -> None:
    hv.scenario("theirs", '[tool]\nname = "x"\n')
    hv.scenario("broken", "= not toml")
    (hv.root / "elsewhere.toml").write_text(HELLO)
    (hv.root / "test_mine.py").write_text("def test_mine(): pass\n")
    done = hv.pytest("--rootdir", hv.root, ".", "--ignore", "tests", "--ignore", "build", "-q")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


@pytest.mark.usefixtures("bochs_here")
def test_a_machine_of_a_test_is_killed_when_the_test_ends_however_it_ends(hv: Hv) -> None:
    (hv.root / "test_machines.py").write_text(
        "import signal\n"
        "import pytest\n"
        "def too_late(*_):\n"
        "    raise TimeoutError('the test took too long')\n"
        "def test_forgets(boot_machine):\n"
        "    boot_machine(modules=['spin'], engine='bochs').expect('spin')\n"
        "def test_is_late(boot_machine):\n"
        "    machine = boot_machine(modules=['spin'], engine='bochs')\n"
        "    machine.expect('spin')\n"
        "    signal.signal(signal.SIGALRM, too_late)\n"
        "    signal.setitimer(signal.ITIMER_REAL, 0.2)\n"
        "    machine.wait(timeout=50)\n"
        "def test_nothing_is_left(boot_machine):\n"
        "    import pathlib\n"
        "    tasks = pathlib.Path('/proc/self/task').glob('*/children')\n"
        "    assert [task.read_text() for task in tasks] == ['']\n"
    )
    done = hv.pytest("test_machines.py")
    assert "1 failed, 2 passed" in done.stdout, done.stdout
    assert "the test took too long" in done.stdout


@pytest.mark.usefixtures("bochs_here")
def test_a_pytest_that_ends_without_goodbye_leaves_no_machine(hv: Hv) -> None:
    (hv.root / "test_exit.py").write_text(
        "import os\n"
        "def test_exits(boot_machine):\n"
        "    boot_machine(modules=['spin'], engine='bochs').expect('spin')\n"
        "    os._exit(7)\n"
    )
    assert hv.pytest("test_exit.py").returncode == 7
    assert hv.end_of(hv.processes())


@pytest.mark.usefixtures("bochs_here")
def test_a_verdict_in_a_python_test_is_shown_with_its_evidence(hv: Hv) -> None:
    (hv.root / "test_panic.py").write_text(
        "def test_panics(boot_machine):\n"
        "    machine = boot_machine(modules=['panic'], requires=['vmx'],\n"
        "                           command_line='debug=panic')\n"
        "    machine.wait()\n"
        "def test_scenario(hv_scenario):\n"
        "    assert hv_scenario('hello').verdict.word == 'passed'\n"
    )
    done = hv.pytest("test_panic.py")
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "panic: the hypervisor panicked: guest panic asked for it" in done.stdout


@pytest.mark.skipif(not installed(), reason="the package is not installed, so pytest can't find it")
def test_the_plugin_is_found_by_its_entry_point(hv: Hv) -> None:
    done = hv.python("-m", "pytest", "--help")
    assert "--require=WORD" in done.stdout


@pytest.mark.usefixtures("bochs_here")
def test_guests_own_reports_are_sub_results_in_junit(hv: Hv) -> None:
    hv.scenario("greets", HELLO)
    (hv.root / "test_it.py").write_text(
        "def test_it(boot_machine):\n"
        "    boot_machine(modules=['hello'], engine='bochs').expect_record('done')\n"
    )
    hv.pytest("--junit-xml=report.xml", "--engine", "bochs", "scenarios", "test_it.py")
    for case in ET.parse(hv.root / "report.xml").iter("testcase"):
        properties = {one.get("name"): one.get("value") for one in case.iter("property")}
        assert properties["guest-report 1 hello"] == "passed 0x2"


@pytest.mark.usefixtures("bochs_here")
def test_github_is_told_of_a_failure_where_it_is_github(hv: Hv) -> None:
    hv.scenario("waits", NEVER)
    there = hv.pytest("--engine", "bochs", "scenarios", GITHUB_ACTIONS="true")
    (line,) = [line for line in there.stdout.splitlines() if line.startswith("::error ")]
    assert line.startswith("::error file=scenarios/waits.toml,line=1,title=waits::failed, where")
    assert "Goodbye" in line
    elsewhere = hv.pytest("--engine", "bochs", "scenarios", GITHUB_ACTIONS="")
    assert "::error" not in elsewhere.stdout


def test_github_is_told_the_statement_and_its_message_in_lines_of_their_own(hv: Hv) -> None:
    (hv.root / "test_it.py").write_text(
        "from harness.verdict import bad_usage\n"
        "def test_one(): pass\n"
        "def test_two():\n"
        "    assert 1 == 2\n"
        "def test_three():\n"
        "    def inner():\n"
        "        raise bad_usage('there is no such thing')\n"
        "    inner()\n"
    )
    done = hv.pytest("-q", "test_it.py", GITHUB_ACTIONS="true")
    told = [line for line in done.stdout.splitlines() if "::error" in line]
    assert told == [
        "::error file=test_it.py,line=4,title=test_two::assert 1 == 2",
        "::error file=test_it.py,line=7,title=test_three::bad-usage: there is no such thing",
    ]


@pytest.mark.usefixtures("bochs_here")
def test_durations_end_with_a_histogram(hv: Hv) -> None:
    hv.scenario("greets", HELLO)
    done = hv.pytest("--engine", "bochs", "--durations=3", "scenarios")
    assert "how long tests took" in done.stdout
    assert "########" in done.stdout
    assert "how long tests took" not in hv.pytest("--engine", "bochs", "scenarios").stdout


@pytest.mark.usefixtures("bochs_here")
def test_a_session_leaves_a_page(hv: Hv) -> None:
    hv.scenario("greets", HELLO)
    hv.scenario("waits", NEVER)
    (hv.root / "test_it.py").write_text(
        "def test_it(boot_machine):\n"
        "    boot_machine(command_line='debug=null', engine='bochs').expect_record('report')\n"
    )
    done = hv.pytest("--engine", "bochs", "--report", "page.html", "-n", "2", "-p", "xdist",
                     "scenarios", "test_it.py")  # fmt: skip
    assert "report: page.html" in done.stdout
    page = (hv.root / "page.html").read_text()
    assert "2 failed, 1 passed" in page
    failures = page[page.index('id="failures"') : page.index('id="matrix"')]
    assert "test_it.py::test_it" in failures
    assert "registers at the trap" in failures
    assert "scenarios/waits.toml::waits" in failures


def test_all_workers_of_a_session_share_one_appliance_and_leave_nothing_of_it(hv: Hv) -> None:
    (hv.root / "test_share.py").write_text(
        "import pytest\n"
        "from harness.appliance import session\n"
        "@pytest.mark.parametrize('number', range(4))\n"
        "def test_share(number):\n"
        "    assert (session.directory() / session.SOCKET).is_socket()\n"
        "    open('places', 'a').write(f'{session.directory()}\\n')\n",
        encoding="utf-8",
    )
    done = hv.pytest("-n", "2", "-p", "xdist", "test_share.py", VANDERPOOL_APPLIANCE="")
    assert done.returncode == 0, done.stdout
    (place,) = set((hv.root / "places").read_text().splitlines())
    assert not Path(place).exists()


def test_a_heavy_scenario_is_skipped_on_the_slow_engine_with_its_reason(hv: Hv) -> None:
    hv.scenario("storm", HELLO.replace("requires", 'heavy = "a million exits"\nrequires'))
    done = hv.pytest("--engine", "qemu-kvm-in-bochs", "-rs", "scenarios")
    assert "1 skipped" in done.stdout
    assert "too heavy for qemu-kvm-in-bochs: a million exits" in done.stdout


def test_a_slow_scenario_is_left_out_unless_a_session_asks_for_it(hv: Hv) -> None:
    hv.scenario("storm", HELLO.replace("requires", 'slow = "a million exits"\nrequires'))
    left_out = hv.pytest("-m", "not slow", "--collect-only", "scenarios")
    assert "1 deselected" in left_out.stdout
    asked_for = hv.pytest("-m", "slow", "--collect-only", "-q", "scenarios")
    assert "storm" in asked_for.stdout


def test_a_scenario_whose_image_could_not_be_fetched_is_skipped_with_the_reason(hv: Hv) -> None:
    (hv.root / "build" / "guests").unlink()  # a link to those that are built
    (hv.root / "build" / "guests").mkdir()
    hv.scenario("linux", HELLO.replace('image = "hello"', 'image = "linux"\nboot = "linux"'))
    done = hv.pytest("-rs", "scenarios")
    assert "1 skipped" in done.stdout
    assert "linux is missing (it was not fetched yet); `make guests` fetches it" in done.stdout
