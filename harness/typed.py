"""Variables of the hypervisor by name: `machine.read("vms[0].exits")`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness import dwarf, project
from harness.image import build_id
from harness.verdict import bad_usage


def read(memory: Callable[[int, int], bytes], image: Path, path: str) -> Any:
    """The value at ``path``, like "vms[0].options.name".

    Numbers, booleans, texts, lists and mappings; an enumeration is its enumerator's name. Linear
    addresses of the hypervisor's are physical ones, which ``memory`` reads. RunEnded BAD_USAGE
    names the part that is not there, and the nearest that is.
    """
    name = path.strip().split(".")[0].split("[")[0]
    address, type_ = dwarf.layout(image, {_file_of(image, name): (name,)}).locate(path)
    return type_.decode(memory(address, type_.size))


def _file_of(image: Path, name: str) -> str:
    """The source file that defines the variable ``name``."""
    from harness.scenario import suggestion

    known = variables(image)
    if name not in known:
        hint = suggestion(name, known) or "its name must be that of a variable in hv/"
        raise bad_usage(f"{image.name} has no variable {name!r}; {hint}")
    if len(known[name]) > 1:
        there = " and ".join(known[name])
        raise bad_usage(f"{name!r} is in {there}: which one a symbol means can't be told")
    return known[name][0]


def variables(image: Path) -> Mapping[str, list[str]]:
    """Every variable with an address of its own, and the source files that define one of its name.

    Takes some seconds the first time for a build; then it is in build/cache.
    """
    build = build_id(image)
    cached = project.cache() / f"variables-{build}.json"
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(cached.read_text(encoding="utf-8")) if build else None
        if isinstance(known, dict):
            return known
    found = _variables(image)
    if build:
        with contextlib.suppress(OSError):
            cached.parent.mkdir(parents=True, exist_ok=True)
            new = cached.with_suffix(f".{id(found)}.new")
            new.write_text(json.dumps(found), encoding="utf-8")
            new.replace(cached)  # whole or not at all: tests run side by side
    return found


def _variables(image: Path) -> dict[str, list[str]]:
    from elftools.common.exceptions import DWARFError, ELFError
    from elftools.elf.elffile import ELFFile

    found: dict[str, list[str]] = {}
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
                        found.setdefault(name, []).append(source)
    except (OSError, ELFError, DWARFError, ValueError, KeyError, AttributeError) as error:
        raise bad_usage(f"the debug information of {image} can't be read: {error}") from None
    return found
