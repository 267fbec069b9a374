"""TOML documents that say where they are wrong: a file, a line, and what would be right."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.verdict import RunEnded, bad_usage


def suggestion(word: str, known: Iterable[str]) -> str:
    """The clause ``did you mean 'x'?`` for the nearest of ``known``, or ``""``."""
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else ""


def parse(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of a TOML file, and what it says; RunEnded BAD_USAGE if it can't be read."""
    if path.exists() and not path.is_file():  # a pipe might never end
        raise bad_usage(f"{path} can't be read: it is no file")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise bad_usage(f"there is no scenario file {path}") from None
    except OSError as error:
        raise bad_usage(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise bad_usage(f"{path}:{line}: this is not UTF-8 text") from None
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _malformed(path, text, error) from None
    except RecursionError:
        raise bad_usage(f"{path}: arrays and tables are nested too deep") from None


def _malformed(path: Path, text: str, error: tomllib.TOMLDecodeError) -> RunEnded:
    found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", str(error))
    reason = str(error)[: found.start()] if found else str(error)
    line = int(found[1]) if found and found[1] else max(1, len(text.splitlines()))
    return bad_usage(f"{path}:{line}: {reason[:1].lower()}{reason[1:]}")


class Document:
    """A file's text, by which a place in it is found."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.lines = text.splitlines()

    def tables(self, data: dict[str, Any], key: str) -> list[Table]:
        """The tables of ``data`` that are written as [[key]]."""
        value = data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.wrong(f"`{key}` must be written as [[{key}]]", self.line_of(key, "", 0))
        return [Table(self, item, key, index) for index, item in enumerate(value)]

    def wrong(self, what: str, line: int | None = None) -> RunEnded:
        """What to raise: it names the file, the line and what is wrong there."""
        return bad_usage(f"{self.path}{f':{line}' if line else ''}: {what}")

    def line_of(self, key: str | None, table: str, index: int) -> int | None:
        """The line of ``key`` in that [[table]] ("": top level); None: of the table's header."""
        written = re.compile(rf"\s*[\"']?{re.escape((key or '').split('.')[0])}[\"']?\s*[=.]")
        current, counts = "", dict[str, int]()
        for number, line in enumerate(self.lines, 1):
            if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
                current = header[1]
                counts[current] = counts.get(current, -1) + 1
                here = (current, counts[current]) == (table, index)
                if (here and key is None) or (table == "" and current == key):
                    return number
            elif (current, counts.get(table, 0)) == (table, index) and written.match(line):
                return number
        return None


@dataclass(frozen=True)
class Table:
    """One TOML table with its place in the file."""

    document: Document
    data: dict[str, Any]
    name: str
    index: int

    def line(self, key: str | None) -> int | None:
        """The line of ``key``, else that of the table's header."""
        document = self.document
        return document.line_of(key, self.name, self.index) or (
            document.line_of(None, self.name, self.index) if self.name else None
        )

    def wrong_type(self, key: str, wanted: str, value: Any) -> RunEnded:
        """What to raise for a value of another type."""
        kinds = {bool: "true or false", str: "a string", int: "a number", float: "a number"}
        kinds |= {list: "a list", dict: "a table"}
        got = kinds.get(type(value), "a date or time")
        return self.document.wrong(f"`{key}` must be {wanted}, not {got}", self.line(key))

    def only(self, keys: tuple[str, ...]) -> None:
        """Refuse every key that is not one of ``keys``."""
        for key in self.data:
            if key not in keys:
                place = f" in [[{self.name}]]" if self.name else ""
                hint = suggestion(key, keys) or f"known: {', '.join(keys)}"
                raise self.document.wrong(f"unknown key {key!r}{place}; {hint}", self.line(key))

    def string(self, key: str, default: str | None = None) -> str:
        """A string; without ``default`` it must be there."""
        value = self.data.get(key, default)
        if value is None:
            place = f"[[{self.name}]]" if self.name else "a scenario"
            raise self.document.wrong(f"{place} needs the key `{key}`", self.line(None))
        if not isinstance(value, str):
            raise self.wrong_type(key, "a string", value)
        return value

    def boolean(self, key: str) -> bool:
        """True or false; false where it is not there."""
        value = self.data.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong_type(key, "true or false", value)
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        """A list of strings; empty where it is not there."""
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong_type(key, "a list of strings", value)
        return tuple(value)

    def positive(
        self, key: str, default: float, kinds: tuple[type[int] | type[float], ...], unit: str
    ) -> float:
        """A number of ``kinds`` above 0; ``unit`` is for the sentence."""
        value = self.data.get(key, default)
        whole = "" if float in kinds else "whole "
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise self.wrong_type(key, f"a {whole}number of {unit}", value)
        if not 0 < value <= 1e6:  # also where it is nan
            raise self.document.wrong(
                f"`{key}` must be more than 0 and at most a million {unit}", self.line(key)
            )
        return value

    def choice(self, word: str, key: str, known: Iterable[str]) -> str:
        """``word``, if it is one of ``known``."""
        if word in (words := list(known)):
            return word
        hint = suggestion(word, words) or f"known: {', '.join(words)}"
        raise self.document.wrong(f"`{key}` can't be {word!r}; {hint}", self.line(key))

    def choices(self, key: str, known: Iterable[str]) -> tuple[str, ...]:
        """A list of words, each one of ``known``."""
        words = list(known)
        return tuple(self.choice(word, key, words) for word in self.strings(key))

    def pattern(self, pattern: str, key: str) -> str:
        """``pattern``, if it is a regular expression."""
        try:
            re.compile(pattern)
        except re.error as error:
            raise self.document.wrong(
                f"`{key}` is not a regular expression: {error}", self.line(key)
            ) from None
        return pattern
