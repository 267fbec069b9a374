"""A scenario, ``tests/scenarios/NAME.toml``: which guests to boot and what must happen."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import project
from harness.engines.base import FIRMWARE
from harness.guest import PROTOCOLS, DataFile, Guest, file_word
from harness.tables import Document, Table, parse, suggestion
from harness.verdict import Verdict, bad_usage

SUFFIX = ".toml"
MOST_MSRS = 64
MOST_MIPS = 1000  # faster than any emulator; a 32-bit number of instructions a second
ALLOWABLE = ("panic", "trap", "crash", "refused", "vm-refused", "report")
"""What ``allow`` can name: it ends a run by itself unless the scenario wants it."""


@dataclass(frozen=True)
class Expectation:
    """One thing that must happen: a pattern on the console, or a record with these values."""

    console: str | None = None
    record: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.console is not None:
            return f"console {self.console!r}"
        values = ", ".join(f"{key}={value!r}" for key, value in self.where.items())
        return f"record {self.record}" + (f" where {values}" if values else "")


@dataclass(frozen=True)
class Scenario:
    """Everything that a scenario file says; the file's name without ``.toml`` is its name."""

    name: str
    path: Path
    description: str
    tags: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    cpu: str | None = None
    timeout: float = 10.0  # seconds for the machine as a whole
    memory: int | None = None  # MiB; None: what its guests need
    mips: int | None = None  # how fast the machine is, where the engine decides that (bochs)
    append: str = ""
    msrs: tuple[tuple[int, int], ...] = ()  # what firmware writes before the image
    firmware: str | None = None  # None: the engine's default
    heavy: str = ""  # why a test session leaves it out on an engine that takes its time
    slow: str = ""  # why a test session leaves it out unless it asks for what is slow
    endless: bool = False  # a guest never ends: it is over once every expectation is met
    verdict: Verdict = Verdict.PASSED
    forbid: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    guests: tuple[Guest, ...] = ()
    expectations: tuple[Expectation, ...] = ()

    def needs(self) -> tuple[str, ...]:
        """What a host must offer, in words for people: features, an engine, a CPU model."""
        engine = ("on " + " or ".join(self.engines),) if self.engines else ()
        return (*self.requires, *engine, *filter(None, (self.cpu, self.firmware)))


def load(path: Path) -> Scenario:
    """Read one scenario file; RunEnded BAD_USAGE says which file and line are wrong, and how."""
    text, data = parse(path)
    return _Reader(path, text).scenario(data)


def paths() -> list[Path]:
    """The project's scenario files, by name."""
    return sorted(project.scenarios().glob(f"*{SUFFIX}"))


def find(name: str) -> Scenario:
    """The scenario called ``name``, or in the file ``name`` if that ends in .toml.

    RunEnded BAD_USAGE suggests the nearest name where there is none.
    """
    if name.endswith(SUFFIX):
        return load(Path(name).resolve())
    known = {path.stem: path for path in paths()}
    if name in known:
        return load(known[name])
    hint = suggestion(name, known) or "`hv list` shows the names that there are"
    raise bad_usage(f"there is no scenario {name!r}; {hint}")


_GUEST = (
    *("like", "image", "name", "options", "boot"),
    *("cmdline", "append", "initrd", "shell", "modules"),
)


class _Reader(Document):
    """Turns a parsed TOML document into a Scenario, and says where it is wrong."""

    def scenario(self, data: dict[str, Any]) -> Scenario:
        keys = (
            *("description", "tags", "requires", "engines", "cpu", "timeout", "memory", "mips"),
            *("append", "msrs", "firmware", "heavy", "slow", "endless"),
            *("verdict", "forbid", "allow", "guest", "expect"),
        )
        top = Table(self, data, "", 0)
        top.only(keys)
        guests = tuple(self.guest(table) for table in self.tables(data, "guest"))
        for index, guest in enumerate(guests):
            if any(guest.name == other.name for other in guests[:index]):
                raise self.wrong(
                    f"two guests are called {guest.name!r}; give one another `name`",
                    self.line_of(None, "guest", index),
                )
        for path, index in self.ambiguous(guests):
            raise self.wrong(
                f"another module is called {file_word(path)!r} too, and by that name the hypervisor"
                f" finds {path}",
                self.line_of(None, "guest", index),
            )
        return Scenario(
            name=self.path.stem,
            path=self.path,
            description=top.string("description"),
            tags=top.strings("tags"),
            requires=top.strings("requires"),
            engines=top.strings("engines"),
            cpu=top.string("cpu", None) if "cpu" in data else None,
            timeout=top.positive("timeout", Scenario.timeout, (int, float), "seconds"),
            memory=int(top.positive("memory", 0, (int,), "MiB")) if "memory" in data else None,
            mips=self.mips(top) if "mips" in data else None,
            append=top.string("append", ""),
            msrs=self.msrs(top),
            firmware=top.choice(top.string("firmware"), "firmware", FIRMWARE)
            if "firmware" in data
            else None,
            heavy=top.string("heavy", ""),
            slow=top.string("slow", ""),
            endless=top.boolean("endless"),
            verdict=self.verdict(top),
            forbid=tuple(top.pattern(p, "forbid") for p in top.strings("forbid")),
            allow=top.choices("allow", ALLOWABLE),
            guests=guests,
            expectations=tuple(self.expectation(t) for t in self.tables(data, "expect")),
        )

    @staticmethod
    def ambiguous(guests: Sequence[Guest]) -> Iterator[tuple[Path, int]]:
        """Data files that share their name with another file, each with its guest's number."""
        images = [guest.path for guest in guests]
        for index, guest in enumerate(guests):
            for one in guest.data:
                others = [
                    *images,
                    *(
                        data.path
                        for other in guests
                        for data in other.data
                        if data.path != one.path
                    ),
                ]
                if any(file_word(path) == file_word(one.path) for path in others):
                    yield one.path, index

    def mips(self, top: Table) -> int:
        value = int(top.positive("mips", 0, (int,), "million instructions a second"))
        if value > MOST_MIPS:
            raise self.wrong(f"`mips` can be at most {MOST_MIPS}", top.line("mips"))
        return value

    def msrs(self, top: Table) -> tuple[tuple[int, int], ...]:
        table = top.data.get("msrs", {})
        if not isinstance(table, dict):
            raise top.wrong_type("msrs", "a table of numbers", table)
        if len(table) > MOST_MSRS:
            raise self.wrong(f"`msrs` can be at most {MOST_MSRS}", top.line("msrs"))
        return tuple((self.number(top, k, 32), self.number(top, v, 64)) for k, v in table.items())

    def number(self, top: Table, value: Any, bits: int) -> int:
        try:
            number = int(value, 0) if isinstance(value, str) else int(value)
        except (TypeError, ValueError):
            number = -1
        if isinstance(value, bool | float) or not 0 <= number < 1 << bits:
            raise self.wrong(f"`msrs`: {value!r} is no {bits}-bit number", top.line("msrs"))
        return number

    def guest(self, table: Table) -> Guest:
        table = self.completed(table)
        boot = table.choice(table.string("boot", PROTOCOLS[0]), "boot", PROTOCOLS)
        path = self.image_path(table.string("image"), boot)
        name = table.string("name", path.stem)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
            raise self.wrong(
                f"{name!r} can't be a guest's name: letters, digits, '-', '_' and '.' only",
                table.line("name"),
            )
        options = table.data.get("options", {})
        if not isinstance(options, dict):
            raise table.wrong_type("options", "a table of words", options)
        initrd, shell = (
            self.data_file(table, key, table.string(key)) if key in table.data else None
            for key in ("initrd", "shell")
        )
        modules = tuple(self.data_file(table, "modules", text) for text in table.strings("modules"))
        cmdline = self.text(table, "cmdline", table.string("cmdline", ""))
        cmdline = f"{cmdline} {self.text(table, 'append', table.string('append', ''))}".strip()
        for key, protocols in (
            ("cmdline", PROTOCOLS[1:]),
            ("append", PROTOCOLS[1:]),
            ("initrd", ("linux",)),
            ("shell", ("linux",)),
            ("modules", ("multiboot",)),
        ):
            if key in table.data and boot not in protocols:
                raise self.wrong(f"`{key}` is nothing for boot = {boot!r}", table.line(key))
        words = tuple(self.word(table, k, v) for k, v in options.items())
        return Guest(path, name, words, boot, cmdline, initrd, modules, shell)

    def completed(self, table: Table) -> Table:
        """``table`` with what it does not say itself, if it is like a guest of another scenario."""
        table.only(_GUEST)
        if "like" not in table.data:
            return table
        name = table.string("like")
        if not re.fullmatch(r"[\w-]+", name):
            raise self.wrong(f"`like` can't be {name!r}: it names a scenario", table.line("like"))
        _, other = parse(self.path.with_name(name + SUFFIX))
        guests = other.get("guest")
        model = guests[0] if isinstance(guests, list) and guests else None
        if not isinstance(model, dict) or "like" in model:
            raise self.wrong(
                f"scenario {name!r} has no [[guest]] first that could be a model",
                table.line("like"),
            )
        data = {**model, **table.data}
        if isinstance(model.get("options"), dict) and isinstance(data["options"], dict):
            data["options"] = {**model["options"], **data["options"]}
        whole = dataclasses.replace(table, data=data)
        whole.only(_GUEST)
        return whole

    def image_path(self, image: str, boot: str) -> Path:
        if "/" in image or image.endswith((".bin", ".elf")):
            return (self.path.parent / image).resolve()
        return project.guest(image) if boot == PROTOCOLS[0] else project.guest_file(image)

    def data_file(self, table: Table, key: str, text: str) -> DataFile:
        text = self.text(table, key, text).strip()
        name, _, words = text.partition(" ") if key == "modules" else (text, "", "")
        if not name.rsplit("/", 1)[-1]:
            raise self.wrong(f"`{key}` names no file", table.line(key))
        path = (self.path.parent / name).resolve() if "/" in name else project.guest_file(name)
        return DataFile(path, words.strip())

    def word(self, table: Table, key: str, value: Any) -> tuple[str, str]:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise table.wrong_type(f"options.{key}", "a string or a whole number", value)
        if re.search(r'[\s"=]', key):
            raise self.wrong(f"{key!r} can't be an option's name", table.line("options"))
        return key, self.text(table, "options", str(value))

    def text(self, table: Table, key: str, text: str) -> str:
        """Something that goes into a module's string."""
        if re.search(r"[\x00-\x1f\x7f]", text):
            raise self.wrong(
                f"`{key}` can't be told to the hypervisor: it has a control character in it",
                table.line(key),
            )
        return text

    def expectation(self, table: Table) -> Expectation:
        table.only(("console", "record", "where"))
        given = [key for key in ("console", "record") if key in table.data]
        if len(given) != 1:
            raise self.wrong(
                "an [[expect]] needs exactly one of `console` and `record`", table.line(None)
            )
        where = table.data.get("where", {})
        if not isinstance(where, dict):
            raise table.wrong_type("where", "a table of values", where)
        if given == ["record"]:
            return Expectation(record=table.string("record"), where=where)
        if "where" in table.data:
            raise self.wrong("`where` belongs to a `record`", table.line("where"))
        return Expectation(console=table.pattern(table.string("console"), "console"))

    def verdict(self, top: Table) -> Verdict:
        word = top.string("verdict", Verdict.PASSED.word)
        return Verdict.from_word(top.choice(word, "verdict", [v.word for v in Verdict]))
