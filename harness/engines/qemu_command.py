"""QEMU's command line: one builder for every engine that is a QEMU, wherever that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import multiboot
from harness.engines.base import FIRMWARE, Boot
from harness.guest import file_word
from harness.verdict import bad_usage


@dataclass(frozen=True)
class Setup:
    """One QEMU to start: everything that does not depend on how it is reached."""

    boot: Boot
    accelerator: str
    cpu: str
    firmware: str  # one of `base.FIRMWARE`
    kernel: str
    modules: tuple[str, ...]  # the strings that the kernel gets; the first word names a file
    files: Mapping[str, Path]  # what QEMU must find in its working directory, by name
    extra: tuple[str, ...] = ()  # more arguments


@dataclass(frozen=True)
class Lines:
    """How QEMU is reached, in its own words: the backend of each -chardev, and file names."""

    com1: str
    com2: str
    qmp: str
    cpu_log: str
    memory: str = ""  # a file that is to be the machine's RAM; "": QEMU's own memory


def set_up(
    boot: Boot,
    directory: Path,
    *,
    accelerator: str,
    cpu: str,
    firmware: str,
    extra: tuple[str, ...],
) -> Setup:
    """Name the files of ``boot`` as the kernel will hear of them; ``directory`` is for new ones.

    Raises RunEnded BAD_USAGE for an image or a module that can't be loaded, or no such firmware.
    """
    if firmware not in FIRMWARE:
        raise bad_usage(f"{firmware!r} is no firmware: it must be {' or '.join(FIRMWARE)}.")
    if boot.until_tick is not None and not counts(extra):
        raise bad_usage(
            "QEMU can't stop at a tick where it does not count instructions, as it does for a "
            "scenario that requires deterministic; bochs can."
        )
    if boot.msrs:
        raise bad_usage("QEMU can't set MSRs before the image runs; bochs can.")
    layout = multiboot.lay_out(boot)
    files: dict[str, Path] = {}
    kernel = file_word(boot.image)
    if layout.kernel.native:
        _name(files, kernel, boot.image)
    else:  # QEMU's loader takes ELF32 only
        files[kernel] = directory / kernel
        multiboot.write_elf32(layout.kernel, files[kernel])
    modules = []
    for module in boot.modules:
        # QEMU opens the string's first word, and hands the whole string to the kernel.
        string = module.string.strip() or file_word(module.path)
        _name(files, string.split(" ", 1)[0], module.path)
        modules.append(string)
    return Setup(boot, accelerator, cpu, firmware, kernel, tuple(modules), files, extra)


def counts(arguments: Sequence[str]) -> bool:
    """Whether a QEMU with these arguments counts instructions: each is a tick of virtual time."""
    return "-icount" in arguments


def _name(files: dict[str, Path], word: str, target: Path) -> None:
    """Let QEMU find ``target`` as ``word``, the name that the kernel gets."""
    source = target.resolve()
    if files.get(word, source) != source:
        raise bad_usage(f"two different modules are both called {word}.")
    place = Path(word)
    if word != str(source) and (place.is_absolute() or ".." in place.parts):
        raise bad_usage(f"the module string of {target} must start with a plain file name.")
    files[word] = source


def command_line(program: str, setup: Setup, lines: Lines) -> tuple[str, ...]:
    """QEMU's arguments."""
    boot = setup.boot
    size = f"{boot.memory_mib}M"
    machine = f"q35,accel={setup.accelerator}"
    arguments = [program, "-nodefaults", "-no-user-config", "-display", "none"]
    if lines.memory:
        machine += ",memory-backend=ram"
        backend = f"memory-backend-file,id=ram,size={size},mem-path={lines.memory},share=on"
        arguments += ["-object", backend]
    arguments += [
        "-machine", machine, "-m", size, "-smp", str(boot.cpus), "-cpu", setup.cpu,
        *(("-bios", "qboot.rom") if setup.firmware == "qboot" else ()),
        "-chardev", f"{lines.com1},id=com1", "-serial", "chardev:com1",
        "-chardev", f"{lines.com2},id=com2", "-serial", "chardev:com2",
        "-chardev", f"{lines.qmp},id=qmp", "-mon", "chardev=qmp,mode=control",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=0x4", "-device", "pvpanic",
        "-action", "reboot=shutdown,shutdown=pause,panic=pause",
        "-d", "cpu_reset", "-D", lines.cpu_log,
        "-kernel", setup.kernel,
    ]  # fmt: skip
    if boot.command_line:
        arguments += ["-append", boot.command_line]
    if setup.modules:
        arguments += ["-initrd", ",".join(m.replace(",", ",,") for m in setup.modules)]
    return (*arguments, *setup.extra)
