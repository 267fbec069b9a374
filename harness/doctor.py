"""``hv doctor``: what this host offers, measured, and the commands that would enable more."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.report.screen import Screen
from harness.report.text import plain
from harness.verdict import RunEnded

KVM = Path("/dev/kvm")
CPUINFO = Path("/proc/cpuinfo")
MODULES = Path("/sys/module")


@dataclass(frozen=True)
class EngineFinding:
    """One engine: whether it can be used, what its default processor offers, what would help."""

    name: str
    usable: bool
    reason: str
    remedy: str
    cpu: str
    control: tuple[str, ...]
    features: tuple[str, ...] | None  # None: not measured, `problem` says why
    problem: str = ""


@dataclass(frozen=True)
class Host:
    """What the kernel and the processor say of themselves; none of it is believed by an engine."""

    kvm_present: bool
    kvm_permitted: bool
    processor: str
    virtualization: str  # "vmx", "svm" or ""
    hypervisor_below: bool
    nested: str  # the kernel module's parameter: "Y", "N", "1", "0", or "" where it is not loaded
    advice: tuple[str, ...] = ()


@dataclass(frozen=True)
class Findings:
    """Everything that `examine` found."""

    engines: tuple[EngineFinding, ...]
    host: Host
    system: str = field(default_factory=lambda: " ".join(os.uname()[i] for i in (0, 2, 4)))

    @property
    def usable(self) -> bool:
        """Whether any engine can be used."""
        return any(engine.usable for engine in self.engines)

    def as_json(self) -> dict[str, Any]:
        """Everything, in plain JSON types."""
        return {**asdict(self), "usable": self.usable}


def examine() -> Findings:
    """Look at the host and measure every engine; may boot the tiny probe image on each."""
    from harness import choose

    by_name = (choose.engine(name) for name in choose.BY_NAME)
    return Findings(
        (*(_engine(engine) for engine in choose.engines()), *map(_slow_engine, by_name)), host()
    )


def _engine(engine: Any) -> EngineFinding:
    from harness import probe

    found = engine.availability()
    features: tuple[str, ...] | None = None
    problem = ""
    if found.usable:
        try:
            features = tuple(sorted(probe.features(engine, None)))
        except RunEnded as ended:
            problem = ended.sentence
    return EngineFinding(
        name=engine.name,
        usable=found.usable and not problem,
        reason=found.reason,
        remedy=found.remedy,
        cpu=engine.default_cpu,
        control=tuple(sorted(engine.control)),
        features=features,
        problem=problem,
    )


def _slow_engine(engine: Any) -> EngineFinding:
    """One that takes half a minute to boot anything: only what an earlier run measured is told."""
    from harness import probe

    found = engine.availability()
    known = probe.known(engine) if found.usable else None
    return EngineFinding(
        name=engine.name,
        usable=found.usable,
        reason=found.reason,
        remedy=found.remedy,
        cpu=engine.default_cpu,
        control=tuple(sorted(engine.control)),
        features=None if known is None else tuple(sorted(known)),
    )


def host() -> Host:
    """Read what the kernel says; touches nothing."""
    info = _read(CPUINFO)
    flags = set(_field(info, "flags").split())
    model = _field(info, "model name") or os.uname().machine
    kind = next((word for word in ("vmx", "svm") if word in flags), "")
    module = {"vmx": "kvm_intel", "svm": "kvm_amd"}.get(kind, "")
    nested = _read(MODULES / module / "parameters" / "nested").strip() if module else ""
    present = KVM.exists()
    permitted = present and os.access(KVM, os.R_OK | os.W_OK)
    return Host(
        kvm_present=present,
        kvm_permitted=permitted,
        processor=model,
        virtualization=kind,
        hypervisor_below="hypervisor" in flags,
        nested=nested,
        advice=tuple(_advice(kind, module, nested, present, permitted, "hypervisor" in flags)),
    )


def _advice(
    kind: str, module: str, nested: str, present: bool, permitted: bool, virtual: bool
) -> list[str]:
    if not kind:
        where = "the hypervisor below" if virtual else "the firmware"
        return [
            f"qemu-kvm needs VMX in this machine's own processor: enable it in {where}, or use "
            "bochs, which brings its own"
        ]
    advice = []
    if not present:
        advice.append(f"qemu-kvm needs {KVM}: sudo modprobe {module}")
    elif not permitted:
        advice.append(f"qemu-kvm needs access to {KVM}: sudo usermod -aG kvm $USER; log in again")
    if nested in ("N", "0"):
        advice.append(
            f"qemu-kvm needs nested virtualization: sudo modprobe -r {module}; "
            f"sudo modprobe {module} nested=1"
        )
    return advice


def _field(info: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:[ \t]*(.*)$", info, re.MULTILINE)
    return found[1] if found else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def show(findings: Findings, screen: Screen) -> None:
    """Print the findings for a person."""
    rows: list[tuple[str, str, str]] = []
    for engine in findings.engines:
        rows.append((engine.name, "usable" if engine.usable else "unusable", plain(engine.reason)))
        if engine.features is not None:
            offers = ", ".join(engine.features) or "no virtualization"
            rows.append(("", engine.cpu, plain(offers)))
        if engine.problem:
            rows.append(("", "not measured", plain(engine.problem)))
        if engine.remedy:
            rows.append(("", "to enable", plain(engine.remedy)))
    one = findings.host
    words = [one.virtualization or "no vmx, no svm"]
    words += ["a virtual machine itself"] if one.hypervisor_below else []
    access = "there, may be opened" if one.kvm_permitted else "there, may not be opened"
    rows.append(("host", "system", findings.system))
    rows.append(("", "processor", plain("; ".join([one.processor, *words]))))
    nested = f"; nested={one.nested}" if one.nested else ""
    rows.append(("", str(KVM), (access if one.kvm_present else "not there") + nested))
    rows.extend(("", "advice", advice) for advice in one.advice)
    screen.table(rows, ("bold", "cyan"))
