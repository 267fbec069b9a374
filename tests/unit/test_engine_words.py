"""What the engines print is read for what it says: how they ended, and what registers hold."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from harness.engines import bochs_words, kvm, qemu, qemu_words
from harness.engines.base import EndKind
from harness.verdict import RunEnded

RESET = "00000000000i[CPU0  ] cpu hardware reset\n"


@pytest.mark.parametrize(
    ("log", "kind"),
    [
        ("00000000739p[UNMAP ] >>PANIC<< Shutdown port: shutdown requested\n", EndKind.POWER_OFF),
        ("00000000739p[ACPI  ] >>PANIC<< ACPI control: soft power off\n", EndKind.POWER_OFF),
        (
            "00000000739p[CPU0  ] >>PANIC<< exception(): 3rd (13) exception with no resolution\n",
            EndKind.TRIPLE_FAULT,
        ),
        (
            RESET + "00000000739p[UNMAP ] >>PANIC<< Shutdown port: shutdown requested\n",
            EndKind.RESET,
        ),
        ("00000000739p[MEM0  ] >>PANIC<< out of memory\n", EndKind.DIED),
        ("", EndKind.DIED),
        # What a guest can get into the log is no panic of Bochs.
        ("00000000739i[BIOS  ] Shutdown port: shutdown requested\n", EndKind.DIED),
        ("00000000739i[BIOS  ] x 1p[UNMAP ] >>PANIC<< Shutdown port: shutdown\n", EndKind.DIED),
    ],
)
def test_bochs_is_classified_by_its_own_log(log: str, kind: EndKind) -> None:
    assert bochs_words.classify(RESET + log, "", 1).kind is kind


def test_bochs_gives_its_panic_as_its_last_words() -> None:
    log = (
        "00000000000e[      ] bochsrc:1: wrong value for parameter 'model'\n"
        "00000000000p[      ] >>PANIC<< bochsrc:1: cpu directive malformed.\n"
    )
    words = bochs_words.classify("", log, 1).words.splitlines()
    assert words[0] == "bochsrc:1: cpu directive malformed."
    assert any("wrong value" in word for word in words)
    assert bochs_words.classify("", "", -9).words == "killed by SIGKILL"


def test_bochs_registers_are_read_in_both_widths() -> None:
    text = (
        "CPU0:\nrax: 00000000_2badb002\nr15: ffffffff_00000001\nrip: 00000000_00100010\n"
        "eflags 0x00000046: id vip vif ac vm rf nt IOPL=0 of df if tf sf ZF af PF cf\n"
        "CR0=0x80000031: PG cd nw ac wp NE ET ts em mp PE\n"
        "CR2=page fault laddr=0x0000000000001234\n"
        "CR3=0x000000001000\nEFER=0x00000500: ffxsr nxe LMA LME sce\n"
        "cs:0x0008, dh=0x00af9b00, dl=0x0000ffff, valid=1\n"
        "gdtr:base=0x00000000ffffff00, limit=0x17\n"
    )
    registers = bochs_words.parse_registers(text)
    assert registers["rax"] == 0x2BADB002
    assert registers["r15"] == 0xFFFFFFFF00000001
    assert registers["rflags"] == 0x46
    assert registers["cr0"] == 0x80000031
    assert registers["cr2"] == 0x1234
    assert registers["efer"] == 0x500
    assert registers["cs"] == 8
    assert (registers["gdtr"], registers["gdtr_limit"]) == (0xFFFFFF00, 0x17)


def test_qemu_registers_have_the_same_names_in_both_widths() -> None:
    wide = "RAX=0000000000000001 RBX=0\nRIP=0000000000100010 RFL=00000046 [---Z-P-] CPL=0\n"
    narrow = "EAX=00000001 EBX=00000000\nEIP=00100010 EFL=00000046 [---Z-P-] CPL=0\n"
    rest = "CS =0008 00000000 ffffffff 00cf9a00 DPL=0 CS32 [-R-]\nGDT=     ffffffc1 00000027\n"
    for text in (wide + rest, narrow + rest):
        registers = qemu_words.parse_registers(text)
        assert registers["rax"] == 1
        assert registers["rip"] == 0x100010
        assert registers["rflags"] == 0x46
        assert registers["cs"] == 8
        assert (registers["gdtr"], registers["gdtr_limit"]) == (0xFFFFFFC1, 0x27)


def test_qemus_error_comes_before_its_warnings(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "qemu-system-x86_64: warning: TCG doesn't support that\n"
        "qemu-system-x86_64: -cpu abacus: no such model\nsee --help\n"
    )
    words = qemu_words.last_words(qemu_words.tail(log))
    assert words[0] == "qemu-system-x86_64: -cpu abacus: no such model"
    assert qemu_words.tail(tmp_path / "missing") == b""


def test_firmware_must_be_a_known_one() -> None:
    with pytest.raises(RunEnded, match="must be qboot or seabios"):
        qemu.QemuTcg(firmware="coreboot")


def test_kvm_is_not_believed_because_its_device_exists(tmp_path: Path) -> None:
    assert "does not exist" in kvm.nesting(str(tmp_path / "kvm")).reason
    (tmp_path / "kvm").write_bytes(b"")
    answer = kvm.nesting(str(tmp_path / "kvm"))
    assert not answer.usable
    assert "does not answer as KVM does" in answer.reason


def test_kvm_that_may_not_be_opened_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    answer = kvm.nesting("/dev/kvm")
    assert not answer.usable
    assert "usermod -aG kvm" in answer.remedy


_CREG = "EFER=0x00000d01: ffxsr NXE LMA LME SCE\n"
_ROOT = "in_vmx_guest = false\n"
_TAB = (
    "cr3: 0x000000001000\n"
    "0x0000000000001000-0x0000000000116fff -> 0x000000001000-0x000000116fff\n"
    "0x0000000000400000-0x00000000007fffff -> 0x000000800000-0x000000bfffff\n"
)


@pytest.mark.parametrize(
    ("text", "address", "length", "linear"),
    [
        (_CREG + _ROOT + _TAB, 0x2000, 0x1000, 0x2000),
        (_CREG + _ROOT + _TAB, 0x801000, 0x1000, 0x401000),  # mapped elsewhere
        (_CREG + _ROOT + _TAB, 0xBFFFFF, 1, 0x7FFFFF),
        (_CREG + _ROOT + _TAB, 0xBFFFFF, 2, None),  # its end is not mapped
        (_CREG + _ROOT + _TAB, 0x400000, 8, None),  # a linear address, no physical one
        (_CREG + _ROOT + "paging off\n", 0x400000, 8, 0x400000),
        (_CREG + "in_vmx_guest = true\n" + "paging off\n", 0x400000, 8, None),
        ("EFER=0x00001d01: x\n" + _ROOT + _TAB, 0x2000, 8, None),  # may be a guest of AMD-V
        ("", 0x2000, 8, None),
    ],
)
def test_physical_memory_is_found_where_it_is_mapped(
    text: str, address: int, length: int, linear: int | None
) -> None:
    assert bochs_words.linear_address(text, address, length) == linear


@pytest.mark.parametrize(
    "words",
    [
        "qemu-system-x86_64: -action: invalid option",
        "qemu-system-x86_64: -device pvpanic: 'pvpanic' is not a valid device model name",
        "qemu-system-x86_64: -object memory-backend-file: Property '.share' not found",
    ],
)
def test_qemu_does_not_know_what_it_was_told(words: str) -> None:
    assert qemu_words.unknown_to_it(("something else", words))
    assert not qemu_words.unknown_to_it(("qemu-system-x86_64: cannot set up guest memory",))


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("QEMU emulator version 7.2.19 (Debian 1:7.2+dfsg-7)\nCopyright", (7, 2, 19)),
        ("QEMU emulator version 10.0.0", (10, 0, 0)),
        ("no such thing", None),
    ],
)
def test_qemu_says_its_version(said: str, version: tuple[int, ...] | None) -> None:
    assert qemu_words.version(said) == version
