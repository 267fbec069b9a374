"""Layouts come out of debug information: of a small C program here, as GCC describes it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from harness import dwarf, dwarf_read
from harness.verdict import RunEnded, Verdict

SOURCE = """
#include <stdbool.h>
#include <stdint.h>
enum colour { RED, GREEN = 7, ALSO_GREEN = GREEN };
struct inner { uint16_t left, right; };
struct outer {
    char name[8];
    int8_t below;
    bool yes;
    enum colour colour;
    struct inner pairs[2][3];
    union { uint64_t whole; struct inner half; };
    struct outer *next;
};
struct outer things[4];
static int64_t hidden = -2;
int64_t reads(void) { return hidden + things[0].below; }
"""
WANTED = {"dir/thing.c": ("things", "hidden", "struct inner", "enum colour")}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dwarf")
    (directory / "dir").mkdir()
    (directory / "dir" / "thing.c").write_text(SOURCE)
    compiler = shutil.which("gcc")
    assert compiler is not None
    subprocess.run(
        [
            compiler, "-g", "-O0", "-nostdlib", "-static", "-no-pie", "-Wl,-e,reads",
            "-Wl,--build-id=sha1", "-o", "image", "dir/thing.c",
        ],
        cwd=directory,
        check=True,
    )  # fmt: skip
    return directory / "image"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("harness.project.cache", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_a_path_leads_to_an_address_and_a_type(image: Path) -> None:
    layout = dwarf.layout(image, WANTED)
    base, whole = layout.locate("things")
    assert whole.size == 4 * 56
    address, type_ = layout.locate("things[2].pairs[1][2].right")
    assert (address - base, type_.size) == (2 * 56 + 16 + 5 * 4 + 2, 2)
    address, _ = layout.locate("things[0].half.right")  # of an anonymous union
    assert address - base == 40 + 2


def test_a_structure_is_decoded_by_the_names_of_its_members(image: Path) -> None:
    layout = dwarf.layout(image, WANTED)
    _, type_ = layout.locate("things[0]")
    data = bytearray(type_.size)
    data[0:4] = b"ab\0c"
    data[8], data[9], data[12] = 0xFE, 1, 7
    data[16:18] = b"\x34\x12"
    data[40:44] = b"\x01\x00\x02\x00"
    data[48] = 9
    assert type_.decode(bytes(data)) == {
        "name": "ab",
        "below": -2,
        "yes": True,
        "colour": "GREEN",
        "pairs": [
            [{"left": 0x1234, "right": 0}, {"left": 0, "right": 0}, {"left": 0, "right": 0}],
            [{"left": 0, "right": 0}] * 3,
        ],
        "whole": 0x20001,
        "half": {"left": 1, "right": 2},
        "next": 9,
    }


def test_members_of_many_structures_are_unpacked_at_once(image: Path) -> None:
    _, type_ = dwarf.layout(image, WANTED).locate("things[0]")
    data = bytearray(2 * type_.size)
    data[0:8], data[12], data[42], data[56 + 12] = b"abcdefgh", 7, 3, 1
    unpacker = type_.unpacker("name", "colour", "half.right")
    assert list(unpacker.iter_unpack(bytes(data))) == [(b"abcdefgh", 7, 3), (bytes(8), 1, 0)]
    with pytest.raises(ValueError, match="do not lie in this order"):
        type_.unpacker("colour", "name")


def test_a_number_without_an_enumerator_stays_a_number(image: Path) -> None:
    colour = dwarf.layout(image, WANTED).types["enum colour"]
    assert [colour.decode(bytes([n, 0, 0, 0])) for n in (0, 7, 8)] == ["RED", "GREEN", 8]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("thing[0]", "there is no 'thing'; did you mean 'things'?"),
        ("things[0].pars", "there is no 'pars'; did you mean 'pairs'?"),
        ("things[4]", "has no element [4]"),
        ("hidden[0]", "has no element [0]"),
        ("hidden.x", "there is no 'x'"),
        ("", "there is no ''"),
    ],
)
def test_a_name_that_is_not_there_is_told_with_the_nearest_one(
    image: Path, path: str, sentence: str
) -> None:
    with pytest.raises(RunEnded) as ended:
        dwarf.layout(image, WANTED).locate(path)
    assert ended.value.verdict is Verdict.BAD_USAGE
    assert sentence in ended.value.sentence


def test_what_the_image_does_not_have_is_named(image: Path) -> None:
    with pytest.raises(RunEnded, match=r"has no 'struct elsewhere' in dir/thing\.c"):
        dwarf.layout(image, {"dir/thing.c": ("struct elsewhere",)})


def test_an_image_without_debug_information_is_one_sentence(image: Path, tmp_path: Path) -> None:
    stripped = tmp_path / "stripped"
    subprocess.run(["strip", "-o", stripped, image], check=True)
    with pytest.raises(RunEnded, match="no debug information"):
        dwarf.layout(stripped, WANTED)
    (tmp_path / "cut").write_bytes(image.read_bytes()[:5000])
    with pytest.raises(RunEnded, match="can't be read"):
        dwarf.layout(tmp_path / "cut", WANTED)


def test_what_was_parsed_once_is_kept_and_a_damaged_cache_is_parsed_again(
    image: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = dwarf.layout(image, WANTED)
    (kept,) = own_cache.iterdir()
    parsed = []
    parse = dwarf_read.parse

    def counted(image: Path, wanted: Mapping[str, Sequence[str]]) -> dwarf.Layout:
        parsed.append(image)
        return parse(image, wanted)

    monkeypatch.setattr(dwarf_read, "parse", counted)
    assert dwarf.layout(image, WANTED) == first
    assert not parsed
    for damage in ("", "[]", json.dumps({"variables": {"x": [1]}, "types": {}})):
        kept.write_text(damage)
        assert dwarf.layout(image, WANTED) == first
    assert len(parsed) == 3
