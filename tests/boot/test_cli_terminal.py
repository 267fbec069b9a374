"""``hv`` on a terminal: colours where they are wanted, and a terminal that always comes back."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from tests.conftest import Hv


def on_terminal(hv: Hv, *words: str, **env: str) -> pexpect.spawn:
    return pexpect.spawn(
        sys.executable, ["-m", "harness", *words], cwd=str(hv.root), env=hv.env(**env), timeout=30
    )


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_for_terminals_and_no_color_is_respected(
    hv: Hv, env: dict[str, str], coloured: bool
) -> None:
    child = on_terminal(hv, "list", **env)
    child.expect(pexpect.EOF)
    child.close()
    assert b"hello" in child.before
    assert (b"\x1b[" in child.before) is coloured


@pytest.mark.usefixtures("qemu_here")
def test_a_machine_waits_for_its_debugger_and_runs_on_when_told(hv: Hv) -> None:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    with hv.start("run", "no-vmx", "--gdb", str(port)) as command:
        assert command.stdout is not None
        for line in command.stdout:
            if f"127.0.0.1:{port}" in line:
                break
        with connected(port, command) as gdb:
            gdb.sendall(b"$?#3f")
            stopped = b""
            while b"#" not in stopped:
                stopped += gdb.recv(4096)
            assert b"$T05" in stopped
            gdb.sendall(b"+$c#63")
            output = command.communicate(timeout=30)[0]
    assert command.returncode == 0
    assert "passed  no-vmx on qemu-tcg" in output


def connected(port: int, command: subprocess.Popen[str]) -> socket.socket:
    """A connection to the stub, which comes a moment after the message that announces it."""
    while command.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=20)
        except ConnectionRefusedError:
            continue
    raise AssertionError("the run ended before its debugger could come")


def test_a_port_that_is_taken_is_one_sentence(hv: Hv) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = hv("run", "no-vmx", "--gdb", str(port))
    assert done.returncode == 2
    assert f"port {port} is taken" in done.stdout


@pytest.mark.usefixtures("qemu_here")
def test_on_a_terminal_gdb_opens_with_symbols_and_commands(hv: Hv) -> None:
    if shutil.which("gdb") is None:
        pytest.skip("gdb is not installed")
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    child = on_terminal(hv, "run", "no-vmx", "--engine", "qemu-tcg", "--gdb", str(port))
    child.expect_exact("(gdb) ")
    for typed, answer in (
        ("hv-help", "hv-walk-ept ROOT ADDRESS"),
        ("hbreak image_main", "Hardware assisted breakpoint 1"),
        ("set style enabled off", "(gdb) "),
        ("continue", "image_main ()"),
        ("hv-walk $cr3 $rip", "execute"),
        ("hv-guests", "(gdb)"),
        ("set confirm off", "(gdb) "),
    ):
        child.sendline(typed)
        child.expect_exact(answer)
    child.sendline("kill")
    child.sendline("quit")
    child.expect(pexpect.EOF)
    child.close()


@pytest.mark.usefixtures("qemu_here")
def test_gdb_shows_a_guest_that_runs_its_vmcb_and_its_nested_page_tables(hv: Hv) -> None:
    if shutil.which("gdb") is None:
        pytest.skip("gdb is not installed")
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    child = on_terminal(hv, "run", "hello", "--engine", "qemu-tcg", "--gdb", str(port))
    child.expect_exact("(gdb) ")
    for typed, answer in (
        ("set style enabled off", "(gdb) "),
        ("set pagination off", "(gdb) "),
        ("hbreak handle_cpuid", "Hardware assisted breakpoint 1"),
        ("continue", "handle_cpuid (vcpu="),
        ("hv-guests", "vms[0] hello: VM_RUNNING"),
        ("set $vmcb = ((struct svm_vcpu *)vcpu)->vmcb", "(gdb) "),
        ("hv-vmcb $vmcb", "exitcode = 114"),  # CPUID, APM 2 appendix C
        ("hv-walk-npt vms[0].map->nested.root 0x100000", "page of 0x200000"),
        ("hv-walk-npt vms[0].map->nested.root 0x400000", "not mapped"),
        ("hv-guest nobody", "no guest is called 'nobody'; there is: hello"),
        ("delete 1", "(gdb) "),
        ("hv-guest hello", "(gdb) "),
        ("info line guest_main", "hello.c"),
        ("hv-kernel", "(gdb) "),
    ):
        child.sendline(typed)
        child.expect_exact(answer)
    child.sendline("set confirm off")
    child.sendline("kill")
    child.sendline("quit")
    child.expect(pexpect.EOF)
    child.close()


@pytest.mark.usefixtures("qemu_here")
def test_on_qemu_too_a_machine_that_panics_stays_until_gdb_is_left(hv: Hv) -> None:
    if shutil.which("gdb") is None:
        pytest.skip("gdb is not installed")
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    words = ("run", "cpuid", "--engine", "qemu-tcg", "--append", "debug=null-in-exit")
    child = on_terminal(hv, *words, "--gdb", str(port), NO_COLOR="1")
    child.expect_exact("(gdb) ")
    for typed, answer in (
        ("set style enabled off", "(gdb) "),
        ("set confirm off", "(gdb) "),
        ("continue", "hv: the hypervisor panicked: #PF page fault"),
        ("print vms[0].options.name", '= "cpuid"'),
        ("quit", "panic  cpuid on qemu-tcg"),
    ):
        child.sendline(typed)
        child.expect_exact(answer)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 3


@pytest.mark.usefixtures("bochs_here")
def test_on_a_terminal_gdb_opens_on_bochs_and_ctrl_c_stops_the_machine(hv: Hv) -> None:
    if shutil.which("gdb") is None:
        pytest.skip("gdb is not installed")
    child = on_terminal(hv, "run", "spin", "--engine", "bochs", "--gdb")
    child.expect_exact("(gdb) ")
    for typed, answer in (
        ("set style enabled off", "(gdb) "),
        ("hbreak hv_start", "Hardware assisted breakpoint 1"),
        ("continue", "hv_start ("),
        ("delete 1", "(gdb) "),
        ("continue", "Continuing."),
        ("\x03", "Program received signal SIGTRAP"),
        ("set confirm off", "(gdb) "),
        ("quit", pexpect.EOF),
    ):
        if len(typed) == 1:
            child.send(typed)
        else:
            child.sendline(typed)
        child.expect(answer if answer is pexpect.EOF else re.escape(answer))
    child.close()


@pytest.mark.usefixtures("bochs_here")
def test_where_there_is_no_gdb_bochs_own_debugger_opens_with_symbols(
    hv: Hv, tmp_path: Path
) -> None:
    bochs = shutil.which("bochs-bin")
    assert bochs is not None
    (tmp_path / "bochs-bin").symlink_to(bochs)
    child = on_terminal(hv, "run", "hello", "--engine", "bochs", "--gdb", PATH=str(tmp_path))
    child.expect_exact("Bochs's debugger: c goes on")
    child.expect(rb"<bochs:\d+> ")
    child.sendline('lb "image_main"')
    child.sendline("c")
    child.expect_exact("Breakpoint 1")
    child.expect(rb"\(image_main")
    child.sendline("blist")
    child.expect_exact("lbreakpoint")
    child.sendline("d 1")
    child.sendline("c")
    child.expect_exact("dbg prompt received")
    child.sendline("q")
    child.expect(pexpect.EOF)
    child.close()


@pytest.mark.usefixtures("bochs_here", "qemu_here")
def test_several_runs_show_a_line_each_while_they_run_and_then_their_verdicts(hv: Hv) -> None:
    child = on_terminal(hv, "run", "fairness", "no-vmx")
    child.expect_exact("fairness                 bochs")
    child.expect(rb"\d\.\d s .*\[ +\d\.\d+\]")  # the time, and the console's newest line
    child.expect_exact("passed")
    child.expect_exact("no-vmx")
    child.expect_exact("2 passed")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@pytest.mark.usefixtures("bochs_here", "qemu_here")
def test_several_runs_are_quiet_where_nobody_watches_unless_asked(hv: Hv) -> None:
    quiet = hv("run", "hello", "no-vmx").stdout
    assert "hello| Hello" not in quiet
    assert len(quiet.splitlines()) == 3  # two verdicts and the sum
    assert "hello| Hello" in hv("run", "hello", "no-vmx", "-v").stdout
