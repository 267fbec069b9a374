"""Bochs: an Intel processor with VMX and EPT in software, on any machine.

The kernel is booted directly: a reset ROM that this harness writes, and one blob of RAM. No BIOS
and no boot loader run. Both serial ports connect to loopback listeners of ours; the built-in
debugger, over pipes, is the control channel.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from harness import multiboot, supervise
from harness.engines import rom
from harness.engines.base import Availability, Boot, End, EndKind, Unsupported
from harness.verdict import RunEnded, Verdict, bad_usage

INSTALL = "apt install bochs bochsbios vgabios bochs-term"
LOG = "engine.log"

_CONNECTED_WITHIN = 20.0  # seconds; a loaded host is slow, a dead Bochs is noticed at once
_ANSWER_WITHIN = 20.0
_LARGEST_FILE = 4 << 30  # bytes; bounds a log that a guest floods
_VGABIOS = Path("/usr/share/vgabios/vgabios.bin")

_BOCHSRC = """\
cpu: model={model}, count={cpus}, ips={ips}, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest={memory}, host={memory}
romimage: file=rom.img, address=0xffff0000
{vga}optramimage1: file=ram.img, address={base:#x}
plugin_ctrl: speaker=0, biosdev=0, gameport=0, parallel=0, iodebug=0, usb_uhci=0
display_library: term
com1: enabled=1, mode=socket-client, dev=127.0.0.1:{com1}
com2: enabled=1, mode=socket-client, dev=127.0.0.1:{com2}
clock: sync=none, time0=1000000000
log: {log}
panic: action=fatal
error: action=report
info: action=report
debug: action=ignore
"""

# Lines of Bochs's own log decide how it ended; its exit status is 1 for everything.
_PANIC = re.compile(r"^\d+p\[[^\]]*\] >>PANIC<< (.*)$", re.MULTILINE)
_NOTABLE = re.compile(r"^\d+[pe]\[([^\]]*)\] (.*)$", re.MULTILINE)
_RESET = re.compile(r"^\d+i\[SYS   \] bx_pc_system_c::Reset\(", re.MULTILINE)

# What the debugger prints for creg and sreg.
_CONTROL_REGISTER = re.compile(
    r"^(CR\d|EFER|XCR0)\s*[=:]\s*(?:page fault laddr=)?0x([0-9a-f]+)", re.MULTILINE
)
_SELECTOR = re.compile(r"^(cs|ds|es|ss|fs|gs|tr|ldtr):0x([0-9a-f]+)", re.MULTILINE)
_TABLE = re.compile(r"^(gdtr|idtr):base=0x([0-9a-f]+), limit=0x([0-9a-f]+)", re.MULTILINE)


def classify(log: str, output: str, status: int) -> End:
    """How Bochs ended, from its log, what it printed, and its exit status."""
    log = log or output  # what goes wrong before the log is opened is printed
    panics: list[str] = _PANIC.findall(log)
    last = panics[-1] if panics else ""
    if re.match(r"Shutdown port: shutdown requested|ACPI control: soft power off", last):
        # The reset ROM ends its second pass through the shutdown port.
        kind = EndKind.RESET if len(_RESET.findall(log)) > 1 else EndKind.POWER_OFF
        return End(kind, None, last)
    if re.match(r"exception\(\): 3rd \(\d+\) exception with no resolution", last):
        return End(EndKind.TRIPLE_FAULT, None, "\n".join((last, *_registers(log))))
    words = [text for _, text in _NOTABLE.findall(log)][-8:]
    if not words:
        words = [line for line in output.splitlines() if line.strip(" =")][-8:]
    if last:
        words = [last, *(w for w in words if last not in w)]
    else:
        words.reverse()  # the first line is what a person reads
    if status < 0:
        words.insert(0, f"killed by {signal.Signals(-status).name}")
    return End(EndKind.DIED, None, "\n".join(words))


def _registers(log: str) -> list[str]:
    """The register dump that follows a panic in the log."""
    after = log[log.rfind(">>PANIC<<") :]
    found: list[str] = re.findall(r"^\d+i\[CPU\d+ *\] (.*)$", after, re.MULTILINE)
    return found[:24]


def _last_part(path: Path, most: int = 1 << 20) -> str:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - most))
            return file.read(most).decode("utf-8", "replace")
    except OSError:
        return ""


class BochsRunning:
    """One Bochs process, with its debugger behind it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        argv: tuple[str, ...],
        directory: Path,
        console: socket.socket,
        records: socket.socket,
        memory_size: int,
    ) -> None:
        self.process = process
        self.argv = argv
        self.console = console
        self.records = records
        self.idle: Callable[[], None] = _nothing
        self._directory = directory
        self._memory_size = memory_size  # bytes
        self._output = bytearray()  # what the debugger printed, since the last prompt
        self._prompt = 1  # number of the prompt that comes next
        self._paused = False
        self._end: End | None = None
        self._killed = False
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)

    def wakeups(self) -> tuple[int, ...]:
        """The debugger's output."""
        assert self.process.stdout is not None
        return (self.process.stdout.fileno(),)

    def service(self) -> None:
        """Take in what the debugger printed."""
        assert self.process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            while data := self.process.stdout.read(1 << 16):
                self._output += data
                if len(self._output) > 16 << 20:
                    del self._output[: 8 << 20]

    def end(self) -> End | None:
        """How Bochs ended, by its own log."""
        if self._end is None and self.process.poll() is not None:
            self.service()
            if self._killed:
                self._end = End(EndKind.KILLED)
            else:
                log = _last_part(self._directory / LOG)
                output = self._output.decode("utf-8", "replace")
                self._end = classify(log, output, self.process.returncode)
        return self._end

    # The debugger: `<bochs:N> ` is its prompt; it reads commands while the machine is paused.

    def _await_prompt(self, again: float | None = None) -> str:
        """What came before the next prompt. ``again``: seconds until another interrupt."""
        token = b"<bochs:%d> " % self._prompt
        deadline = time.monotonic() + _ANSWER_WITHIN
        with supervise.ProcessEnd(self.process) as ended:
            while (at := self._output.find(token)) < 0:
                left = deadline - time.monotonic()
                if left <= 0:
                    self._end = End(EndKind.DIED, None, "its debugger stopped answering")
                    self.kill()
                    raise RunEnded(
                        Verdict.ENGINE_DIED,
                        f"Bochs's debugger gave no answer within {_ANSWER_WITHIN:g} s.",
                    )
                fds = (*self.wakeups(), *self._serial_fds(), ended.fileno())
                ready = supervise.readable(fds, left if again is None else min(left, again))
                self.idle()  # a full serial line would block Bochs
                self.service()
                if ended.fileno() in ready and token not in self._output:
                    raise _dead(self.end())
                if not ready and again is not None:
                    self.process.send_signal(signal.SIGINT)
        text = self._output[:at].decode("utf-8", "replace")
        del self._output[: at + len(token)]
        self._prompt += 1
        return text

    def _serial_fds(self) -> tuple[int, ...]:
        return tuple(s.fileno() for s in (self.console, self.records) if s.fileno() >= 0)

    def _write(self, text: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(text.encode())
        except OSError:
            supervise.wait(self.process, 1)
            raise _dead(self.end()) from None

    def _command(self, *lines: str) -> str:
        """Give commands to the paused debugger; all that it printed."""
        self._need_pause()
        for line in lines:
            self._write(line + "\n")
        return "".join(self._await_prompt() for _ in lines)

    def _need_pause(self) -> None:
        if self.process.poll() is not None:
            raise _dead(self.end())
        if not self._paused:
            raise Unsupported("the machine must be paused first")

    def pause(self) -> None:
        """Stop the machine, in its debugger."""
        if self._paused:
            return
        if self.process.poll() is not None:
            raise _dead(self.end())
        if self._prompt == 1:
            # Before the first prompt Bochs has no handler, and the interrupt would end it.
            self._await_prompt()
        self.process.send_signal(signal.SIGINT)
        # It forgets an interrupt that comes just before it starts to run: ask again.
        self._await_prompt(again=0.1)
        self._paused = True

    def resume(self) -> None:
        """Let the machine run on."""
        if self._paused:
            self._write("c\n")
            self._paused = False

    def reset(self) -> None:
        """Not offered: the debugger has no such command."""
        raise Unsupported("Bochs can't be reset from outside; start a new machine")

    def nmi(self) -> None:
        """Not offered: the debugger has no such command."""
        raise Unsupported("Bochs's debugger can't send an NMI; use a QEMU engine")

    def step(self) -> None:
        """Execute one instruction."""
        self._command("s")

    def registers(self, cpu: int = 0) -> Mapping[str, int]:
        """General, control and segment registers of CPU 0."""
        if cpu != 0:
            raise Unsupported("Bochs's debugger gives the registers of CPU 0 only")
        return parse_registers(self._command("r", "creg", "sreg"))

    @contextlib.contextmanager
    def _paused_for_a_moment(self) -> Iterator[None]:
        was_paused = self._paused
        self.pause()
        try:
            yield
        finally:
            if not was_paused and self.process.poll() is None:
                self.resume()

    def read_physical(self, address: int, length: int) -> bytes:
        """Physical memory; quick where paging is off, about 1 MB/s elsewhere."""
        self._check_range(address, length)
        with self._paused_for_a_moment():
            if length > 4096 and not self.registers()["cr0"] >> 31:
                return self._read_linear(address, length)
            data = bytearray()
            while len(data) < length:
                at = address + len(data)
                left = min(8192, length - len(data))
                unit, letter = (8, "g") if left >= 8 else (1, "b")
                part = _examined(self._command(f"xp /{left // unit}{letter}x {at:#x}"), unit)
                if len(part) != left // unit * unit:
                    raise bad_usage(f"Bochs's debugger can't read memory at {at:#x}.")
                data += part
            return bytes(data)

    def _check_range(self, address: int, length: int) -> None:
        if address < 0 or length < 0 or address + length > self._memory_size:
            raise bad_usage(f"{address:#x} is not in the machine's memory.")

    def _read_linear(self, address: int, length: int) -> bytes:
        file = self._directory / "memory.bin"
        self._command(f'writemem "{file.name}" {address:#x} {length}')
        data = file.read_bytes()
        file.unlink()
        return data

    def write_physical(self, address: int, data: bytes) -> None:
        """Write physical memory, one command a word."""
        self._check_range(address, len(data))
        with self._paused_for_a_moment():
            at = 0
            while at < len(data):
                lines: list[str] = []
                while at < len(data) and len(lines) < 256:
                    size = 4 if (address + at) % 4 == 0 and len(data) - at >= 4 else 1
                    value = int.from_bytes(data[at : at + size], "little")
                    lines.append(f"setpmem {address + at:#x} {size} {value:#x}")
                    at += size
                self._command(*lines)

    def kill(self) -> None:
        """SIGKILL: Bochs ignores the softer ones."""
        self._killed = self._killed or self.process.poll() is None
        supervise.end(self.process)
        self.end()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self.console.close()
        self.records.close()


def _nothing() -> None:
    pass


def _dead(end: End | None) -> RunEnded:
    words = end.words.splitlines() if end is not None else []
    return RunEnded(
        Verdict.ENGINE_DIED,
        f"Bochs ended by itself: {(words[0] if words else 'it said nothing').rstrip('.')}.",
        evidence=tuple(words[1:]),
    )


def parse_registers(text: str) -> dict[str, int]:
    """Registers out of what the debugger prints for r, creg and sreg."""
    found: dict[str, int] = {}
    for name, high, low in re.findall(r"\b(r\w+)\s*: ([0-9a-f]{8})_([0-9a-f]{8})", text):
        found[name] = int(high + low, 16)
    if match := re.search(r"\beflags 0x([0-9a-f]+)", text):
        found["rflags"] = int(match[1], 16)
    for name, value in _CONTROL_REGISTER.findall(text):
        found[name.lower()] = int(value, 16)
    for name, value in _SELECTOR.findall(text):
        found[name] = int(value, 16)
    for name, base, limit in _TABLE.findall(text):
        found[name] = int(base, 16)
        found[f"{name}_limit"] = int(limit, 16)
    return found


def _examined(text: str, size: int) -> bytes:
    """The bytes that the debugger's xp command printed as units of ``size``."""
    data = bytearray()
    for line in re.findall(r"^.*>:((?:\s+0x[0-9a-f]+)+)\s*$", text, re.MULTILINE):
        for value in line.split():
            data += int(value, 16).to_bytes(size, "little")
    return bytes(data)


def _listen() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    listener.setblocking(False)
    return listener


def _is_from(process: subprocess.Popen[bytes], peer: tuple[str, int], port: int) -> bool:
    """Does the loopback connection from ``peer`` to our ``port`` belong to ``process``?"""
    local, remote = f"0100007F:{peer[1]:04X}", f"0100007F:{port:04X}"
    try:
        table = Path("/proc/net/tcp").read_text()
        files = list(Path(f"/proc/{process.pid}/fd").iterdir())
    except OSError:
        return peer[0] == "127.0.0.1"  # no way to look closer
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[1] == local and fields[2] == remote:
            wanted = f"socket:[{fields[9]}]"
            for file in files:
                with contextlib.suppress(OSError):
                    if str(file.readlink()) == wanted:
                        return True
    return False


def _accept(
    listener: socket.socket, process: subprocess.Popen[bytes], deadline: float
) -> socket.socket | None:
    """The connection that ``process`` makes; None if it ends or takes too long."""
    port = listener.getsockname()[1]
    with supervise.ProcessEnd(process) as ended:
        while (left := deadline - time.monotonic()) > 0:
            ready = supervise.readable((listener.fileno(), ended.fileno()), left)
            if listener.fileno() in ready:
                with contextlib.suppress(BlockingIOError):
                    connection, peer = listener.accept()
                    if _is_from(process, peer, port):
                        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        return connection
                    connection.close()
            elif ready:
                return None
    return None


class Bochs:
    """The engine "bochs"."""

    name = "bochs"
    default_cpu = "corei7_skylake_x"
    control = frozenset({"step", "registers", "memory", "deterministic", "smp"})
    processes: tuple[str, ...] = ("bochs-bin", "bochs")

    def __init__(self, *, ips: int = 4_000_000) -> None:
        self.ips = ips  # emulated instructions a second; high values starve the serial lines

    def binary(self) -> Path | None:
        """The program: $BOCHS, else bochs-bin (Debian's bochs is a shell script), else bochs."""
        names = [os.environ["BOCHS"]] if os.environ.get("BOCHS") else ["bochs-bin", "bochs"]
        found = next((path for name in names if (path := shutil.which(name))), None)
        return None if found is None else Path(found)

    def availability(self) -> Availability:
        """Is it installed, with the display that needs none?"""
        binary = self.binary()
        if binary is None:
            named = os.environ.get("BOCHS")
            if named:
                return Availability(False, f"$BOCHS names {named}, which is no program", INSTALL)
            return Availability(False, "bochs is not installed", INSTALL)
        plugins = [p for p in Path("/usr/lib").glob("*/bochs/plugins") if p.is_dir()]
        if plugins and not any((p / "libbx_term_gui.so").exists() for p in plugins):
            return Availability(False, "Bochs lacks its term display", "apt install bochs-term")
        return Availability(True, f"Bochs ({binary})")

    def launch(self, boot: Boot, directory: Path) -> BochsRunning:
        """Start Bochs on ``boot``; see ``Engine.launch``."""
        layout = multiboot.lay_out(boot)
        available = self.availability()
        binary = self.binary()
        if binary is None or not available.usable:
            raise RunEnded(
                Verdict.ENGINE_MISSING,
                f"{available.reason}; `{available.remedy}` would provide it.",
                facts={"remedy": available.remedy},
            )
        model = boot.cpu_model or self.default_cpu
        if not re.fullmatch(r"\w+", model):
            raise bad_usage(f"{model!r} is no name of a Bochs CPU model.")
        base = layout.kernel.start // rom.BLOCK * rom.BLOCK
        size = multiboot.write_blob(layout, directory / "ram.img", base)
        (directory / "rom.img").write_bytes(
            rom.build(
                entry=layout.kernel.entry, info=layout.info_address,
                base=base, size=size, cpus=boot.cpus,
            )
        )  # fmt: skip
        with contextlib.closing(_listen()) as com1, contextlib.closing(_listen()) as com2:
            (directory / "bochsrc").write_text(
                _BOCHSRC.format(
                    model=model, cpus=boot.cpus, ips=self.ips, memory=boot.memory_mib, base=base,
                    vga=f"vgaromimage: file={_VGABIOS}\n" if _VGABIOS.exists() else "",
                    com1=com1.getsockname()[1], com2=com2.getsockname()[1], log=LOG,
                )
            )  # fmt: skip
            return self._start(binary, directory, model, boot.memory_mib << 20, com1, com2)

    def _start(
        self,
        binary: Path,
        directory: Path,
        model: str,
        memory_size: int,
        com1: socket.socket,
        com2: socket.socket,
    ) -> BochsRunning:
        argv = (str(binary), "-q", "-f", "bochsrc")
        try:
            process = supervise.spawn(
                argv,
                directory,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                environment={**os.environ, "TERM": "dumb"},
                largest_file=_LARGEST_FILE,
            )
        except OSError as error:
            raise RunEnded(
                Verdict.ENGINE_DIED, f"{binary} can't be started: {error.strerror}."
            ) from None
        accepted: list[socket.socket] = []
        try:
            deadline = time.monotonic() + _CONNECTED_WITHIN
            for listener in (com1, com2):
                connection = _accept(listener, process, deadline)
                if connection is None:
                    raise self._stillborn(process, directory, model)
                accepted.append(connection)
            # Only now may it run: one that has ended can't be asked whose connection that was.
            assert process.stdin is not None
            with contextlib.suppress(OSError):  # a Bochs that died meanwhile is noticed later
                process.stdin.write(b"c\n")
            return BochsRunning(process, argv, directory, accepted[0], accepted[1], memory_size)
        except BaseException:
            supervise.end(process)
            for stream in (process.stdin, process.stdout, *accepted):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            raise

    def _stillborn(self, process: subprocess.Popen[bytes], directory: Path, model: str) -> RunEnded:
        ended = process.poll() is not None
        status = supervise.end(process)
        assert process.stdout is not None
        output = (process.stdout.read() or b"").decode("utf-8", "replace")
        if not ended:
            return RunEnded(
                Verdict.ENGINE_DIED,
                f"Bochs did not connect its serial ports within {_CONNECTED_WITHIN:g} s.",
                evidence=tuple(output.splitlines()[-8:]),
            )
        if "wrong value for parameter 'model'" in output:
            return bad_usage(f"Bochs has no CPU model {model!r}; `bochs --help cpu` lists them.")
        return _dead(classify(_last_part(directory / LOG), output, status))
