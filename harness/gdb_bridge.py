"""gdb on Bochs: a socket that gdb connects to, and the machine behind it."""

from __future__ import annotations

import select
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import paging
from harness.engines.base import Unsupported
from harness.gdb_remote import Left, Stub
from harness.gdb_terminal import Debugger
from harness.verdict import RunEnded

if TYPE_CHECKING:
    from harness.engines.base import CpuState
    from harness.machine import Machine
    from harness.report.screen import Screen

_EPT_POINTER = 0x201A  # SDM 3D appendix B.2.1
_N_CR3 = 0xB0  # in the VMCB, APM volume 2 appendix B
_EFER_SVME = 1 << 12


class Bridge(Debugger):
    """Listens in a directory of its own, as nobody else may connect."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(screen)
        self._directory = Path(tempfile.mkdtemp(prefix="hv-gdb-"))
        self.address = str(self._directory / "socket")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        self._listener.listen()
        self._events = select.epoll()
        self._events.register(self._listener, select.EPOLLIN)
        self._connection: socket.socket | None = None
        self._stub: Stub | None = None
        self._target: BochsTarget | None = None

    def fileno(self) -> int:
        """Readable when gdb comes, or has sent something."""
        return self._events.fileno()

    def begin(self, machine: Machine) -> None:
        """The machine is there."""
        self._target = BochsTarget(machine)

    @property
    def attached(self) -> bool:
        """Whether a gdb is connected."""
        return self._stub is not None

    def take(self) -> None:
        """Serve gdb, and tell it if the machine has stopped."""
        if self._target is None:
            return
        try:
            for descriptor, _ in self._events.poll(0):
                if descriptor == self._listener.fileno():
                    self._accept(self._target)
                elif self._stub is not None:
                    self._stub.receive()
            if self._stub is not None and self._target.is_stopped:
                self._stub.stopped()
        except Left as left:
            self._leave(killed=left.killed)

    def decided(self, why: str) -> None:
        """The run is over; gdb may look at the machine, which stands still from now on."""
        if self._stub is not None and self._target is not None:
            try:
                self._target.interrupt()
                self._stub.stopped(why)
            except (RunEnded, Unsupported):
                self._leave(killed=False)  # there is no machine any more
            except Left:
                self._leave(killed=False)

    def end(self) -> None:
        """Hang up, and take the socket away. Idempotent."""
        self._hang_up()
        self._listener.close()
        self._events.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _accept(self, target: BochsTarget) -> None:
        connection, _ = self._listener.accept()
        if self._stub is not None:
            connection.close()  # there is one debugger at a time
            return
        self._connection, self._stub = connection, Stub(connection, target)
        self._events.register(connection, select.EPOLLIN)
        target.interrupt()

    def _leave(self, *, killed: bool) -> None:
        """gdb has gone: the machine runs on without it, or ends."""
        self._hang_up()
        if killed:
            self.leave()
        elif self._target is not None:
            self._target.let_go()

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._events.unregister(self._connection)
            self._connection.close()
        self._connection = self._stub = None


class BochsTarget:
    """A machine on Bochs, as `gdb_remote.Target`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._running: Any = machine.running
        self._breakpoints: set[int] = set()

    @property
    def is_stopped(self) -> bool:
        """Whether the last command is done. Of the machine's end `Bridge.decided` will tell."""
        return self._running.end() is None and bool(self._running.is_stopped)

    def registers(self) -> Mapping[str, int]:
        """Processor 0's."""
        return self._machine.registers()

    def read(self, address: int, length: int, *, physical: bool) -> bytes:
        """Memory as the processor sees it now; a guest's, where one runs."""
        memory = self._memory if physical else self._linear()
        return memory(address, length)

    def write(self, address: int, data: bytes, *, physical: bool) -> bool:
        """Write within a page."""
        there = address if physical else self._translate(address)
        if there is None or there % paging.PAGE + len(data) > paging.PAGE:
            return False
        self._machine.write_physical(there, data)
        return True

    def breakpoint(self, address: int, *, wanted: bool) -> None:
        """Set one, or take it away."""
        if wanted:
            self._running.set_breakpoint(address)
            self._breakpoints.add(address)
        else:
            self._running.clear_breakpoint(address)
            self._breakpoints.discard(address)

    def run(self, *, step: bool) -> None:
        """Go on. Unsupported where the machine has ended."""
        if self._machine.end is not None:
            raise Unsupported("the machine has ended")
        if step:
            self._running.step_one()
        else:
            self._running.resume()

    def interrupt(self) -> None:
        """Stop."""
        self._machine.pause()

    def let_go(self) -> None:
        """Without a debugger: no breakpoints, and on."""
        if self._machine.end is None and self._running.process.poll() is None:
            self.interrupt()
            for address in tuple(self._breakpoints):
                self.breakpoint(address, wanted=False)
            self._running.resume()

    def monitor(self, command: str) -> str:
        """Bochs's own debugger's answer."""
        return str(self._running.monitor(command))

    def _memory(self, address: int, length: int) -> bytes:
        """Physical memory; nothing, where that is not RAM."""
        try:
            return self._machine.read_physical(address, length)
        except RunEnded:
            return b""

    def _linear(self) -> paging.Read:
        """Memory by linear address, through the processor's tables, and a guest's nested ones."""
        state: CpuState = self._running.cpu()
        memory: paging.Read = self._memory
        if state.guest_mode and state.control_structure is not None:
            memory = self._of_guest(state, state.control_structure)
        entries = _padded(memory)
        return paging.through(memory, lambda at: paging.walk(entries, state.registers, at))

    def _translate(self, address: int) -> int | None:
        """Where the hypervisor's linear address leads; a guest's memory is not written."""
        state: CpuState = self._running.cpu()
        if state.guest_mode:
            return None
        return paging.walk(_padded(self._memory), state.registers, address).address

    def _of_guest(self, state: CpuState, structure: int) -> paging.Read:
        """Memory by guest-physical address, by the current VMCS or VMCB."""
        from harness import vmcs

        entries = _padded(self._memory)
        if state.registers.get("efer", 0) & _EFER_SVME:
            root = int.from_bytes(entries(structure + _N_CR3, 8), "little")
            return paging.through(self._memory, lambda at: paging.walk_npt(entries, root, at))
        region = entries(structure, vmcs.REGION)
        root = vmcs.decode(region, {_EPT_POINTER: "EPT_POINTER"})["EPT_POINTER"]
        return paging.through(self._memory, lambda at: paging.walk_ept(entries, root, at))


def _padded(memory: paging.Read) -> paging.Read:
    """Page-table entries; where no memory is, they are not present."""
    return lambda address, length: memory(address, length).ljust(length, b"\0")
