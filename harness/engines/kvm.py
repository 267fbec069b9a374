"""Does KVM here give virtualization to what runs in it? Asked of the kernel, by ioctl.

That /dev/kvm exists and opens says nothing: some cloud machines have a KVM in software, without
VMX. No machine is started by these questions.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from harness.engines.base import Availability

_GET_API_VERSION = 0xAE00  # <linux/kvm.h>
_CHECK_EXTENSION = 0xAE03
_GET_SUPPORTED_CPUID = 0xC008AE05
_GET_MSR_FEATURE_INDEX_LIST = 0xC004AE0A
_CAP_NESTED_STATE = 157
_IA32_VMX_BASIC = 0x480
_MOST = 256


def nesting(device: str = "/dev/kvm") -> Availability:
    """Whether a machine under this KVM has VMX or SVM; the reason is one clause."""
    try:
        kvm = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return Availability(False, f"{device} does not exist: no KVM on this host")
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            return Availability(
                False, f"{device} may not be opened", 'usermod -aG kvm "$USER" (then log in again)'
            )
        return Availability(False, f"{device} can't be opened: {error.strerror}")
    try:
        return _ask(kvm)
    except OSError as error:
        return Availability(False, f"{device} does not answer as KVM does ({error.strerror})")
    finally:
        os.close(kvm)


def _ask(kvm: int) -> Availability:
    version = fcntl.ioctl(kvm, _GET_API_VERSION, 0)
    if version != 12:
        return Availability(False, f"this KVM has interface version {version}, not 12")
    cpuid = _supported_cpuid(kvm)
    vmx = bool(cpuid.get(1, (0, 0, 0, 0))[2] >> 5 & 1)
    svm = bool(cpuid.get(0x80000001, (0, 0, 0, 0))[2] >> 2 & 1)
    if not vmx and not svm:
        return Availability(
            False,
            "this host's KVM offers neither VMX nor SVM to its machines",
            "a host whose kvm_intel or kvm_amd is loaded with nested=1",
        )
    if fcntl.ioctl(kvm, _CHECK_EXTENSION, _CAP_NESTED_STATE) <= 0:
        return Availability(False, "this host's KVM can't keep the state of a nested machine")
    if vmx and _IA32_VMX_BASIC not in _feature_msrs(kvm):
        return Availability(False, "this host's KVM names VMX but has no VMX capability MSRs")
    return Availability(True, f"KVM with nested {'VMX' if vmx else 'SVM'}")


def _supported_cpuid(kvm: int) -> dict[int, tuple[int, int, int, int]]:
    """(eax, ebx, ecx, edx) of subleaf 0, by leaf."""
    buffer = bytearray(struct.pack("<II", _MOST, 0) + bytes(40 * _MOST))
    fcntl.ioctl(kvm, _GET_SUPPORTED_CPUID, buffer, True)
    (count,) = struct.unpack_from("<I", buffer)
    leaves: dict[int, tuple[int, int, int, int]] = {}
    for index in range(min(count, _MOST)):
        leaf, subleaf, _, a, b, c, d = struct.unpack_from("<7I", buffer, 8 + 40 * index)
        if subleaf == 0:
            leaves[leaf] = (a, b, c, d)
    return leaves


def _feature_msrs(kvm: int) -> set[int]:
    buffer = bytearray(struct.pack("<I", 1024) + bytes(4 * 1024))
    fcntl.ioctl(kvm, _GET_MSR_FEATURE_INDEX_LIST, buffer, True)
    (count,) = struct.unpack_from("<I", buffer)
    return set(struct.unpack_from(f"<{min(count, 1024)}I", buffer, 4))
