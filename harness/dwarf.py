"""What an image's debug information says: where variables are, and how their types are laid out.

Nothing about a layout is written down in Python. Parsing DWARF is slow there, so that only the
compilation units asked for are read, and what was found is kept in build/cache by build id.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import project
from harness.image import build_id
from harness.verdict import bad_usage

_FORMAT = 2  # of the cache; another number makes what is there of no use


@dataclass(frozen=True)
class Type:
    """A type as memory holds it; ``kind`` is unsigned, signed, boolean, character, pointer,
    enumeration, array, structure (or union), or opaque.
    """

    kind: str
    size: int  # bytes
    members: tuple[tuple[str, int, Type], ...] = ()  # of a structure: name, offset, type
    element: Type | None = None  # of an array; of a pointer to what has no tag
    names: Mapping[int, str] = field(default_factory=dict, hash=False)  # of an enumeration
    target: str = ""  # of a pointer: "struct tag" or "enum tag", which may be defined elsewhere

    def member(self, name: str) -> tuple[int, Type]:
        """The offset and type of a member, also one of an anonymous member. KeyError if none."""
        for known, offset, type_ in self.members:
            if known == name:
                return offset, type_
            if not known:
                with contextlib.suppress(KeyError):
                    inner, found = type_.member(name)
                    return offset + inner, found
        raise KeyError(name)

    def inside(self, step: str, path: str) -> tuple[int, Type]:
        """The offset and type of what a step of ``path`` leads to: "[2]", ".name", "->name".

        BAD_USAGE, with the nearest that is there.
        """
        if step.startswith("["):
            index = int(step[1:-1])
            size = self.element.size if self.kind == "array" and self.element else 0
            if self.element is None or not size or index >= self.size // size:
                raise bad_usage(f"{path!r} has no element {step}")
            return index * size, self.element
        name = step.lstrip(".->")
        try:
            return self.member(name)
        except KeyError:
            raise bad_usage(_no_such(name, path, self.member_names())) from None

    def member_names(self) -> list[str]:
        """The names that `member` knows."""
        found: list[str] = []
        for name, _, type_ in self.members:
            found += [name] if name else type_.member_names()
        return found

    def unpacker(self, *names: str) -> struct.Struct:
        """What unpacks these members quickly, out of many: integers, and anything else as bytes.

        "label.vm" is a member of a member. ValueError if they are not named in order of place.
        """
        places = []
        for name in names:
            offset, type_ = 0, self
            for part in name.split("."):
                inner, type_ = type_.member(part)
                offset += inner
            places.append((offset, type_))
        form, at = "<", 0
        for offset, type_ in places:
            if offset < at:
                raise ValueError(f"{', '.join(names)} do not lie in this order")
            integer = type_.kind in ("unsigned", "enumeration", "pointer")
            code = {1: "B", 2: "H", 4: "I", 8: "Q"}[type_.size] if integer else f"{type_.size}s"
            form += f"{offset - at}x{code}"
            at = offset + type_.size
        return struct.Struct(f"{form}{self.size - at}x")

    def decode(self, data: bytes) -> Any:
        """The value that ``data`` (as long as the type) holds: int, bool, str, list or dict.

        An enumeration is its enumerator's name, or the number where it has none; an array of
        characters is the text up to its zero.
        """
        if self.kind in ("unsigned", "signed", "pointer", "enumeration", "character"):
            number = int.from_bytes(data[: self.size], "little", signed=self.kind == "signed")
            return self.names.get(number, number) if self.kind == "enumeration" else number
        if self.kind == "boolean":
            return any(data[: self.size])
        if self.kind == "array" and self.element is not None:
            if self.element.kind == "character":
                return data[: self.size].split(b"\0", 1)[0].decode("ascii", "backslashreplace")
            step = self.element.size
            return [self.element.decode(data[at:]) for at in range(0, self.size, step)]
        if self.kind == "structure":
            return dict(self._values(data))
        return data[: self.size]

    def _values(self, data: bytes) -> Iterator[tuple[str, Any]]:
        for name, offset, type_ in self.members:
            if name:
                yield name, type_.decode(data[offset:])
            else:
                yield from type_._values(data[offset:])


@dataclass(frozen=True)
class Layout:
    """What was asked for: variables by name, types as "struct tag" and "enum tag"."""

    variables: dict[str, tuple[int, Type]]
    types: dict[str, Type]

    def locate(self, path: str) -> tuple[int, Type]:
        """The address and type of ``path``, like "vms[2].options.name"; pointers are not followed.

        BAD_USAGE names the part that is not there, and what is.
        """
        name, *more = steps(path)
        if name not in self.variables:
            raise bad_usage(_no_such(name, path, self.variables))
        address, type_ = self.variables[name]
        for step in more:
            offset, type_ = type_.inside(step, path)
            address += offset
        return address, type_


_STEP = re.compile(r"\s*(\[\d{1,19}\]|(?:\.|->)\s*\w+)\s*")


def steps(path: str) -> list[str]:
    """The parts of a path: a name, and each step from there: ".name", "->name" or "[1]".

    BAD_USAGE if it is no path.
    """
    name = re.match(r"\s*(\w*)\s*", path)
    assert name is not None
    found, at = [name[1]], name.end()
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise bad_usage(f"{path!r} is no path: {path[at:]!r} is neither .NAME, ->NAME nor [N]")
        found.append(re.sub(r"\s", "", step[1]))
        at = step.end()
    return found


def _no_such(word: str, path: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    from harness.tables import suggestion

    hint = suggestion(word, known) or f"there is: {', '.join(filter(None, known)) or 'nothing'}"
    return f"{path!r}: there is no {word!r}; {hint}"


def layout(image: Path, wanted: Mapping[str, Sequence[str]]) -> Layout:
    """The layout of what is ``wanted``: by source file ("hv/vm/trace.c") names of variables,
    "struct tag" and "enum tag".

    RunEnded BAD_USAGE says what the image's debug information does not have.
    """
    build = build_id(image)
    key = hashlib.sha256(repr((_FORMAT, build, sorted(wanted.items()))).encode()).hexdigest()[:20]
    cached = project.cache() / f"layout-{key}.json"
    if build:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            return _from_json(json.loads(cached.read_text(encoding="utf-8")))
    from harness import dwarf_read

    found = dwarf_read.parse(image, wanted)
    if build:
        with contextlib.suppress(OSError):
            _store(cached, found)
    return found


def _store(path: Path, found: Layout) -> None:
    import tempfile

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".new", delete=False) as file:
        new = Path(file.name)
        json.dump(
            {
                "variables": {
                    name: [address, _type_to_json(type_)]
                    for name, (address, type_) in found.variables.items()
                },
                "types": {name: _type_to_json(type_) for name, type_ in found.types.items()},
            },
            file,
        )
    new.replace(path)  # whole or not at all: tests run side by side


def _from_json(data: Any) -> Layout:
    return Layout(
        {n: (int(address), _type_from_json(t)) for n, (address, t) in data["variables"].items()},
        {name: _type_from_json(type_) for name, type_ in data["types"].items()},
    )


def _type_to_json(type_: Type) -> list[Any]:
    members = [[name, offset, _type_to_json(one)] for name, offset, one in type_.members]
    element = None if type_.element is None else _type_to_json(type_.element)
    return [type_.kind, type_.size, members, element, list(type_.names.items()), type_.target]


def _type_from_json(data: Any) -> Type:
    kind, size, members, element, names, target = data
    return Type(
        str(kind),
        int(size),
        tuple((str(name), int(offset), _type_from_json(one)) for name, offset, one in members),
        None if element is None else _type_from_json(element),
        {int(number): str(name) for number, name in names},
        str(target),
    )
