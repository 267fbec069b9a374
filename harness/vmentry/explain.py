"""Why a VM entry failed: from what somebody has of it to sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.report.text import plain
from harness.vmentry import examine
from harness.vmentry.capabilities import ARCHITECTURAL, Capabilities
from harness.vmentry.rule import Findings, Outcome, Stage, Violation
from harness.vmentry.source import MOST_BYTES, Source, Unreadable, reported_in

_FORMATS = (
    "a crash record of ours, a VMCS dump of KVM or Xen, lines of Bochs' log, or name=value lines"
)
_MOST_MISSING = 12


def read(data: bytes) -> Source:
    """The failed entry that a file describes; `Unreadable` says why it describes none."""
    from harness.vmentry import source_bochs, source_fields, source_printk, source_record

    if len(data) > MOST_BYTES:
        raise Unreadable(f"it is longer than {MOST_BYTES >> 20} MiB")
    text = data.decode("utf-8", "replace")
    if (crash := source_record.find(text)) is not None:
        return source_record.read(crash)
    if source_printk.is_dump(text):
        return source_printk.read(text)
    found = source_bochs.read(text) or source_fields.read(text)
    if found is None:
        raise Unreadable(_nothing_to_judge(text))
    return found


def _nothing_to_judge(text: str) -> str:
    if "dump_invalid_vmcs=1" in text:
        return "KVM dumped no VMCS there; write 1 to kvm_intel's parameter dump_invalid_vmcs first"
    if reported := reported_in(text):
        return f"it reports {_told(reported)}, but has no VMCS to judge"
    return f"it is none of these: {_FORMATS}"


@dataclass(frozen=True)
class Explanation:
    """A failed entry with what the rules say of it, most likely cause first."""

    source: Source
    findings: Findings
    violations: tuple[Violation, ...]
    assumed: str | None

    @property
    def found(self) -> bool:
        """Whether there is a cause to show."""
        return bool(self.violations or self.source.named or self.source.notes)


def explain(source: Source, processor: Capabilities | None = None) -> Explanation:
    """Judge a failed entry; what it does not tell of its processor is taken from ``processor``.

    Without that it is taken from one that has every feature of the manual.
    """
    told, assumed = source.capabilities, None
    if told is not None and processor is not None:
        told = told.known_from(processor)
    elif told is None:
        told = processor or ARCHITECTURAL
        if processor is None and source.vmcs:
            assumed = (
                "the input does not tell its processor's capabilities, so it is judged by a"
                " processor that has every feature: what that refuses, each does (--cpu names one)"
            )
    findings = examine(source.vmcs, told) if source.vmcs else Findings((), (), 0)
    likely = sorted(findings.violations, key=lambda v: not _matches(v, source.reported))
    return Explanation(source, findings, tuple(likely), assumed)


def _matches(violation: Violation, reported: Outcome | None) -> bool:
    """Whether the processor's answer can be due to this rule."""
    if reported is None:
        return False
    stage = violation.rule.stage
    if (stage.error, stage.reason) != (reported.error, reported.reason):
        return False
    return reported.qualification == violation.qualification


def _told(reported: Outcome) -> str:
    stages = {(stage.error, stage.reason): stage.meaning for stage in Stage}
    meaning = stages.get((reported.error, reported.reason))
    if meaning is None:
        number = f"VM-instruction error {reported.error}" if reported.error else (
            f"exit reason {1 << 31 | (reported.reason or 0):#x}"
        )  # fmt: skip
        return f"{number}, which is no check of these rules"
    more = f", qualification {reported.qualification}" if reported.qualification else ""
    return meaning + more


def lines(explanation: Explanation) -> list[str]:
    """The explanation for people, every line safe for a terminal."""
    return [plain(line) for line in _lines(explanation)]


def _lines(explanation: Explanation) -> Iterator[str]:
    source, findings = explanation.source, explanation.findings
    yield f"{source.kind[0].upper()}{source.kind[1:]}."
    if source.reported:
        yield f"The processor reported {_told(source.reported)}."
    yield from source.notes
    yield from _named(source)
    if not source.vmcs:
        return
    count = len(explanation.violations)
    if count:
        yield f"{count} rule{' is' if count == 1 else 's are'} broken:"
    else:
        yield "No rule is broken, as far as can be judged."
    for violation in explanation.violations:
        rule = violation.rule
        yield f"  {rule.id} (SDM 3C {rule.section}; {rule.stage.meaning}):"
        yield f"    {violation.sentence}"
    if explanation.violations and source.reported and not any(
        _matches(violation, source.reported) for violation in explanation.violations
    ):  # fmt: skip
        yield "None of these is answered in the way that the processor reported."
    yield _judged(findings)
    if explanation.assumed:
        yield f"Assumed: {explanation.assumed}."


def _judged(findings: Findings) -> str:
    text = f"{findings.kept} rules are kept"
    if not findings.undecided:
        return f"{text}; all could be judged."
    missing = [name for name, _ in Counter(u.missing for u in findings.undecided).most_common()]
    shown = ", ".join(missing[:_MOST_MISSING])
    more = f" and {len(missing) - _MOST_MISSING} more" if len(missing) > _MOST_MISSING else ""
    return f"{text}; {len(findings.undecided)} could not be judged for want of {shown}{more}."


def _named(source: Source) -> Iterator[str]:
    from harness.vmentry.rules import BY_ID

    for words, ids in source.named:
        yield words
        for id in ids:
            rule = BY_ID[id]
            values = ", ".join(rule.fields)
            conditions = " and ".join(condition.words for condition in rule.when)
            where = f"where {conditions}, " if conditions else ""
            yield f"  {id} (SDM 3C {rule.section}; {rule.stage.meaning}):"
            yield f"    {where}{rule.must}; look at {values}"


def document(explanation: Explanation) -> dict[str, Any]:
    """The explanation for programs; numbers that people read in hexadecimal are strings."""
    source, findings = explanation.source, explanation.findings
    return {
        "source": source.kind,
        "reported": _outcome(source.reported),
        "notes": list(source.notes),
        "named": [{"words": words, "rules": list(ids)} for words, ids in source.named],
        "violations": [_violation(v, explanation) for v in explanation.violations],
        "undecided": [{"rule": u.rule.id, "missing": u.missing} for u in findings.undecided],
        "kept": findings.kept,
        "assumed": explanation.assumed,
    }


def _outcome(outcome: Outcome | None) -> dict[str, int | None] | None:
    if outcome is None:
        return None
    return {
        "error": outcome.error,
        "reason": outcome.reason,
        "qualification": outcome.qualification,
    }


def _violation(violation: Violation, explanation: Explanation) -> dict[str, Any]:
    rule, vmcs = violation.rule, explanation.source.vmcs
    return {
        "rule": rule.id,
        "section": rule.section,
        "stage": rule.stage.word,
        **(_outcome(violation.outcome) or {}),
        "fields": {name: f"{vmcs[name]:#x}" for name in rule.fields if name in vmcs},
        "sentence": violation.sentence,
    }


def of_crash(record: Any) -> Sequence[str]:
    """The lines that explain a crash record, or nothing if it is of no failed entry."""
    from harness.vmentry import source_record

    try:
        source = source_record.read(record)
    except Unreadable:
        return ()
    return lines(explain(source))[1:]
