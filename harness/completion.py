"""``hv --install-completion``: puts click's completion script where the user's shell looks."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from harness.verdict import bad_usage


def install(command: click.Command) -> str:
    """Install for the shell of $SHELL; returns what to tell the user."""
    shell = Path(os.environ.get("SHELL", "")).name
    home = Path.home()
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    places = {
        "bash": (data / "bash-completion" / "completions" / "hv", "open a new shell"),
        "zsh": (
            home / ".zfunc" / "_hv",
            "have `fpath+=~/.zfunc; autoload -Uz compinit; compinit` in ~/.zshrc, then open a new "
            "shell",
        ),
        "fish": (config / "fish" / "completions" / "hv.fish", "open a new shell"),
    }
    if shell not in places:
        raise bad_usage(f"completion is for bash, zsh and fish; $SHELL names {shell or 'none'!r}")
    path, then = places[shell]
    writer = get_completion_class(shell)
    assert writer is not None  # click knows these three
    script = writer(command, {}, "hv", "_HV_COMPLETE").source()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script, encoding="utf-8")
    except OSError as error:
        raise bad_usage(f"{path} can't be written: {error.strerror}") from None
    return f"{path} is in place; {then}."
