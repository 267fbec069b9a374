"""A machine under test as its engine handles it: processors, memory, and what QMP offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.engines.base import Boot, Engine, Running, Unsupported


class Controlled:
    """The controls of one running machine; `harness.machine.Machine` is made of it."""

    def __init__(self, engine: Engine, boot: Boot, running: Running) -> None:
        self.engine = engine
        self.boot = boot
        self.running = running

    @property
    def events(self) -> list[dict[str, Any]]:
        """QMP events so far; none where there is no QMP."""
        return list(getattr(self.running, "events", ()))

    def pause(self) -> None:
        """Stop every CPU. Idempotent."""
        self.running.pause()

    def resume(self) -> None:
        """Let every CPU run on. Idempotent."""
        self.running.resume()

    def nmi(self) -> None:
        """Send a non-maskable interrupt to CPU 0."""
        self.running.nmi()

    def step(self) -> None:
        """Execute one instruction on CPU 0; the machine is paused before and after."""
        self.running.step()

    def registers(self, cpu: int = 0) -> Mapping[str, int]:
        """Register values by lower-case name; the machine is paused."""
        return self.running.registers(cpu)

    def read_physical(self, address: int, length: int) -> bytes:
        """``length`` bytes of physical memory from ``address``."""
        return self.running.read_physical(address, length)

    def read(self, path: str) -> Any:
        """A variable of the hypervisor by name, decoded: `read("vms[0].vcpu->state")`.

        Running, paused, or frozen at its end. See `harness.typed.read` for what comes and what is
        raised.
        """
        from harness import typed

        return typed.read(self.read_physical, self.boot.image, path, self.boot.memory_mib << 20)

    def write_physical(self, address: int, data: bytes) -> None:
        """Write ``data`` to physical memory at ``address``."""
        self.running.write_physical(address, data)

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Execute a QMP command (underscores in argument names become dashes); what it returns.

        Unsupported where the engine has no QMP. No answer in time: killed, and ENGINE_DIED.
        """
        execute = getattr(self.running, "qmp", None)
        if execute is None:
            raise Unsupported(f"{self.engine.name} has no QMP")
        return execute(command, {key.replace("_", "-"): v for key, v in arguments.items()})
