"""QEMU with nested KVM, in the appliance: the short look that every `make test` takes."""

from __future__ import annotations

from harness.engines.base import EndKind
from harness.pytest_plugin import BootMachine


def test_a_guest_says_hello_under_kvm_and_stands_still_while_qmp_has_stopped_it(
    boot_machine: BootMachine,
) -> None:
    machine = boot_machine(modules=["hello"], engine="qemu-kvm-in-bochs")
    machine.expect("hv: Vanderpool on .* under KVMKVMKVM,")
    machine.pause()
    assert machine.qmp("query-status")["status"] == "paused"
    assert machine.qmp("query-kvm") == {"enabled": True, "present": True}
    machine.resume()
    assert machine.expect_record("report", guest="hello")["passed"]
    assert machine.expect_record("done")["status"] == "ok"
    end = machine.wait()
    assert end.kind is EndKind.POWER_OFF
    names = [event["event"] for event in machine.events]
    assert names.count("STOP") == names.count("RESUME") == 1
