"""QEMU with nested KVM where the host has none: in a small Linux, in Bochs, whose VMX it uses.

The command line and the control over QMP are those of "qemu-kvm"; the transport is another, and
everything is some thirty times slower. All machines of a session share one appliance, in turn.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from harness.engines.base import FIRMWARE, Availability, Boot, Say, silently
from harness.engines.bochs import Bochs
from harness.engines.qemu_command import set_up
from harness.engines.qemu_running import QemuRunning
from harness.verdict import RunEnded, Verdict, bad_usage

if TYPE_CHECKING:
    pass

_last: QemuRunning | None = None  # the machine of this process that the appliance runs, or ran


class QemuKvmInBochs:
    """The engine "qemu-kvm-in-bochs"."""

    name = "qemu-kvm-in-bochs"
    default_cpu = "host"
    control = frozenset({"qmp", "nmi", "reset", "registers", "memory", *FIRMWARE})
    processes: tuple[str, ...] = ("bochs-bin", "bochs")
    patience = 15.0

    def __init__(self, *, firmware: str = "qboot", extra: tuple[str, ...] = ()) -> None:
        self.firmware = firmware
        self.extra = extra  # more QEMU arguments

    def binary(self) -> Path | None:
        """Bochs."""
        return Bochs().binary()

    def version(self) -> str:
        """What is in the appliance, so that an older answer is not taken for a newer one's."""
        from harness.appliance import system
        from harness.appliance.unavailable import Unavailable

        with contextlib.suppress(Unavailable, OSError):
            qemu = system.qemu().stat()
            return f"{self.availability().reason} {qemu.st_size} {qemu.st_mtime_ns}"
        return ""

    def availability(self) -> Availability:
        """Is Bochs installed, and is there an appliance, or can one be made?"""
        from harness.appliance import assemble

        bochs = Bochs().availability()
        return assemble.availability() if bochs.usable else bochs

    def launch(self, boot: Boot, directory: Path, say: Say = silently) -> QemuRunning:
        """Wait for the appliance and start QEMU in it; see ``Engine.launch``."""
        from harness.appliance import system
        from harness.engines.qemu_appliance import ApplianceTransport

        global _last
        files = directory / "boot"
        files.mkdir(exist_ok=True)
        setup = set_up(
            boot, files, accelerator="kvm", cpu=boot.cpu_model or self.default_cpu,
            firmware=boot.firmware or self.firmware, extra=self.extra,
        )  # fmt: skip
        available = self.availability()
        if not available.usable:
            raise RunEnded(Verdict.ENGINE_MISSING, available.sentence)
        if _last is not None:
            if _last.end() is None:
                raise bad_usage(f"{self.name} runs one machine at a time: end the other one first.")
            _last.kill()
        transport = ApplianceTransport.start(str(system.qemu()), setup, directory, say)
        _last = QemuRunning(transport, boot.memory_mib << 20, "kvm", patience=self.patience)
        return _last
