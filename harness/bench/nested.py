"""What exits cost on nested KVM, in ticks of the time stamp counter: on hardware, cycles.

In the appliance the processor below KVM is Bochs's: a tick is an instruction of all three, KVM,
our hypervisor and its guest.
"""

from __future__ import annotations

from harness import choose
from harness.bench import exits
from harness.bench.figures import Figure, Say
from harness.bench.machines import Where

_PLACES = (Where("KVM", "qemu-kvm"), Where("KVM in Bochs", "qemu-kvm-in-bochs"))


def measure(say: Say) -> list[Figure]:
    """All kinds of exits, wherever there is nested KVM; else a figure that says why not."""
    found = []
    for where in _PLACES:
        available = choose.engine(where.engine).availability()
        if not available.usable:
            found.append(Figure("nested", where.name, None, "ticks", note=available.sentence))
            continue
        say(f"exits on {where.name}")
        for name, ticks in exits.costs(where, "off").items():
            found.append(Figure("nested", f"{where.name}: {name}", ticks, "ticks"))
    return found
