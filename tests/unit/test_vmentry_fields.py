"""The table of VMCS fields agrees with the hypervisor's, and with the manual's encodings."""

from __future__ import annotations

import re

import pytest

from harness import project
from harness.vmentry import controls, processors
from harness.vmentry.capabilities import ARCHITECTURAL, Capabilities, from_machine
from harness.vmentry.controls import Control
from harness.vmentry.fields import BY_ENCODING, BY_NAME, FIELDS, SEGMENTS

CONTROLS = {name: value for name, value in vars(controls).items() if isinstance(value, Control)}


def test_the_fields_are_those_of_the_hypervisor() -> None:
    header = (project.root() / "hv" / "vmx" / "fields.h").read_text(encoding="utf-8")
    listed = re.findall(r"^    (\w+) = (0x[0-9a-f]{4}),$", header, re.MULTILINE)
    assert [(name.lower(), int(number, 16)) for name, number in listed] == [
        (field.name, field.encoding) for field in FIELDS
    ]


def test_no_name_encoding_or_title_is_there_twice() -> None:
    assert len(BY_NAME) == len(BY_ENCODING) == len(FIELDS)
    assert len({field.title for field in FIELDS}) == len(FIELDS)


@pytest.mark.parametrize(
    ("name", "width"),
    [("guest_cs_selector", 16), ("ept_pointer", 64), ("guest_cs_limit", 32), ("guest_cr0", 64)],
)
def test_an_encoding_tells_the_width(name: str, width: int) -> None:
    assert BY_NAME[name].width == width
    assert BY_NAME[name].mask == (1 << width) - 1


def test_segment_fields_stand_in_the_order_of_the_segments() -> None:
    for part in ("selector", "limit", "access_rights", "base"):
        encodings = [BY_NAME[f"guest_{segment}_{part}"].encoding for segment in SEGMENTS]
        assert encodings == [encodings[0] + 2 * place for place in range(8)]


def test_the_controls_are_those_of_the_hypervisor() -> None:
    header = (project.root() / "hv" / "vmx" / "controls.h").read_text(encoding="utf-8")
    words = {
        "PIN": controls.PIN,
        "PRIMARY": controls.PRIMARY,
        "SECONDARY": controls.SECONDARY,
        "EXIT": controls.EXIT,
        "ENTRY": controls.ENTRY,
    }
    places = {
        (control.field, control.bit, re.sub(r"\W+", "", control.name).lower())
        for control in CONTROLS.values()
    }
    found = 0
    for word, name, bit in re.findall(
        r"^#define ([A-Z]+)_(\w+) +\(1u << (\d+)\)", header, re.MULTILINE
    ):
        if word in words:
            plain = name.replace("_", "").lower()
            found += (words[word], int(bit), plain) in places
            clash = {n for field, b, n in places if field == words[word] and n == plain}
            assert not clash or (words[word], int(bit), plain) in places
    assert found > 15


def test_no_two_controls_share_a_bit() -> None:
    places = [(control.field, control.bit) for control in CONTROLS.values()]
    assert len(set(places)) == len(places)


def test_the_true_msrs_count_where_the_processor_has_them() -> None:
    old = Capabilities(basic=0, pin=0x7F << 32 | 0x16, true_pin=0x3F << 32)
    assert old.control_limits(controls.PIN) == (0x16, 0x7F)
    new = Capabilities(basic=1 << 55, pin=0x7F << 32 | 0x16, true_pin=0x3F << 32)
    assert new.control_limits(controls.PIN) == (0, 0x3F)


def test_a_control_whose_word_can_not_be_activated_is_not_supported() -> None:
    without = Capabilities(basic=0, primary=0x7FFFFFFF << 32, secondary=0xFFFFFFFF << 32)
    assert without.supports(controls.ENABLE_EPT) is False
    assert Capabilities().supports(controls.ENABLE_EPT) is None
    assert ARCHITECTURAL.supports(controls.ENABLE_EPT) is True


def test_cpuid_tells_the_widths_and_the_bits_of_msrs() -> None:
    found = from_machine(
        {0x480: 1},
        {
            7: (0, 1 << 11, 0, 0),
            0xA: (0x0730_0404, 0, 0, 0x603),
            0x80000001: (0, 0, 0, 1 << 29 | 1 << 20 | 1 << 11),
            0x80000008: (0x3028, 0, 0, 0),
        },
    )
    assert (found.basic, found.physical_width, found.linear_width) == (1, 40, 48)
    assert found.efer == 0xD01
    assert found.perf_global_ctrl == 7 << 32 | 0xF
    assert found.rtm is True
    assert found.sgx is False
    assert found.debugctl == 0xFFC3


@pytest.mark.parametrize("name", processors.names())
def test_a_recorded_processor_is_wholly_known(name: str) -> None:
    processor = processors.find(name)
    for word in (controls.PIN, controls.PRIMARY, controls.SECONDARY, controls.EXIT, controls.ENTRY):
        required, allowed = processor.control_limits(word)
        assert required is not None
        assert allowed is not None
        assert required & ~allowed == 0
    assert processor.physical_width in range(36, 53)
    assert processor.linear_width == 48
    assert processor.long_mode is True


def test_the_processors_are_those_that_the_recorder_boots() -> None:
    assert tuple(processors.names()) == processors.MODELS
