"""Paths through pointers, in a program that is its own machine: an ELF file as memory."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from harness import typed
from harness.image import contents
from harness.verdict import RunEnded, Verdict, bad_usage

ONE = """
struct node { int number; const struct node *next; enum colour *colour; struct far *far; };
enum colour { RED = 3, GREEN };
static enum colour green = GREEN;
static struct node last = { 2, (struct node *)0, &green, (struct far *)0x666000 };
static short shorts[] = { 7, 8, 9 };
extern struct far there;
struct node first = { 1, &last, (enum colour *)8, &there };
void *anything = &last;
typedef struct { char text[4]; } unnamed;
static unnamed word = { "abc" };
unnamed *words = &word;
short *numbers = shorts;
struct node **twice = (struct node *[]){ &first };
struct nowhere *unknown = (struct nowhere *)8;
"""
TWO = "struct far { unsigned char low, high; } there = { 5, 6 };\n"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("typed")
    for name, text in (("one", ONE), ("two", TWO)):
        (directory / f"{name}.c").write_text(text)
    compiler = shutil.which("gcc")
    assert compiler is not None
    subprocess.run(
        [compiler, "-g", "-O0", "-nostdlib", "-static", "-no-pie", "-Wl,-e,0",
         "-Wl,--build-id=none", "-o", "image", "one.c", "two.c"],
        cwd=directory, check=True,
    )  # fmt: skip
    return directory / "image"


def read(image: Path, path: str) -> object:
    def memory(address: int, length: int) -> bytes:
        if address == 8:
            raise bad_usage("that is not in the machine's memory")
        return contents(image, address, length)

    return typed.read(memory, image, path, 1 << 32)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("first.next->number", 2),
        ("first.next.number", 2),
        (" first . next -> number ", 2),
        ("first.next[0].number", 2),
        ("first.next.colour[0]", "GREEN"),
        ("first.far->high", 6),  # another file knows what that is
        ("first.next->next", 0),
        ("numbers[2]", 9),
        ("words->text", "abc"),
        ("twice[0]->number", 1),
    ],
)
def test_a_pointer_is_followed_by_arrow_dot_or_index(image: Path, path: str, value: object) -> None:
    assert read(image, path) == value


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("first.next->next->number", "first.next->next is a null pointer"),
        ("first.colour[0]", "first.colour points to 0x8, where the machine has no memory"),
        ("first.next->far->low", "first.next->far points to 0x666000, where the machine has no"),
        ("numbers[4000000000]", "numbers points to 0x"),
        ("first.next->numbr", "there is no 'numbr'; did you mean 'number'?"),
        ("anything->number", "the type of what anything points to is not known"),
        ("unknown->number", "the type of what unknown points to is not known"),
        ("first->number", "first is no pointer, its members follow a dot"),
        ("first.number.more", "there is no 'more'; there is: nothing"),
        ("numbers.size", "there is no 'size'; there is: nothing"),
    ],
)
def test_what_leads_nowhere_is_one_sentence(image: Path, path: str, sentence: str) -> None:
    with pytest.raises(RunEnded) as caught:
        read(image, path)
    assert caught.value.verdict is Verdict.BAD_USAGE
    assert sentence in caught.value.sentence
    assert repr(path) in caught.value.sentence
