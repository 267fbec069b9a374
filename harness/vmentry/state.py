"""What a rule looks at: the VMCS, the processor and memory, as far as they are known."""

from __future__ import annotations

from collections.abc import Mapping

from harness.vmentry.capabilities import Capabilities
from harness.vmentry.controls import ACTIVATED_BY, Control
from harness.vmentry.fields import BY_NAME

Vmcs = Mapping[str, int]
"""Values by field name; a field that is not there is not known."""


class Unknown(Exception):
    """A rule needs something that is not known; the argument says what, as a noun."""


class Known:
    """A processor whose unknown facts can't be read by accident: that raises `Unknown`."""

    def __init__(self, capabilities: Capabilities) -> None:
        self._capabilities = capabilities

    def __getattr__(self, name: str) -> int:
        value = getattr(self._capabilities, name)
        if value is None:
            raise Unknown(f"the processor's {name}")
        return int(value)

    def limits(self, word: str) -> tuple[int, int]:
        """The bits of a control word that must be 1, and those that may be."""
        required, allowed = self._capabilities.control_limits(word)
        if required is None or allowed is None:
            raise Unknown(f"the capability MSR of {word}")
        return required, allowed

    def supports(self, control: Control) -> bool:
        """Whether a control may be 1."""
        supported = self._capabilities.supports(control)
        if supported is None:
            raise Unknown(f"the capability MSR of {control.field}")
        return supported


class State:
    """One attempted VM entry. Fields are attributes: ``v.guest_cr0``; unknown ones raise."""

    def __init__(
        self, vmcs: Vmcs, capabilities: Capabilities, memory: Mapping[int, int] | None = None
    ) -> None:
        self._vmcs = vmcs
        self._memory = memory or {}
        self.cap = Known(capabilities)

    def __getattr__(self, name: str) -> int:
        return self.read(name)

    def read(self, name: str) -> int:
        """A field's value."""
        try:
            return self._vmcs[name]
        except KeyError:
            if name not in BY_NAME:
                raise AttributeError(name) from None
            raise Unknown(name) from None

    def knows(self, name: str) -> bool:
        """Whether a field's value is known."""
        return name in self._vmcs

    def on(self, control: Control) -> bool:
        """Whether a control is in force: 1, and so is the one that activates its word."""
        by = ACTIVATED_BY.get(control.field)
        if by is not None and not self.on(by):
            return False
        return bool(self.read(control.field) & control.mask)

    def word(self, address: int, what: str) -> int:
        """The 64-bit word at a physical address; ``what`` is its noun if it is not known."""
        if address not in self._memory:
            raise Unknown(f"{what} in memory at {address:#x}")
        return self._memory[address]
