"""A VMCS as Bochs keeps it in memory, decoded by the names that the hypervisor's sources use."""

from __future__ import annotations

from pathlib import Path

REGION = 4096  # bytes

# Where Bochs 2.7 puts a field within the region (its cpu/vmx.cc): past the header, one dword for
# each value of bits 9:0 of the encoding, grouped by width and type (SDM 3C 25.11.2).
_HEADER = 0x10
_SIZES = (2, 8, 4, 8)  # bytes, by bits 14:13: 16-bit, 64-bit, 32-bit, natural width
_RIGHTS = range(0x4814, 0x4824)  # guest access rights, which Bochs keeps as in a descriptor

FACTS = (
    "EXIT_REASON", "EXIT_QUALIFICATION", "VM_INSTRUCTION_ERROR", "VM_EXIT_INTERRUPTION_INFORMATION",
    "GUEST_PHYSICAL_ADDRESS", "GUEST_LINEAR_ADDRESS", "GUEST_RIP", "GUEST_RSP", "GUEST_RFLAGS",
    "GUEST_CR0", "GUEST_CR3", "GUEST_CR4", "GUEST_IA32_EFER", "GUEST_ACTIVITY_STATE",
    "GUEST_INTERRUPTIBILITY_STATE", "VM_ENTRY_INTERRUPTION_INFORMATION",
    "PIN_BASED_CONTROLS", "PRIMARY_PROCESSOR_BASED_CONTROLS", "SECONDARY_PROCESSOR_BASED_CONTROLS",
    "PRIMARY_VM_EXIT_CONTROLS", "VM_ENTRY_CONTROLS", "EPT_POINTER",
)  # fmt: skip
"""What a page of text has room for: why it exited, where the guest is, how it is run."""


def field_names(image: Path) -> dict[int, str]:
    """Every field that the hypervisor knows, by encoding. RunEnded BAD_USAGE without DWARF."""
    from harness import dwarf

    found = dwarf.layout(image, {"hv/vmx/vmcs.c": ("enum vmcs_field",)})
    return dict(found.types["enum vmcs_field"].names)


def decode(region: bytes, names: dict[int, str]) -> dict[str, int]:
    """The fields in ``region``, by name, in the order of their encodings."""
    found = {}
    for encoding, name in sorted(names.items()):
        width, kind = encoding >> 13 & 3, encoding >> 10 & 3
        at = _HEADER + (((width << 2) + kind) * 64 + (encoding & 0x3FF)) * 4
        value = int.from_bytes(region[at : at + _SIZES[width]], "little")
        found[name] = value >> 8 if encoding in _RIGHTS else value
    return found
