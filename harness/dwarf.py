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

_FORMAT = 1  # of the cache; another number makes what is there of no use
_DEEPEST = 32  # levels of types within types


@dataclass(frozen=True)
class Type:
    """A type as memory holds it; ``kind`` is unsigned, signed, boolean, character, pointer,
    enumeration, array, structure (or union), or opaque.
    """

    kind: str
    size: int  # bytes
    members: tuple[tuple[str, int, Type], ...] = ()  # of a structure: name, offset, type
    element: Type | None = None  # of an array
    names: Mapping[int, str] = field(default_factory=dict, hash=False)  # of an enumeration

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
        """The address and type of ``path``, like "vms[2].options.name".

        BAD_USAGE names the part that is not there, and what is.
        """
        words = re.findall(r"\w+|\[\d+\]|[^\w\s]", path)
        if not words or words[0] not in self.variables:
            raise bad_usage(_no_such(words[0] if words else path, path, self.variables))
        address, type_ = self.variables[words[0]]
        for word in words[1:]:
            if word == ".":
                continue
            if word.startswith("["):
                index = int(word[1:-1])
                step = type_.element.size if type_.element is not None else 0
                if type_.element is None or not step or index >= type_.size // step:
                    raise bad_usage(f"{path!r} has no element {word}")
                address, type_ = address + index * step, type_.element
            else:
                try:
                    offset, type_ = type_.member(word)
                except KeyError:
                    raise bad_usage(
                        _no_such(word, path, [name for name, _, _ in type_.members])
                    ) from None
                address += offset
        return address, type_


def _no_such(word: str, path: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    from harness.scenario import suggestion

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
    found = _parse(image, wanted)
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
    return [type_.kind, type_.size, members, element, list(type_.names.items())]


def _type_from_json(data: Any) -> Type:
    kind, size, members, element, names = data
    return Type(
        str(kind),
        int(size),
        tuple((str(name), int(offset), _type_from_json(one)) for name, offset, one in members),
        None if element is None else _type_from_json(element),
        {int(number): str(name) for number, name in names},
    )


# Reading DWARF


def _parse(image: Path, wanted: Mapping[str, Sequence[str]]) -> Layout:
    from elftools.common.exceptions import DWARFError, ELFError
    from elftools.elf.elffile import ELFFile

    from harness.image import symbols

    found = Layout({}, {})
    addresses = symbols(image).by_name
    try:
        with image.open("rb") as file:
            elf = ELFFile(file)
            if not elf.has_dwarf_info(strict=True):  # .eh_frame says no types
                raise bad_usage(f"{image} has no debug information: it must be compiled with -g")
            for unit in elf.get_dwarf_info().iter_CUs():
                top = unit.get_top_DIE()
                source = "/" + _text(top, "DW_AT_name")
                names = next((n for end, n in wanted.items() if source.endswith(f"/{end}")), ())
                for die in unit.iter_DIE_children(top) if names else ():
                    _take(die, names, addresses, found)
    except (OSError, ELFError, DWARFError, ValueError, KeyError, AttributeError) as error:
        raise bad_usage(f"the debug information of {image} can't be read: {error}") from None
    for file_name, names in wanted.items():
        for name in names:
            if name not in found.variables and name not in found.types:
                raise bad_usage(f"the debug information of {image} has no {name!r} in {file_name}")
    return found


def _take(die: Any, names: Sequence[str], addresses: Mapping[str, int], found: Layout) -> None:
    """Add the variable or type that ``die`` describes, if it is one of ``names``."""
    name = _text(die, "DW_AT_name")
    if die.tag == "DW_TAG_variable":
        if name in names and name in addresses:
            found.variables[name] = addresses[name], _type_of(die)
        return
    tagged = f"{_TAGS.get(die.tag)} {name}"
    if tagged in names and "DW_AT_declaration" not in die.attributes:
        found.types[tagged] = _type(die)


_TAGS = {"DW_TAG_structure_type": "struct", "DW_TAG_enumeration_type": "enum"}
# DWARF 5, 7.8: encodings of base types.
_ENCODINGS = {2: "boolean", 5: "signed", 6: "character", 7: "unsigned", 8: "character"}


def _text(die: Any, attribute: str) -> str:
    found = die.attributes.get(attribute)
    return found.value.decode("utf-8", "replace") if found is not None else ""


def _number(die: Any, attribute: str, otherwise: int = 0) -> int:
    found = die.attributes.get(attribute)
    return found.value if found is not None and isinstance(found.value, int) else otherwise


def _type_of(die: Any, depth: int = 0) -> Type:
    if "DW_AT_type" not in die.attributes:
        return Type("opaque", 0)
    return _type(die.get_DIE_from_attribute("DW_AT_type"), depth + 1)


def _type(die: Any, depth: int = 0) -> Type:
    size = _number(die, "DW_AT_byte_size")
    if depth > _DEEPEST:
        return Type("opaque", size)
    if die.tag in ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type"):
        return _type_of(die, depth)
    if die.tag == "DW_TAG_base_type":
        kind = _ENCODINGS.get(_number(die, "DW_AT_encoding"), "opaque")
        if kind == "character" and _text(die, "DW_AT_name") != "char":
            kind = "unsigned" if "unsigned" in _text(die, "DW_AT_name") else "signed"
        return Type(kind, size)
    if die.tag == "DW_TAG_pointer_type":
        return Type("pointer", size or 8)
    if die.tag == "DW_TAG_enumeration_type":
        names: dict[int, str] = {}
        for one in die.iter_children():
            names.setdefault(_number(one, "DW_AT_const_value"), _text(one, "DW_AT_name"))
        return Type("enumeration", size, names=names)
    if die.tag == "DW_TAG_array_type":
        return _array(die, depth)
    if die.tag in ("DW_TAG_structure_type", "DW_TAG_union_type"):
        return Type("structure", size, tuple(_members(die, depth)))
    return Type("opaque", size)


def _members(die: Any, depth: int) -> Iterator[tuple[str, int, Type]]:
    for one in die.iter_children():
        if one.tag == "DW_TAG_member" and "DW_AT_data_bit_offset" not in one.attributes:
            offset = _number(one, "DW_AT_data_member_location")
            yield _text(one, "DW_AT_name"), offset, _type_of(one, depth)


def _array(die: Any, depth: int) -> Type:
    found = _type_of(die, depth)
    dimensions = [one for one in die.iter_children() if one.tag == "DW_TAG_subrange_type"]
    for one in reversed(dimensions):
        count = _number(one, "DW_AT_count", _number(one, "DW_AT_upper_bound", -1) + 1)
        found = Type("array", count * found.size, element=found)
    return found
