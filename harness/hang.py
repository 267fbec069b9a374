"""What a machine does that did not finish in time: samples of its processors, and what they say."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.engines.base import Activity, Unsupported
from harness.places import Place, Places
from harness.verdict import RunEnded, Verdict

if TYPE_CHECKING:
    from harness.machine import Machine

SAMPLES = 20
APART = 0.005  # seconds that the machine runs between two samples
BARELY = 64  # bytes: a processor whose RIP stays within so many goes round in one place
_MOSTLY = 0.8  # of a program's samples
_OFTEN = 0.4  # of a processor's samples: whoever gets less is not what keeps it busy
_RFLAGS_IF = 1 << 9
_SHOWN = 6  # places a processor


@dataclass(frozen=True)
class Sample:
    """One look at one processor."""

    cpu: int
    place: Place
    activity: Activity
    interrupts: bool  # RFLAGS.IF
    in_guest: bool


@dataclass(frozen=True)
class Hang:
    """What the samples say; ``samples`` is empty where the machine could not be looked at."""

    samples: Sequence[Sample]
    trouble: str = ""  # why there are not all of them
    tick: int | None = None  # when the first one was taken, where the engine counts

    def verdict(self) -> tuple[Verdict, str] | None:
        """A verdict and its clause, or None: the machine was getting on with something."""
        started = [one for one in self.samples if one.activity is not Activity.WAITS]
        if started and all(self._never_wakes(one) for one in started):
            where = "; ".join(self._dead_ends(started))
            return Verdict.HALTED, f"no processor could ever wake again: {where}"
        for cpu in sorted({one.cpu for one in started}):
            if found := self._spinning([one for one in started if one.cpu == cpu]):
                return Verdict.SPINNING, found
        return None

    @staticmethod
    def _never_wakes(one: Sample) -> bool:
        # A guest in HLT is different: the preemption timer ends that wait.
        off = one.activity is Activity.HALTED and not one.interrupts and not one.in_guest
        return off or one.activity is Activity.SHUT_DOWN

    @staticmethod
    def _dead_ends(samples: Sequence[Sample]) -> list[str]:
        last = {one.cpu: one for one in samples}
        return [
            f"CPU {cpu} {one.activity.value} with interrupts off in {one.place}"
            for cpu, one in sorted(last.items())
        ]

    @staticmethod
    def _spinning(samples: Sequence[Sample]) -> str | None:
        """The clause, if one program keeps a processor busy and barely moves."""
        active = [one for one in samples if one.activity is Activity.ACTIVE]
        programs = Counter((one.in_guest, one.place.guest) for one in active)
        for program, count in programs.most_common():
            if count < _OFTEN * len(samples):
                return None
            mine = [one for one in active if (one.in_guest, one.place.guest) == program]
            addresses = sorted(one.place.address for one in mine)
            wanted = -(-len(addresses) * 8 // 10)
            windows = zip(addresses, addresses[wanted - 1 :], strict=False)
            low, high = min(windows, key=lambda window: window[1] - window[0])
            if high - low <= BARELY:
                inside = [one.place for one in mine if low <= one.place.address <= high]
                place = Counter(inside).most_common(1)[0][0]
                near = sum(abs(one.place.address - place.address) <= BARELY for one in mine)
                return (
                    f"{place.who} was spinning: in {near} of {len(samples)} samples CPU "
                    f"{mine[0].cpu} was in {place} or within {BARELY} bytes of it"
                )
        return None

    def lines(self) -> list[str]:
        """The histogram for people: by processor, program and symbol."""
        if not self.samples:
            return [f"no processor could be looked at: {self.trouble}"] if self.trouble else []
        shown = [f"{len(self.samples)} samples of the processors:"]
        for cpu in sorted({one.cpu for one in self.samples}):
            mine = [one for one in self.samples if one.cpu == cpu]
            counts = Counter(self._key(one) for one in mine)
            for (activity, interrupts, who, name), count in counts.most_common(_SHOWN):
                flags = "on" if interrupts else "off"
                what = "" if activity is Activity.ACTIVE else f", {activity.value}"
                shown.append(f"  CPU {cpu} {count:3}x {who} {name}{what}, interrupts {flags}")
        return shown + ([f"  then: {self.trouble}"] if self.trouble else [])

    @staticmethod
    def _key(one: Sample) -> tuple[Activity, bool, str, str]:
        who = one.place.who if one.in_guest else "root mode,"
        return one.activity, one.interrupts, who, one.place.function or f"{one.place.address:#x}"

    def as_json(self) -> list[dict[str, Any]]:
        """Every sample."""
        return [
            {
                "cpu": one.cpu,
                "guest_mode": one.in_guest,
                "guest": one.place.guest,
                "rip": f"{one.place.address:#x}",
                "symbol": one.place.name,
                "activity": one.activity.value,
                "interrupts": one.interrupts,
            }
            for one in self.samples
        ]


def look(machine: Machine) -> Hang:
    """Take samples of a machine that runs; it is paused afterwards, where the engine can pause.

    Never raises because the engine failed meanwhile: what is known then is what there is.
    """
    samples: list[Sample] = []
    tick: int | None = None
    places = Places(machine)
    try:
        for number in range(SAMPLES):
            machine.pause()
            tick = machine.running.tick if tick is None else tick
            for cpu in range(machine.boot.cpus):
                state = machine.running.cpu(cpu)
                samples.append(
                    Sample(
                        cpu,
                        places.of(state),
                        state.activity,
                        bool(state.registers.get("rflags", 0) & _RFLAGS_IF),
                        places.in_guest(state),
                    )
                )
            if number < SAMPLES - 1:
                machine.resume()
                until = time.monotonic() + APART
                while machine.end is None and machine.watch(until):
                    pass
            if machine.end is not None:
                break
    except (RunEnded, Unsupported, OSError) as trouble:
        return Hang(tuple(samples), str(trouble), tick)
    return Hang(tuple(samples), tick=tick)
