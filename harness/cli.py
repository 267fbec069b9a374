"""The command ``hv``: its way in, and every way out of it.

The commands themselves are in `harness.commands`, which is imported only once one is wanted.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType


class Signalled(BaseException):
    """The process was told to end; unwinding kills and reaps every machine on its way."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line and return its exit code: a verdict's, or 128 + a signal's."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:
        # Asked for by scripts, often: not worth a command-line library.
        from harness import __version__

        print(f"hv {__version__}")
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _unwind)
    try:
        for stream in (sys.stdout, sys.stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure:
                reconfigure(errors="backslashreplace")
        from harness.commands import invoke

        code = invoke(words)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("hv: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except Signalled as ended:
        return 128 + ended.number
    except BrokenPipeError:
        # Whoever read our output has gone. Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _unwind(number: int, _frame: FrameType | None) -> None:
    raise Signalled(number)
