"""Reads layouts out of an image's DWARF."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.dwarf import Layout, Type
from harness.verdict import bad_usage

_DEEPEST = 32  # levels of types within types


def parse(image: Path, wanted: Mapping[str, Sequence[str]]) -> Layout:
    """As `harness.dwarf.layout`, which keeps what this finds."""
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
    tagged = f"{TAGS.get(die.tag)} {name}"
    if tagged in names and "DW_AT_declaration" not in die.attributes:
        found.types[tagged] = _type(die)


TAGS = {
    "DW_TAG_structure_type": "struct",
    "DW_TAG_union_type": "union",
    "DW_TAG_enumeration_type": "enum",
}
_QUALIFIERS = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type")
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
    if die.tag in _QUALIFIERS:
        return _type_of(die, depth)
    if die.tag == "DW_TAG_base_type":
        kind = _ENCODINGS.get(_number(die, "DW_AT_encoding"), "opaque")
        if kind == "character" and _text(die, "DW_AT_name") != "char":
            kind = "unsigned" if "unsigned" in _text(die, "DW_AT_name") else "signed"
        return Type(kind, size)
    if die.tag == "DW_TAG_pointer_type":
        return _pointer(die, size or 8, depth)
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


def _pointer(die: Any, size: int, depth: int) -> Type:
    """A pointer, without the structure that it leads to: they go round in circles."""
    to = die
    while "DW_AT_type" in to.attributes and (to is die or to.tag in _QUALIFIERS):
        to = to.get_DIE_from_attribute("DW_AT_type")
    name = _text(to, "DW_AT_name")
    if to.tag in TAGS and name:
        return Type("pointer", size, target=f"{TAGS[to.tag]} {name}")
    found = Type("opaque", 0) if to is die or to.tag in _QUALIFIERS else _type(to, depth + 1)
    return Type("pointer", size, element=found)


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
