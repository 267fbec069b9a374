"""Dumps of KVM and Xen, Bochs' log, lists of fields and our records are read for what they are."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from harness.vmentry import explain, processors, source_bochs
from harness.vmentry.explain import Explanation, lines
from harness.vmentry.fields import BY_NAME
from harness.vmentry.rule import Outcome
from harness.vmentry.source import MOST_BYTES, Source, Unreadable
from tests.unit.vmentry_data import crash_record

DUMPS = Path(__file__).parent / "dumps"


def explained(name: str, cpu: str | None = None) -> Explanation:
    processor = processors.find(cpu) if cpu else None
    return explain.explain(explain.read((DUMPS / name).read_bytes()), processor)


def read(text: str) -> Source:
    return explain.read(text.encode())


@pytest.mark.parametrize(
    ("name", "kind", "rule", "reported", "value"),
    [
        (
            "kvm-6.1-long-mode.txt",
            "KVM's VMCS dump",
            "guest.cs.d",
            Outcome(reason=33),
            "Guest CS access rights = 0xe09b",
        ),
        (
            "kvm-4.19-no-unrestricted-guest.txt",
            "KVM's VMCS dump",
            "guest.cr0.fixed-1",
            Outcome(reason=33),
            "bits 31 and 0 are 0",
        ),
        (
            "kvm-6.8-injection.txt",
            "KVM's VMCS dump",
            "entry.event.vector.exception",
            Outcome(error=7),
            "it is 34",
        ),
        (
            "xen-4.17-host-state.txt",
            "Xen's VMCS dump",
            "host.gs.base",
            Outcome(error=8),
            "Host GS base = 0x7fff83043c1c0000",
        ),
    ],
)
def test_a_dump_is_explained_by_the_one_rule_that_it_breaks(
    name: str, kind: str, rule: str, reported: Outcome, value: str
) -> None:
    found = explained(name)
    assert found.source.kind == kind
    assert found.source.reported == reported
    assert [violation.rule.id for violation in found.violations] == [rule]
    assert value in found.violations[0].sentence
    assert found.violations[0].outcome == reported


@pytest.mark.parametrize("name", sorted(path.name for path in DUMPS.iterdir()))
def test_a_dump_without_its_fault_breaks_no_rule(name: str) -> None:
    faults = {
        "attr=0x0e09b": "attr=0x0a09b",
        "CR0: actual=0x0000000000000030": "CR0: actual=0x0000000080000031",
        "intr_info=80000b22": "intr_info=80000b0d",
        "GSBase=7fff83043c1c0000": "GSBase=ffff83043c1c0000",
    }
    text = (DUMPS / name).read_text(encoding="utf-8")
    changed = text
    for fault, right in faults.items():
        changed = changed.replace(fault, right)
    assert changed != text
    assert not explain.explain(read(changed)).violations


def test_every_value_of_a_kvm_dump_is_read() -> None:
    vmcs = explained("kvm-6.1-long-mode.txt").source.vmcs
    assert vmcs["guest_cr4"] == 0x3726F0
    assert vmcs["cr4_read_shadow"] == 0x3706F0
    assert vmcs["guest_gs_base"] == 0xFFFF88813BC00000
    assert vmcs["guest_tr_limit"] == 0x4087
    assert vmcs["guest_idtr_base"] == 0xFFFFFE0000000000
    assert vmcs["guest_ia32_efer"] == 0xD01
    assert vmcs["host_rip"] == 0xFFFFFFFFC0B23E50
    assert vmcs["guest_rip"] == 0xFFFFFFFF81C4E2FB
    assert vmcs["host_tr_selector"] == 0x40
    assert vmcs["host_ia32_pat"] == 0x0407050600070106
    assert vmcs["secondary_processor_based_controls"] == 0x02123BFA
    assert vmcs["tertiary_processor_based_controls"] == 0
    assert vmcs["virtual_apic_address"] == 0x11BDC7000
    assert vmcs["ept_pointer"] == 0x1159CE05E
    assert vmcs["ple_window"] == 0x1000
    assert len(vmcs) == 102


def test_every_value_of_a_xen_dump_is_read() -> None:
    vmcs = explained("xen-4.17-host-state.txt").source.vmcs
    assert vmcs["guest_rsp"] == 0xFFFFFFFF82E03E20
    assert vmcs["guest_cs_access_rights"] == 0xA09B
    assert vmcs["guest_idtr_limit"] == 0xFFF
    assert vmcs["guest_tr_base"] == 0xFFFFFE0000003000
    assert vmcs["host_cs_selector"] == 0xE008
    assert vmcs["host_rsp"] == 0xFFFF83043C1C7F70
    assert vmcs["vm_function_controls"] == 0
    assert vmcs["virtual_processor_identifier"] == 0xC7
    assert len(vmcs) == 103


def test_pdptes_of_both_spellings_are_read() -> None:
    text = (DUMPS / "kvm-6.8-injection.txt").read_text(encoding="utf-8")
    assert read(text).vmcs["guest_pdpte1"] == 0x9001
    assert read(text.replace("PDPTR", "PDPTE")).vmcs["guest_pdpte1"] == 0x9001


def test_an_efer_that_is_no_field_of_the_vmcs_is_not_taken_for_one() -> None:
    text = (DUMPS / "kvm-6.8-injection.txt").read_text(encoding="utf-8")
    guest, _, rest = text.partition("*** Host State ***")
    for word in ("autoload", "effective"):
        changed = re.sub(r"EFER= 0x0{16}", f"EFER= 0x{0:016x} ({word})", guest)
        source = read(changed + "*** Host State ***" + rest)
        assert "guest_ia32_efer" not in source.vmcs
        assert "host_ia32_efer" in source.vmcs


def test_lines_that_a_mailer_broke_and_quoted_are_read() -> None:
    text = (DUMPS / "xen-4.17-host-state.txt").read_text(encoding="utf-8")
    broken = re.sub(r" (gh_mask=|SM Base|SS=|CS:RIP|errcode=|qualification|VMfunc)", r"\n\1", text)
    broken = re.sub(r"(DR7 =|PAT =|ActivityState|Multiplier|EPTP) ", r"\1 \n", broken)
    quoted = "\n".join(f">>> > {line}" for line in broken.splitlines())
    assert quoted.count("\n") > text.count("\n") + 10
    assert read(quoted).vmcs == read(text).vmcs


@pytest.mark.parametrize(
    "prefix", ["", "2026-05-01T10:00:00.123456+0000 host kernel: ", "kernel: ", "[T1234] "]
)
def test_whatever_a_log_puts_before_its_lines_does_not_matter(prefix: str) -> None:
    text = (DUMPS / "xen-4.17-host-state.txt").read_text(encoding="utf-8")
    plain = [line.partition("] ")[2] for line in text.splitlines()]
    found = read("\n".join(prefix + line for line in plain))
    assert found.vmcs == read(text).vmcs
    assert found.kind == "Xen's VMCS dump"


def test_the_last_dump_of_a_log_counts() -> None:
    first = (DUMPS / "kvm-4.19-no-unrestricted-guest.txt").read_text(encoding="utf-8")
    second = (DUMPS / "kvm-6.1-long-mode.txt").read_text(encoding="utf-8")
    found = explain.explain(read(first + "some other line\n" + second))
    assert [violation.rule.id for violation in found.violations] == ["guest.cs.d"]
    assert "The log has 2 dumps; this is the last of them." in lines(found)


def test_a_dump_without_capabilities_says_what_was_assumed() -> None:
    assert any("every feature" in line for line in lines(explained("kvm-6.1-long-mode.txt")))
    with_cpu = lines(explained("kvm-6.1-long-mode.txt", cpu="tigerlake"))
    assert not any("every feature" in line for line in with_cpu)


def test_a_named_processor_refuses_what_it_lacks() -> None:
    found = explained("kvm-6.1-long-mode.txt", cpu="corei5_lynnfield_750")
    ids = [violation.rule.id for violation in found.violations]
    # What fits the processor's answer comes first, though controls are checked before guest state.
    assert ids.index("guest.cs.d") < ids.index("exec.secondary.reserved")


def test_rules_that_need_what_a_dump_lacks_are_left_undecided() -> None:
    found = explained("kvm-6.1-long-mode.txt")
    missing = {undecided.missing for undecided in found.findings.undecided}
    assert "msr_bitmaps" in missing
    assert any("could not be judged for want of" in line for line in lines(found))


@pytest.mark.parametrize("heading", ["Guest", "Host", "Control"])
def test_a_dump_that_is_cut_short_is_refused(heading: str) -> None:
    text = (DUMPS / "kvm-6.1-long-mode.txt").read_text(encoding="utf-8")
    cut = text.replace(f"*** {heading} State ***", "")
    with pytest.raises(Unreadable):
        read(cut)


def test_a_value_that_its_field_can_not_have_is_refused() -> None:
    text = (DUMPS / "kvm-6.1-long-mode.txt").read_text(encoding="utf-8")
    with pytest.raises(Unreadable, match="host_tr_selector has 16 bits"):
        read(text.replace("TR=0040", "TR=10040"))


def test_lines_of_bochs_name_rules() -> None:
    source = read(
        "00061234560e[CPU0  ] VMFAIL: VMCS EXEC CTRL: I/O bitmap B phy addr malformed\n"
        "00061234561i[CPU0  ] something else\n"
        "00061234562e[CPU0  ] VMENTER FAIL: VMCS guest FS.BASE non canonical\n"
        "00061234563e[CPU0  ] VMFAIL: VMLAUNCH with non-clear VMCS!\n"
    )
    assert source.named == (
        (
            "VMCS EXEC CTRL: I/O bitmap B phy addr malformed",
            ("exec.io-bitmap-b.aligned", "exec.io-bitmap-b.width"),
        ),
        ("VMCS guest FS.BASE non canonical", ("guest.fs.base.canonical",)),
    )
    assert source.notes == (
        "VMLAUNCH with non-clear VMCS!: VM-instruction error 4: VMLAUNCH with non-clear VMCS.",
    )
    shown = "\n".join(lines(explain.explain(source)))
    assert "guest.fs.base.canonical (SDM 3C 27.3.1.2; exit reason 0x80000021" in shown


def test_every_message_of_the_installed_bochs_about_the_vmcs_is_known() -> None:
    program = next(filter(None, map(shutil.which, ("bochs-bin", "bochs"))), None)
    if program is None:
        pytest.skip("Bochs is not installed")
    found = re.findall(rb"(VM(?:FAIL|ENTER FAIL): [ -~]{3,})\0", Path(program).read_bytes())
    if not found:
        pytest.skip(f"{program} is no binary with Bochs' messages")
    about_an_instruction = re.compile(r"VMFAIL: (?:VM[A-Z]+ with|invalid or not page)")
    unknown = []
    for message in {line.decode("ascii") for line in found}:
        line = message.replace("%c", "A")
        # Some of its messages are for data segments, one is for FS and GS alone.
        if not about_an_instruction.match(line) and not any(
            source_bochs.rules_of(line.replace("%s", segment)) for segment in ("DS", "FS")
        ):
            unknown.append(message)
    assert not unknown


def test_a_list_of_fields_takes_every_name_that_a_field_has() -> None:
    source = read(
        "# comment\n"
        "guest_cr0 = 0x80000031\n"
        "0x6804: 0x2020\n"
        "GUEST_CS_AR_BYTES=0xa09b\n"
        "VM-entry controls = 54271,\n"
        "Pin-based VM-execution controls: 0x3f\n"
        "IA32_VMX_CR4_FIXED0 = 0x2000\n"
    )
    assert source.vmcs == {
        "guest_cr0": 0x80000031,
        "guest_cr4": 0x2020,
        "guest_cs_access_rights": 0xA09B,
        "vm_entry_controls": 54271,
        "pin_based_controls": 0x3F,
    }
    assert source.capabilities is not None
    assert source.capabilities.cr4_fixed0 == 0x2000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("guest_cr0=1\nguest_cr9=2\n", "no VMCS field or capability MSR is called 'guest_cr9'"),
        ("guest_cr0=1\nguest_cr0=2\n", "guest_cr0 has two values"),
        ("guest_cr0=1\nnonsense\n", "'nonsense' is no name=value"),
        ("GUEST_RIP=banana\n", "GUEST_RIP must be a number, not 'banana'"),
        ("guest_rip: 12z\n", "guest_rip must be a number, not '12z'"),
        ("guest_rip=\n", "guest_rip must be a number, not ''"),
        ("GUEST_RIPP=1\n", "is called 'GUEST_RIPP'; did you mean 'guest_rip'?"),
        ("guest_cs_selector=0x10000\n", "guest_cs_selector has 16 bits"),
        ("guest_cr0=0x10000000000000000\n", "does not fit into 64 bits"),
        ("guest_cr0=" + "9" * 300 + "\n", "does not fit into 64 bits"),
        ("guest_cr0=08\n", "'08' is not a number"),
    ],
)
def test_what_is_wrong_in_a_list_is_named(text: str, message: str) -> None:
    with pytest.raises(Unreadable, match=re.escape(message)):
        read(text)


def test_a_crash_record_tells_its_processor() -> None:
    source = read(json.dumps(crash_record()))
    assert source.kind == "a crash record"
    assert source.reported == Outcome(error=7)
    assert source.capabilities is not None
    assert source.capabilities.physical_width == 40
    assert source.capabilities.current_vmcs == 0x148000


def test_the_crash_record_is_found_among_others() -> None:
    text = '{"seq":0,"kind":"boot"}\nnot json\n{"broken\n' + json.dumps(crash_record()) + "\n"
    assert read(text).vmcs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fields": []}, '"fields" of the record is no object'),
        ({"fields": {"x": "0x1"}}, "'x' is not a number"),
        ({"fields": {"0x6800": None}}, "'None' is not a number"),
        ({"fields": {"0x6800": True}}, "'True' is not a number"),
        ({"fields": {"0x6800": -1}}, "'-1' is not a number"),
        ({"fields": {"0x0802": "0x12345"}}, "guest_cs_selector has 16 bits"),
        ({"msrs": 5}, '"msrs" of the record is no object'),
        ({"cpuid": {"0x7.0": {"eax": "0x0"}}}, "'None' is not a number"),
        ({"exit_reason": "many"}, "'many' is not a number"),
    ],
)
def test_a_hostile_record_is_refused_in_words(change: dict[str, object], message: str) -> None:
    with pytest.raises(Unreadable, match=re.escape(message)):
        read(json.dumps(crash_record() | change))


def test_a_crash_that_was_no_failed_entry_is_refused() -> None:
    with pytest.raises(Unreadable, match="of no failed VM entry: EPT violation"):
        read('{"seq":1,"kind":"crash","reason":"EPT violation"}')


def test_fields_that_the_table_does_not_have_are_passed_over() -> None:
    record = crash_record()
    fields = dict(record["fields"], **{"0x6ffe": "0x1"})
    assert set(read(json.dumps(record | {"fields": fields})).vmcs) <= set(BY_NAME)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 1000, b"hello\n", b"[[[[" * 50_000, b"a=1\n" * 1000, b"\xff\xfe" * 5000],
    ids=["empty", "zeros", "text", "nested", "others", "binary"],
)
def test_what_is_none_of_these_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match="it is none of these"):
        explain.read(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[ 1.0] kvm_intel: set kvm_intel.dump_invalid_vmcs=1 to dump internal KVM state.\n",
            "KVM dumped no VMCS there",
        ),
        (
            "KVM: entry failed, hardware error 0x80000021\n",
            "it reports exit reason 0x80000021: invalid guest state, but has no VMCS to judge",
        ),
        ("(XEN) d1v0 VMRESUME error: 0x5\n", "it reports VM-instruction error 5"),
        (
            "(XEN) d12v0 vmentry failure (reason 0x80000021): Invalid guest state (0)\n",
            "it reports exit reason 0x80000021",
        ),
        ("(XEN) Failed vm entry (exit reason 0x80000022)\n", "it reports exit reason 0x80000022"),
    ],
)
def test_a_report_without_a_vmcs_says_what_is_missing(text: str, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        read(text)


def test_what_is_too_long_is_refused() -> None:
    with pytest.raises(Unreadable, match="longer than 4 MiB"):
        explain.read(b"x" * (MOST_BYTES + 1))


def test_a_long_hostile_dump_is_read_in_no_time() -> None:
    heads = "*** Guest State ***\n*** Host State ***\n*** Control State ***\n"
    with pytest.raises(Unreadable):
        read(heads + "CS: " * 200_000 + "0" * 1_000_000 + " " * 1_000_000)


def test_a_log_full_of_refused_entries_is_read_in_no_time() -> None:
    line = "VMFAIL: VMCS EXEC CTRL: VMX pin-based controls allowed 1-settings [0x{:08x}]\n"
    source = read("".join(map(line.format, range(40_000))))
    assert 0 < len(source.named) <= 200


def test_an_explanation_is_safe_for_a_terminal() -> None:
    source = read("VMFAIL: VMCS EXEC CTRL: guest VPID == 0 \x1b[31m\n")
    assert all(line.isprintable() for line in lines(explain.explain(source)))
