"""Bochs: an Intel processor with VMX and EPT in software, on any machine.

The kernel is booted directly: a reset ROM that this harness writes, and one blob of RAM. No BIOS
and no boot loader run. Both serial ports connect to loopback listeners of ours; the built-in
debugger, over pipes, is the control channel.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from harness import multiboot
from harness.engines import bochs_process, rom
from harness.engines.base import Availability, Boot, Say, silently
from harness.engines.bochs_debugged import BochsDebugged
from harness.engines.bochs_running import BochsRunning
from harness.verdict import RunEnded, Verdict, bad_usage

# More than Bochs can hold itself it keeps in a file, and mixes up which part of it is where.
MOST_MEMORY_MIB = 2048

INSTALL = "apt install bochs bochsbios vgabios bochs-term"


class Bochs:
    """The engine "bochs"."""

    name = "bochs"
    default_cpu = "corei7_skylake_x"
    control = frozenset({"step", "registers", "memory", "deterministic", "smp", "firmware-msrs"})
    processes: tuple[str, ...] = ("bochs-bin", "bochs")
    patience = 1.0

    def __init__(self, *, ips: int = 4_000_000) -> None:
        self.ips = ips  # emulated instructions a second; high values starve the serial lines

    def binary(self) -> Path | None:
        """The program: $BOCHS, else bochs-bin (Debian's bochs is a shell script), else bochs."""
        names = [os.environ["BOCHS"]] if os.environ.get("BOCHS") else ["bochs-bin", "bochs"]
        found = next((path for name in names if (path := shutil.which(name))), None)
        return None if found is None else Path(found)

    def availability(self) -> Availability:
        """Is it installed, with the display that needs none?"""
        binary = self.binary()
        if binary is None:
            named = os.environ.get("BOCHS")
            if named:
                return Availability(False, f"$BOCHS names {named}, which is no program", INSTALL)
            return Availability(False, "bochs is not installed", INSTALL)
        plugins = [p for p in Path("/usr/lib").glob("*/bochs/plugins") if p.is_dir()]
        if plugins and not any((p / "libbx_term_gui.so").exists() for p in plugins):
            return Availability(False, "Bochs lacks its term display", "apt install bochs-term")
        return Availability(True, f"Bochs ({binary})")

    def launch(self, boot: Boot, directory: Path, say: Say = silently) -> BochsRunning:
        """Start Bochs on ``boot``; see ``Engine.launch``."""
        if boot.firmware is not None:
            raise bad_usage(f"bochs boots without firmware; a QEMU engine can run {boot.firmware}.")
        if boot.memory_mib > MOST_MEMORY_MIB:
            raise bad_usage(
                f"bochs has at most {MOST_MEMORY_MIB} MiB of memory for a machine, not"
                f" {boot.memory_mib}; a QEMU engine has more."
            )
        layout = multiboot.lay_out(boot)
        available = self.availability()
        binary = self.binary()
        if binary is None or not available.usable:
            raise RunEnded(
                Verdict.ENGINE_MISSING,
                available.sentence,
                facts={"remedy": available.remedy},
            )
        model = boot.cpu_model or self.default_cpu
        if not re.fullmatch(r"\w+", model):
            raise bad_usage(f"{model!r} is no name of a Bochs CPU model.")
        base = layout.kernel.start // rom.BLOCK * rom.BLOCK
        size = multiboot.write_blob(layout, directory / bochs_process.RAM_IMAGE, base)
        (directory / bochs_process.ROM_IMAGE).write_bytes(
            rom.build(
                entry=layout.kernel.entry, info=layout.info_address,
                base=base, size=size, cpus=boot.cpus, msrs=boot.msrs,
            )
        )  # fmt: skip
        hardware = bochs_process.Hardware(
            model=model,
            cpus=boot.cpus,
            ips=self.ips if boot.mips is None else boot.mips * 1_000_000,
            memory_mib=boot.memory_mib,
            base=base,
            ports=2,
            until_tick=boot.until_tick,
            freezes=boot.freezes,
            # Not before that: the ROM's first look at memory is what places the blob in it.
            stop_at=layout.kernel.entry if boot.stopped else None,
        )
        started = bochs_process.start(binary, directory, hardware)
        console, records = started.ports
        kind = BochsDebugged if boot.stopped else BochsRunning
        return kind(
            started.process,
            started.argv,
            directory,
            console,
            records,
            boot.memory_mib << 20,
            first_prompts=len(hardware.first_commands),
        )
