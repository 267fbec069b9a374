"""QEMU, with TCG (software, no VMX) or KVM (hardware): one command line, one control channel.

Serial lines and QMP are socketpairs whose other ends QEMU inherits: no port, no path. The
machine's RAM is a memory file that this process shares, so it can be read at any time, even after
the end. A reset or shutdown pauses the machine instead of ending the process.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness import multiboot, supervise
from harness.engines import kvm
from harness.engines.base import Availability, Boot, End, EndKind, Unsupported
from harness.engines.qmp import NEGOTIATE, Channel, NoAnswer, Refused
from harness.verdict import RunEnded, Verdict, bad_usage

INSTALL = "apt install qemu-system-x86"
LOG = "engine.log"
CPU_LOG = "cpu.log"

_ANSWER_WITHIN = 10.0  # seconds for any QMP command
_FIRMWARE = ("/usr/share/qemu", "/usr/share/qemu-system", "/usr/local/share/qemu")

# What the monitor prints for `info registers`.
_SELECTOR = re.compile(r"^(ES|CS|SS|DS|FS|GS|LDT|TR) ?=([0-9a-f]{4})\b", re.MULTILINE)
_TABLE = re.compile(r"^(GDT|IDT)= +([0-9a-f]+) ([0-9a-f]+)", re.MULTILINE)


def _firmware(name: str, binary: Path) -> tuple[str, ...]:
    """The options for firmware ``name``: "qboot" (quick, where it is installed) or "seabios"."""
    if name == "qboot":
        places = [*map(Path, _FIRMWARE), binary.resolve().parent.parent / "share" / "qemu"]
        if any((place / "qboot.rom").exists() for place in places):
            return ("-bios", "qboot.rom")
    return ()


def command_line(
    binary: Path,
    boot: Boot,
    *,
    accelerator: str,
    cpu: str,
    firmware: str,
    kernel: str,
    modules: list[str],
    com1: int,
    com2: int,
    qmp: int,
    memory: int,
) -> tuple[str, ...]:
    """QEMU's arguments; the last four parameters are descriptors that it inherits."""
    size = f"{boot.memory_mib}M"
    arguments = [
        str(binary),
        "-nodefaults", "-no-user-config", "-display", "none",
        "-machine", f"q35,accel={accelerator},memory-backend=ram",
        "-object",
        f"memory-backend-file,id=ram,size={size},mem-path=/proc/self/fd/{memory},share=on",
        "-m", size, "-smp", str(boot.cpus), "-cpu", cpu,
        *_firmware(firmware, binary),
        "-chardev", f"socket,id=com1,fd={com1}", "-serial", "chardev:com1",
        "-chardev", f"socket,id=com2,fd={com2}", "-serial", "chardev:com2",
        "-chardev", f"socket,id=qmp,fd={qmp}", "-mon", "chardev=qmp,mode=control",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=0x4",
        "-action", "reboot=shutdown,shutdown=pause",
        "-d", "cpu_reset", "-D", f"../{CPU_LOG}",
        "-kernel", kernel,
    ]  # fmt: skip
    if boot.command_line:
        arguments += ["-append", boot.command_line]
    if modules:
        arguments += ["-initrd", ",".join(m.replace(",", ",,") for m in modules)]
    return tuple(arguments)


class QemuRunning:
    """One QEMU process, with QMP behind it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        argv: tuple[str, ...],
        directory: Path,
        console: socket.socket,
        records: socket.socket,
        channel: Channel,
        memory: int,
        memory_size: int,
        accelerator: str,
    ) -> None:
        self.process = process
        self.argv = argv
        self.console = console
        self.records = records
        self.idle: Callable[[], None] = _nothing
        self._directory = directory
        self._channel = channel
        self._memory = memory  # descriptor of the file that is the machine's RAM
        self._memory_size = memory_size
        self._accelerator = accelerator
        self._end: End | None = None
        self._killed = False
        self._resets = 0  # SHUTDOWN events that `reset` has asked for

    def wakeups(self) -> tuple[int, ...]:
        """QMP's news."""
        return (self._channel.fileno(),)

    def service(self) -> None:
        """Events are in the list already; note that they were seen."""
        self._channel.clear()

    @property
    def events(self) -> list[dict[str, Any]]:
        """QMP events so far, oldest first."""
        return self._channel.events

    def end(self) -> End | None:
        """How the machine ended: by an event, then the process still holds it; or by its exit."""
        if self._end is None:
            self._end = self._end_by_event() or self._end_by_exit()
        return self._end

    def _end_by_event(self) -> End | None:
        for event in self.events:
            data = event.get("data", {})
            if event["event"] == "GUEST_PANICKED":
                return End(EndKind.GUEST_PANIC, None, "GUEST_PANICKED")
            if event["event"] == "SHUTDOWN":
                reason = str(data.get("reason"))
                if reason == "guest-reset":
                    return End(self._reset_kind(), None, reason)
                if reason == "guest-shutdown":
                    return End(EndKind.POWER_OFF, None, reason)
                if reason == "guest-panic":
                    return End(EndKind.GUEST_PANIC, None, reason)
        if self._channel.status == "internal-error":
            return End(EndKind.DIED, None, "\n".join(self._words()) or "KVM internal error")
        return None

    def _reset_kind(self) -> EndKind:
        """A triple fault and a reset are the same event; TCG tells them apart in its log."""
        if self._accelerator != "tcg":
            return EndKind.TRIPLE_FAULT
        with contextlib.suppress(OSError), (self._directory / CPU_LOG).open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - (1 << 16)))
            if b"Triple fault" not in log.read(1 << 16):
                return EndKind.RESET
        return EndKind.TRIPLE_FAULT

    def _end_by_exit(self) -> End | None:
        status = self.process.poll()
        if status is None:
            return None
        if self._killed:
            return End(EndKind.KILLED)
        words = self._words()
        # isa-debug-exit makes the status (code << 1) | 1; QEMU's own failures are 1 with an error.
        if status > 0 and status & 1 and not (status == 1 and _errors(words)):
            return End(EndKind.POWER_OFF, status >> 1, f"exit status {status}")
        if status == 0:
            return End(EndKind.POWER_OFF, None, "exit status 0")
        if status < 0:
            words.insert(0, f"killed by {signal.Signals(-status).name}")
        return End(EndKind.DIED, None, "\n".join(words) or f"exit status {status}")

    def _words(self) -> list[str]:
        return last_words(self._directory / LOG)

    # Control

    def qmp(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        """Execute a QMP command. BAD_USAGE if QEMU refuses it; killed and ENGINE_DIED if silent."""
        try:
            return self._channel.execute(command, arguments or {}, _ANSWER_WITHIN)
        except Refused as error:
            raise bad_usage(f"QEMU refused {command}: {error}.") from None
        except NoAnswer as error:
            ended = supervise.wait(self.process, 0.2)
            words = self._words() if ended else []
            if not ended:
                self._end = End(EndKind.DIED, None, f"stopped answering: {error}")
                self.kill()
            what = "ended by itself" if ended else "stopped answering, and was ended"
            raise RunEnded(
                Verdict.ENGINE_DIED,
                f"QEMU {what}: {error}.",
                evidence=tuple(words),
            ) from None

    def monitor(self, command: str, cpu: int = 0) -> str:
        """What QEMU's human monitor prints for ``command`` with ``cpu`` selected."""
        arguments = {"command-line": command, "cpu-index": cpu}
        return str(self.qmp("human-monitor-command", arguments))

    def pause(self) -> None:
        """Stop every CPU."""
        self.qmp("stop")

    def resume(self) -> None:
        """Let every CPU run on."""
        self.qmp("cont")

    def reset(self) -> None:
        """Reset, and run on from the firmware."""
        # The -action that makes a guest's reset visible must stand aside for ours.
        self.qmp("set-action", {"reboot": "reset"})
        try:
            seen = len(self.events)
            self.qmp("system_reset")
            while not any(e["event"] == "RESET" for e in self.events[seen:]):
                self.qmp("query-status")  # a round trip: events come before its answer
                self.idle()
        finally:
            self.qmp("set-action", {"reboot": "shutdown"})

    def nmi(self) -> None:
        """Send an NMI."""
        self.qmp("inject-nmi")

    def step(self) -> None:
        """Not offered over QMP."""
        raise Unsupported("QEMU steps through its gdbstub only; use bochs")

    def registers(self, cpu: int = 0) -> Mapping[str, int]:
        """Registers, from the human monitor."""
        return parse_registers(self.monitor("info registers", cpu))

    def read_physical(self, address: int, length: int) -> bytes:
        """Physical memory: out of the shared memory file; through QEMU where no RAM is."""
        if length <= 0:
            return b""
        if self._is_ram(address, length):
            data = bytearray()
            while len(data) < length:  # one pread gives 2 GiB at most
                data += os.pread(self._memory, length - len(data), address + len(data))
            return bytes(data)
        file = self._directory / "memory.bin"
        self.qmp("pmemsave", {"val": address, "size": length, "filename": str(file.resolve())})
        data = bytearray(file.read_bytes())
        file.unlink()
        return bytes(data)

    def write_physical(self, address: int, data: bytes) -> None:
        """Write RAM through the shared file. Code that ran may stay as it was translated."""
        if not self._is_ram(address, len(data)):
            raise bad_usage(f"{address:#x} is not in the machine's memory.")
        done = 0
        while done < len(data):
            done += os.pwrite(self._memory, data[done:], address + done)

    def _is_ram(self, address: int, length: int) -> bool:
        end = address + length
        low = address >= 0 and end <= 0xA0000  # the display and the firmware lie above
        return low or (address >= 0x100000 and end <= self._memory_size)

    def kill(self) -> None:
        """SIGTERM, then SIGKILL; release everything."""
        if self.process.poll() is None:
            self._killed = True
        supervise.end(self.process, soft=self.process.terminate)
        self.end()
        self._channel.close()
        self.console.close()
        self.records.close()
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1


def _nothing() -> None:
    pass


def last_words(log: Path) -> list[str]:
    """The last lines that QEMU wrote to standard error, the most telling one first."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - (1 << 16)))
            text = file.read(1 << 16).decode("utf-8", "replace")
    except OSError:
        return []
    lines = [line.strip() for line in text.splitlines() if line.strip()][-12:]
    return [*_errors(lines)[-1:], *(line for line in lines if line not in _errors(lines)[-1:])]


def _errors(lines: list[str]) -> list[str]:
    return [
        line for line in lines
        if re.match(r"\S*qemu\S*: ", line) and ": warning: " not in line and ": info: " not in line
    ]  # fmt: skip


def parse_registers(text: str) -> dict[str, int]:
    """Registers out of the monitor's `info registers`, by lower-case manual name."""
    found: dict[str, int] = {}
    for name, value in re.findall(r"\b([A-Z][A-Z0-9]{1,4}) ?=([0-9a-f]{8,16})\b", text):
        found[name.lower()] = int(value, 16)
    for name, selector in _SELECTOR.findall(text):
        found[name.lower()] = int(selector, 16)
    for name, base, limit in _TABLE.findall(text):
        found[f"{name.lower()}r"] = int(base, 16)
        found[f"{name.lower()}r_limit"] = int(limit, 16)
    for old, new in (("rfl", "rflags"), ("efl", "rflags")):
        if old in found:
            found[new] = found.pop(old)
    for name in ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp", "ip"):  # 32-bit mode names
        if f"e{name}" in found:
            found[f"r{name}"] = found.pop(f"e{name}")
    return found


def _link(directory: Path, word: str, target: Path, taken: dict[str, Path]) -> str:
    """Make ``target`` reachable from ``directory`` as ``word``, the name that the kernel gets."""
    source = target.resolve()
    if word in taken:
        if taken[word] != source:
            raise bad_usage(f"two different modules are both called {word}.")
        return word
    if word == str(source):
        return word
    place = Path(word)
    if place.is_absolute() or ".." in place.parts:
        raise bad_usage(f"the module string of {target} must start with a plain file name.")
    link = directory / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(source)
    taken[word] = source
    return word


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

    def __init__(self, *, firmware: str = "qboot", extra: tuple[str, ...] = ()) -> None:
        if firmware not in ("qboot", "seabios"):
            raise bad_usage(f"{firmware!r} is no firmware: it must be qboot or seabios.")
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

    def launch(self, boot: Boot, directory: Path) -> QemuRunning:
        """Start QEMU on ``boot``; see ``Engine.launch``."""
        layout = multiboot.lay_out(boot)
        available = self.availability()
        binary = self.binary()
        if binary is None or not available.usable:
            hint = f"; `{available.remedy}` would provide it" if available.remedy else ""
            raise RunEnded(
                Verdict.ENGINE_MISSING,
                f"{available.reason}{hint}.",
                facts={"remedy": available.remedy},
            )
        cpu = boot.cpu_model or self.default_cpu
        files = directory / "boot"
        files.mkdir(exist_ok=True)
        taken: dict[str, Path] = {}
        kernel = multiboot.file_word(boot.image)
        if layout.kernel.native:
            _link(files, kernel, boot.image, taken)
        else:  # QEMU's loader takes ELF32 only
            multiboot.write_elf32(layout.kernel, files / kernel)
            taken[kernel] = files / kernel
        modules = []
        for module in boot.modules:
            # QEMU opens the string's first word, and hands the whole string to the kernel.
            string = module.string.strip() or multiboot.file_word(module.path)
            _link(files, string.split(" ", 1)[0], module.path, taken)
            modules.append(string)
        return self._start(binary, boot, directory, files, cpu, kernel, modules)

    def _start(
        self,
        binary: Path,
        boot: Boot,
        directory: Path,
        files: Path,
        cpu: str,
        kernel: str,
        modules: list[str],
    ) -> QemuRunning:
        memory_size = boot.memory_mib << 20
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            pairs = [socket.socketpair() for _ in range(3)]
            for mine, its in pairs:
                ours.callback(mine.close)
                theirs.callback(its.close)
            memory = os.memfd_create("vanderpool-ram", os.MFD_CLOEXEC)
            ours.callback(os.close, memory)
            os.ftruncate(memory, memory_size)
            com1, com2, qmp = (its.fileno() for _, its in pairs)
            argv = (
                *command_line(
                    binary, boot, accelerator=self.accelerator, cpu=cpu, firmware=self.firmware,
                    kernel=kernel, modules=modules, com1=com1, com2=com2, qmp=qmp, memory=memory,
                ),
                *self.extra,
            )  # fmt: skip
            pairs[2][0].sendall(NEGOTIATE)
            log = theirs.enter_context((directory / LOG).open("wb"))
            (directory / CPU_LOG).unlink(missing_ok=True)
            try:
                process = supervise.spawn(
                    argv, files, stderr=log, pass_fds=(com1, com2, qmp, memory)
                )
            except OSError as error:
                raise RunEnded(
                    Verdict.ENGINE_DIED, f"{binary} can't be started: {error.strerror}."
                ) from None
            running = QemuRunning(
                process, argv, directory, pairs[0][0], pairs[1][0], Channel(pairs[2][0]),
                memory, memory_size, self.accelerator,
            )  # fmt: skip
            ours.pop_all()
            return running


class QemuTcg(_Qemu):
    """The engine "qemu-tcg": real QEMU on every machine, without VMX."""

    name = "qemu-tcg"
    accelerator = "tcg"
    default_cpu = "max"
    control = frozenset({"qmp", "nmi", "reset", "registers", "memory", "smp"})


class QemuKvm(_Qemu):
    """The engine "qemu-kvm": hardware speed, where this host's KVM nests."""

    name = "qemu-kvm"
    accelerator = "kvm"
    default_cpu = "host"
    control = frozenset({"qmp", "nmi", "reset", "registers", "memory", "smp", "hardware"})

    def availability(self) -> Availability:
        """Is QEMU installed, and does /dev/kvm offer virtualization to what runs in it?"""
        installed = super().availability()
        if not installed.usable:
            return installed
        answer = kvm.nesting()
        if not answer.usable:
            return answer
        return Availability(True, f"{installed.reason}, {answer.reason}")
