"""A person at a machine's console, played by pexpect."""

from __future__ import annotations

import re
import sys
import termios
from pathlib import Path
from typing import Any, ClassVar

import pexpect

from tests.conftest import Hv


class Terminal:
    """A pseudo-terminal with ``hv --interactive`` on it."""

    _open: ClassVar[list[Terminal]] = []

    def __init__(self, hv: Hv, *words: str | Path, **env: str) -> None:
        arguments = ["-m", "harness", *map(str, words), "--interactive"]
        env = {"NO_COLOR": "1", **env}
        self.child = pexpect.spawn(
            sys.executable, arguments, cwd=str(hv.root), env=hv.env(**env), timeout=30, echo=True
        )
        self._open.append(self)
        self.child.delaybeforesend = None
        self.usual = self.attributes()

    def attributes(self) -> list[Any]:
        return termios.tcgetattr(self.child.child_fd)

    def raw(self) -> bool:
        return not self.attributes()[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def expect(self, *texts: str, timeout: float = 30) -> None:
        for text in texts:
            # The terminal puts a carriage return before each line end, also where there is one.
            self.child.expect(r"\r*\n".join(re.escape(line) for line in text.split("\n")), timeout)

    def send(self, text: str) -> None:
        self.child.send(text)

    def key(self, key: str) -> None:
        self.child.send("\x1d" + key)

    def leave(self) -> None:
        self.key("q")
        assert self.status() == 130

    def status(self) -> int:
        """The exit status of ``hv``, which must have given the terminal back as it was."""
        self.child.expect(pexpect.EOF)
        assert self.attributes() == self.usual
        self.child.close()
        assert self.child.signalstatus is None
        assert self.child.exitstatus is not None
        return int(self.child.exitstatus)

    @classmethod
    def hang_up(cls) -> None:
        """Close what is still open."""
        while cls._open:
            cls._open.pop().child.close(force=True)
