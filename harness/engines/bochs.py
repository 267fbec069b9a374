"""Bochs: an Intel processor with VMX and EPT in software, on any machine.

The kernel is booted directly: a reset ROM that this harness writes, and one blob of RAM. No BIOS
and no boot loader run. Both serial ports connect to loopback listeners of ours; the built-in
debugger, over pipes, is the control channel.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

from harness import multiboot, supervise
from harness.engines import loopback, rom
from harness.engines.base import Availability, Boot
from harness.engines.bochs_running import LOG, BochsRunning
from harness.engines.bochs_words import classify, dead, last_part
from harness.verdict import RunEnded, Verdict, bad_usage

INSTALL = "apt install bochs bochsbios vgabios bochs-term"

CONNECTED_WITHIN = 20.0  # seconds; a loaded host is slow, a dead Bochs is noticed at once
_LARGEST_LOG = 1 << 30  # bytes; bounds a log that a guest floods
_VGABIOS = Path("/usr/share/vgabios/vgabios.bin")

_BOCHSRC = """\
cpu: model={model}, count={cpus}, ips={ips}, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest={memory}, host={memory}
romimage: file=rom.img, address=0xffff0000
{vga}optramimage1: file=ram.img, address={base:#x}
plugin_ctrl: speaker=0, biosdev=0, gameport=0, parallel=0, iodebug=0, usb_uhci=0
display_library: term
com1: enabled=1, mode=socket-client, dev=127.0.0.1:{com1}
com2: enabled=1, mode=socket-client, dev=127.0.0.1:{com2}
clock: sync=none, time0=1000000000
log: {log}
panic: action=fatal
error: action=report
info: action=report
debug: action=ignore
"""


class Bochs:
    """The engine "bochs"."""

    name = "bochs"
    default_cpu = "corei7_skylake_x"
    control = frozenset({"step", "registers", "memory", "deterministic", "smp", "firmware-msrs"})
    processes: tuple[str, ...] = ("bochs-bin", "bochs")

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

    def launch(self, boot: Boot, directory: Path) -> BochsRunning:
        """Start Bochs on ``boot``; see ``Engine.launch``."""
        layout = multiboot.lay_out(boot)
        available = self.availability()
        binary = self.binary()
        if binary is None or not available.usable:
            raise RunEnded(
                Verdict.ENGINE_MISSING,
                f"{available.reason}; `{available.remedy}` would provide it.",
                facts={"remedy": available.remedy},
            )
        model = boot.cpu_model or self.default_cpu
        if not re.fullmatch(r"\w+", model):
            raise bad_usage(f"{model!r} is no name of a Bochs CPU model.")
        base = layout.kernel.start // rom.BLOCK * rom.BLOCK
        size = multiboot.write_blob(layout, directory / "ram.img", base)
        (directory / "rom.img").write_bytes(
            rom.build(
                entry=layout.kernel.entry, info=layout.info_address,
                base=base, size=size, cpus=boot.cpus, msrs=boot.msrs,
            )
        )  # fmt: skip
        with (
            contextlib.closing(loopback.listen()) as com1,
            contextlib.closing(loopback.listen()) as com2,
        ):
            (directory / "bochsrc").write_text(
                _BOCHSRC.format(
                    model=model, cpus=boot.cpus, ips=self.ips, memory=boot.memory_mib, base=base,
                    vga=f"vgaromimage: file={_VGABIOS}\n" if _VGABIOS.exists() else "",
                    com1=com1.getsockname()[1], com2=com2.getsockname()[1], log=LOG,
                )
            )  # fmt: skip
            return self._start(binary, directory, model, boot.memory_mib << 20, com1, com2)

    def _start(
        self,
        binary: Path,
        directory: Path,
        model: str,
        memory_size: int,
        com1: socket.socket,
        com2: socket.socket,
    ) -> BochsRunning:
        argv = (str(binary), "-q", "-f", "bochsrc")
        try:
            process = supervise.spawn(
                argv,
                directory,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                environment={**os.environ, "TERM": "dumb"},
                largest_file=memory_size + _LARGEST_LOG,
            )
        except OSError as error:
            raise RunEnded(
                Verdict.ENGINE_DIED, f"{binary} can't be started: {error.strerror}."
            ) from None
        accepted: list[socket.socket] = []
        try:
            deadline = time.monotonic() + CONNECTED_WITHIN
            for listener in (com1, com2):
                connection = loopback.accept(listener, process, deadline)
                if connection is None:
                    raise self._stillborn(process, directory, model)
                accepted.append(connection)
            # Only now may it run: one that has ended can't be asked whose connection that was.
            assert process.stdin is not None
            with contextlib.suppress(OSError):  # a Bochs that died meanwhile is noticed later
                process.stdin.write(b"c\n")
            return BochsRunning(process, argv, directory, accepted[0], accepted[1], memory_size)
        except BaseException:
            supervise.end(process)
            for stream in (process.stdin, process.stdout, *accepted):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            raise

    def _stillborn(self, process: subprocess.Popen[bytes], directory: Path, model: str) -> RunEnded:
        ended = process.poll() is not None
        status = supervise.end(process)
        assert process.stdout is not None
        output = (process.stdout.read() or b"").decode("utf-8", "replace")
        if not ended:
            return RunEnded(
                Verdict.ENGINE_DIED,
                f"Bochs did not connect its serial ports within {CONNECTED_WITHIN:g} s.",
                evidence=tuple(output.splitlines()[-8:]),
            )
        if "wrong value for parameter 'model'" in output:
            return bad_usage(f"Bochs has no CPU model {model!r}; `bochs --help cpu` lists them.")
        return dead(classify(last_part(directory / LOG), output, status))
