"""Variables of the hypervisor by name: `machine.read("vms[0].exits")`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import dwarf, project
from harness.image import build_id
from harness.verdict import RunEnded, Verdict, bad_usage


def read(
    memory: Callable[[int, int], bytes], image: Path, path: str, size: int | None = None
) -> Any:
    """The value at ``path``, like "vms[0].options.name" or "vms[0].vcpu->registers.rax".

    Numbers, booleans, texts, lists and mappings; an enumeration is its enumerator's name. A pointer
    is followed by "->", "." or "[N]"; at a path's end it is a number. Linear addresses of the
    hypervisor's are physical ones, which ``memory`` reads: ``size`` bytes of it. RunEnded BAD_USAGE
    names the part that is not there, and the nearest that is.
    """
    name, *steps = dwarf.steps(path)
    address, type_ = dwarf.layout(image, {_file_of(image, name): (name,)}).locate(name)
    place = _Place(address, type_, name)
    for step in steps:
        if place.type_.kind == "pointer":
            place = _followed(place, step, _contents(memory, place, path, size), image, path)
            if step.startswith("["):
                continue
        elif step.startswith("->"):
            raise bad_usage(f"{path!r}: {place.name} is no pointer, its members follow a dot")
        offset, inner = place.type_.inside(step, path)
        place = _Place(place.address + offset, inner, place.name + step, place.pointer)
    return place.type_.decode(_contents(memory, place, path, size))


@dataclass(frozen=True)
class _Place:
    """Where a path has come to: a part of the machine's memory."""

    address: int
    type_: dwarf.Type
    name: str  # the path so far
    pointer: str = ""  # the last one that was followed, which can point anywhere


def _contents(
    memory: Callable[[int, int], bytes], place: _Place, path: str, size: int | None
) -> bytes:
    nowhere = bad_usage(
        f"{path!r}: {place.pointer} points to {place.address:#x}, where the machine has no memory"
    )
    length = place.type_.size
    if size is not None and place.address + length > size:
        raise nowhere
    try:
        data = memory(place.address, length)
    except RunEnded as ended:
        if not place.pointer or ended.verdict is not Verdict.BAD_USAGE:
            raise
        raise nowhere from None
    if len(data) < length:
        raise nowhere
    return data


def _followed(place: _Place, step: str, value: bytes, image: Path, path: str) -> _Place:
    """Where a pointer with this ``value`` leads; "[N]" counts in what it points to."""
    address, type_ = place.type_.decode(value), _pointee(image, place.type_)
    if not address:
        raise bad_usage(f"{path!r}: {place.name} is a null pointer")
    if not type_.size:
        raise bad_usage(f"{path!r}: the type of what {place.name} points to is not known")
    if step.startswith("["):
        address += int(step[1:-1]) * type_.size
        return _Place(address, type_, place.name + step, place.name)
    return _Place(address, type_, place.name, place.name)


def _pointee(image: Path, pointer: dwarf.Type) -> dwarf.Type:
    """The type that a pointer leads to; one without a size where the image does not define it."""
    if not pointer.target:
        return pointer.element or dwarf.Type("opaque", 0)
    where = names(image)["types"].get(pointer.target)
    if not where:
        return dwarf.Type("opaque", 0)
    return dwarf.layout(image, {where[0]: (pointer.target,)}).types[pointer.target]


def _file_of(image: Path, name: str) -> str:
    """The source file that defines the variable ``name``."""
    from harness.tables import suggestion

    known = names(image)["variables"]
    if name not in known:
        hint = suggestion(name, known) or "its name must be that of a variable in hv/"
        raise bad_usage(f"{image.name} has no variable {name!r}; {hint}")
    if len(known[name]) > 1:
        there = " and ".join(known[name])
        raise bad_usage(f"{name!r} is in {there}: which one a symbol means can't be told")
    return known[name][0]


def names(image: Path) -> Mapping[str, Mapping[str, list[str]]]:
    """Where what an image knows is defined: "variables" and "types" by name, with source files.

    Variables with an address of their own, and all files that define one of this name; of a type
    ("struct tag") the first, since headers say it in many.

    Takes some seconds the first time for a build; then it is in build/cache.
    """
    build = build_id(image)
    cached = project.cache() / f"names-{build}.json"
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(cached.read_text(encoding="utf-8")) if build else None
        if isinstance(known, dict) and known.keys() == {"variables", "types"}:
            return known
    found = _names(image)
    if build:
        with contextlib.suppress(OSError):
            cached.parent.mkdir(parents=True, exist_ok=True)
            new = cached.with_suffix(f".{id(found)}.new")
            new.write_text(json.dumps(found), encoding="utf-8")
            new.replace(cached)  # whole or not at all: tests run side by side
    return found


def _names(image: Path) -> dict[str, dict[str, list[str]]]:
    from elftools.common.exceptions import DWARFError, ELFError
    from elftools.elf.elffile import ELFFile

    from harness.dwarf_read import TAGS

    variables: dict[str, list[str]] = {}
    types: dict[str, list[str]] = {}
    try:
        with image.open("rb") as file:
            elf = ELFFile(file)
            if not elf.has_dwarf_info():
                raise bad_usage(f"{image} has no debug information: it must be compiled with -g")
            for unit in elf.get_dwarf_info().iter_CUs():
                top = unit.get_top_DIE()
                source = top.attributes["DW_AT_name"].value.decode("utf-8", "replace")
                for die in unit.iter_DIE_children(top):
                    if die.tag == "DW_TAG_variable" and "DW_AT_location" in die.attributes:
                        # What a header declares has its name there (DWARF 5, 4.1).
                        declared = "DW_AT_specification" in die.attributes
                        named = (
                            die.get_DIE_from_attribute("DW_AT_specification") if declared else die
                        )
                        name = named.attributes["DW_AT_name"].value.decode("utf-8", "replace")
                        variables.setdefault(name, []).append(source)
                    elif die.tag in TAGS and "DW_AT_declaration" not in die.attributes:
                        tag = die.attributes.get("DW_AT_name")
                        if tag is not None:
                            name = f"{TAGS[die.tag]} {tag.value.decode('utf-8', 'replace')}"
                            types.setdefault(name, [source])
    except (OSError, ELFError, DWARFError, ValueError, KeyError, AttributeError) as error:
        raise bad_usage(f"the debug information of {image} can't be read: {error}") from None
    return {"variables": variables, "types": types}
