"""One running QEMU, controlled over QMP; where it runs is its transport's affair."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness import supervise
from harness.engines import qemu_snapshot
from harness.engines.base import CpuState, End, EndKind, Unsupported
from harness.engines.qemu_command import counts
from harness.engines.qemu_end import by_event, by_exit
from harness.engines.qemu_words import parse_activity, parse_registers
from harness.engines.qmp import NoAnswer, Refused
from harness.engines.transport import Transport
from harness.verdict import RunEnded, Verdict, bad_usage

ANSWER_WITHIN = 10.0  # seconds for any QMP command
_FIRST_WORDS_WITHIN = 5.0  # seconds from a reset; a kernel that says nothing costs them all
_LAST_MOMENT = 0.5  # seconds from the end of QMP to that of QEMU
_SAVED = "memory.bin"  # in QEMU's working directory


class QemuRunning:
    """One QEMU, with QMP behind it."""

    def __init__(
        self,
        transport: Transport,
        memory_size: int,
        accelerator: str,
        *,
        patience: float = 1.0,
        until_tick: int | None = None,
    ) -> None:
        self.process = transport.process
        self.argv = transport.argv
        self.console = transport.console
        self.records = transport.records
        self.tick: int | None = None  # where it counts instructions: how many, at the last stop
        self._counts = counts(transport.argv)
        self._until_tick = until_tick
        self.idle: Callable[[], None] = _nothing
        transport.idle = lambda: self.idle()
        self._transport = transport
        self._channel = transport.channel
        self._memory_size = memory_size  # bytes
        self._accelerator = accelerator
        self._firmware = transport.firmware
        self._patience = patience
        self._end: End | None = None
        self._killed = False
        self._old_events = 0  # so many are of the time before the last reset,
        self._old_faults = 0  # and so many triple faults in QEMU's log
        self._resets_itself = False  # the firmware will, on its way up from our reset

    def wakeups(self) -> tuple[int, ...]:
        """QMP's news, and the transport's."""
        return (self._channel.fileno(), *self._transport.wakeups())

    def service(self) -> None:
        """Events are in the list already; note that they were seen."""
        self._channel.clear()
        self._transport.service()

    @property
    def events(self) -> list[dict[str, Any]]:
        """QMP events so far, oldest first."""
        return self._channel.events

    def end(self) -> End | None:
        """How the machine ended: by an event, then the process still holds it; or by its exit."""
        if self._end is None:
            self._end = self._end_by_event() or self._end_by_exit() or self._end_by_silence()
            if self._end is not None:
                self._note_tick()
        return self._end

    def _end_by_event(self) -> End | None:
        end = by_event(self.events[self._old_events :], self._reset_kind)
        if end is None and self._channel.status == "internal-error":
            words = "\n".join(self._transport.words())
            return End(EndKind.DIED, None, words or "KVM internal error")
        return end

    def _reset_kind(self) -> EndKind:
        """A triple fault and a reset are the same event; TCG tells them apart in its log."""
        if self._accelerator == "tcg" and self._faults() <= self._old_faults:
            return EndKind.RESET
        return EndKind.TRIPLE_FAULT

    def _faults(self) -> int:
        return self._transport.cpu_log().count(b"Triple fault")

    def _end_by_exit(self) -> End | None:
        ended = self._transport.exit()
        if ended is None:
            return None
        return End(EndKind.KILLED) if self._killed else by_exit(ended)

    def _end_by_silence(self) -> End | None:
        """A QEMU that closes its QMP connection and lives on is of no use to anyone."""
        if not self._channel.lost:
            return None
        if self._transport.wait(_LAST_MOMENT * self._patience):  # what closed it was QEMU's end
            return self._end_by_exit()
        self._transport.end()
        return End(EndKind.DIED, None, "it closed its QMP connection, and was ended")

    # Control

    def qmp(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        """Execute a QMP command. BAD_USAGE if QEMU refuses it; killed and ENGINE_DIED if silent."""
        try:
            return self._channel.execute(command, arguments or {}, ANSWER_WITHIN * self._patience)
        except Refused as error:
            raise bad_usage(f"QEMU refused {command}: {error}.") from None
        except NoAnswer as error:
            raise self._silent(error) from None

    def job(self, command: str, arguments: dict[str, Any]) -> None:
        """Execute a QMP command that starts a job, and wait for the job's end; as `qmp`."""
        seen = len(self.events)
        self.qmp(command, {"job-id": command, **arguments})
        self._event("JOB_STATUS_CHANGE", {"id": command, "status": "concluded"}, seen)
        error = next((j.get("error") for j in self.qmp("query-jobs") if j["id"] == command), None)
        self.qmp("job-dismiss", {"id": command})
        if error is not None:
            raise bad_usage(f"QEMU's {command} failed: {error}.")

    def _event(self, name: str, data: dict[str, Any], since: int) -> None:
        """Wait for an event that has all of ``data``, not counting the first ``since`` of all."""

        def wanted(event: dict[str, Any]) -> bool:
            return bool(event["event"] == name and data.items() <= event.get("data", {}).items())

        try:
            self._channel.event(wanted, since, ANSWER_WITHIN * self._patience)
        except NoAnswer as error:
            raise self._silent(error) from None

    def _silent(self, error: NoAnswer) -> RunEnded:
        ended = self._transport.wait(_LAST_MOMENT * self._patience)
        words = self._transport.words() if ended else ()
        if not ended:
            self._end = End(EndKind.DIED, None, f"stopped answering: {error}")
            self.kill()
        what = "ended by itself" if ended else "stopped answering, and was ended"
        return RunEnded(Verdict.ENGINE_DIED, f"QEMU {what}: {error}.", evidence=words)

    def monitor(self, command: str, cpu: int = 0) -> str:
        """What QEMU's human monitor prints for ``command`` with ``cpu`` selected."""
        arguments = {"command-line": command, "cpu-index": cpu}
        return str(self.qmp("human-monitor-command", arguments))

    @property
    def at_tick(self) -> bool:
        """Whether it has come to ``Boot.until_tick``; then it is paused, as soon as that is seen.

        QEMU can't stop at an instruction that it is given, but where it replays a recording, and
        replays of recorded AMD-V go astray (7.2): so the tick is looked for while the machine runs.
        """
        if self._until_tick is None or self._end is not None:
            return False
        if self.tick is None or self.tick < self._until_tick:
            self._note_tick()
            if self.tick is not None and self.tick >= self._until_tick:
                self.pause()
        return self.tick is not None and self.tick >= self._until_tick

    def _note_tick(self) -> None:
        if self._counts and self._transport.exit() is None:
            with contextlib.suppress(RunEnded):
                self.tick = int(self.qmp("query-replay")["icount"])

    def pause(self) -> None:
        """Stop every CPU."""
        self.qmp("stop")
        self._note_tick()

    def resume(self) -> None:
        """Let every CPU run on."""
        self.qmp("cont")
        if self._resets_itself:
            self._resets_itself = False
            self._await_first_words()
            self._begin_anew()

    def go_on(self) -> None:
        """Forget what it told of by its panic device; QEMU lets it run on."""
        self._old_events = len(self.events)
        self._end = None
        self.resume()

    def reset(self) -> None:
        """Reset, from any state that is not QEMU's own end; see `Running.reset`."""
        self.pause()
        # The -action that makes a guest's reset visible must stand aside for ours.
        self.qmp("set-action", {"reboot": "reset"})
        seen = len(self.events)
        self.qmp("system_reset")
        self._event("RESET", {}, seen)
        self.idle()
        self._resets_itself = self._firmware == "seabios"
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Forget how the machine ended; a reset is an end again, unless more of them must come."""
        if not self._resets_itself:
            self.qmp("set-action", {"reboot": "shutdown"})
        self._old_events = len(self.events)
        self._old_faults = self._faults()
        self._channel.status = None
        self._end = None

    def save(self, directory: Path) -> None:
        """Write the state of this paused machine to ``directory``."""
        qemu_snapshot.save(self, self._memory_file(), directory)

    def load(self, directory: Path, own: Path) -> None:
        """Take over the state that `save` wrote; ``own`` is a directory for this machine's files.

        The machine must have been started paused, with the same arguments; it stays so.
        """
        self.qmp("query-status")  # answered once QEMU has set itself up, RAM and all
        qemu_snapshot.load(self, self._memory_file(), directory, own)

    def _memory_file(self) -> int:
        file = self._transport.memory_file()
        if file is None:
            raise Unsupported("there are no snapshots of a QEMU that runs elsewhere")
        return file

    def _await_first_words(self) -> None:
        """Wait until the kernel says something after a reset; what it says stays to be read.

        SeaBIOS puts itself back as it was in the ROM, and resets again for that, twice or more
        under TCG: only the kernel's words tell that there will not be another.
        """
        lines = (self.console.fileno(), self.records.fileno())
        supervise.readable(lines, _FIRST_WORDS_WITHIN * self._patience)

    def nmi(self) -> None:
        """Send an NMI."""
        self.qmp("inject-nmi")

    def step(self) -> None:
        """Not offered over QMP."""
        raise Unsupported("QEMU steps through its gdbstub only; use bochs")

    def registers(self, cpu: int = 0) -> Mapping[str, int]:
        """Registers, from the human monitor."""
        return parse_registers(self.monitor("info registers", cpu))

    def cpu(self, number: int = 0) -> CpuState:
        """Everything about one processor; the monitor does not tell host mode from guest mode."""
        text = self.monitor("info registers", number)
        registers = parse_registers(text)
        return CpuState(registers, parse_activity(text, registers), None, None)

    def read_physical(self, address: int, length: int) -> bytes:
        """Physical memory: RAM by the transport if that can; the rest through QEMU."""
        if length <= 0:
            return b""
        if self._is_ram(address, length):
            data = self._transport.read_ram(address, length)
            if data is not None:
                return data
        self.qmp("pmemsave", {"val": address, "size": length, "filename": _SAVED})
        return self._transport.take_file(_SAVED)

    def write_physical(self, address: int, data: bytes) -> None:
        """Write RAM, where the transport has a way."""
        if not self._is_ram(address, len(data)):
            raise bad_usage(f"{address:#x} is not in the machine's memory.")
        self._transport.write_ram(address, data)

    def _is_ram(self, address: int, length: int) -> bool:
        end = address + length
        low = address >= 0 and end <= 0xA0000  # the display and the firmware lie above
        return low or (address >= 0x100000 and end <= self._memory_size)

    def remarks(self) -> tuple[str, ...]:
        """What the engine itself says about VM entries that failed, in its own words."""
        return ()

    def kill(self) -> None:
        """End QEMU, release everything."""
        self._killed = self._killed or self._transport.exit() is None
        self._transport.end()
        self.end()
        self._transport.close()


def _nothing() -> None:
    pass
