"""What the appliance is made of: archives, kernels, packages, and what of this system goes in."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import struct
import subprocess
from pathlib import Path

import lz4.block
import pytest

from harness import cpio
from harness.appliance import kernel, pvh, system, vmlinux
from harness.appliance.unavailable import Unavailable
from harness.appliance.vmlinux import BadKernel
from harness.verdict import RunEnded, Verdict

KERNEL = b"\x7fELF" + bytes(range(256)) * 100


def archive(entries: dict[str, cpio.Entry]) -> bytes:
    out = io.BytesIO()
    size = cpio.write(out, entries)
    assert size == len(out.getvalue())
    return out.getvalue()


def read_back(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Name, mode and contents of each entry, read as the format's description says."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        start = (at + 110 + fields[11] + 3) & ~3
        if name == "TRAILER!!!":
            return found
        found[name] = (fields[1], data[start : start + fields[6]])
        at = (start + fields[6] + 3) & ~3


def test_an_archive_has_what_was_put_in_and_the_directories_above(tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(b"seven b")
    data = archive(
        {
            "/usr/bin/tool": cpio.File(tmp_path / "odd", 0o755),
            "/lib": cpio.Link("usr/lib"),
            "/dev/console": cpio.CharacterDevice(5, 1),
        }
    )
    assert read_back(data) == {
        "dev": (0o40755, b""),
        "dev/console": (0o20600, b""),
        "lib": (0o120777, b"usr/lib"),
        "usr": (0o40755, b""),
        "usr/bin": (0o40755, b""),
        "usr/bin/tool": (0o100755, b"seven b"),
    }
    assert len(data) % cpio.BLOCK == 0


def test_equal_contents_give_equal_archives_whatever_their_order_and_times(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    first = archive({name: cpio.File(tmp_path / name) for name in "ab"})
    os.utime(tmp_path / "a", (1, 1))
    assert archive({name: cpio.File(tmp_path / name) for name in "ba"}) == first


def test_a_file_that_can_not_be_read_is_an_error_not_an_empty_entry(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        archive({"x": cpio.File(tmp_path / "missing")})


# Linux out of its boot image


def boot_image(payload: bytes, *, version: int = 0x20F, length: int | None = None) -> bytes:
    """A boot image with ``payload`` behind one sector of set-up code."""
    image = bytearray(1024 + 16)
    image[0x1F1] = 1
    image[0x1FE:0x200] = b"\x55\xaa"
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, version)
    struct.pack_into("<II", image, 0x248, 16, len(payload) if length is None else length)
    return bytes(image) + payload


def legacy_lz4(data: bytes) -> bytes:
    """As ``lz4 -l`` has it: 8 MiB a block, each with its size in front."""
    out = b"\x02\x21\x4c\x18"
    for at in range(0, len(data), 8 << 20):
        block = lz4.block.compress(data[at : at + (8 << 20)], store_size=False)
        out += struct.pack("<I", len(block)) + block
    return out


def sized(packed: bytes, size: int = len(KERNEL)) -> bytes:
    """With the uncompressed size behind, as Linux's build appends it."""
    return packed + struct.pack("<I", size)


@pytest.mark.parametrize(
    "payload",
    [sized(legacy_lz4(KERNEL)), gzip.compress(KERNEL), sized(lzma.compress(KERNEL))],
    ids=["lz4", "gzip", "xz"],
)
def test_the_kernel_comes_out_as_it_went_in(payload: bytes) -> None:
    assert vmlinux.extract(boot_image(payload)) == KERNEL


def test_a_kernel_of_several_lz4_blocks_comes_out_whole() -> None:
    kernel = KERNEL + bytes(9 << 20) + b"end"
    assert vmlinux.extract(boot_image(sized(legacy_lz4(kernel), len(kernel)))) == kernel


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (b"", "no boot image"),
        (bytes(5000), "no boot image"),
        (boot_image(b"")[:0x200] + bytes(5000), "no boot image"),
        (boot_image(sized(legacy_lz4(KERNEL)), version=0x207), "boot protocol, 2.07, is too old"),
        (boot_image(sized(legacy_lz4(KERNEL)), length=1 << 31), "cut off"),
        (boot_image(b""), "cut off"),
        (boot_image(sized(b"\x28\xb5\x2f\xfd" + bytes(99))), "compressed with zstd"),
        (boot_image(sized(b"BZh9" + bytes(99))), "nothing here knows"),
        (boot_image(sized(legacy_lz4(KERNEL)[:-9])), "cut off"),
        (boot_image(sized(legacy_lz4(KERNEL)[:9] + bytes(20))), "damaged|cut off"),
        (boot_image(sized(b"\x02\x21\x4c\x18" + b"\xff" * 3)), "damaged"),
        (boot_image(sized(legacy_lz4(KERNEL), len(KERNEL) - 1)), "not the kernel that it promises"),
        (boot_image(sized(legacy_lz4(KERNEL), 0)), "impossible size"),
        (boot_image(sized(legacy_lz4(KERNEL), 0xFFFFFFFF)), "impossible size"),
        (boot_image(sized(legacy_lz4(b"text"), 4)), "not the kernel"),
        (boot_image(sized(lzma.compress(KERNEL)[:-40])), "damaged"),
        (boot_image(gzip.compress(KERNEL)[:-40] + sized(b"")), "damaged"),
    ],
)
def test_an_image_that_can_not_be_unpacked_says_why(image: bytes, why: str) -> None:
    with pytest.raises(BadKernel, match=why):
        vmlinux.extract(image)


def elf_with_note(name: bytes, kind: int, entry: int) -> bytes:
    """An ELF64 kernel with one segment of code and one note."""
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x1000000, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 7, 0, 0x1000000, 0x1000000, 300, 4096, 4096)
    notes = struct.pack("<III", 4, 2, 9) + b"GNU\0hi\0\0"
    notes += struct.pack("<III", len(name), 8, kind) + name + struct.pack("<Q", entry)
    note = struct.pack("<IIQQQQQQ", 4, 4, 176, 0, 0, len(notes), len(notes), 4)
    return (header + load + note + notes).ljust(300, b"\0")


def test_linux_is_entered_where_its_note_says(tmp_path: Path) -> None:
    kernel, initramfs, extra = (tmp_path / name for name in ("vmlinux", "initramfs", "extra"))
    kernel.write_bytes(elf_with_note(b"Xen\0", 18, 0x1000040))
    initramfs.write_bytes(bytes(1001))
    extra.write_bytes(bytes(500))
    layout = pvh.lay_out(kernel, [initramfs, extra], "console=ttyS0", 64)
    assert layout.kernel.entry == 0x1000040
    first, second = layout.modules
    assert first.address + 1001 <= second.address < first.address + 1001 + 4
    magic, version, _, modules, module_at, text_at = struct.unpack_from("<IIIIQQ", layout.info)
    assert (magic, version, modules) == (0x336EC578, 1, 1)
    at = module_at - layout.info_address
    assert struct.unpack_from("<QQ", layout.info, at) == (
        first.address, second.address + 500 - first.address
    )  # fmt: skip
    text = layout.info[text_at - layout.info_address :]
    assert text == b"console=ttyS0\0"


def test_a_kernel_without_the_entry_is_refused(tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinux"
    kernel.write_bytes(elf_with_note(b"Xen\0", 17, 1))
    with pytest.raises(RunEnded, match="no PVH entry point") as caught:
        pvh.lay_out(kernel, [], "", 64)
    assert caught.value.verdict is Verdict.BAD_USAGE


def test_what_does_not_fit_into_memory_is_refused(tmp_path: Path) -> None:
    kernel, initramfs = tmp_path / "vmlinux", tmp_path / "initramfs"
    kernel.write_bytes(elf_with_note(b"Xen\0", 18, 0x1000040))
    with initramfs.open("wb") as file:
        file.truncate(48 << 20)
    with pytest.raises(RunEnded, match="do not fit in 64 MiB"):
        pvh.lay_out(kernel, [initramfs], "", 64)


def test_the_build_names_what_goes_into_an_archive(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"program")
    target = tmp_path / "made.cpio"
    words = [f"init={tmp_path / 'program'}", "bin/sh=@busybox", "dev/console=c5:1", "proc=/"]
    assert cpio.main([str(target), *words]) == 0
    expected = archive(
        {
            "init": cpio.File(tmp_path / "program", 0o755),
            "bin/sh": cpio.Link("busybox"),
            "dev/console": cpio.CharacterDevice(5, 1),
            "proc": cpio.Folder(),
        }
    )
    assert target.read_bytes() == expected


def test_an_archive_that_can_not_be_made_leaves_nothing_half_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cpio.main([str(tmp_path / "made.cpio"), f"init={tmp_path / 'missing'}"]) == 1
    assert "made.cpio can't be written: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# Debian's packages


def package(path: Path, files: dict[str, bytes]) -> Path:
    """A Debian package with these files, made with dpkg-deb."""
    tree = path / "tree"
    for name, data in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    (tree / "DEBIAN").mkdir(parents=True)
    control = "Package: k\nVersion: 1\nArchitecture: amd64\nMaintainer: n <n@example.org>\n"
    (tree / "DEBIAN/control").write_text(control + "Description: a test\n")
    made = path / "k.deb"
    subprocess.run(["dpkg-deb", "-Zgzip", "-b", tree, made], check=True, capture_output=True)
    return made


WHOLE = {
    "boot/vmlinuz-6.1.0-9": b"kernel",
    "lib/modules/6.1.0-9/kernel/virt/lib/irqbypass.ko": b"irqbypass",
    "lib/modules/6.1.0-9/kernel/arch/x86/kvm/kvm.ko": b"kvm",
    "lib/modules/6.1.0-9/kernel/arch/x86/kvm/kvm-intel.ko": b"kvm-intel",
    "lib/modules/6.1.0-9/kernel/arch/x86/kvm/kvm-amd.ko": b"kvm-amd",
}

on_debian = pytest.mark.skipif(not Path("/usr/bin/dpkg-deb").exists(), reason="dpkg-deb is missing")


@on_debian
def test_kernel_and_modules_come_out_of_the_package(tmp_path: Path) -> None:
    image = kernel.take_apart(package(tmp_path, WHOLE), "k 1", tmp_path)
    assert image.read_bytes() == b"kernel"
    for name in kernel.MODULES:
        assert (tmp_path / f"{name}.ko").read_bytes() == name.encode()


@on_debian
def test_compressed_modules_are_unpacked_wherever_the_release_keeps_them(tmp_path: Path) -> None:
    files = {
        name if name.startswith("boot/") else f"usr/{name}.xz": (
            data if name.startswith("boot/") else lzma.compress(data)
        )
        for name, data in WHOLE.items()
    }
    kernel.take_apart(package(tmp_path, files), "k 1", tmp_path)
    assert (tmp_path / "kvm-intel.ko").read_bytes() == b"kvm-intel"


@on_debian
@pytest.mark.parametrize("missing", kernel.MODULES)
def test_a_kernel_package_without_a_module_is_named_with_it(tmp_path: Path, missing: str) -> None:
    files = {name: data for name, data in WHOLE.items() if not name.endswith(f"/{missing}.ko")}
    with pytest.raises(Unavailable, match=f"package linux-image-x 1 has no module {missing}\\."):
        kernel.take_apart(package(tmp_path, files), "linux-image-x 1", tmp_path)


@on_debian
def test_a_damaged_package_is_one_sentence(tmp_path: Path) -> None:
    whole = package(tmp_path, WHOLE).read_bytes()
    for number, data in enumerate((b"", b"no package", whole[: len(whole) // 2])):
        broken = tmp_path / f"broken-{number}.deb"
        broken.write_bytes(data)
        with pytest.raises(Unavailable):
            kernel.take_apart(broken, "k 1", tmp_path)


# This system's QEMU


def test_libraries_and_their_loader_are_found_by_what_ldd_says() -> None:
    said = (
        "\tlinux-vdso.so.1 (0x00007ffd)\n"
        "\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f01)\n"
        "\t/lib64/ld-linux-x86-64.so.2 (0x00007f02)\n"
    )
    assert system.libraries(said) == [
        "/lib/x86_64-linux-gnu/libz.so.1",
        "/lib64/ld-linux-x86-64.so.2",
    ]
    assert system.libraries("\tnot a dynamic executable\n") == []


def test_a_qemu_that_lacks_a_library_of_its_own_is_told_so() -> None:
    with pytest.raises(Unavailable, match=r"lacks its own library liburing\.so\.2"):
        system.libraries("\tliburing.so.2 => not found\n")


def test_firmware_is_taken_from_the_first_directory_that_has_it(tmp_path: Path) -> None:
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "pvh.bin").touch()
    with pytest.raises(Unavailable, match=r"bios-256k\.bin is not installed"):
        system.firmware([str(tmp_path / "one")])
    (tmp_path / "two/bios-256k.bin").touch()
    found = system.firmware([str(tmp_path / "one"), str(tmp_path / "two")])
    assert found == {
        "pvh.bin": tmp_path / "one/pvh.bin",
        "bios-256k.bin": tmp_path / "two/bios-256k.bin",
    }


def test_a_qemu_that_is_a_script_can_not_be_taken_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "qemu"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("QEMU", str(script))
    with pytest.raises(Unavailable, match="is not a 64-bit program"):
        system.qemu()
    monkeypatch.setenv("QEMU", str(tmp_path / "missing"))
    with pytest.raises(Unavailable, match=r"\$QEMU names .*missing, which is no program"):
        system.qemu()


def test_a_reason_and_its_remedy_make_one_line() -> None:
    assert Unavailable("the disk is full").sentence == "there is no appliance: the disk is full."
    both = Unavailable("QEMU is not installed", "apt install x")
    assert both.sentence.endswith("installed; to get it: apt install x.")
    assert both.verdict is Verdict.ENGINE_MISSING
