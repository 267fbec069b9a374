"""Set this checkout up: the system's packages, `.venv`, and the `hv` command in it.

`make` runs it, as `python3 -m harness.bootstrap`, with the system's own Python before anything of
ours is installed, so it uses the standard library alone. `make` has seen to it that the Python is
new enough.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from harness.needs import Host, Part, by_hand, here, missing, packages

ROOT = Path(__file__).resolve().parent.parent

FAILED = 1  # something that should have worked did not: network, disk, a package manager
MISSING = 3  # packages are missing, and only the user can install them
INTERRUPTED = 130

TAIL = 6  # lines of a failed command's output that are shown
PATIENCE = 1800.0  # seconds that one step may take: a slow line, not a hung one


class SetupError(Exception):
    """Why set-up stopped: one sentence, an exit code, and the last words of what failed."""

    def __init__(self, sentence: str, code: int = FAILED, evidence: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.evidence = evidence


# Doing things


def say(text: str) -> None:
    """One line for whoever watches."""
    print(f"setup: {text}", flush=True)


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done, and how long it took; both on one line."""
    print(f"setup: {what} ... ", end="", flush=True)
    started = time.monotonic()
    try:
        yield
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{time.monotonic() - started:.1f} s", flush=True)


def run(argv: list[str]) -> tuple[int, str]:
    """Run a command without input; its exit code and all that it said. English, for `cause`."""
    settings = dict(os.environ, LC_ALL="C.UTF-8", PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1")
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        settings.pop(name, None)
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=settings,
            cwd=ROOT,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return 124, f"no end after {error.timeout:.0f} s"
    except OSError as error:
        return 127, f"{argv[0]}: {error.strerror}"
    return done.returncode, done.stdout.decode(errors="replace")


UNREACHABLE = "the network or the package server can't be reached"
CAUSES = (
    (r"No space left on device|enough free space|Disk quota exceeded", "the disk is full"),
    (
        r"Temporary failure|Could not resolve|Name or service not known|Failed to establish a new "
        r"connection|Network is unreachable|Connection (?:refused|timed out)|Could not connect|"
        r"[Tt]imed out|ProxyError",
        UNREACHABLE,
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|[Cc]ertificate verification failed",
        "this machine does not trust the package server's certificate",
    ),
    (r"Could not get lock", "another package manager is at work"),
    (r"DO NOT MATCH THE HASHES", "a download is not what harness/requirements.lock promises"),
    (r"Read-only file system|Permission denied", "this directory can't be written"),
    (r"Unable to locate package", "apt's sources lack a package (Ubuntu: enable 'universe')"),
    (r"No matching distribution", "the package index has nothing that fits this Python"),
)


def cause(output: str) -> str:
    """What went wrong, in words, from what the failed command said."""
    return next((words for pattern, words in CAUSES if re.search(pattern, output)), "it failed")


def must(what: str, argv: list[str], before: str = "") -> None:
    """Run a command as a step; SetupError with the cause and its last words if it fails.

    ``before`` is what was said earlier and may hold the cause.
    """
    with step(what):
        code, output = run(argv)
        if code:
            raise SetupError(f"{what}: {cause(before + output)}", evidence=output)


# The system's packages


def become_root(host: Host, names: list[str]) -> list[str] | None:
    """What to put before a command to run it as root, after explaining why; None: no way."""
    if os.geteuid() == 0:
        return []
    if not host.which("sudo"):
        return None
    if run(["sudo", "-n", "true"])[0] == 0:
        return ["sudo", "-n"]
    if not sys.stdin.isatty():
        return None
    say(f"sudo may now ask for your password, to install: {' '.join(names)}")
    asked = subprocess.run(["sudo", "-v"], check=False, timeout=PATIENCE)
    return ["sudo", "-n"] if asked.returncode == 0 else None


def install(host: Host, absent: list[Part]) -> None:
    """Install the Debian packages that bring ``absent``."""
    names = packages(absent, "apt-get")
    say(f"missing Debian packages: {' '.join(names)}")
    say("installing them needs root: apt-get install --no-install-recommends (and nothing else)")
    prefix = become_root(host, names)
    if prefix is None:
        raise SetupError(f"no way to become root; {by_hand(host, absent)}", MISSING)
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-q"]
    # A fresh machine often upgrades itself in the background: wait for it.
    apt += ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=2"]
    install_them = [*apt, "install", "--no-install-recommends", *names]
    what = f"apt-get install {' '.join(names)}"

    fresh = run(["apt-cache", "show", "--no-all-versions", *names])[0] != 0
    said = update(apt) if fresh else ""
    try:
        must(what, install_them, said)
    except SetupError as error:
        if fresh or not re.search(OUTDATED, error.evidence):
            raise
        say("the package lists are out of date")
        must(what, install_them, update(apt))


# What apt-get says when its lists name files that the server no longer has, or lack some.
OUTDATED = r"404 +Not Found|Unable to locate package|no installation candidate|Hash Sum mismatch"


def update(apt: list[str]) -> str:
    """Refresh apt's package lists; what it said. Failures show when a package is not found."""
    with step("apt-get update"):
        return run([*apt, "update"])[1]


def require_packages(host: Host, debugger: bool) -> None:
    """See to it that everything from the system's own packages is there."""
    absent = missing(host, debugger)
    if not absent:
        return
    unknown = [part.what for part in absent if not part.packages]
    if unknown:
        raise SetupError(f"{' and '.join(unknown)}: not in PATH (from CROSS_COMPILE)", MISSING)
    if host.manager != "apt-get":
        raise SetupError(by_hand(host, absent), MISSING)
    install(host, absent)
    if still := missing(here(), debugger):
        names = ", ".join(part.what for part in still)
        raise SetupError(f"the packages are installed, but these are still not there: {names}")


# The virtual environment


def fingerprint(root: Path) -> str:
    """All that `.venv` depends on: where it is, for which Python, and what goes into it."""
    import tomllib

    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    metadata = {key: project.get(key) for key in ("project", "build-system")}
    lock = (root / "harness/requirements.lock").read_text(encoding="utf-8")
    return repr((str(root), sys.version_info[:2], metadata, lock))


def environment_ready(root: Path) -> bool:
    """Whether `.venv` is complete and made from what is here now."""
    try:
        made = (root / ".venv/.ready").read_text(encoding="utf-8")
    except OSError:
        return False
    # A Python that was removed since leaves a link to nothing.
    there = all(os.access(root / ".venv/bin" / name, os.X_OK) for name in ("python", "hv"))
    return there and made == fingerprint(root)


def make_environment(root: Path) -> None:
    """Make `.venv` anew. `.ready` is written last: what was interrupted never counts as made."""
    where = root / ".venv"
    if where.is_symlink():
        where.unlink()
    elif where.exists():
        (where / ".ready").unlink(missing_ok=True)
        with step("removing .venv: unfinished, moved, or made from other versions"):
            shutil.rmtree(where)
    version = sys.version.split()[0]
    venv = [sys.executable, "-I", "-m", "venv", str(where)]
    must(f"virtual environment .venv, Python {version}", venv)
    lock = root / "harness/requirements.lock"
    count = len(re.findall(r"^\S+==", lock.read_text(encoding="utf-8"), re.MULTILINE))
    pip = [str(where / "bin/python"), "-I", "-m", "pip", "install", "--no-input", "--no-deps", "-q"]
    exactly = ["--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
    must(f"{count} pinned Python packages", [*pip, *exactly])
    # flit's editable install is a plain .pth file: no import hook to slow every start.
    editable = ["--no-build-isolation", "--no-index", "-e", str(root)]
    must("the command .venv/bin/hv", [*pip, *editable])
    (where / ".ready").write_text(fingerprint(root), encoding="utf-8")


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold the lock that lets one set-up at a time work on this checkout."""
    # This very file serves as the lock: it is always there, and nothing is left behind.
    with (root / "harness/bootstrap.py").open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up of this checkout is running; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def set_up(root: Path, host: Host, skip_packages: bool, debugger: bool) -> None:
    """Do whatever is still to be done; quick where there is nothing."""
    started = time.monotonic()
    with alone(root):
        say(f"{host.name}, Python {sys.version.split()[0]}, into {root}")
        if not skip_packages:
            require_packages(host, debugger)
        if not environment_ready(root):
            make_environment(root)
    say(f"ready after {time.monotonic() - started:.1f} s")


def show(error: SetupError, root: Path) -> None:
    """Tell what went wrong: the last words of what failed, then our sentence."""
    lines = error.evidence.strip().splitlines()
    for line in lines[-TAIL:]:
        print(f"  | {line}", file=sys.stderr)
    if len(lines) > TAIL:
        with contextlib.suppress(OSError):
            (root / "build/setup.log").write_text(error.evidence, encoding="utf-8")
            print("  | (all of it is in build/setup.log)", file=sys.stderr)
    print(f"setup: {error}", file=sys.stderr)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Set up, or with ``--ready`` just look; the exit code."""
    parser = argparse.ArgumentParser(description="Set this checkout up.")
    parser.add_argument("--ready", action="store_true", help="only look: exit 0 if all is there")
    parser.add_argument("--skip-packages", action="store_true", help="leave system packages alone")
    parser.add_argument("--debugger", action="store_true", help="gdb is needed too")
    options = parser.parse_args(arguments)
    try:
        host = here()
        if options.ready:
            complete = options.skip_packages or not missing(host, options.debugger)
            return 0 if complete and environment_ready(root) else 1
        set_up(root, host, options.skip_packages, options.debugger)
    except SetupError as error:
        show(error, root)
        return error.code
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else error.strerror
        print(f"setup: {error.filename or root}: {reason}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\nsetup: interrupted; make goes on from here", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
