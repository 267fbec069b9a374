"""A failed entry as the hypervisor records it."""

from __future__ import annotations

from typing import Any

from harness.vmentry import good, processors
from harness.vmentry.fields import BY_NAME


def crash_record(**changes: int) -> dict[str, Any]:
    """A crash record of a good VMCS on Bochs' default processor, with other values of fields."""
    known = processors.recorded()["corei7_skylake_x"]
    vmcs = good.vmcs("long") | {"tsc_multiplier": 0} | changes
    absent = {"tertiary_processor_based_controls", "guest_ia32_s_cet", "guest_ssp"}
    return {
        "seq": 1,
        "kind": "crash",
        "guest": "hello",
        "reason": "VM-entry failure: error 7, VM entry with invalid control field(s)",
        "instruction_error": 7,
        "qualification": "0x0",
        "region": "0x148000",
        "msrs": known["msrs"],
        "cpuid": known["cpuid"],
        "fields": {
            f"{BY_NAME[name].encoding:#06x}": f"{value:#x}"
            for name, value in vmcs.items()
            if name not in absent
        },
    }
