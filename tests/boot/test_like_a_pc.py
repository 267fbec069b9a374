"""A guest's PC answers as the machines of Bochs and QEMU do, access by access.

One kernel (tests/kernels/ports.S) does the same to the ports bare and as a guest. Where an emulator
answers otherwise than the chips' data sheets say, `OTHERWISE` has the data sheet's sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from harness import choose
from harness.engines.base import Boot, Module
from harness.machine import Machine
from harness.pytest_plugin import BootMachine
from tests.boot import port_traffic
from tests.boot.where import EVERYWHERE, Where

MARK = b"<ports>\0"

# By engine: what it answers otherwise, and the sentence that says it should not.
OTHERWISE = {
    "bochs": {
        r"pic-\w+: .*": "8259A, Poll Command: the byte that is read has bit 7 set if there is an "
        "interrupt, and the read sets the IS bit; here it does neither",
        r"clock-set: after an update 0[4789]": "MC146818, Update Cycle: an overflow is carried on; "
        "here an hour is lost when the time is set",
    },
    "qemu-tcg": {
        r"pit-formats: (count|latched) .*": "8254, Mode 0: GATE = 0 disables counting",
        r"pit-outputs: status, .*": "8254, Read-Back Command: the null count bit is 1 from the "
        "control word until a count is loaded",
        r"pit-outputs: output, .*": "8254, Mode Definitions: OUT is high after the control word "
        "in all modes but 0",
        r"pit-outputs: first byte": "8254, Mode 0: writing the first byte sets OUT low at once",
        r"clock-set: after an update 0[024789]": "MC146818, Update-Ended Interrupt Flag: it is set "
        "after each update cycle; here the old second still shows then",
    },
}


def with_list(kernel: Path, directory: Path) -> Path:
    """A copy of the kernel that has all of the traffic to do."""
    data = kernel.read_bytes()
    start = data.index(MARK) + len(MARK)
    code = b"".join(section().code for section in port_traffic.SECTIONS)
    path = directory / "ports"
    path.write_bytes(data[:start] + code + data[start + len(code) :])
    return path


def answers(console: Path, prefix: str = "") -> dict[str, int]:
    """What was read, by section and label."""
    text = console.read_text(encoding="utf-8", errors="replace")
    assert f"{prefix}end of list" in text
    lines = re.findall(rf"^{re.escape(prefix)}([0-9a-f]+)\r?$", text, re.MULTILINE)
    values = bytes.fromhex("".join(lines))
    labels = [
        f"{part.name}: {label}"
        for part in (section() for section in port_traffic.SECTIONS)
        for label in part.labels
    ]
    assert len(values) == len(labels)
    return dict(zip(labels, values, strict=True))


@EVERYWHERE
def test_a_guest_finds_the_devices_that_bare_machines_have(
    boot_machine: BootMachine,
    start_machine: Callable[..., Machine],
    kernel: Callable[[str], Path],
    tmp_path: Path,
    where: Where,
) -> None:
    image = with_list(kernel("ports"), tmp_path)
    guest = boot_machine(
        modules=[Module(image, "ports name=ports memory=4M boot=multiboot")],
        requires=("virtualization",),
        engine=where.engine,
        cpu=where.cpu,
    )
    guest.expect_record("done", timeout=60, status="ok")
    found = answers(guest.directory / "console.log", "ports| ")
    for bare, otherwise in OTHERWISE.items():
        # Counting instructions: else chance decides which second QEMU's clock shows.
        repeats = choose.prepared(choose.engine(bare), ("deterministic",))
        machine = start_machine(repeats, "", boot=Boot(image))
        machine.wait(timeout=60)
        expected = answers(machine.directory / "console.log")
        differing = [label for label in found if found[label] != expected[label]]
        unexplained = {
            label: f"{found[label]:#x}, bare on {bare} {expected[label]:#x}"
            for label in differing
            if not any(re.fullmatch(pattern, label) for pattern in otherwise)
        }
        assert unexplained == {}
        for pattern, sentence in otherwise.items():
            assert any(re.fullmatch(pattern, label) for label in differing), sentence
