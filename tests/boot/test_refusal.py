"""Without VT-x and AMD-V the hypervisor refuses: on serial, over QMP, and in memory."""

from __future__ import annotations

from harness.engines.base import EndKind
from harness.engines.qemu import QemuTcg
from harness.pytest_plugin import BootMachine

MULTIBOOT_MAGIC = (0x1BADB002).to_bytes(4, "little")  # multiboot 1 specification, 3.1.1


def test_the_refusal_is_seen_on_serial_over_qmp_and_in_memory(boot_machine: BootMachine) -> None:
    machine = boot_machine(modules=["hello"], engine=QemuTcg(extra=("-S",)), cpu="Nehalem")
    assert machine.qmp("query-status")["status"] == "prelaunch"
    assert machine.records == []

    machine.resume()
    refused = machine.expect_record("refused", reason="no-vmx")
    machine.expect("refused: .*VT-x")
    end = machine.wait()

    assert end.kind is EndKind.POWER_OFF
    assert machine.expect_record("done", status="refused")["code"] == 2
    assert machine.qmp("query-status")["status"] == "shutdown", "QEMU keeps the machine"
    assert "VT-x" in refused["message"]
    names = [event["event"] for event in machine.events]
    assert "RESUME" in names
    assert not {"GUEST_PANICKED", "RESET"} & set(names)
    assert MULTIBOOT_MAGIC in machine.read_physical(0x100000, 8192)
    kinds = [record.kind for record in machine.records]
    assert kinds == ["boot", "refused", "done"]
