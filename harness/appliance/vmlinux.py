"""Linux out of its boot image: the uncompressed kernel, which needs no decompressor to run.

A bzImage says itself where the compressed kernel lies in it. Sources: "payload_offset" and
"payload_length" in Documentation/arch/x86/boot.rst of Linux; for the LZ4 legacy frame,
doc/lz4_Frame_format.md of lz4.
"""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import zlib

LARGEST = 256 << 20  # bytes; a kernel is some 50 MiB

_SETUP_SECTS = 0x1F1
_BOOT_FLAG = 0x1FE
_HEADER = 0x202
_VERSION = 0x206
_PAYLOAD = 0x248
_LZ4_LEGACY = b"\x02\x21\x4c\x18"
_LZ4_BLOCK = 8 << 20  # bytes, uncompressed
_SIZE = 4  # bytes that Linux's build appends to the payload: the uncompressed size


class BadKernel(ValueError):
    """It is no boot image that can be unpacked; the message says why, without a full stop."""


def payload(image: bytes) -> bytes:
    """The compressed kernel in the boot image, with the size that its build has appended."""
    if len(image) < 0x250 or image[_BOOT_FLAG : _BOOT_FLAG + 2] != b"\x55\xaa":
        raise BadKernel("it is no boot image of Linux")
    if image[_HEADER : _HEADER + 4] != b"HdrS":
        raise BadKernel("it is no boot image of Linux")
    (version,) = struct.unpack_from("<H", image, _VERSION)
    if version < 0x208:
        raise BadKernel(f"its boot protocol, {version >> 8}.{version & 0xFF:02}, is too old")
    offset, length = struct.unpack_from("<II", image, _PAYLOAD)
    start = ((image[_SETUP_SECTS] or 4) + 1) * 512 + offset
    if length <= _SIZE or start + length > len(image):
        raise BadKernel("it is cut off")
    return image[start : start + length]


def extract(image: bytes) -> bytes:
    """The uncompressed kernel, an ELF file, in the boot image; BadKernel if there is none."""
    packed = payload(image)
    (size,) = struct.unpack("<I", packed[-_SIZE:])
    if not 0 < size <= LARGEST:
        raise BadKernel("it is damaged: its kernel would have an impossible size")
    try:
        kernel = _unpack(packed, size)
    except (OSError, EOFError, lzma.LZMAError, zlib.error, RuntimeError, struct.error) as error:
        raise BadKernel(f"it is damaged: {error}") from None
    if len(kernel) != size or kernel[:4] != b"\x7fELF":
        raise BadKernel("it is damaged: what it holds is not the kernel that it promises")
    return kernel


def _unpack(packed: bytes, size: int) -> bytes:
    if packed.startswith(_LZ4_LEGACY):
        return _lz4(packed[len(_LZ4_LEGACY) : -_SIZE])
    if packed.startswith(b"\x1f\x8b"):
        # gzip's own trailer is the size: nothing is appended. `size` bounds what comes out.
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            return file.read(size + 1)
    if packed.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(packed[:-_SIZE], size + 1)
    if packed.startswith(b"\x28\xb5\x2f\xfd"):
        raise BadKernel("it is compressed with zstd, which nothing here unpacks")
    raise BadKernel(f"it is compressed in a way that nothing here knows ({packed[:6].hex(' ')})")


def _lz4(data: bytes) -> bytes:
    import lz4.block

    kernel = bytearray()
    at = 0
    while at < len(data) and len(kernel) <= LARGEST:
        (length,) = struct.unpack_from("<I", data, at)
        block = data[at + 4 : at + 4 + length]
        if len(block) != length or length == 0:
            raise BadKernel("it is cut off")
        kernel += lz4.block.decompress(block, uncompressed_size=_LZ4_BLOCK)
        at += 4 + length
    return bytes(kernel)
