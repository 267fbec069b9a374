"""gdb, the real one, on a machine that Bochs emulates: VT-x and AMD-V, hypervisor and guest."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Hv

pytestmark = pytest.mark.usefixtures("bochs_here")

QUIET = ("set pagination off", "set style enabled off", "set confirm off", "set width 0")


def debug(hv: Hv, words: tuple[str, ...], commands: tuple[str, ...]) -> tuple[str, str, int]:
    """What gdb said to these commands; what the run said afterwards, and its exit code."""
    gdb = shutil.which("gdb")
    if gdb is None:
        pytest.skip("gdb is not installed")
    with hv.start("run", *words, "--gdb") as command:
        attach = attach_line(command)
        given = [word for text in (*QUIET, *commands) for word in ("-ex", text)]
        done = subprocess.run(
            [gdb, "-batch", "-nx", *attach[1:], *given],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        output = command.communicate(timeout=60)[0]
    return done.stdout + done.stderr, output, command.returncode


def attach_line(command: subprocess.Popen[str]) -> list[str]:
    """The command line that the run tells people to attach gdb with."""
    assert command.stdout is not None
    for line in command.stdout:
        if "target remote" in line:
            return shlex.split(line)
    raise AssertionError("the run ended before its debugger could come")


def test_gdb_shows_a_vmcs_by_field_name_and_walks_ept(hv: Hv) -> None:
    said, output, code = debug(
        hv,
        ("hello", "--engine", "bochs"),
        (
            "hbreak handle_cpuid",
            "continue",
            "hv-guests",
            "hv-vmcs ((struct vmx_vcpu *)vcpu)->vmcs",
            "hv-walk-ept vms[0].map->nested.root 0x100000",
            "hv-walk-ept vms[0].map->nested.root (0x200000 + 0x200000)",
            "hv-walk-ept vms[0].map->nested.root 0x200000 + 0x200000",
            "hv-vmcs",
        ),
    )
    assert "handle_cpuid (vcpu=" in said
    assert "vms[0] hello: VM_RUNNING" in said
    fields = dict(re.findall(r"^([A-Z]\w+) +(0x[0-9a-f]+)$", said, re.MULTILINE))
    assert int(fields["EXIT_REASON"], 16) == 10  # CPUID, SDM 3D appendix C
    assert int(fields["VM_EXIT_INSTRUCTION_LENGTH"], 16) == 2
    assert int(fields["GUEST_CS_ACCESS_RIGHTS"], 16) == 0xA09B  # 64-bit code
    walks = re.findall(r"^(0x[0-9a-f]+), (.*), page of (0x[0-9a-f]+)$", said, re.MULTILINE)
    assert len(walks) == 1
    assert walks[0][1:] == ("execute, read, user, write", "0x200000")
    assert int(walks[0][0], 16) % 0x200000 == 0x100000
    assert said.count("not mapped") == 1
    assert "this takes two arguments; put brackets round" in said
    assert "this takes an argument" in said
    assert "passed  hello on bochs" in output
    assert code == 0


def test_gdb_sees_a_guest_s_own_memory_and_the_hypervisor_s_beside_it(hv: Hv) -> None:
    said, _, code = debug(
        hv,
        ("hello", "--engine", "bochs"),
        (
            "hbreak handle_cpuid",
            "continue",
            "set $vmcs = ((struct vmx_vcpu *)vcpu)->vmcs",
            "delete 1",
            "hv-guest hello",
            "tbreak guest_main",
            "continue",
            "backtrace 1",
            "info registers rip cr3",
            "x/1i $rip",
            "hv-kernel",
            "hv-vmcs $vmcs",
        ),
    )
    assert re.search(r"Temporary breakpoint 2, (?:0x\w+ in )?guest_main \(", said)
    assert re.search(r"^cr3 +0x1000 ", said, re.MULTILINE)
    assert re.search(r"=> 0x1\w+ <guest_main", said)
    assert re.search(r"^EXIT_REASON", said, re.MULTILINE)  # by physical address: not the guest's
    assert code == 0


def test_gdb_shows_a_vmcb_of_an_expression_with_blanks_and_walks_npt(hv: Hv) -> None:
    said, output, code = debug(
        hv,
        ("hello", "--engine", "bochs", "--cpu", "ryzen"),
        (
            "hbreak handle_cpuid",
            "continue",
            "hv-vmcb ((struct svm_vcpu *) vcpu)->vmcb",
            "hv-walk-npt vms[0].map->nested.root 0x100000",
            "tbreak *0x100000",
        ),
    )
    assert "exitcode = 114" in said  # CPUID, APM volume 2 appendix C
    assert "page of 0x200000" in said
    assert "passed  hello on bochs" in output
    assert code == 0


def test_gdb_steps_stops_and_asks_bochs_itself(hv: Hv) -> None:
    said, _, code = debug(
        hv,
        ("hello", "--engine", "bochs"),
        (
            "info registers rip",
            "stepi",
            "info registers rip",
            "hbreak handle_cpuid",
            "continue",
            "backtrace",
            "finish",
            "monitor creg",
            "monitor c",
            "print *(int *)0xffff800000000000",
            "print $st0",
            "set var debug = 1",
            "print debug",
        ),
    )
    places = re.findall(r"^rip +(0x[0-9a-f]+)", said, re.MULTILINE)
    assert int(places[1], 16) - int(places[0], 16) == 1  # CLI
    assert re.search(r"^#0  handle_cpuid \(.*hv/vm/cpuid.c", said, re.MULTILINE)
    assert re.search(r"^#1 .*hv/vm", said, re.MULTILINE)
    assert "EFER=" in said
    assert "'c' is no command that leaves the machine stopped" in said
    assert "Cannot access memory at address 0xffff800000000000" in said
    assert re.search(r"= DEBUG_\w+$", said, re.MULTILINE)
    assert code == 0


def test_a_machine_that_panics_stays_for_gdb_to_look_at(hv: Hv) -> None:
    said, output, code = debug(
        hv,
        ("cpuid", "--engine", "bochs", "--append", "debug=null-in-exit"),
        ("continue", "print vms[0].options.name", "continue"),
    )
    assert "hv: the hypervisor panicked: #PF page fault" in said
    assert '"cpuid"' in said
    assert "current VMCS of CPU 0" in output  # the post-mortem
    assert code == 3


def test_a_machine_that_powers_off_says_so_to_gdb(hv: Hv) -> None:
    said, output, code = debug(hv, ("hello", "--engine", "bochs"), ("continue", "kill"))
    assert "hv: the run has passed (quit ends the machine)" in said
    assert "passed  hello on bochs" in output
    assert code == 0


def test_what_is_no_gdb_does_not_disturb_the_run(hv: Hv) -> None:
    with hv.start("run", "hello", "--engine", "bochs", "--gdb") as command:
        address = attach_line(command)[-1].split()[-1]
        assert Path(address).parent.stat().st_mode & 0o777 == 0o700
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(20)
            stranger.connect(address)
            with contextlib.suppress(OSError):  # it is hung up on before it has said all
                stranger.sendall(b"$" + b"x" * 1_000_000)
        output = command.communicate(timeout=60)[0]
    assert "passed  hello on bochs" in output
    assert not Path(address).parent.exists()
