"""The escape key of an interactive session: after Ctrl-] one key is ours, not the machine's."""

from __future__ import annotations

from collections.abc import Iterator

ESCAPE = b"\x1d"  # Ctrl-], as in telnet


class EscapeKey:
    """Tells what is typed for the machine from what is typed for us."""

    def __init__(self) -> None:
        self._pressed = False

    def feed(self, typed: bytes) -> Iterator[bytes | str]:
        """In order: bytes that are the machine's, and the key after each Ctrl-] as a string.

        Ctrl-] twice is one for the machine.
        """
        while typed:
            if self._pressed:
                self._pressed = False
                key, typed = typed[:1], typed[1:]
                yield key if key == ESCAPE else key.decode("latin-1")
                continue
            before, escape, typed = typed.partition(ESCAPE)
            self._pressed = bool(escape)
            if before:
                yield before
