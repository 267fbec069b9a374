"""The same files booted by emulators without this harness: to what a boot is compared."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from harness import choose, project, supervise
from harness.engines.bochs import Bochs
from harness.engines.qemu import QemuTcg

_FIRST_WORDS = b"hv: Vanderpool"
_LIMIT = 120.0  # seconds
_BIOS = Path("/usr/share/bochs/BIOS-bochs-latest")
_VGABIOS = Path("/usr/share/vgabios/vgabios.bin")

_GRUB = """\
set timeout=0
menuentry vanderpool {
  multiboot /vanderpool.elf
  module /hello.bin hello.bin name=hello
}
"""
_BOCHSRC = """\
cpu: model={model}, ips={ips}, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest=128, host=128
romimage: file={bios}
vgaromimage: file={vgabios}
display_library: term
com1: enabled=1, mode=file, dev=com1
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path={cd}, status=inserted
boot: cdrom
clock: sync=none, time0=1000000000
log: bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
"""


class NotMeasured(Exception):
    """Why a figure can't be had here."""


def qemu_by_qboot() -> float:
    """Seconds from QEMU's start to the image's first words, as QEMU itself loads it."""
    hello = project.guest("hello")
    return _qemu(
        *("-bios", "qboot.rom", "-kernel", str(project.image())),
        *("-initrd", f"{hello} name=hello"),
    )


def qemu_by_grub(cd: Path) -> float:
    """Seconds from QEMU's start to the image's first words, by SeaBIOS and the CD's GRUB."""
    return _qemu("-cdrom", str(cd))


def bochs_by_grub(cd: Path) -> float:
    """Seconds from Bochs's start to the image's first words, by its BIOS and the CD's GRUB."""
    engine = Bochs()
    binary = engine.binary()
    missing = [str(file) for file in (_BIOS, _VGABIOS) if not file.exists()]
    if binary is None or missing:
        raise NotMeasured(f"needs {missing[0] if missing else 'bochs'}")
    with tempfile.TemporaryDirectory(prefix="vanderpool-bench-") as place:
        directory = Path(place)
        (directory / "bochsrc").write_text(
            _BOCHSRC.format(
                model=engine.default_cpu, ips=engine.ips, bios=_BIOS, vgabios=_VGABIOS, cd=cd
            )
        )
        os.mkfifo(directory / "com1")
        serial = os.open(directory / "com1", os.O_RDONLY | os.O_NONBLOCK)
        try:
            argv = (str(binary), "-q", "-f", "bochsrc", "-rc", "go")
            (directory / "go").write_text("c\n")  # its debugger is asked first
            return _to_first_words(argv, directory, serial)
        finally:
            os.close(serial)


def grub_cd(directory: Path) -> Path:
    """A CD in the empty ``directory`` that boots the hypervisor with hello by GRUB."""
    if shutil.which("grub-mkrescue") is None or shutil.which("xorriso") is None:
        raise NotMeasured("needs grub-mkrescue: apt install grub-common grub-pc-bin xorriso mtools")
    cd = directory / "vanderpool.iso"
    tree = directory / "cd"
    (tree / "boot" / "grub").mkdir(parents=True)
    (tree / "boot" / "grub" / "grub.cfg").write_text(_GRUB)
    shutil.copy(project.image(), tree / "vanderpool.elf")
    shutil.copy(project.guest("hello"), tree / "hello.bin")
    try:
        made = subprocess.run(
            ["grub-mkrescue", "-o", str(cd), str(tree)],
            capture_output=True,
            check=False,
            timeout=_LIMIT,
        )
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"grub-mkrescue did not end within {_LIMIT:g} s") from None
    if made.returncode:
        last = made.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise NotMeasured(f"grub-mkrescue: {' '.join(last)}")
    return cd


def qemu() -> str:
    """The program that the engines use too."""
    return str(QemuTcg().binary() or "qemu-system-x86_64")


def _qemu(*boot: str) -> float:
    choose.choose((), (), "qemu-tcg")  # raises RunEnded where there is none
    argv = (
        qemu(), "-machine", "q35,accel=tcg", "-cpu", "max", "-m", "128", "-nodefaults",
        "-no-user-config", "-display", "none", "-serial", "stdio", "-serial", "null",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=0x4", *boot,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="vanderpool-bench-") as place:
        return _to_first_words(argv, Path(place))


def _to_first_words(argv: Sequence[str], directory: Path, serial: int | None = None) -> float:
    """Seconds until the image's first words come by this descriptor; None: by standard output."""
    began = time.monotonic()
    process = supervise.spawn(
        tuple(argv), directory,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        environment={**os.environ, "TERM": "dumb"},
    )  # fmt: skip
    assert process.stdout is not None
    screen = process.stdout.fileno()
    source = screen if serial is None else serial
    try:
        seen = b""
        while _FIRST_WORDS not in seen:
            left = began + _LIMIT - time.monotonic()
            ready = supervise.readable(sorted({source, screen}), left)
            if left <= 0 or not ready:
                raise NotMeasured(f"{argv[0]} said nothing within {_LIMIT:g} s")
            for descriptor in ready:
                data = os.read(descriptor, 1 << 16)
                if not data:
                    raise NotMeasured(f"{argv[0]} ended before the image said anything")
                seen += data if descriptor == source else b""
        return time.monotonic() - began
    finally:
        supervise.end(process)
        process.stdout.close()
