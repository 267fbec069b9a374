"""A QEMU on this host: a child of this process, reached over pipes and a socketpair.

No port. The machine's RAM is a memory file that both processes share, so it can be read
at any time, even after the end.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from harness import supervise
from harness.engines.line import Line, PipeLine
from harness.engines.qemu_command import Lines, Setup, command_line
from harness.engines.qemu_words import last_words, tail, unknown_to_it, version
from harness.engines.qmp import NEGOTIATE, Channel
from harness.engines.transport import Exit
from harness.verdict import RunEnded, Verdict, bad_usage

LOG = "engine.log"
CPU_LOG = "cpu.log"

OLDEST = (6, 0)  # has -action, and snapshots over QMP

_LARGEST_LOG = 1 << 30  # bytes; bounds a log that a guest floods


class LocalTransport:
    """See `harness.engines.transport.Transport`."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        argv: tuple[str, ...],
        firmware: str,
        directory: Path,
        files: Path,
        console: Line,
        records: Line,
        channel: Channel,
        memory: int,
    ) -> None:
        self.process = process
        self.argv = argv
        self.firmware = firmware
        self.console = console
        self.records = records
        self.channel = channel
        self.idle: Callable[[], None] = _nothing
        self._ended = supervise.ProcessEnd(process)
        self._directory = directory  # of the logs
        self._files = files  # QEMU's working directory
        self._memory = memory  # descriptor of the file that is the machine's RAM

    @classmethod
    def start(cls, program: Path, setup: Setup, directory: Path, files: Path) -> LocalTransport:
        """Start QEMU in ``files``; logs go to ``directory``. RunEnded if it can't be started."""
        for word, source in setup.files.items():
            _link(files, word, source)
        memory_size = setup.boot.memory_mib << 20
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            console, records = PipeLine(directory / "com1"), PipeLine(directory / "com2")
            qmp, its_qmp = socket.socketpair()
            for one in (console, records, qmp):
                ours.callback(one.close)
            theirs.callback(its_qmp.close)
            memory = _memory_file(memory_size)
            ours.callback(os.close, memory)
            lines = Lines(
                "pipe,path=../com1", "pipe,path=../com2", f"socket,fd={its_qmp.fileno()}",
                cpu_log=f"../{CPU_LOG}", memory=f"/proc/self/fd/{memory}",
            )  # fmt: skip
            argv = command_line(str(program), setup, lines)
            qmp.sendall(NEGOTIATE)
            log = theirs.enter_context((directory / LOG).open("wb"))
            (directory / CPU_LOG).unlink(missing_ok=True)
            try:
                process = supervise.spawn(
                    argv,
                    files,
                    stderr=log,
                    pass_fds=(its_qmp.fileno(), memory),
                    largest_file=memory_size + _LARGEST_LOG,
                )
            except OSError as error:
                raise RunEnded(
                    Verdict.ENGINE_DIED, f"{program} can't be started: {error.strerror}."
                ) from None
            ours.pop_all()
            return cls(
                process,
                argv,
                setup.firmware,
                directory,
                files,
                console,
                records,
                Channel(qmp),
                memory,
            )

    def wakeups(self) -> tuple[int, ...]:
        """QEMU's end."""
        return (self._ended.fileno(),)

    def service(self) -> None:
        """Nothing comes but the end."""

    def exit(self) -> Exit | None:
        """How QEMU ended; None while it has not."""
        status = self.process.poll()
        if status is None:
            return None
        words = self.words()
        if status == 1 and unknown_to_it(words) and (old := _too_old(self.argv[0])):
            words = (old, *words)
        return Exit(status, words)

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for QEMU's end; whether it has ended."""
        return supervise.wait(self.process, timeout)

    def words(self) -> tuple[str, ...]:
        """What QEMU wrote to standard error."""
        return last_words(tail(self._directory / LOG))

    def cpu_log(self) -> bytes:
        """The newest part of what QEMU logged of its processors."""
        return tail(self._directory / CPU_LOG)

    def read_ram(self, address: int, length: int) -> bytes | None:
        """RAM, out of the shared memory file."""
        data = bytearray()
        while len(data) < length:  # one pread gives 2 GiB at most
            data += os.pread(self._memory, length - len(data), address + len(data))
        return bytes(data)

    def write_ram(self, address: int, data: bytes) -> None:
        """Write the shared memory file. Code that ran may stay as it was translated."""
        done = 0
        while done < len(data):
            done += os.pwrite(self._memory, data[done:], address + done)

    def memory_file(self) -> int:
        """The shared memory file."""
        return self._memory

    def take_file(self, name: str) -> bytes:
        """The content of a file that QEMU wrote into its working directory; the file goes."""
        file = self._files / name
        data = file.read_bytes()
        file.unlink()
        return data

    def end(self) -> None:
        """SIGTERM, then SIGKILL."""
        supervise.end(self.process, soft=self.process.terminate)

    def close(self) -> None:
        """Release everything."""
        self.channel.close()
        self.console.close()
        self.records.close()
        self._ended.close()
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1


def _memory_file(size: int) -> int:
    """A new file of ``size`` bytes that no directory has; BAD_USAGE if it can't be made."""
    try:
        memory = os.memfd_create("vanderpool-ram", os.MFD_CLOEXEC)
        try:
            os.ftruncate(memory, size)
        except OSError:
            os.close(memory)
            raise
    except OSError as error:
        raise bad_usage(
            f"a file of {size >> 20} MiB for the machine's memory can't be made: {error.strerror}."
        ) from None
    return memory


def _too_old(program: str) -> str:
    """A clause that says so if this QEMU is; else nothing."""
    try:
        asked = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = version(asked.stdout.decode("utf-8", "replace"))
    if found is None or found >= OLDEST:
        return ""
    has, needed = (".".join(map(str, number)) for number in (found, OLDEST))
    return f"qemu {has} is too old: {needed} or newer is needed"


def _nothing() -> None:
    pass


def _link(directory: Path, word: str, source: Path) -> None:
    link = directory / word
    if link == source:  # an absolute path, or a file that was made here
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(source)
