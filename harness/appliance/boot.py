"""The appliance in Bochs: started, watched until its agent serves, and ended."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from harness import cpio, multiboot, supervise
from harness.appliance import agent, pvh
from harness.appliance.agent import Agent, Ready
from harness.appliance.assemble import Parts
from harness.engines import bochs_process, rom
from harness.engines.bochs import Bochs
from harness.engines.bochs_running import BochsRunning
from harness.verdict import RunEnded, Verdict, bad_usage

MEMORY_MIB = 512
MODEL = "corei7_skylake_x"
IPS = 10_000_000  # instructions in one emulated second: more would starve the serial lines
PORTS = 4
DISK = "disk.img"
DISK_SIZE = 261 * bochs_process.CYLINDER  # bytes: more than the largest file that the agent takes
UP_WITHIN = 200.0  # seconds of the emulator's own CPU time: a busy host does not count
GIVEN_UP_AFTER = 900.0  # seconds on the clock, whatever the reason
FILES = "files"  # where the agent's store is

_WHOLE_NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]{0,127}")  # as the agent has it
_SLICE = 1.0  # seconds between two looks at the emulator's CPU time

# What Linux would do on its way up that nobody needs here, and that takes it long.
_LEFT_OUT = (
    "trace_eval_init",  # names for tracing: 79 million instructions
    "init_kprobe_trace",  # waits for the former
    "cubictcp_register",  # types for BPF: 47 million
)
COMMAND_LINE = " ".join(
    (
        "console=ttyS0 quiet iomem=relaxed rdinit=/init panic=-1 8250.nr_uarts=4",
        f"tsc=reliable tsc_early_khz={IPS // 1000}",
        "mitigations=off nokaslr cryptomgr.notests init_on_alloc=0",
        f"initcall_blacklist={','.join(_LEFT_OUT)}",
    )
)


class Appliance:
    """A live appliance. A context: leaving it ends the appliance."""

    def __init__(
        self,
        running: BochsRunning,
        ports: tuple[socket.socket, ...],
        disk: Path,
        ready: Ready,
    ) -> None:
        self.process: subprocess.Popen[bytes] = running.process
        self.argv = running.argv
        self.control = running.console  # ttyS0: the agent's
        self.ports = ports  # ttyS1, ttyS2, ttyS3: what runs in it may use them
        self.disk = disk  # what `Agent` hands files over by
        self.ready = ready
        self._running = running

    def close(self) -> None:
        """End it now. Idempotent; never raises."""
        self._running.kill()
        for port in self.ports:
            port.close()

    def __enter__(self) -> Appliance:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start(parts: Parts, directory: Path, extra: Mapping[str, Path]) -> Appliance:
    """Start the appliance with the files ``extra`` in its store, by name; wait until it serves.

    Bochs' files and log go to ``directory``, which exists. Raises RunEnded: ENGINE_MISSING without
    Bochs, BAD_USAGE if ``extra`` can't be used, ENGINE_DIED with the console's tail.
    """
    bochs = Bochs()
    available, binary = bochs.availability(), bochs.binary()
    if binary is None or not available.usable:
        raise RunEnded(
            Verdict.ENGINE_MISSING,
            available.sentence,
            facts={"remedy": available.remedy},
        )
    base = _write_images(parts, directory, extra)
    disk = directory / DISK
    with disk.open("wb") as file:
        file.truncate(DISK_SIZE)
    hardware = bochs_process.Hardware(MODEL, 1, IPS, MEMORY_MIB, base, PORTS, disk)
    started = bochs_process.start(binary, directory, hardware)
    control, *ports = started.ports
    running = BochsRunning(
        started.process, started.argv, directory, control, ports[0], MEMORY_MIB << 20
    )
    try:
        return Appliance(running, tuple(ports), disk, _await_ready(running))
    except BaseException:
        running.kill()
        for port in ports:
            port.close()
        raise


def _write_images(parts: Parts, directory: Path, extra: Mapping[str, Path]) -> int:
    """Write what Bochs loads; the physical address at which the blob starts."""
    archives = [parts.initramfs]
    if extra:
        if bad := [name for name in extra if not _WHOLE_NAME.fullmatch(name)]:
            raise bad_usage(f"{bad[0]!r} is no plain name for a file in the appliance.")
        archives.append(directory / "extra.cpio")
        entries = {f"{FILES}/{name}": cpio.File(path) for name, path in extra.items()}
        try:
            with archives[1].open("wb") as out:
                cpio.write(out, entries)
        except (OSError, ValueError) as error:
            raise bad_usage(f"a file for the appliance can't be packed: {error}.") from None
    layout = pvh.lay_out(parts.vmlinux, archives, COMMAND_LINE, MEMORY_MIB)
    base = layout.kernel.start // rom.BLOCK * rom.BLOCK
    size = multiboot.write_blob(layout, directory / bochs_process.RAM_IMAGE, base)
    (directory / bochs_process.ROM_IMAGE).write_bytes(
        rom.build(
            entry=layout.kernel.entry, info=layout.info_address, base=base, size=size, cpus=1
        )
    )  # fmt: skip
    return base


def _await_ready(running: BochsRunning) -> Ready:
    """Wait until the agent serves; RunEnded as soon as it is clear that it never will."""
    waiting = Agent(running.console)
    started = time.monotonic()
    while True:
        with supervise.ProcessEnd(running.process) as ended:
            supervise.readable((waiting.fileno(), ended.fileno()), _SLICE)
        running.service()
        waiting.service()
        if waiting.ready is not None:
            break
        if (end := running.end()) is not None:
            words = next((line for line in waiting.console if "Kernel panic" in line), end.words)
            first = (words.splitlines() or ["it said nothing"])[0]
            raise waiting.dead(f"the appliance did not come up: {first}")
        used = _cpu_seconds(running.process.pid)
        if used > UP_WITHIN or time.monotonic() - started > GIVEN_UP_AFTER:
            raise waiting.dead(f"the appliance did not come up in {used:.0f} s of emulation")
    if waiting.ready.version != agent.VERSION:
        raise waiting.dead(f"the appliance's agent has version {waiting.ready.version}")
    return waiting.ready


def _cpu_seconds(pid: int) -> float:
    """The CPU time that a process has used; 0 where that can't be seen."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0
