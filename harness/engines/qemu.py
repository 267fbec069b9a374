"""QEMU on this host, with TCG (software, no VMX) or KVM (hardware)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from harness.engines import kvm
from harness.engines.base import FIRMWARE, Availability, Boot, Say, silently
from harness.engines.qemu_command import set_up
from harness.engines.qemu_local import LocalTransport
from harness.engines.qemu_running import QemuRunning
from harness.verdict import RunEnded, Verdict, bad_usage

INSTALL = "apt install qemu-system-x86"

_ROMS = ("/usr/share/qemu", "/usr/share/qemu-system", "/usr/local/share/qemu")

# Virtual time goes on by instructions and never waits for the host's, nor has the host's date.
_COUNTING = ("-icount", "shift=0,sleep=off", "-rtc", "base=2000-01-01,clock=vm")


def _installed(firmware: str, binary: Path) -> str:
    """``firmware``; but a QEMU that comes without qboot.rom has its own default only."""
    places = [*map(Path, _ROMS), binary.resolve().parent.parent / "share" / "qemu"]
    if firmware == "qboot" and not any((place / "qboot.rom").exists() for place in places):
        return "seabios"
    return firmware


class _Qemu:
    """What both accelerators share."""

    name: str
    default_cpu: str
    accelerator: str
    control: frozenset[str]
    processes: tuple[str, ...] = (
        "qemu-system-x86_64",
        "qemu-system-x86",
    )  # the second as the kernel cuts it

    patience = 1.0

    def __init__(self, *, firmware: str = "qboot", extra: tuple[str, ...] = ()) -> None:
        if firmware not in FIRMWARE:
            raise bad_usage(f"{firmware!r} is no firmware: it must be {' or '.join(FIRMWARE)}.")
        self.firmware = firmware
        self.extra = extra  # more QEMU arguments

    def binary(self) -> Path | None:
        """The program: $QEMU, else qemu-system-x86_64."""
        found = shutil.which(os.environ.get("QEMU") or "qemu-system-x86_64")
        return None if found is None else Path(found)

    def availability(self) -> Availability:
        """Is QEMU installed?"""
        binary = self.binary()
        if binary is None:
            named = os.environ.get("QEMU")
            reason = (
                f"$QEMU names {named}, which is no program"
                if named
                else "qemu-system-x86_64 is not installed"
            )
            return Availability(False, reason, INSTALL)
        return Availability(True, f"QEMU ({binary})")

    def launch(self, boot: Boot, directory: Path, say: Say = silently) -> QemuRunning:
        """Start QEMU on ``boot``; see ``Engine.launch``."""
        return self._launch(boot, directory)

    def restore(self, boot: Boot, directory: Path, saved: Path) -> QemuRunning:
        """Start QEMU with the state that `QemuRunning.save` wrote to ``saved``, paused."""
        running = self._launch(boot, directory, "-S")
        try:
            running.load(saved, directory)
        except BaseException:
            running.kill()
            raise
        return running

    def _launch(self, boot: Boot, directory: Path, *more: str) -> QemuRunning:
        available = self.availability()
        files = directory / "boot"
        binary = self.binary()
        files.mkdir(exist_ok=True)
        setup = set_up(
            boot, files, accelerator=self.accelerator, cpu=boot.cpu_model or self.default_cpu,
            firmware=_installed(boot.firmware or self.firmware, binary or Path()),
            extra=(*self.extra, *more),
        )  # fmt: skip
        if binary is None or not available.usable:
            raise RunEnded(
                Verdict.ENGINE_MISSING,
                available.sentence,
                facts={"remedy": available.remedy},
            )
        transport = LocalTransport.start(binary, setup, directory, files)
        return QemuRunning(
            transport, boot.memory_mib << 20, self.accelerator, until_tick=boot.until_tick
        )


class QemuTcg(_Qemu):
    """The engine "qemu-tcg": real QEMU on every machine, with AMD-V and without VMX."""

    name = "qemu-tcg"
    accelerator = "tcg"
    default_cpu = "max"
    control = frozenset(
        {"qmp", "nmi", "reset", "registers", "memory", "smp", "snapshots", *FIRMWARE}
    )

    def counting(self) -> QemuTcg:
        """The same with a clock that counts instructions: it runs half as fast, and repeats."""
        if "deterministic" in self.control:
            return self
        counting = QemuTcg(firmware=self.firmware, extra=(*self.extra, *_COUNTING))
        counting.control = self.control | {"deterministic"}
        return counting


class QemuKvm(_Qemu):
    """The engine "qemu-kvm": hardware speed, where this host's KVM nests."""

    name = "qemu-kvm"
    accelerator = "kvm"
    default_cpu = "host"
    control = frozenset({*QemuTcg.control, "hardware"})

    def availability(self) -> Availability:
        """Is QEMU installed, and does /dev/kvm offer virtualization to what runs in it?"""
        installed = super().availability()
        if not installed.usable:
            return installed
        answer = kvm.nesting()
        if not answer.usable:
            return answer
        return Availability(True, f"{installed.reason}, {answer.reason}")
