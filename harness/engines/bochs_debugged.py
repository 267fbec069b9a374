"""A Bochs that somebody debugs: its stops are theirs, by gdb or in Bochs's own debugger."""

from __future__ import annotations

import re
from collections.abc import Callable

from harness.engines.bochs_running import BochsRunning
from harness.verdict import bad_usage

_RUNNING = frozenset(("c", "cont", "continue", "s", "step", "p", "n", "next", "q", "quit", "exit"))


class BochsDebugged(BochsRunning):
    """A machine that starts stopped, and goes on only when it is told to."""

    _show: Callable[[str], None] | None = None  # who has the debugger instead of us

    # For a person at a terminal

    def hand_over(self, show: Callable[[str], None]) -> None:
        """From now on a person has the debugger: all that it prints goes to ``show``."""
        self._show = show
        self._show_new()

    def type(self, text: str) -> None:
        """Give the debugger what that person types; an interrupt is SIGINT's."""
        self._write(text)

    def service(self) -> None:
        """Take in what the debugger printed, or pass it on."""
        super().service()
        self._show_new()

    def _show_new(self) -> None:
        if self._show is not None and self._output:
            text = self._output.decode("utf-8", "replace")
            self._output.clear()
            self._show(text)

    # For gdb

    def pause(self) -> None:
        """Stop the machine, not before it has come to where it starts."""
        text = None
        while self._prompt <= self._first_prompts + 1:
            text = self._await_prompt()
        if text is not None:
            self._paused = True
            self._note(text)
        super().pause()

    @property
    def is_stopped(self) -> bool:
        """Whether it stands still, as far as `end` or `pause` has looked."""
        return self._paused

    def _stopped_unasked(self) -> None:
        """At a breakpoint, after a step: it waits for what comes next."""

    def step_one(self) -> None:
        """Let it execute one instruction, which may take for ever: a HLT."""
        self._run("s")

    def set_breakpoint(self, address: int) -> None:
        """Stop before the instruction at this linear address, whoever executes it.

        BAD_USAGE if Bochs has no more: it has 16.
        """
        self._command(f"lb {address:#x}")
        if address not in self._breakpoints():
            raise bad_usage(f"Bochs takes no more breakpoints than {len(self._breakpoints())}.")

    def clear_breakpoint(self, address: int) -> None:
        """Do not stop there any more; nothing, if it would not."""
        for number in self._breakpoints().get(address, ()):
            self._command(f"d {number}")

    def _breakpoints(self) -> dict[int, list[int]]:
        """The numbers of the breakpoints at each address."""
        found: dict[int, list[int]] = {}
        rows = re.findall(r"^ *(\d+) lbreakpoint .* 0x([0-9a-f]+)", self._command("blist"), re.M)
        for number, address in rows:
            found.setdefault(int(address, 16), []).append(int(number))
        return found

    def monitor(self, command: str) -> str:
        """What Bochs's own debugger answers to ``command``. BAD_USAGE for one that runs or ends."""
        words = command.split()
        if not words or words[0] in _RUNNING or not command.isprintable():
            raise bad_usage(f"{command!r} is no command that leaves the machine stopped.")
        return self._command(command).partition("\n")[2]  # the first line is its echo

    # For the bench

    def trace_after_exits(self, exits: int, instructions: int) -> str:
        """What the debugger shows of the instructions after so many exits, a line each."""
        self.pause()
        self._command("vmexitbp")
        for _ in range(exits):
            self._write("c\n")
            self._note(self._await_prompt())
        return self._command("trace on", f"s {instructions}", "trace off", "vmexitbp")
