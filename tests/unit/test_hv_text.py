"""The hypervisor's own text functions, compiled for the host and called as it calls them."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest

from harness import guest

HV = Path(__file__).parents[2] / "hv"
KEY_SIZE, WORD_SIZE = 64, 2048
NONE, OK, TOO_LONG, UNTERMINATED = range(4)


class Word(ctypes.Structure):
    _fields_ = [
        ("key", ctypes.c_char * KEY_SIZE),
        ("value", ctypes.c_char * WORD_SIZE),
        ("has_value", ctypes.c_bool),
    ]


@pytest.fixture(scope="module")
def hv(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    library = tmp_path_factory.mktemp("hv") / "text.so"
    sources = [HV / "core/format.c", HV / "core/words.c"]
    subprocess.run(
        ["gcc", "-std=gnu17", "-shared", "-fPIC", "-O1", f"-I{HV}", "-o", library, *sources],
        check=True,
    )
    return ctypes.CDLL(str(library))


def formatted(hv: ctypes.CDLL, template: str, *arguments: object, size: int = 64) -> str:
    buffer = ctypes.create_string_buffer(b"\xff" * size, size)
    length = hv.format(buffer, ctypes.c_size_t(size), template.encode(), *arguments)
    text = buffer.raw[: buffer.raw.index(b"\0")]
    assert len(text) == length < size
    return text.decode()


@pytest.mark.parametrize(
    ("template", "arguments", "expected"),
    [
        ("plain", (), "plain"),
        ("%d %d", (ctypes.c_int(-7), ctypes.c_int(7)), "-7 7"),
        ("%5u|%05u", (ctypes.c_uint(42), ctypes.c_uint(42)), "   42|00042"),
        ("%lx", (ctypes.c_uint64(0xFFFF_FFFF_FFFF_FFFF),), "ffffffffffffffff"),
        ("%016lx", (ctypes.c_uint64(0x1000),), "0000000000001000"),
        ("%lu", (ctypes.c_uint64(2**64 - 1),), "18446744073709551615"),
        ("%ld", (ctypes.c_int64(-(2**63)),), "-9223372036854775808"),
        ("%05d", (ctypes.c_int(-42),), "-0042"),
        ("%s and %c%%", (b"text", ctypes.c_int(ord("x"))), "text and x%"),
        ("%8s|", (b"right",), "   right|"),
        ("%.*s|", (ctypes.c_int(3), b"abcdef"), "abc|"),
        ("%q stays", (), "%q stays"),
        ("%u", (ctypes.c_uint(0),), "0"),
    ],
)
def test_format_writes_what_printf_would(
    hv: ctypes.CDLL, template: str, arguments: tuple[object, ...], expected: str
) -> None:
    assert formatted(hv, template, *arguments) == expected


@pytest.mark.parametrize("size", [1, 2, 5, 10])
def test_format_never_writes_past_its_buffer(hv: ctypes.CDLL, size: int) -> None:
    buffer = ctypes.create_string_buffer(b"\xee" * 16, 16)
    length = hv.format(buffer, ctypes.c_size_t(size), b"%s", b"much too long for it")
    assert length == size - 1
    assert buffer.raw[:size] == b"much too l"[: size - 1] + b"\0"
    assert buffer.raw[size:] == b"\xee" * (16 - size)


def words(hv: ctypes.CDLL, text: str) -> list[tuple[int, str, str | None]]:
    at = ctypes.c_char_p(text.encode())
    found: list[tuple[int, str, str | None]] = []
    while True:
        word = Word()
        result = hv.word_next(ctypes.byref(at), ctypes.byref(word))
        if result == NONE:
            return found
        value = word.value.decode() if word.has_value else None
        found.append((result, word.key.decode(), value))


def test_words_are_split_at_spaces_and_at_the_first_equals_sign(hv: ctypes.CDLL) -> None:
    assert words(hv, "  a=1 b  c=x=y\td= ") == [
        (OK, "a", "1"),
        (OK, "b", None),
        (OK, "c", "x=y"),
        (OK, "d", ""),
    ]


def test_quotes_keep_spaces_in_a_value(hv: ctypes.CDLL) -> None:
    assert words(hv, 'cmdline="console=ttyS0 quiet" next=1') == [
        (OK, "cmdline", "console=ttyS0 quiet"),
        (OK, "next", "1"),
    ]


def test_a_backslash_keeps_a_quote_within_quotes_and_is_itself_elsewhere(hv: ctypes.CDLL) -> None:
    assert words(hv, r'a="say \"x y\" \\ \n" b=\"c d"') == [
        (OK, "a", r'say "x y" \ \n'),
        (OK, "b", r"\c d"),
    ]


@pytest.mark.parametrize(
    "value",
    [
        "console=ttyS0 quiet",
        'dyndbg="file a.c +p" x=$(echo no),y',
        "ends in a backslash \\",
        '"',
        "\\",
        r"\"\\",
        "tab\tin it",
        "é, ü",
        "",
        "x " * 1023 + "x",
    ],
)
def test_what_the_harness_quotes_the_hypervisor_reads_as_it_was(
    hv: ctypes.CDLL, value: str
) -> None:
    string = f"{guest.word('first', value)} {guest.word('second', value)} third"
    read = [(OK, "first", value), (OK, "second", value), (OK, "third", None)]
    assert words(hv, string) == read
    assert list(guest.words(string)) == [("first", value), ("second", value), ("third", "")]


def test_a_quote_that_does_not_end_is_an_error(hv: ctypes.CDLL) -> None:
    assert words(hv, 'a="b c') == [(UNTERMINATED, "a", "b c")]


def test_a_word_too_long_is_cut_and_said_so(hv: ctypes.CDLL) -> None:
    assert words(hv, "a=" + "x" * 3000 + " b=1") == [
        (TOO_LONG, "a", "x" * (WORD_SIZE - 1)),
        (OK, "b", "1"),
    ]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("4K", 4096),
        ("64M", 64 << 20),
        ("2g", 2 << 30),
        ("0x10", 16),
        ("0x10M", 16 << 20),
        ("18446744073709551615", 2**64 - 1),
        ("", None),
        ("M", None),
        ("0x", None),
        ("12Q", None),
        ("4MM", None),
        ("-1", None),
        ("18446744073709551616", None),
        ("17179869184G", None),
    ],
)
def test_sizes_take_a_suffix_and_never_overflow(
    hv: ctypes.CDLL, text: str, size: int | None
) -> None:
    result = ctypes.c_uint64()
    hv.word_size.restype = ctypes.c_bool
    accepted = hv.word_size(text.encode(), ctypes.byref(result))
    assert (result.value if accepted else None) == size
