"""One running Bochs, controlled through its debugger."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from harness import supervise
from harness.engines.base import CpuState, End, EndKind, Unsupported
from harness.engines.bochs_words import (
    classify,
    dead,
    entry_failures,
    examined,
    last_part,
    linear_address,
    parse_activity,
    parse_registers,
    parse_virtualization,
    stopped,
)
from harness.verdict import RunEnded, Verdict, bad_usage

LOG = "engine.log"
ANSWER_WITHIN = 20.0  # seconds for any command
_LOG_LOOKED_AT = 1 << 14  # bytes, at each stop
_AGAIN = 1.0  # seconds; an interrupt more than it needs may make Bochs lose its next command
_TICK = re.compile(r"^Next at t=(\d+)", re.MULTILINE)


class BochsRunning:
    """One Bochs process, with its debugger behind it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        argv: tuple[str, ...],
        directory: Path,
        console: socket.socket,
        records: socket.socket,
        memory_size: int,
        first_prompts: int = 1,
    ) -> None:
        self.process = process
        self.argv = argv
        self.console = console
        self.records = records
        self.idle: Callable[[], None] = _nothing
        self._directory = directory
        self._memory_size = memory_size  # bytes
        self._output = bytearray()  # what the debugger printed, since the last prompt
        self._prompt = 1  # number of the prompt that comes next
        self._first_prompts = first_prompts  # those that were answered when Bochs was started
        self._paused = False
        self._run_by = "c"  # the command that it was last let run by
        self.tick: int | None = None  # emulated time at the last stop, in instructions
        self.at_tick = False
        self._end: End | None = None
        self._killed = False
        self._ended = supervise.ProcessEnd(process)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)

    def wakeups(self) -> tuple[int, ...]:
        """The debugger's output, and Bochs's end."""
        assert self.process.stdout is not None
        return (self.process.stdout.fileno(), self._ended.fileno())

    def service(self) -> None:
        """Take in what the debugger printed."""
        assert self.process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            while data := self.process.stdout.read(1 << 16):
                self._output += data
                if len(self._output) > 16 << 20:
                    del self._output[: 8 << 20]

    def end(self) -> End | None:
        """How the machine ended: stopped in the debugger, or with Bochs, by its own log."""
        if self._end is None:
            self._notice_stop()
        if self._end is None and self.process.poll() is not None:
            self.service()
            if self._killed:
                self._end = End(EndKind.KILLED)
            else:
                log = last_part(self._directory / LOG)
                output = self._output.decode("utf-8", "replace")
                self._end = classify(log, output, self.process.returncode)
        return self._end

    # The debugger: `<bochs:N> ` is its prompt; it reads commands while the machine is paused.

    def _notice_stop(self) -> None:
        """Take in a prompt that comes while the machine should run: it has stopped by itself."""
        while not self._paused and (text := self._take_prompt()) is not None:
            if self._prompt > self._first_prompts + 1:
                self._paused = True
                self._note(text)
                if self._end is None and not self.at_tick:
                    self._stopped_unasked()

    def _stopped_unasked(self) -> None:
        """That was an interrupt of `pause` which came when it was paused already."""
        self.resume()

    def _take_prompt(self) -> str | None:
        """What came before the next prompt, if that is there."""
        token = b"<bochs:%d> " % self._prompt
        at = self._output.find(token)
        if at < 0:
            return None
        text = self._output[:at].decode("utf-8", "replace")
        del self._output[: at + len(token)]
        self._prompt += 1
        return text

    def _note(self, text: str) -> None:
        """The machine has stopped, and ``text`` says where and perhaps why."""
        if ticks := _TICK.findall(text):
            self.tick = int(ticks[-1])
        self.at_tick = self.at_tick or "Caught time breakpoint" in text
        if self._end is None:
            self._end = stopped(text, last_part(self._directory / LOG, _LOG_LOOKED_AT))

    def _await_prompt(self, again: float | None = None) -> str:
        """What came before the next prompt. ``again``: seconds until another interrupt."""
        token = b"<bochs:%d> " % self._prompt
        deadline = time.monotonic() + ANSWER_WITHIN
        while (text := self._take_prompt()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                self._end = End(EndKind.DIED, None, "its debugger stopped answering")
                self.kill()
                raise RunEnded(
                    Verdict.ENGINE_DIED,
                    f"Bochs's debugger gave no answer within {ANSWER_WITHIN:g} s.",
                )
            fds = (*self.wakeups(), *self._serial_fds())
            ready = supervise.readable(fds, left if again is None else min(left, again))
            self.idle()  # a full serial line would block Bochs
            self.service()
            if self._ended.fileno() in ready and token not in self._output:
                raise dead(self.end())
            if not ready and again is not None:
                self.process.send_signal(signal.SIGINT)
        return text

    def _serial_fds(self) -> tuple[int, ...]:
        return tuple(s.fileno() for s in (self.console, self.records) if s.fileno() >= 0)

    def _write(self, text: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(text.encode())
        except OSError:
            supervise.wait(self.process, 1)
            raise dead(self.end()) from None

    def _command(self, *lines: str) -> str:
        """Give commands to the paused debugger; all that it printed."""
        self._need_pause()
        for line in lines:
            self._write(line + "\n")
        return "".join(self._await_prompt() for _ in lines)

    def _need_pause(self) -> None:
        if self.process.poll() is not None:
            raise dead(self.end())
        if not self._paused:
            raise Unsupported("the machine must be paused first")

    def pause(self) -> None:
        """Stop the machine, in its debugger."""
        self._notice_stop()
        if self._paused:
            return
        if self.process.poll() is not None:
            raise dead(self.end())
        while self._prompt <= self._first_prompts:
            # Before the first prompt Bochs has no handler, and the interrupt would end it.
            self._await_prompt()
        self._await_run()
        self.process.send_signal(signal.SIGINT)
        # It forgets an interrupt that comes just before it starts to run: ask again.
        text = self._await_prompt(again=_AGAIN)
        self._paused = True
        self._note(text)

    def _await_run(self) -> None:
        """Wait until it has read that it may run, and says so: interrupted before that it hangs."""
        deadline = time.monotonic() + ANSWER_WITHIN
        echo = f"{self._run_by}\n".encode()
        while echo not in self._output and self.process.poll() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return  # `_await_prompt` has the words for it
            supervise.readable((*self.wakeups(), *self._serial_fds()), left)
            self.idle()
            self.service()

    def resume(self) -> None:
        """Let the machine run on; one that has come to its end stays there."""
        self._run("c")

    def _run(self, command: str) -> None:
        if self._paused and self._end is None:
            self._write(f"{command}\n")
            self._run_by, self._paused = command, False

    def go_on(self) -> None:
        """Forget that it stopped in its debugger, and leave that."""
        self._end = None
        self.resume()

    def reset(self) -> None:
        """Not offered: the debugger has no such command."""
        raise Unsupported("Bochs can't be reset from outside; start a new machine")

    def nmi(self) -> None:
        """Not offered: the debugger has no such command."""
        raise Unsupported("Bochs's debugger can't send an NMI; use a QEMU engine")

    def step(self) -> None:
        """Execute one instruction."""
        self._note(self._command("s"))

    def registers(self, cpu: int = 0) -> Mapping[str, int]:
        """General, control and segment registers."""
        return parse_registers(self._command(f"set $cpu={cpu}", "r", "creg", "sreg"))

    def cpu(self, number: int = 0) -> CpuState:
        """Everything about one processor; which half of `show` there is depends on its model."""
        registers = self.registers(number)
        activity = self._command(f'show "cpu{number}.activity_state"')
        virtualization = self._command(f'show "cpu{number}.VMX"', f'show "cpu{number}.SVM"')
        guest_mode, structure = parse_virtualization(virtualization)
        return CpuState(registers, parse_activity(activity), guest_mode, structure)

    @contextlib.contextmanager
    def _paused_for_a_moment(self) -> Iterator[None]:
        was_paused = self._paused
        self.pause()
        try:
            yield
        finally:
            if not was_paused and self.process.poll() is None:
                self.resume()

    def read_physical(self, address: int, length: int) -> bytes:
        """Physical memory; quick where what runs now has it mapped, about 1 MB/s elsewhere."""
        self._check_range(address, length)
        with self._paused_for_a_moment():
            if length > 4096:
                said = self._command("creg", 'show "cpu0.VMX.in_vmx_guest"', "info tab")
                linear = linear_address(said, address, length)
                if linear is not None:
                    return self._read_linear(linear, length)
            data = bytearray()
            while len(data) < length:
                at = address + len(data)
                left = min(8192, length - len(data))
                unit, letter = (8, "g") if left >= 8 else (1, "b")
                part = examined(self._command(f"xp /{left // unit}{letter}x {at:#x}"), unit)
                if len(part) != left // unit * unit:
                    raise bad_usage(f"Bochs's debugger can't read memory at {at:#x}.")
                data += part
            return bytes(data)

    def _check_range(self, address: int, length: int) -> None:
        if address < 0 or length < 0 or address + length > self._memory_size:
            raise bad_usage(f"{address:#x} is not in the machine's memory.")

    def _read_linear(self, address: int, length: int) -> bytes:
        file = self._directory / "memory.bin"
        self._command(f'writemem "{file.name}" {address:#x} {length}')
        data = file.read_bytes()
        file.unlink()
        return data

    def write_physical(self, address: int, data: bytes) -> None:
        """Write physical memory, one command a word."""
        self._check_range(address, len(data))
        with self._paused_for_a_moment():
            at = 0
            while at < len(data):
                lines: list[str] = []
                while at < len(data) and len(lines) < 256:
                    size = 4 if (address + at) % 4 == 0 and len(data) - at >= 4 else 1
                    value = int.from_bytes(data[at : at + size], "little")
                    lines.append(f"setpmem {address + at:#x} {size} {value:#x}")
                    at += size
                self._command(*lines)

    def remarks(self) -> tuple[str, ...]:
        """What the engine itself says about VM entries that failed, in its own words."""
        return entry_failures(last_part(self._directory / LOG))[-8:]

    def kill(self) -> None:
        """SIGKILL: Bochs ignores the softer ones."""
        self._killed = self._killed or self.process.poll() is None
        supervise.end(self.process)
        self.end()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self.console.close()
        self.records.close()
        self._ended.close()


def _nothing() -> None:
    pass
