"""Lines of Bochs' log, which name the check that failed (cpu/vmx.cc of Bochs 2.7), as rules.

Bochs stops at the first check that fails, and says so without values; some of its messages stand
for several rules.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import cache

from harness.vmentry.rules import BY_ID
from harness.vmentry.source import Source

# A line has one of these beginnings; the rest is a key of a table below. {s} is a segment's name.
_BEGINNINGS = ("VMFAIL: ", "VMENTER FAIL: ")

_MOST = 200  # different messages of a log that are looked at

_CONTROLS = {
    "VMCS EXEC CTRL: VMX pin-based controls allowed": "exec.pin.reserved",
    "VMCS EXEC CTRL: VMX proc-based controls allowed": "exec.primary.reserved",
    "VMCS EXEC CTRL: VMX secondary controls allowed": "exec.secondary.reserved",
    "VMCS EXEC CTRL: VMX vmexit controls allowed": "exit.primary.reserved",
    "VMCS EXEC CTRL: VMX vmentry controls allowed": "entry.reserved",
    "VMCS EXEC CTRL: too may CR3 targets": "exec.cr3-target-count",
    "VMCS EXEC CTRL: I/O bitmap A": "exec.io-bitmap-a.*",
    "VMCS EXEC CTRL: I/O bitmap B": "exec.io-bitmap-b.*",
    "VMCS EXEC CTRL: MSR bitmap phy": "exec.msr-bitmaps.*",
    "VMCS EXEC CTRL: misconfigured virtual NMI": "exec.virtual-nmis exec.nmi-window-exiting",
    "VMCS EXEC CTRL: VMREAD bitmap": "exec.vmread-bitmap.*",
    "VMCS EXEC CTRL: VMWRITE bitmap": "exec.vmwrite-bitmap.*",
    "VMCS EXEC CTRL: broken #VE": "exec.ve-information.*",
    "VMCS EXEC CTRL: virtual apic phy": "exec.virtual-apic.*",
    "VMCS EXEC CTRL: TPR threshold too big": "exec.tpr-threshold.reserved",
    "VMCS EXEC CTRL: TPR threshold > TPR shadow": "exec.tpr-threshold.vtpr",
    "VMCS EXEC CTRL: apic virtualization is enabled without": "exec.*.tpr-shadow",
    "VMCS EXEC CTRL: apic access page": "exec.apic-access.*",
    "VMCS EXEC CTRL: virtualize X2APIC mode enabled together": "exec.x2apic.apic-accesses",
    "VMCS EXEC CTRL: virtual interrupt delivery must": "exec.interrupt-delivery.external",
    "VMCS EXEC CTRL: invalid EPTPTR": "exec.eptp.*",
    "VMCS EXEC CTRL: unrestricted guest without EPT": "exec.unrestricted-guest.ept",
    "VMCS EXEC CTRL: guest VPID == 0": "exec.vpid",
    "VMCS EXEC CTRL: PML is enabled without EPT": "exec.pml.ept",
    "VMCS EXEC CTRL: PML base phy": "exec.pml.aligned exec.pml.width",
    "VMCS EXEC CTRL: SPP is enabled without EPT": "exec.sub-page-write.ept",
    "VMCS EXEC CTRL: SPP base phy": "exec.sub-page-table.*",
    "VMCS EXEC CTRL: TSC multiplier": "exec.tsc-multiplier",
    "VMCS VM Functions control reserved": "exec.vm-functions.reserved",
    "VMFUNC EPTP-SWITCHING: EPT disabled": "exec.eptp-switching.ept",
    "VMFUNC EPTP-SWITCHING: eptp list": "exec.eptp-list.*",
    "save_VMX_preemption_timer VMEXIT control": "exit.save-preemption-timer",
    "VMCS VMEXIT CTRL: msr store addr malformed": "exit.msr-store.aligned exit.msr-store.width",
    "VMCS VMEXIT CTRL: msr store addr too high": "exit.msr-store.last",
    "VMCS VMEXIT CTRL: msr load addr malformed": "exit.msr-load.aligned exit.msr-load.width",
    "VMCS VMEXIT CTRL: msr load addr too high": "exit.msr-load.last",
    "VMCS VMENTRY CTRL: msr load addr malformed": "entry.msr-load.aligned entry.msr-load.width",
    "VMCS VMENTRY CTRL: msr load addr too high": "entry.msr-load.last",
    "VMENTRY from outside SMM with dual-monitor": "entry.dual-monitor",
    "VMENTRY broken interruption info": "entry.event.reserved",
    "VMENTRY bad injected event type": "entry.event.type.*",
    "VMENTRY bad injected event vector": "entry.event.vector.nmi entry.event.vector.exception",
    "VMENTRY bad MTF injection": "entry.event.vector.other",
    "VMENTRY injected event vector": "entry.event.error-code.*",
    "VMENTRY bad error code": "entry.event.error-code.value",
    "VMENTRY bad injected event instr length": "entry.event.length entry.event.length.zero",
}

_HOST = {
    "VMCS host state invalid CR0": "host.cr0.*",
    "VMCS host state invalid CR3": "host.cr3",
    "VMCS host state invalid CR4": "host.cr4.fixed-*",
    "VMCS host CR4.CET": "host.cr4.cet",
    "VMCS host segreg": "host.*.selector",
    "VMCS host CS selector 0": "host.cs.null",
    "VMCS host SS selector 0": "host.ss.null",
    "VMCS invalid host TR selector": "host.tr.null host.tr.selector",
    "VMCS host TR BASE": "host.tr.base",
    "VMCS host FS BASE": "host.fs.base",
    "VMCS host GS BASE": "host.gs.base",
    "VMCS host GDTR BASE": "host.gdtr.base",
    "VMCS host IDTR BASE": "host.idtr.base",
    "VMCS host SYSENTER_ESP": "host.sysenter-esp",
    "VMCS host SYSENTER_EIP": "host.sysenter-eip",
    "invalid Memory Type in host MSR_PAT": "host.pat",
    "VMCS host EFER reserved": "host.efer.reserved",
    "VMCS host EFER (": "host.efer.lma host.efer.lme",
    "VMCS host IA32_S_CET/EB": "host.s-cet.canonical host.size.32-bit.s-cet",
    "VMCS host IA32_S_CET invalid": "host.s-cet.reserved host.s-cet.tracker",
    "VMCS host INTERRUPT_SSP_TABLE_ADDR": "host.ssp-table.canonical",
    "VMCS host SSP[1:0]": "host.ssp.aligned",
    "VMCS host SSP non": "host.size.*-bit.ssp",
    "VMCS host CR4.PAE=0": "host.size.64-bit.pae",
    "VMCS host RIP non-canonical": "host.size.64-bit.rip",
    "VMCS host CR4.PCIDE": "host.size.32-bit.pcide",
    "VMCS host RIP > 32 bit": "host.size.32-bit.rip",
    "VMCS x86-64 host control invalid": "host.size.inside",
    "VMCS x86-64 guest(": "host.size.*ia32e-guest host.size.outside",
}

_GUEST = {
    "VMCS guest invalid CR0": "guest.cr0.fixed-* guest.ia32e.paging",
    "VMCS unrestricted guest CR0.PG": "guest.cr0.pg guest.cr0.fixed-0",
    "VMCS guest invalid CR3": "guest.cr3",
    "VMCS guest invalid CR4": "guest.cr4.fixed-*",
    "VMCS guest CR4.CET=1": "guest.cr4.cet",
    "VMCS guest CR4.PAE=0": "guest.ia32e.pae",
    "VMCS CR4.PCIDE set in 32-bit": "guest.cr4.pcide",
    "VMCS guest invalid DR7": "guest.dr7",
    "VMCS guest SYSENTER_ESP": "guest.sysenter-esp",
    "VMCS guest SYSENTER_EIP": "guest.sysenter-eip",
    "invalid Memory Type in guest MSR_PAT": "guest.pat",
    "VMCS guest EFER reserved": "guest.efer.reserved",
    "VMCS guest EFER.LMA": "guest.efer.lma",
    "VMCS guest EFER (": "guest.efer.lme",
    "VMCS guest IA32_S_CET/EB": "guest.s-cet.canonical",
    "VMCS guest IA32_S_CET invalid": "guest.s-cet.reserved guest.s-cet.tracker",
    "VMCS guest INTERRUPT_SSP_TABLE_ADDR": "guest.ssp-table.canonical",
    "VMCS guest SSP[1:0]": "guest.ssp.aligned",
    "VMCS guest SSP non": "guest.ssp.width",
    "VMCS guest IDTR/IDTR.BASE": "guest.gdtr.base guest.idtr.base",
    "VMCS guest GDTR/IDTR limit": "guest.gdtr.limit guest.idtr.limit",
    "VMCS v8086 guest bad {s}.BASE": "guest.{s}.v86.base",
    "VMCS v8086 guest {s}.LIMIT": "guest.{s}.v86.limit",
    "VMCS v8086 guest {s}.AR": "guest.{s}.v86.rights",
    "VMCS guest CODE segment {s} not READABLE": "guest.{s}.type.readable",
    "VMCS guest {s} not ACCESSED": "guest.{s}.type.accessed",
    "VMCS guest {s} not segment": "guest.{s}.s",
    "VMCS guest {s} not present": "guest.{s}.present",
    "VMCS guest {s} is not system segment": "guest.{s}.s",
    "VMCS guest {s}.AR/LIMIT malformed": "guest.{s}.granularity.* guest.{s}.rights.reserved",
    "VMCS guest {s}.BASE > 32": "guest.{s}.base.high",
    "VMCS guest {s}.BASE non canonical": "guest.{s}.base.canonical",
    "VMCS guest {s}.TI set": "guest.{s}.selector",
    "VMCS guest CS.RPL != SS.RPL": "guest.ss.rpl",
    "VMCS guest CS.TYPE": "guest.cs.type guest.cs.type.unrestricted",
    "VMCS guest SS.TYPE": "guest.ss.type",
    "VMCS guest SS.RPL <> SS.DPL": "guest.ss.dpl.rpl",
    "VMCS unrestricted guest SS.DPL": "guest.ss.dpl.zero",
    "VMCS unrestricted guest CS.DPL": "guest.cs.dpl.data",
    "VMCS guest non-conforming CS.RPL <> CS.DPL": "guest.cs.dpl.non-conforming",
    "VMCS guest non-conforming CS.RPL < CS.DPL": "guest.cs.dpl.conforming",
    "VMCS guest non-conforming {s}.RPL < {s}.DPL": "guest.{s}.dpl",
    "VMCS x86_64 guest wrong CS.D_B/L": "guest.cs.d",
    "VMCS guest TR invalid": "guest.tr.usable",
    "VMCS guest incorrect TR type": "guest.tr.type guest.tr.type.legacy",
    "VMCS guest incorrect LDTR type": "guest.ldtr.type",
    "VMCS guest RIP > 32 bit": "guest.rip.high",
    "RFLAGS reserved bits": "guest.rflags.reserved",
    "RFLAGS[1] cleared": "guest.rflags.one",
    "Enter to x86-64 guest with RFLAGS.VM": "guest.rflags.vm.ia32e",
    "VMCS guest activity state": "guest.activity.supported",
    "VMCS guest HLT state with SS.DPL": "guest.activity.hlt.dpl",
    "VMCS guest interruptibility state broken when entering non active": "guest.activity.blocked",
    "VMCS guest interruptibility state broken": (
        "guest.interruptibility.reserved guest.interruptibility.both "
        "guest.interruptibility.enclave.*"
    ),
    "Only NMI or #MC guest interruption": "guest.activity.event.shutdown",
    "No guest interruptions are allowed when entering Wait-For-Sipi": "guest.activity.event.sipi",
    "The activity state must not indicate the wait-for-SIPI": "guest.activity.smm",
    "VMCS guest interrupts can't be blocked by STI": "guest.interruptibility.sti.if",
    "VMCS guest interrupts blocked when injecting external": (
        "guest.interruptibility.interrupt guest.rflags.if"
    ),
    "VMCS guest interrupts blocked when injecting NMI": "guest.interruptibility.nmi.*",
    "VMCS SMI blocked when not in SMM": "guest.interruptibility.smi.outside",
    "VMCS SMM guest should block SMI": "guest.interruptibility.smi.entry",
    "VMCS guest tmpDR6 reserved": "guest.pending-debug.reserved guest.pending-debug.rtm.*",
    "VMCS link pointer malformed": "guest.link-pointer.aligned guest.link-pointer.width",
    "VMCS link pointer incorrect revision": "guest.link-pointer.revision guest.link-pointer.shadow",
    "VMCS link pointer must indicate shadow": "guest.link-pointer.shadow",
    "VMCS link pointer equal to current": "guest.link-pointer.current",
    "VMCS link pointer equal to VMXON": "guest.link-pointer.vmxon",
}

# VM entries that fail before any field is looked at (SDM 3C 27.1); no rule is about those.
_BASIC = {
    "VMLAUNCH with invalid VMCS ptr": "there is no current VMCS",
    "VMLAUNCH with interrupts blocked by MOV_SS": (
        "VM-instruction error 26: VM entry with events blocked by MOV SS"
    ),
    "VMLAUNCH with non-clear VMCS": "VM-instruction error 4: VMLAUNCH with non-clear VMCS",
    "VMRESUME with non-launched VMCS": "VM-instruction error 5: VMRESUME with non-launched VMCS",
}

_SEGMENT = r"(ES|CS|SS|DS|FS|GS|LDTR|TR)"


@cache
def _table() -> tuple[tuple[re.Pattern[str], str], ...]:
    found = []
    # Longer messages first, of which others are the beginning.
    for message, rules in sorted(
        (_CONTROLS | _HOST | _GUEST).items(), key=lambda row: -len(row[0])
    ):
        pattern = re.escape(message).replace(r"\{s\}", _SEGMENT, 1).replace(r"\{s\}", r"\1")
        found.append((re.compile(pattern), rules))
    # What is said of one register in particular comes before what is said of any.
    return tuple(sorted(found, key=lambda row: "(ES|" in row[0].pattern))


def _message(line: str) -> str | None:
    for beginning in _BEGINNINGS:
        _, found, message = line.partition(beginning)
        if found:
            return message.strip()
    return None


def rules_of(line: str) -> tuple[str, ...] | None:
    """The ids of the rules that a line of the log stands for; None if it names no check."""
    message = _message(line)
    if message is None:
        return None
    for pattern, rules in _table():
        if match := pattern.match(message):
            segment = match[1].lower() if pattern.groups else ""
            wanted = rules.format(s=segment).split()
            return tuple(id for id in BY_ID if any(fnmatchcase(id, one) for one in wanted))
    return None


def read(text: str) -> Source | None:
    """What a log says of VM entries that failed; None if it says nothing of the kind."""
    lines = {message: line for line in text.splitlines() if (message := _message(line[:400]))}
    named: list[tuple[str, tuple[str, ...]]] = []
    notes: list[str] = []
    for message, line in list(lines.items())[:_MOST]:
        if rules := rules_of(line[:400]):
            named.append((message, rules))
        meanings = [text for start, text in _BASIC.items() if message.startswith(start)]
        notes += [f"{message}: {meaning}." for meaning in meanings]
    if not named and not notes:
        return None
    return Source("Bochs' log", named=tuple(named), notes=tuple(notes))
