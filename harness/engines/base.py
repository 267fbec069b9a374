"""The contract between an engine (Bochs, QEMU, ...) and the rest of the harness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from harness.engines.line import Line

FIRMWARE = ("qboot", "seabios")

CONTROL = frozenset(
    {
        "deterministic",  # a run repeats to the instruction
        "firmware-msrs",  # MSRs can be set before the image runs
        "hardware",  # it is the host's processor that runs
        "memory",
        "nmi",
        "qmp",
        "registers",
        "reset",
        "smp",
        "snapshots",
        "step",
    }
)
"""What an engine may offer whatever its CPU: words of ``Engine.control``, with FIRMWARE's."""


@dataclass(frozen=True)
class Module:
    """A multiboot module: a file, and the string that the loader hands over with it."""

    path: Path
    string: str


@dataclass(frozen=True)
class Boot:
    """What to boot: a multiboot 1 image with its command line and modules, on how much machine."""

    image: Path
    command_line: str = ""
    modules: tuple[Module, ...] = ()
    memory_mib: int = 128
    cpus: int = 1
    cpu_model: str | None = None  # the engine's own model name; None: the engine's default
    mips: int | None = None  # million instructions in a second of the machine's own time
    msrs: tuple[tuple[int, int], ...] = ()  # (number, value): what firmware writes before the image
    firmware: str | None = None  # one of FIRMWARE, for engines that name it as theirs; None: any
    freezes: bool = True  # after a bad end it is kept for a look, where the engine can do that
    stopped: bool = False  # wait for a debugger at the image's first instruction; Bochs alone
    until_tick: int | None = (
        None  # stop there, in emulated instructions; deterministic engines only
    )


@dataclass(frozen=True)
class Availability:
    """Whether an engine can be used on this host, measured; and what would change that."""

    usable: bool
    reason: str  # "Bochs 2.7" where usable; else one clause: "bochs is not installed"
    remedy: str = ""  # what would make it usable, a command or a clause; or ""

    @property
    def sentence(self) -> str:
        """Why it can't be used, and what would change that."""
        return f"{self.reason}; to get it: {self.remedy}." if self.remedy else f"{self.reason}."


class EndKind(Enum):
    """How a machine came to its end, as far as the engine can tell."""

    POWER_OFF = "power-off"
    TRIPLE_FAULT = "triple-fault"
    RESET = "reset"
    GUEST_PANIC = "guest-panic"  # a pvpanic device, where there is one
    DIED = "died"
    KILLED = "killed"  # by the harness


@dataclass(frozen=True)
class End:
    """A machine's end: its kind, the code that the image gave (None: none), the engine's words."""

    kind: EndKind
    code: int | None = None
    words: str = ""


Say = Callable[[str], None]
"""Takes one line for whoever waits."""


def silently(_: str) -> None:
    """Tell nobody."""


class Activity(Enum):
    """What a processor does (SDM 3C 25.4.2 has the same states for guests)."""

    ACTIVE = "runs"
    HALTED = "is halted"  # HLT or MWAIT
    SHUT_DOWN = "has shut down"  # after a triple fault
    WAITS = "waits to be started"  # wait-for-SIPI


@dataclass(frozen=True)
class CpuState:
    """One processor of a paused machine."""

    registers: Mapping[str, int]  # as `Running.registers` gives them
    activity: Activity
    guest_mode: bool | None  # VMX non-root operation, or an SVM guest; None: the engine can't tell
    control_structure: int | None  # physical address of the current VMCS or VMCB, if there is one


class Unsupported(Exception):
    """The engine can't do this; the message says what and, where there is one, the other way."""


class Process(Protocol):
    """A process of this host, as `subprocess.Popen` shows it."""

    @property
    def pid(self) -> int:
        """Its number."""

    def poll(self) -> int | None:
        """Its exit status (negative: the signal that ended it); None while it runs."""


class Running(Protocol):
    """A machine that an engine has started. Not thread-safe; every call has its own deadline."""

    argv: tuple[str, ...]
    tick: int | None  # where in emulated time it last stopped, if the engine counts that
    idle: Callable[[], None]  # called while a call waits: takes in serial output, so none blocks

    @property
    def console(self) -> Line:
        """COM1."""

    @property
    def records(self) -> Line:
        """COM2."""

    @property
    def process(self) -> Process:
        """The emulator."""

    @property
    def at_tick(self) -> bool:
        """Whether it has come to ``Boot.until_tick``, and stopped there."""

    def wakeups(self) -> tuple[int, ...]:
        """File descriptors, readable when `service` has something to do or the emulator ended."""

    def service(self) -> None:
        """Take in what the engine said on its own channels (prompt, QMP events); never blocks."""

    def end(self) -> End | None:
        """How the machine ended, or None while it has not. Reads no stream; see `service`."""

    def pause(self) -> None:
        """Stop every CPU. Idempotent."""

    def resume(self) -> None:
        """Let every CPU run on. Idempotent."""

    def go_on(self) -> None:
        """Let a machine run on that has frozen itself: what `end` took for its end was none."""

    def reset(self) -> None:
        """Press the reset button. The machine is paused then, before its first instruction, and
        all that it had written before is taken in.
        """

    def nmi(self) -> None:
        """Send a non-maskable interrupt to CPU 0."""

    def step(self) -> None:
        """Execute one instruction on CPU 0; the machine is paused before and after."""

    def registers(self, cpu: int = 0) -> Mapping[str, int]:
        """Register values by lower-case manual name (rax, rip, cr3, ...); the machine is paused."""

    def cpu(self, number: int = 0) -> CpuState:
        """Everything about one processor, whether it runs or not; the machine is paused."""

    def read_physical(self, address: int, length: int) -> bytes:
        """Physical memory from ``address`` (bytes); pauses and resumes by itself if need be."""

    def write_physical(self, address: int, data: bytes) -> None:
        """Write physical memory at ``address``; pauses and resumes by itself if need be."""

    def remarks(self) -> tuple[str, ...]:
        """What the engine itself says about VM entries that failed, in its own words."""

    def kill(self) -> None:
        """End it now, wait for it, release everything. Idempotent; never raises."""


class Engine(Protocol):
    """One way to run a machine."""

    name: str
    default_cpu: str
    control: frozenset[str]  # those of CONTROL and FIRMWARE that it offers
    processes: tuple[str, ...]  # the program names it starts (for a look with pgrep)
    patience: float  # how many times longer than on the others everything may take

    def availability(self) -> Availability:
        """Is it installed and permitted here? Cheap: starts no machine."""

    def launch(self, boot: Boot, directory: Path, say: Say = silently) -> Running:
        """Start a machine; its logs and files go to ``directory``, which exists.

        ``say`` hears what is going on where this takes long.

        Raises RunEnded: ENGINE_MISSING (with what to install), ENGINE_DIED (with its last words),
        BAD_USAGE (image or module that can't be loaded).
        """
