"""Stacks, by frame pointers: all of our code is compiled with -fno-omit-frame-pointer."""

from __future__ import annotations

from collections.abc import Callable

MOST_FRAMES = 32


def return_addresses(read: Callable[[int, int], bytes], frame: int) -> list[int]:
    """The return addresses above ``frame``, a value of RBP, innermost first.

    ``read`` gives memory by linear address, fewer bytes where there is none. The stack is hostile
    input: frames must get on upwards, and there are at most MOST_FRAMES.
    """
    found: list[int] = []
    while frame and not frame % 8 and len(found) < MOST_FRAMES:
        pair = read(frame, 16)
        if len(pair) < 16:
            break
        caller = int.from_bytes(pair[:8], "little")
        found.append(int.from_bytes(pair[8:], "little"))
        if caller <= frame:
            break
        frame = caller
    return found
