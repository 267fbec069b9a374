"""A VMCB, decoded by the hypervisor's own structure of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

_FILE = "hv/svm/svm.c"

FACTS = (
    "control.exitcode", "control.exitinfo1", "control.exitinfo2", "control.exitintinfo",
    "control.eventinj", "control.v_irq", "control.interrupt_shadow", "control.nrip",
    "control.n_cr3", "control.guest_asid", "state.rip", "state.rsp", "state.rflags", "state.cr0",
    "state.cr3", "state.cr4", "state.efer", "state.cpl",
)  # fmt: skip
"""What a page of text has room for: why it exited, where the guest is, how it is run."""


def of_vcpu(read: Callable[[int, int], bytes], image: Path, vcpu: int) -> dict[str, int] | None:
    """The VMCB of the vCPU at the address ``vcpu``, as "control.exitcode" and so on.

    None if its memory can't be read. RunEnded BAD_USAGE if the image says nothing about VMCBs.
    """
    from harness import dwarf

    types = dwarf.layout(image, {_FILE: ("struct svm_vcpu", "struct vmcb")}).types
    offset, pointer = types["struct svm_vcpu"].member("vmcb")
    address = int.from_bytes(read(vcpu + offset, pointer.size), "little")
    data = read(address, types["struct vmcb"].size)
    if len(data) < types["struct vmcb"].size:
        return None
    return dict(_flat("", types["struct vmcb"].decode(data)))


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, int]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            if not str(name).startswith("reserved"):
                yield from _flat(f"{prefix}.{name}" if prefix else str(name), part)
    elif isinstance(value, int):
        yield prefix, value
