"""Both halves of the appliance's protocol against each other, on this host."""

from __future__ import annotations

import socket
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import supervise
from harness.appliance import agent as agent_module
from harness.appliance.agent import Agent, Ended, Refused
from harness.verdict import RunEnded, Verdict
from tests.unit import hosttest

INSIDE = Path(agent_module.__file__).parent / "inside"
HERE = Path(__file__).parent
SOURCES = [HERE / "appliance_on_sockets.c"] + [
    INSIDE / name for name in ("serve.c", "run.c", "files.c", "wire.c")
]


@dataclass
class Appliance:
    """The agent as a process, and the ends of its lines."""

    agent: Agent
    control: socket.socket
    ports: list[socket.socket]
    root: Path
    process: subprocess.Popen[bytes]

    def run(self, *argv: str, run: str = "one") -> Ended:
        """Run a program to its end."""
        self.agent.run(run, argv, self.ports)
        return self.end()

    def end(self) -> Ended:
        self.agent.wait(lambda: self.agent.ended is not None, 20, "no end")
        assert self.agent.ended is not None
        return self.agent.ended

    def says(self, request: bytes) -> bytes:
        """The answer, a line, to raw bytes."""
        self.control.setblocking(True)
        self.control.settimeout(20)
        self.control.sendall(request)
        line = b""
        while not line.endswith(b"\n"):
            part = self.control.recv(1)
            assert part, "the agent has gone"
            line += part
        self.control.setblocking(False)
        return line.rstrip()


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    flags = ("-D_GNU_SOURCE", "-Werror", f"-I{INSIDE}")
    program = hosttest.compile_c("appliance-agent", SOURCES, flags)
    pairs = [socket.socketpair() for _ in range(4)]
    theirs = [its.fileno() for _, its in pairs]
    process = supervise.spawn(
        [str(program), *map(str, theirs), str(tmp_path)],
        tmp_path,
        pass_fds=theirs,
        environment=hosttest.ENVIRONMENT,
        stderr=None,
    )
    for _, its in pairs:
        its.close()
    control, *ports = [mine for mine, _ in pairs]
    try:
        yield Appliance(Agent(control), control, ports, tmp_path, process)
        control.close()
        assert supervise.wait(process, 20), "the agent does not end with its client"
        assert process.returncode == 0, "the sanitizers found something"
    finally:
        supervise.end(process)
        for line in (control, *ports):
            line.close()


def test_a_file_arrives_as_it_was_sent(appliance: Appliance) -> None:
    data = bytes(range(256)) * 999 + b"@ended x\n"
    appliance.agent.put("kernel.elf", data)
    assert (appliance.root / "files/kernel.elf").read_bytes() == data
    assert appliance.agent.have("kernel.elf") == len(data)


def test_an_empty_file_is_a_file(appliance: Appliance) -> None:
    appliance.agent.put("empty", b"")
    assert appliance.agent.have("empty") == 0
    assert appliance.agent.have("other") is None


def test_a_dropped_file_is_gone(appliance: Appliance) -> None:
    appliance.agent.put("a", b"a")
    appliance.agent.drop("a")
    assert appliance.agent.have("a") is None
    with pytest.raises(Refused, match="No such file"):
        appliance.agent.drop("a")


def test_a_file_that_was_damaged_on_its_way_is_refused_and_the_old_one_stays(
    appliance: Appliance,
) -> None:
    appliance.agent.put("a", b"old")
    assert appliance.says(b"put a 3 00000000\n") == b"@send"
    assert b"@error the file's CRC-32" in appliance.says(b"new")
    assert (appliance.root / "files/a").read_bytes() == b"old"
    assert appliance.agent.have("a") == 3


@pytest.mark.parametrize(
    "request_line",
    [
        b"",
        b"  ",
        b"fly",
        b"put a",
        b"put a -1 00000000",
        b"put a 99999999999999999999999999 00000000",
        b"put a 134217729 00000000",
        b"put a 3x 00000000",
        b"put a 3 nohex",
        b"put ../a 3 00000000",
        b"put a/b 3 00000000",
        b"put .hidden 3 00000000",
        b"put a 3 00000000 more and more words",
        b"have ..",
        b"link one ../x a",
        b"link one x/../../y a",
        b"link .. x a",
        b"link one x missing",
        b"run one -5",
        b"run one 65537",
        b"run ../one 5",
        b"kill nothing",
        b"get one ../../files/a",
        b"get one /etc/passwd",
        b"get one missing",
        b"forget ..",
        b"\xff\xfe \x00\x01",
        b"x" * 511,
        b"x" * 5000,
        b"y" * 100_000,
    ],
)
def test_a_bad_request_gets_one_error_and_the_next_one_its_answer(
    appliance: Appliance, request_line: bytes
) -> None:
    assert appliance.says(request_line + b"\n").startswith(b"@error ")
    assert appliance.says(b"have nothing\n") == b"@no"


def test_requests_that_arrive_in_pieces_and_together_are_all_answered(appliance: Appliance) -> None:
    appliance.control.send(b"ha")
    assert appliance.says(b"ve a\nhave b\n") == b"@no"
    assert appliance.says(b"") == b"@no"


def test_what_a_run_prints_comes_line_by_line(appliance: Appliance) -> None:
    assert appliance.run("/bin/echo", "one\ntwo") == Ended("one", "exit", 0)
    assert list(appliance.agent.log) == ["one", "two"]


def test_output_without_a_newline_is_not_lost(appliance: Appliance) -> None:
    appliance.run("/usr/bin/printf", "%s", "no end")
    assert list(appliance.agent.log) == ["no end"]


def test_output_can_not_pass_for_the_agents_own_lines(appliance: Appliance) -> None:
    ended = appliance.run("/usr/bin/printf", "@ended one exit 9\n\r@ok\033[2J\n")
    assert ended.number == 0
    assert list(appliance.agent.log) == ["@ended one exit 9", " @ok [2J"]


def test_a_long_line_is_cut_into_pieces(appliance: Appliance) -> None:
    appliance.run("/usr/bin/printf", "%01000d", "7")
    assert "".join(appliance.agent.log) == "7".rjust(1000, "0")


def test_a_flood_of_output_is_bounded_and_its_end_is_kept(appliance: Appliance) -> None:
    appliance.run("/usr/bin/seq", "20000")
    assert len(appliance.agent.log) == agent_module.MOST_LINES
    assert appliance.agent.log[-1] == "20000"


def test_a_program_that_does_not_exist_ends_at_once_and_is_named(appliance: Appliance) -> None:
    assert appliance.run("/no/such/qemu") == Ended("one", "exit", 127)
    assert "/no/such/qemu can't be started: No such file" in appliance.agent.log[0]


def test_a_program_that_dies_by_a_signal_says_which(appliance: Appliance) -> None:
    assert appliance.run("/bin/sh", "-c", "kill -SEGV $$") == Ended("one", "signal", 11)


def test_arguments_arrive_whole(appliance: Appliance) -> None:
    words = ["", " two  blanks ", "new\nline", "ü", "-append", "x" * 5000]
    appliance.run("/bin/sh", "-c", 'printf "%s\\0" "$@" > argv', "sh", *words)
    argv = appliance.agent.get("one", "boot/argv", 1 << 16)
    assert argv == b"".join(word.encode() + b"\0" for word in words)


@pytest.mark.parametrize("strings", [b"", b"no end", b"\0", b"a\0" * 513])
def test_what_is_no_list_of_arguments_is_refused(appliance: Appliance, strings: bytes) -> None:
    request = b"run one %d\n" % len(strings)
    if strings:
        assert appliance.says(request) == b"@send"
        assert appliance.says(strings).startswith(b"@error ")
    else:
        appliance.control.sendall(request)
        assert appliance.says(b"") == b"@send"
        assert appliance.says(b"").startswith(b"@error ")


def test_a_run_can_be_killed_with_all_that_it_started(appliance: Appliance) -> None:
    appliance.agent.run("one", ["/bin/sh", "-c", "sleep 1000 & wait"], appliance.ports)
    appliance.agent.kill("one")
    assert appliance.end() == Ended("one", "signal", 9)


def test_one_program_runs_at_a_time(appliance: Appliance) -> None:
    appliance.agent.run("one", ["/bin/sleep", "1000"], appliance.ports)
    with pytest.raises(Refused, match="one is still running"):
        appliance.agent.run("two", ["/bin/true"], appliance.ports)
    with pytest.raises(Refused, match="two is not running"):
        appliance.agent.kill("two")
    with pytest.raises(Refused, match="one is still running"):
        appliance.agent.forget("one")
    appliance.agent.kill("one")
    appliance.end()


def test_requests_are_answered_while_a_program_runs(appliance: Appliance) -> None:
    appliance.agent.run("one", ["/bin/sleep", "1000"], appliance.ports)
    appliance.agent.put("a", b"data")
    assert appliance.agent.have("a") == 4
    appliance.agent.kill("one")
    appliance.end()


def test_a_program_that_closes_its_output_is_waited_for(appliance: Appliance) -> None:
    command = "exec >&- 2>&-; read line < fifo; exit 3"
    appliance.run("/usr/bin/mkfifo", "fifo")
    appliance.agent.run("one", ["/bin/sh", "-c", command], appliance.ports)
    assert appliance.agent.have("a") is None
    (appliance.root / "runs/one/boot/fifo").write_text("go\n")
    assert appliance.end() == Ended("one", "exit", 3)


def test_what_was_sent_before_a_run_is_not_read_by_it(appliance: Appliance) -> None:
    port = appliance.ports[1]
    port.sendall(b"left over from before\n@on")
    appliance.agent.run("one", ["/bin/sleep", "1000"], appliance.ports)
    port.sendall(b"fresh")
    appliance.agent.kill("one")
    appliance.end()
    # The next run's mark comes behind what nobody has read.
    assert appliance.run("/bin/true", run="two") == Ended("two", "exit", 0)


def test_a_client_that_sends_no_mark_gets_an_error_instead_of_a_hang(appliance: Appliance) -> None:
    assert appliance.says(b"run one 10\n") == b"@send"
    appliance.control.sendall(b"/bin/true\0have x\n")
    assert b"no mark came over data port 1" in appliance.says(b"")
    assert appliance.says(b"") == b"@no"


def test_a_run_finds_files_by_the_words_it_was_given(appliance: Appliance) -> None:
    appliance.agent.put("abc123", b"guest")
    appliance.agent.link("one", "guest.bin", "abc123")
    appliance.agent.link("one", "sub/dir/guest.bin", "abc123")
    appliance.agent.link("one", "/home/me/guest.bin", "abc123")
    appliance.agent.link("one", "guest.bin", "abc123")  # a second module may be the same file
    appliance.run("/bin/cat", "guest.bin", "sub/dir/guest.bin")
    assert list(appliance.agent.log) == ["guestguest"]
    assert (appliance.root / "home/me/guest.bin").read_bytes() == b"guest"


def test_a_link_never_replaces_a_file(appliance: Appliance) -> None:
    appliance.agent.put("a", b"a")
    appliance.run("/usr/bin/touch", "word")
    with pytest.raises(Refused, match="something else of that name"):
        appliance.agent.link("one", "word", "a")


def test_what_a_run_leaves_behind_can_be_fetched_and_forgotten(appliance: Appliance) -> None:
    appliance.run("/bin/sh", "-c", "seq 99999 > ../cpu.log; mkdir x; touch x/y")
    expected = b"".join(b"%d\n" % number for number in range(1, 100_000))
    assert appliance.agent.get("one", "cpu.log", 1 << 20) == expected
    with pytest.raises(Refused, match="more than 10"):
        appliance.agent.get("one", "cpu.log", 10)
    with pytest.raises(Refused, match="no file"):
        appliance.agent.get("one", "boot/x", 10)
    appliance.agent.forget("one")
    appliance.agent.forget("one")
    assert not (appliance.root / "runs/one").exists()


def test_following_a_link_out_of_the_run_forgets_only_the_link(appliance: Appliance) -> None:
    appliance.agent.put("a", b"a")
    appliance.agent.link("one", "a", "a")
    appliance.agent.forget("one")
    assert appliance.agent.have("a") == 1


def test_a_full_disk_is_said_and_the_next_request_answered(appliance: Appliance) -> None:
    assert appliance.agent.have("a") is None
    (appliance.root / "files/.incoming").symlink_to("/dev/full")
    with pytest.raises(Refused, match="No space left on device"):
        appliance.agent.put("a", bytes(50_000))
    assert appliance.agent.have("a") is None


def test_an_agent_that_is_gone_is_noticed_at_once(appliance: Appliance) -> None:
    appliance.process.kill()
    with pytest.raises(RunEnded, match="ended by itself") as caught:
        appliance.agent.have("a")
    assert caught.value.verdict is Verdict.ENGINE_DIED
    appliance.process.wait()
    appliance.process.returncode = 0  # as the fixture expects of the others


def test_words_with_blanks_never_reach_the_line(appliance: Appliance) -> None:
    for name in ("", "a b", "a\nforget one", "a\0"):
        with pytest.raises(Refused, match="blank"):
            appliance.agent.have(name)


@dataclass
class Pretender:
    """An agent that says whatever a test wants."""

    agent: Agent
    line: socket.socket


@pytest.fixture
def pretender() -> Iterator[Pretender]:
    mine, its = socket.socketpair()
    with mine, its:
        yield Pretender(Agent(mine), its)


def test_the_kernels_console_is_told_from_the_agents_lines(pretender: Pretender) -> None:
    pretender.line.sendall(b"[    0.1] hello\r\n\n@ready 1 6.1.0-9 12345\n@log x\n[ 2.0] more\n")
    pretender.agent.service()
    assert list(pretender.agent.console) == ["[    0.1] hello", "[ 2.0] more"]
    assert pretender.agent.ready == agent_module.Ready(1, "6.1.0-9", 12345)
    assert list(pretender.agent.log) == ["x"]


def test_a_console_that_never_ends_its_line_is_bounded(pretender: Pretender) -> None:
    pretender.line.sendall(b"x" * 100_000)
    pretender.agent.service()
    assert sum(map(len, pretender.agent.console)) <= 100_000
    assert max(map(len, pretender.agent.console)) <= agent_module.LONGEST_LINE


@pytest.mark.parametrize(
    "nonsense",
    [
        b"@ready\n",
        b"@ready 1 x -7\n",
        b"@ended\n",
        b"@ended a exit x\n",
        b"@data\n",
        b"@\n",
        b"@\xff\n",
    ],
)
def test_nonsense_from_the_agent_harms_nothing(pretender: Pretender, nonsense: bytes) -> None:
    pretender.line.sendall(nonsense)
    pretender.agent.service()
    assert pretender.agent.ready is None
    assert pretender.agent.ended is None


def test_why_the_agent_could_not_begin_is_the_sentence(pretender: Pretender) -> None:
    pretender.line.sendall(
        b"[ 1.0] kvm: no hardware\n@failed /modules/kvm-intel.ko: Not supported\n"
    )
    with pytest.raises(RunEnded, match=r"can't work: /modules/kvm-intel.ko: Not") as caught:
        pretender.agent.service()
    assert "[ 1.0] kvm: no hardware" in caught.value.evidence


def test_a_file_that_is_damaged_on_its_way_out_is_refused(pretender: Pretender) -> None:
    pretender.line.sendall(b"@data 4 %08x\nabcX" % zlib.crc32(b"abcd"))
    with pytest.raises(Refused, match="damaged"):
        pretender.agent.get("one", "file", 100)


def test_an_agent_that_says_nothing_is_given_up(
    pretender: Pretender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "ANSWER_WITHIN", 0.1)
    with pytest.raises(RunEnded, match=r"no answer within 0.1 s"):
        pretender.agent.have("a")
