"""What Bochs says: in its log, at its end, and in its debugger."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from harness.engines.base import Activity, End, EndKind
from harness.verdict import RunEnded, Verdict

# Lines of Bochs's own log decide how it ended; its exit status is 1 for everything.
_PANIC = re.compile(r"^\d+p\[[^\]]*\] >>PANIC<< (.*)$", re.MULTILINE)
_NOTABLE = re.compile(r"^\d+[pe]\[([^\]]*)\] (.*)$", re.MULTILINE)
_TRIPLE_FAULT = re.compile(r"exception\(\): 3rd \(\d+\) exception with no resolution")
_RESET = re.compile(r"^\d+i\[CPU0  \] cpu hardware reset", re.MULTILINE)

# What the debugger prints for creg and sreg.
_CONTROL_REGISTER = re.compile(
    r"^(CR\d|EFER|XCR0)\s*[=:]\s*(?:page fault laddr=)?0x([0-9a-f]+)", re.MULTILINE
)
_SELECTOR = re.compile(r"^(cs|ds|es|ss|fs|gs|tr|ldtr):0x([0-9a-f]+)", re.MULTILINE)
_TABLE = re.compile(r"^(gdtr|idtr):base=0x([0-9a-f]+), limit=0x([0-9a-f]+)", re.MULTILINE)


def classify(log: str, output: str, status: int) -> End:
    """How Bochs ended, from its log, what it printed, and its exit status."""
    log = log or output  # what goes wrong before the log is opened is printed
    panics: list[str] = _PANIC.findall(log)
    last = panics[-1] if panics else ""
    if re.match(r"Shutdown port: shutdown requested|ACPI control: soft power off", last):
        # The reset ROM ends its second pass through the shutdown port.
        kind = EndKind.RESET if len(_RESET.findall(log)) > 1 else EndKind.POWER_OFF
        return End(kind, None, last)
    if _TRIPLE_FAULT.match(last):
        return End(EndKind.TRIPLE_FAULT, None, "\n".join((last, *_registers(log))))
    words = [text for _, text in _NOTABLE.findall(log)][-8:]
    if not words:
        words = [line for line in output.splitlines() if line.strip(" =")][-8:]
    if last:
        words = [last, *(w for w in words if last not in w)]
    else:
        words.reverse()  # the first line is what a person reads
    if status < 0:
        words.insert(0, f"killed by {signal.Signals(-status).name}")
    return End(EndKind.DIED, None, "\n".join(words))


def stopped(text: str, log: str) -> End | None:
    """What a stop in the debugger means that nobody asked for; ``text`` came before its prompt.

    Our kernels ask for it when they want the power off; a triple fault brings it about.
    """
    if "request return to dbg prompt received" in text:
        return End(EndKind.POWER_OFF, None, "the image asked Bochs's debugger to stop the machine")
    panics: list[str] = _PANIC.findall(log)
    if panics and _TRIPLE_FAULT.match(panics[-1]):
        return End(EndKind.TRIPLE_FAULT, None, "\n".join((panics[-1], *_registers(log))))
    return None


def entry_failures(log: str) -> tuple[str, ...]:
    """The checks of VM entry that failed: Bochs names each of them in its log."""
    return tuple(re.findall(r"^\d+e\[[^\]]*\] ((?:VMFAIL|VMENTER FAIL): .*)$", log, re.MULTILINE))


def _registers(log: str) -> list[str]:
    """The register dump that follows a panic in the log."""
    after = log[log.rfind(">>PANIC<<") :]
    found: list[str] = re.findall(r"^\d+i\[CPU\d+ *\] (.*)$", after, re.MULTILINE)
    return found[:24]


def last_part(path: Path, most: int = 1 << 20) -> str:
    """The last ``most`` bytes of the log at ``path``; empty if there is none."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - most))
            return file.read(most).decode("utf-8", "replace")
    except OSError:
        return ""


def dead(end: End | None) -> RunEnded:
    """The exception for a Bochs that is gone, with its last words."""
    words = end.words.splitlines() if end is not None else []
    return RunEnded(
        Verdict.ENGINE_DIED,
        f"Bochs ended by itself: {(words[0] if words else 'it said nothing').rstrip('.')}.",
        evidence=tuple(words[1:]),
    )


def parse_registers(text: str) -> dict[str, int]:
    """Registers out of what the debugger prints for r, creg and sreg."""
    found: dict[str, int] = {}
    for name, high, low in re.findall(r"\b(r\w+)\s*: ([0-9a-f]{8})_([0-9a-f]{8})", text):
        found[name] = int(high + low, 16)
    if match := re.search(r"\beflags 0x([0-9a-f]+)", text):
        found["rflags"] = int(match[1], 16)
    for name, value in _CONTROL_REGISTER.findall(text):
        found[name.lower()] = int(value, 16)
    for name, value in _SELECTOR.findall(text):
        found[name] = int(value, 16)
    for name, base, limit in _TABLE.findall(text):
        found[name] = int(base, 16)
        found[f"{name}_limit"] = int(limit, 16)
    return found


# BX_ACTIVITY_STATE_... of Bochs's cpu/cpu.h
_ACTIVITY = {
    0: Activity.ACTIVE,
    1: Activity.HALTED,
    2: Activity.SHUT_DOWN,
    3: Activity.WAITS,
    4: Activity.HALTED,  # MWAIT, with interrupts on or off
    5: Activity.HALTED,
}


def parse_activity(text: str) -> Activity:
    """What a processor does, out of what the debugger prints for its activity_state."""
    found = re.search(r"^activity_state = 0x([0-9a-f]+)", text, re.MULTILINE)
    return _ACTIVITY.get(int(found[1], 16) if found else 0, Activity.ACTIVE)


_NO_POINTER = {0, (1 << 64) - 1}  # VMXOFF's, and VMCLEAR's (SDM 3C 25.1)


def parse_virtualization(text: str) -> tuple[bool, int | None]:
    """In guest mode or not, and the current VMCS or VMCB, out of `show` for VMX and SVM."""
    guest = re.search(r"^\s*in_(?:vmx|svm)_guest = true", text, re.MULTILINE)
    pointer = re.search(r"^\s*(?:vmcs|vmcb)ptr = 0x([0-9a-f]+)", text, re.MULTILINE)
    address = int(pointer[1], 16) if pointer else 0
    return bool(guest), None if address in _NO_POINTER else address


def examined(text: str, size: int) -> bytes:
    """The bytes that the debugger's xp command printed as units of ``size``."""
    data = bytearray()
    for line in re.findall(r"^.*>:((?:\s+0x[0-9a-f]+)+)\s*$", text, re.MULTILINE):
        for value in line.split():
            data += int(value, 16).to_bytes(size, "little")
    return bytes(data)


def linear_address(text: str, address: int, length: int) -> int | None:
    """Where all of that physical memory is mapped; None: not in one piece, or it can't be told.

    ``text`` is what the debugger printed for "creg", "show cpu0.VMX.in_vmx_guest" and "info tab".
    That follows Intel's nested paging, but not AMD's, and does not say whether a guest of AMD-V
    runs: with SVME set it may be so. Without paging a linear address is physical but in a guest.
    """
    efer = re.search(r"^EFER=0x([0-9a-f]+)", text, re.MULTILINE)
    if efer is None or int(efer[1], 16) & _EFER_SVME:
        return None
    if "paging off" in text:
        return None if "in_vmx_guest = true" in text else address
    pattern = r"^0x([0-9a-f]+)-0x[0-9a-f]+ -> 0x([0-9a-f]+)-0x([0-9a-f]+)\s*$"
    for found in re.findall(pattern, text, re.MULTILINE):
        linear, first, last = (int(digits, 16) for digits in found)
        if first <= address and address + length - 1 <= last:
            return linear + address - first
    return None


_EFER_SVME = 1 << 12
