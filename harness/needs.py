"""What this machine is, and which of its system's packages set-up has to ask for.

Only decisions: nothing here changes anything. Standard library alone, like `bootstrap`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Host:
    """The machine as set-up sees it. Tests build one by hand; `here` measures the real one."""

    name: str
    manager: str  # "apt-get", "dnf", "pacman", "brew", or "" where we know none
    machine: str = "x86_64"
    cross: str = ""  # CROSS_COMPILE: what the compiler's name starts with
    path: str = ""  # where programs are looked for
    files: Path = Path("/")  # where the file system starts
    has_ensurepip: bool = True

    def which(self, program: str) -> str | None:
        """The full path of ``program``, or None."""
        return shutil.which(program, path=self.path)


def describe(os_release: str, platform: str) -> tuple[str, str]:
    """The system's name and its package manager, from /etc/os-release's text and sys.platform."""
    if platform == "darwin":
        return "macOS", "brew"
    facts = dict(re.findall(r"^([A-Z_]+)=[\"']?(.*?)[\"']?$", os_release, re.MULTILINE))
    families = {facts.get("ID", ""), *facts.get("ID_LIKE", "").split()}
    name = facts.get("PRETTY_NAME") or facts.get("NAME") or platform
    for manager, known in (
        ("apt-get", {"debian", "ubuntu"}),
        ("dnf", {"fedora", "rhel", "centos"}),
        ("pacman", {"arch"}),
    ):
        if families & known:
            return name, manager
    return name, ""


def here() -> Host:
    """This machine."""
    text = ""
    for place in ("/etc/os-release", "/usr/lib/os-release"):
        with contextlib.suppress(OSError):
            text = Path(place).read_text(encoding="utf-8", errors="replace")
            break
    name, manager = describe(text, sys.platform)
    importlib.invalidate_caches()  # a package may have come since the last look
    return Host(
        name=name,
        manager=manager,
        machine=os.uname().machine,
        cross=os.environ.get("CROSS_COMPILE", ""),
        path=os.environ.get("PATH", os.defpath),
        has_ensurepip=importlib.util.find_spec("ensurepip") is not None,
    )


# What it needs


@dataclass(frozen=True)
class Part:
    """Something set-up needs: what people call it, how to see it, and its package by manager."""

    what: str
    present: Callable[[Host], bool]
    packages: dict[str, str] = field(default_factory=dict)


def program(name: str) -> Callable[[Host], bool]:
    """A test for a program in PATH."""
    return lambda host: host.which(name) is not None


def bochs_file(pattern: str) -> Callable[[Host], bool]:
    """A test for a file that Debian packages beside Bochs; other builds bring it along."""

    def present(host: Host) -> bool:
        bochs = host.which("bochs")
        packaged = host.manager == "apt-get" and bochs in (None, str(host.files / "usr/bin/bochs"))
        return not packaged or any(host.files.glob(pattern))

    return present


def c_library(host: Host) -> Part:
    """The headers of the C library: static_assert is in one, and tests compile C for the host."""
    cross = host.cross == "x86_64-linux-gnu-" and not native(host)
    where = "usr/x86_64-linux-gnu/include" if cross else "usr/include"
    package = "libc6-dev-amd64-cross" if cross else "libc6-dev"
    return Part(
        "the C library's headers",
        # Elsewhere the compiler's own package brings them along.
        lambda host: host.manager != "apt-get" or (host.files / where / "assert.h").exists(),
        {"apt-get": package},
    )


def native(host: Host) -> bool:
    """Whether the host's own compiler makes code for x86-64."""
    return host.machine in ("x86_64", "amd64", "i686")


def everywhere(name: str) -> dict[str, str]:
    """One name for every package manager."""
    return dict.fromkeys(("apt-get", "dnf", "pacman", "brew"), name)


def compiler_packages(host: Host) -> tuple[dict[str, str], dict[str, str]]:
    """The packages with the compiler and with the linker that ``host.cross`` asks for."""
    if host.cross == "x86_64-elf-":
        return {"brew": "x86_64-elf-gcc"}, {"brew": "x86_64-elf-binutils"}
    if host.cross == "" or (native(host) and host.cross == "x86_64-linux-gnu-"):
        return everywhere("gcc"), everywhere("binutils")
    if host.cross == "x86_64-linux-gnu-":
        return (
            {"apt-get": "gcc-x86-64-linux-gnu", "dnf": "gcc-x86_64-linux-gnu"},
            {"apt-get": "binutils-x86-64-linux-gnu", "dnf": "binutils-x86_64-linux-gnu"},
        )
    return {}, {}


def parts(host: Host) -> list[Part]:
    """Everything set-up needs from the system's own packages."""
    compiler, linker = compiler_packages(host)
    return [
        Part(f"the compiler {host.cross}gcc", program(f"{host.cross}gcc"), compiler),
        Part(f"the linker {host.cross}ld", program(f"{host.cross}ld"), linker),
        c_library(host),
        Part("make", program("make"), everywhere("make")),
        Part(
            "Bochs",
            program("bochs"),
            # Fedora keeps the build that has the debugger, which the harness drives, apart.
            {**everywhere("bochs"), "dnf": "bochs bochs-debugger"},
        ),
        Part(
            "the BIOS of Bochs",
            bochs_file("usr/share/bochs/BIOS-bochs-latest"),
            {"apt-get": "bochsbios"},
        ),
        Part(
            "the VGA BIOS of Bochs",
            bochs_file("usr/share/vgabios/vgabios.bin"),
            {"apt-get": "vgabios"},
        ),
        # Named with bochs itself, it also keeps apt from choosing a graphical front end.
        Part(
            "the terminal display of Bochs",
            bochs_file("usr/lib/*/bochs/plugins/libbx_term_gui.so*"),
            {"apt-get": "bochs-term"},
        ),
        Part(
            "QEMU",
            program("qemu-system-x86_64"),
            {**everywhere("qemu-system-x86"), "brew": "qemu"},
        ),
        Part(
            "Python's ensurepip",
            lambda host: host.has_ensurepip,
            {"apt-get": "python3-venv", "dnf": "python3", "pacman": "python", "brew": "python"},
        ),
    ]


DEBUGGER = Part(
    "gdb",
    # Homebrew has none for today's Macs; there `hv run --gdb` says where another may connect.
    lambda host: host.manager == "brew" or host.which("gdb") is not None,
    dict.fromkeys(("apt-get", "dnf", "pacman"), "gdb"),
)
"""What `make debug` opens, and some tests; nothing else needs it."""


def missing(host: Host, debugger: bool = False) -> list[Part]:
    """The parts that are not there; ``debugger``: gdb is one."""
    wanted = [*parts(host), DEBUGGER] if debugger else parts(host)
    return [part for part in wanted if not part.present(host)]


def packages(absent: list[Part], manager: str) -> list[str]:
    """The packages that bring ``absent``, by the names ``manager`` knows them under, each once."""
    return list(dict.fromkeys(p.packages[manager] for p in absent if manager in p.packages))


def by_hand(host: Host, absent: list[Part]) -> str:
    """One line for whoever has to install ``absent`` without our help."""
    what = ", ".join(part.what for part in absent)
    commands = {
        "apt-get": "apt-get install --no-install-recommends",
        "dnf": "dnf install",
        "pacman": "pacman -S",
        "brew": "brew install",
    }
    if host.manager == "apt-get":
        names = " ".join(packages(absent, host.manager))
        return f"run this as root, then make again: {commands['apt-get']} {names}"
    ways = [
        f"{'' if manager == 'brew' else 'sudo '}{commands[manager]} {' '.join(found)}"
        for manager in ([host.manager] if host.manager else ["dnf", "pacman", "brew"])
        if (found := packages(absent, manager))
    ]
    return f"missing on {host.name}: {what}; install with: {' or: '.join(ways) or 'your own means'}"
