"""The command ``hv``: its way in, and every way out of it.

The commands themselves are in `harness.commands`, which is imported only once one is wanted.
"""

from __future__ import annotations

import errno
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
    _open_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it, and wants it
            signal.signal(number, unwind)
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
        _forget_output()  # whoever read it has gone
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        _forget_output()
        print(f"hv: the output can't be written: {error.strerror}", file=sys.stderr)
        return 2


def _open_streams() -> None:
    """Give what the shell closed (`hv >&-`) a place that takes everything and says nothing."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # The lowest free descriptor is this one, so that no file or socket gets it.
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r"))


def _forget_output() -> None:
    # Python would complain once more when it flushes.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def unwind(number: int, _frame: FrameType | None) -> None:
    """The signal handler that makes of a signal an exception."""
    raise Signalled(number)
