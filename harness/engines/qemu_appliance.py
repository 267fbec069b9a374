"""A QEMU in the appliance: reached over the serial lines of the Bochs that it runs in."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from pathlib import Path

from harness import supervise
from harness.appliance import lease, store
from harness.appliance.agent import Agent, Refused
from harness.appliance.lease import Lease
from harness.engines.base import Say, Unsupported
from harness.engines.qemu_command import Lines, Setup, command_line
from harness.engines.qemu_words import last_words
from harness.engines.qmp import NEGOTIATE, Channel
from harness.engines.transport import Exit
from harness.verdict import RunEnded, bad_usage

LOG = "engine.log"
CPU_LOG = "cpu.log"

_LINES = Lines(
    com1="serial,path=/dev/ttyS1",
    com2="serial,path=/dev/ttyS2",
    qmp="serial,path=/dev/ttyS3",
    cpu_log=f"../{CPU_LOG}",
)
_ENDS_WITHIN = 60.0  # seconds from SIGKILL to the agent's word that QEMU is gone
_NOT_STARTED = 127  # the agent's exit status for it, as shells have it
_LARGEST_FILE = 1 << 20  # bytes; what QEMU logs or saves, over a serial line


class ApplianceTransport:
    """See `harness.engines.transport.Transport`."""

    def __init__(
        self, held: Lease, agent: Agent, argv: tuple[str, ...], firmware: str, directory: Path
    ) -> None:
        self.argv = argv
        self.firmware = firmware
        self.process = held
        self.console, self.records, qmp = held.ports
        self.channel = Channel(qmp, shared=True)
        self.idle: Callable[[], None] = _nothing
        agent.also = lambda: (self.console.fileno(), self.records.fileno())
        agent.idle = lambda: self.idle()
        self._lease = held
        self._agent = agent
        self._directory = directory
        self._exit: Exit | None = None
        self._closed = False

    @classmethod
    def start(cls, program: str, setup: Setup, directory: Path, say: Say) -> ApplianceTransport:
        """Wait for the appliance, bring it what it lacks, and start QEMU in it."""
        held = lease.take(say)
        try:
            agent = Agent(held.control, held.disk)
            for word, source in setup.files.items():
                name = store.name(source)
                if agent.have(name) is None:
                    say(f"sending {source.name} into the appliance")
                    agent.put(name, source.read_bytes())
                agent.link(held.run, word, name)
            argv = command_line(program, setup, _LINES)
            agent.run(held.run, argv, held.ports)
            held.ports[2].sendall(NEGOTIATE)
            return cls(held, agent, argv, setup.firmware, directory)
        except BaseException:
            held.release(clean=False)
            raise

    def wakeups(self) -> tuple[int, ...]:
        """The agent's news, and the appliance's end."""
        return (self._agent.fileno(), self._lease.fileno())

    def service(self) -> None:
        """Take in what the agent said."""
        if not self._closed:
            self._agent.service()

    def exit(self) -> Exit | None:
        """How QEMU ended; None while it has not."""
        if self._exit is None and not self._closed:
            self._agent.service()
            status = self._lease.poll()
            if self._agent.ended is not None:
                self._exit = Exit(self._status(), self.words())
            elif status is not None:
                self._exit = Exit(None, (_fate(status), *self._agent.console))
        return self._exit

    def _status(self) -> int | None:
        """QEMU's exit status; None where it was not even started."""
        assert self._agent.ended is not None
        number = self._agent.ended.number
        if self._agent.ended.kind == "signal":
            return -number
        started = not any("can't be started: " in line for line in self._agent.log)
        return number if started or number != _NOT_STARTED else None

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for QEMU's end; whether it has ended."""
        deadline = time.monotonic() + timeout
        while self.exit() is None and (left := deadline - time.monotonic()) > 0:
            supervise.readable((*self.wakeups(), *self._agent.also()), left)
            self.idle()
        return self._exit is not None

    def words(self) -> tuple[str, ...]:
        """What QEMU wrote to standard error."""
        return last_words("\n".join(self._agent.log).encode())

    def cpu_log(self) -> bytes:
        """What QEMU logged of its processors."""
        return self._agent.get(self._lease.run, CPU_LOG, _LARGEST_FILE)

    def read_ram(self, address: int, length: int) -> bytes | None:
        """None: only QEMU can read it. BAD_USAGE for more than a serial line can bring."""
        if length > _LARGEST_FILE:
            raise bad_usage(f"at most {_LARGEST_FILE} bytes of memory can be read at once here.")
        return None

    def write_ram(self, address: int, data: bytes) -> None:
        """Not offered: QMP has no command for it."""
        raise Unsupported("the memory of a machine in the appliance can't be written; use bochs")

    def memory_file(self) -> None:
        """There is none on this host."""

    def take_file(self, name: str) -> bytes:
        """The content of a file that QEMU wrote; it goes with the run, or is written over."""
        return self._agent.get(self._lease.run, f"boot/{name}", _LARGEST_FILE)

    def end(self) -> None:
        """SIGKILL: what QEMU has to save, it has saved."""
        if self._closed or self.exit() is not None:
            return
        with contextlib.suppress(RunEnded):
            self._keep_cpu_log()  # of a machine that did not end by itself
            self._agent.kill(self._lease.run)
            self.wait(_ENDS_WITHIN)

    def _keep_cpu_log(self) -> None:
        with contextlib.suppress(Refused, OSError):
            (self._directory / CPU_LOG).write_bytes(self.cpu_log())

    def close(self) -> None:
        """Keep what QEMU said, and give the appliance back."""
        if self._closed:
            return
        clean = self.exit() is not None and self._agent.ended is not None
        with contextlib.suppress(OSError):
            (self._directory / LOG).write_text("".join(f"{line}\n" for line in self._agent.log))
        try:
            if clean:
                self._agent.forget(self._lease.run)
        except RunEnded:
            clean = False
        finally:
            self._closed = True
            silent = self.channel.close()
            self._lease.release(clean=clean and silent)


def _fate(status: int) -> str:
    """How the appliance's Bochs ended, in words."""
    if status < 0:
        return f"the appliance was killed by {signal.Signals(-status).name}"
    return f"the appliance ended by itself, with status {status}"


def _nothing() -> None:
    pass
