"""Which engine a run gets: the best one that is usable here and has what the run needs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from harness.engines.base import CONTROL, FIRMWARE, Engine, Say, silently
from harness.verdict import RunEnded, Verdict, bad_usage

NAMES = ("qemu-kvm", "bochs", "qemu-tcg")  # in order of preference
BY_NAME = ("qemu-kvm-in-bochs",)  # used where a run names it, never chosen: it takes its time
AUTO = "auto"


@dataclass(frozen=True)
class Choice:
    """The engine chosen, and for each better one why it was not: (name, one clause)."""

    engine: Engine
    passed_over: list[tuple[str, str]] = field(default_factory=list)


def engine(name: str) -> Engine:
    """The engine called ``name``; BAD_USAGE if there is none."""
    if name == "bochs":
        from harness.engines.bochs import Bochs

        return Bochs()
    if name == "qemu-tcg":
        from harness.engines.qemu import QemuTcg

        return QemuTcg()
    if name == "qemu-kvm":
        from harness.engines.qemu import QemuKvm

        return QemuKvm()
    if name == "qemu-kvm-in-bochs":
        from harness.engines.qemu_kvm_in_bochs import QemuKvmInBochs

        return QemuKvmInBochs()
    known = ", ".join((AUTO, *NAMES, *BY_NAME))
    raise bad_usage(f"there is no engine {name!r}: it must be one of {known}.")


def engines() -> list[Engine]:
    """All engines that may be chosen, best first, whether usable here or not."""
    return [engine(name) for name in NAMES]


def prepared(candidate: Engine, requires: Collection[str]) -> Engine:
    """``candidate``, or a kind of it that offers what costs too much to be always there."""
    counting = getattr(candidate, "counting", None)
    if counting is None or "deterministic" not in requires:
        return candidate
    counted: Engine = counting()
    return counted


def known_model(cpu: str, name: str = AUTO) -> None:
    """RunEnded BAD_USAGE if the engine ``name`` (auto: none of all) has no such CPU model."""
    from harness import models

    models.check(cpu, [engine(name)] if name != AUTO else engines(), named=name != AUTO)


def unmet(
    candidate: Engine, requires: Collection[str], cpu: str | None = None, say: Say = silently
) -> tuple[str, str]:
    """Why ``candidate`` won't do, and what would help; two empty strings if it will."""
    from harness import models, probe

    available = candidate.availability()
    if not available.usable:
        return available.reason, available.remedy
    if cpu is not None and (unknown := models.lacks(candidate, cpu)):
        return unknown, ""
    wanted = [word for word in requires if word not in candidate.control]
    if firmware := [word for word in wanted if word in FIRMWARE]:
        return f"it does not boot with {firmware[0]}", ""
    if lacking := [word for word in wanted if word in CONTROL]:
        return f"it does not offer {', '.join(lacking)}", ""
    if not wanted and "hardware" not in candidate.control:
        return "", ""
    try:
        # On hardware even a boot that needs nothing is tried first: that KVM opens proves little.
        offered = probe.features(candidate, cpu, say)
    except RunEnded as error:
        if error.verdict is Verdict.BAD_USAGE and not wanted:
            return "", ""  # the probe isn't built, and nothing depends on it
        if error.verdict is Verdict.BAD_USAGE and cpu is None:
            raise
        if candidate.name in BY_NAME:  # there is no other engine to go on to: this is the verdict
            raise
        return f"a trial boot failed: {error.sentence.rstrip('.')}", ""
    missing = [word for word in wanted if word not in offered]
    if missing:
        model = cpu or candidate.default_cpu
        return f"its CPU {model} has no {', '.join(missing)}", ""
    return "", ""


def choose(
    requires: Collection[str] = (),
    only: Collection[str] = (),
    name: str = AUTO,
    cpu: str | None = None,
    *,
    say: Say = silently,
    candidates: Callable[[], list[Engine]] = engines,
) -> Choice:
    """The best engine that offers all of ``requires`` (control words or CPU features).

    ``only``: names that may be used at all (empty: all). ``name``: this one, unless "auto".
    ``cpu``: the engine's CPU model. ``say`` hears what a trial boot waits for. Raises RunEnded:
    ENGINE_MISSING with each engine's reason and remedy; BAD_USAGE for an unknown name.
    """
    offered = candidates()
    for known in dict.fromkeys((*only, name)):
        if known != AUTO and known not in {e.name for e in offered}:
            offered.append(engine(known))  # raises the sentence where there is none
    passed_over: list[tuple[str, str]] = []
    remedies: list[str] = []
    for usual in offered:
        candidate = prepared(usual, requires)
        if name not in (AUTO, candidate.name):
            continue
        if only and candidate.name not in only:
            passed_over.append((candidate.name, "this run does not use it"))
            continue
        reason, remedy = unmet(candidate, requires, cpu, say)
        if not reason:
            return Choice(candidate, passed_over)
        passed_over.append((candidate.name, reason))
        if remedy:
            remedies.append(f"{candidate.name}: {remedy}")
    wants = f" offers {', '.join(sorted(requires))}" if requires else " is usable"
    reasons = "; ".join(f"{who}: {why}" for who, why in passed_over)
    which = "no engine here" if name == AUTO else f"the engine {name} here"
    verb = (
        wants
        if name == AUTO
        else wants.replace(" offers", " does not offer").replace(" is usable", " is not usable")
    )
    raise RunEnded(
        Verdict.ENGINE_MISSING,
        f"{which}{verb} ({reasons}).",
        evidence=tuple(f"to get {remedy}" for remedy in remedies),
        facts={"requires": sorted(requires), "passed_over": [list(p) for p in passed_over]},
    )
