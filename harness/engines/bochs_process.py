"""The Bochs process: its configuration, its serial ports, its start and its stillbirth."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from harness import supervise
from harness.engines import loopback
from harness.engines.bochs_running import LOG
from harness.engines.bochs_words import classify, dead, last_part
from harness.verdict import RunEnded, Verdict, bad_usage

CONNECTED_WITHIN = 20.0  # seconds; a loaded host is slow, a dead Bochs is noticed at once
CYLINDER = 16 * 63 * 512  # bytes, as Bochs divides a disk that it is not told more about
RAM_IMAGE = "ram.img"
ROM_IMAGE = "rom.img"

_LARGEST_LOG = 1 << 30  # bytes; bounds a log that a guest floods
_VGABIOS = Path("/usr/share/vgabios/vgabios.bin")

# Bochs's handler of SIGINT logs that it came, and hangs for good if that was while Bochs logged:
# so the log has what `bochs_words` looks for, and is silent otherwise.
_BOCHSRC = """\
cpu: model={model}, count={cpus}, ips={ips}, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest={memory}, host={memory}
romimage: file={rom}, address=0xffff0000
{vga}optramimage1: file={ram}, address={base:#x}
plugin_ctrl: speaker=0, biosdev=0, gameport=0, parallel=0, {plugins}usb_uhci=0
display_library: term
{ports}{disk}clock: sync=none, time0=1000000000
log: {log}
panic: action=fatal{report}
error: action=report
info: action=ignore{cpus_report}
debug: action=ignore
"""

_DISK = """\
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path={image}, mode=flat, cylinders=0
"""


@dataclass(frozen=True)
class Hardware:
    """The machine that Bochs is to be."""

    model: str  # Bochs's name of the processor
    cpus: int
    ips: int  # emulated instructions a second: one emulated second has that many ticks
    memory_mib: int
    base: int  # physical address of the blob, the file `RAM_IMAGE`
    ports: int  # serial ports, COM1 onwards
    disk: Path | None = None  # in the directory; a multiple of `CYLINDER` in size (bytes)
    until_tick: int | None = None  # stop in the debugger then
    freezes: bool = False  # stops in the debugger at a triple fault, or if the image asks for it
    stop_at: int | None = None  # stop in the debugger at this address, too, the first time

    @property
    def first_commands(self) -> tuple[str, ...]:
        """What the debugger is told before the machine is ours."""
        if self.stop_at is not None:
            return (f"lb {self.stop_at:#x}", "c", "d 1")
        return ("c",) if self.until_tick is None else (f"sba {self.until_tick}", "c")


@dataclass(frozen=True)
class Started:
    """A Bochs that runs, with a connection to each of its serial ports."""

    process: subprocess.Popen[bytes]
    argv: tuple[str, ...]
    ports: tuple[socket.socket, ...]


def start(binary: Path, directory: Path, hardware: Hardware) -> Started:
    """Start Bochs on `RAM_IMAGE` and `ROM_IMAGE`, which lie in ``directory``.

    Raises RunEnded: ENGINE_DIED with its last words, BAD_USAGE for a model that it doesn't know.
    """
    with contextlib.ExitStack() as stack:
        listeners = [
            stack.enter_context(contextlib.closing(loopback.listen()))
            for _ in range(hardware.ports)
        ]
        ports = "".join(
            f"com{number}: enabled=1, mode=socket-client,"
            f" dev=127.0.0.1:{listener.getsockname()[1]}\n"
            for number, listener in enumerate(listeners, 1)
        )
        disk = "" if hardware.disk is None else _DISK.format(image=hardware.disk.name)
        report = "".join(f", CPU{number}=report" for number in range(hardware.cpus))
        (directory / "bochsrc").write_text(
            _BOCHSRC.format(
                plugins="" if hardware.freezes else "iodebug=0, ",
                report=report if hardware.freezes else "",
                cpus_report=report,
                model=hardware.model, cpus=hardware.cpus, ips=hardware.ips,
                memory=hardware.memory_mib, base=hardware.base, ports=ports, disk=disk, log=LOG,
                rom=ROM_IMAGE, ram=RAM_IMAGE,
                vga=f"vgaromimage: file={_VGABIOS}\n" if _VGABIOS.exists() else "",
            )
        )  # fmt: skip
        return _start(binary, directory, hardware, listeners)


def _start(
    binary: Path, directory: Path, hardware: Hardware, listeners: list[socket.socket]
) -> Started:
    argv = (str(binary), "-q", "-f", "bochsrc")
    try:
        process = supervise.spawn(
            argv,
            directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            environment={**os.environ, "TERM": "dumb"},
            largest_file=(hardware.memory_mib << 20) + _LARGEST_LOG,
        )
    except OSError as error:
        raise RunEnded(
            Verdict.ENGINE_DIED, f"{binary} can't be started: {error.strerror}."
        ) from None
    accepted: list[socket.socket] = []
    try:
        deadline = time.monotonic() + CONNECTED_WITHIN
        for listener in listeners:
            connection = loopback.accept(listener, process, deadline)
            if connection is None:
                raise _stillborn(process, directory, hardware.model)
            accepted.append(connection)
        # Only now may it run: one that has ended can't be asked whose connection that was.
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # a Bochs that died meanwhile is noticed later
            process.stdin.write("".join(f"{line}\n" for line in hardware.first_commands).encode())
        return Started(process, argv, tuple(accepted))
    except BaseException:
        supervise.end(process)
        for stream in (process.stdin, process.stdout, *accepted):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        raise


def _stillborn(process: subprocess.Popen[bytes], directory: Path, model: str) -> RunEnded:
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
