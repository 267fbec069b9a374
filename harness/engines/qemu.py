"""QEMU, with TCG (software, no VMX) or KVM (hardware): one command line, one control channel.

Serial lines and QMP are socketpairs whose other ends QEMU inherits: no port, no path. The
machine's RAM is a memory file that this process shares, so it can be read at any time, even after
the end. A reset or shutdown pauses the machine instead of ending the process.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from pathlib import Path

from harness import multiboot, supervise
from harness.engines import kvm
from harness.engines.base import Availability, Boot
from harness.engines.qemu_running import CPU_LOG, LOG, QemuRunning
from harness.engines.qmp import NEGOTIATE, Channel
from harness.verdict import RunEnded, Verdict, bad_usage

INSTALL = "apt install qemu-system-x86"

_LARGEST_LOG = 1 << 30  # bytes; bounds a log that a guest floods
_FIRMWARE = ("/usr/share/qemu", "/usr/share/qemu-system", "/usr/local/share/qemu")


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
        if boot.msrs:
            raise bad_usage(f"{self.name} can't set MSRs before the image runs; bochs can.")
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
                    argv,
                    files,
                    stderr=log,
                    pass_fds=(com1, com2, qmp, memory),
                    largest_file=memory_size + _LARGEST_LOG,
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
