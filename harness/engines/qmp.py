"""QMP in the background: one thread and one asyncio loop serve all machines of the process.

The main thread stays single-threaded: it gives commands with a deadline and finds events in a
list, woken by a file descriptor. Importing asyncio and qemu.qmp takes 0.1 s, which happens in that
thread while the machine boots.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from qemu.qmp import QMPClient

_LEAVES_WITHIN = 5.0  # seconds; more than the loop needs to come up and to hear of it
NEGOTIATE = b'{"execute": "qmp_capabilities"}\n'


class NoAnswer(Exception):
    """QEMU did not answer in time, or its connection is gone."""


class Refused(Exception):
    """QEMU answered with an error; the message is QEMU's."""


class _Loop:
    """The one background thread."""

    def __init__(self) -> None:
        self._started = threading.Event()
        self.asyncio_loop: asyncio.AbstractEventLoop
        self.pid = os.getpid()
        self._unfinished: set[Future[Any]] = set()  # asyncio itself holds its tasks only weakly
        threading.Thread(target=self._run, name="qmp", daemon=True).start()

    def _run(self) -> None:
        import asyncio
        import logging

        import qemu.qmp  # noqa: F401  # here, so that no coroutine pays for it

        # What QMP has to say reaches people as verdicts, not as log lines.
        logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL + 1)
        self.asyncio_loop = asyncio.new_event_loop()
        self._started.set()
        self.asyncio_loop.run_forever()

    def call(self, coroutine_function: Any, *arguments: Any) -> Future[Any]:
        """Run a coroutine there as soon as the loop is up; a future that any thread can wait on."""
        import concurrent.futures

        result: Future[Any] = concurrent.futures.Future()

        def begin() -> None:
            import asyncio

            self._started.wait()
            inner = asyncio.run_coroutine_threadsafe(
                coroutine_function(*arguments), self.asyncio_loop
            )
            self._unfinished.add(inner)
            inner.add_done_callback(self._unfinished.discard)
            inner.add_done_callback(lambda done: _hand_over(done, result))

        if self._started.is_set():
            begin()
        else:
            threading.Thread(target=begin, daemon=True).start()
        return result


def _hand_over(done: Future[Any], result: Future[Any]) -> None:
    if done.cancelled():
        result.cancel()
    elif (error := done.exception()) is not None:
        result.set_exception(error)
    else:
        result.set_result(done.result())


_loop: _Loop | None = None


def _the_loop() -> _Loop:
    global _loop
    if _loop is None or _loop.pid != os.getpid():  # a fork has no threads
        _loop = _Loop()
    return _loop


class Channel:
    """The QMP connection of one machine over ``sock``, on which NEGOTIATE was sent already.

    Negotiating ahead means that QEMU loses no event, however late this side gets to listen.
    ``shared``: the connection outlives this machine, so it is left open for others at the end.
    """

    def __init__(self, sock: socket.socket, *, shared: bool = False) -> None:
        self.events: list[dict[str, Any]] = []
        self.status: str | None = None  # the run state at the last stop that QEMU reported
        self.lost = False
        self._sock = sock
        self._shared = shared
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._news = threading.Condition()
        self._client: QMPClient | None = None
        self._closing = False
        self._serving: asyncio.Task[None] | None = None
        self._connected: Future[None] = Future()
        self._session = _the_loop().call(self._serve)

    def fileno(self) -> int:
        """Readable when there is something new."""
        return self._wake

    def clear(self) -> None:
        """What is new has been seen."""
        if self._wake >= 0:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)

    def _notify(self) -> None:
        with self._news:
            self._news.notify_all()
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def event(
        self, wanted: Callable[[dict[str, Any]], bool], since: int, timeout: float
    ) -> dict[str, Any]:
        """The first event that is ``wanted``, not counting the first ``since`` of all.

        NoAnswer if it does not come within ``timeout`` seconds.
        """
        import time

        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                for event in self.events[since:]:
                    if wanted(event):
                        return event
                left = deadline - time.monotonic()
                if self.lost or left <= 0:
                    why = "its connection ended" if self.lost else f"none within {timeout:g} s"
                    raise NoAnswer(f"an event was awaited, and {why}")
                self._news.wait(left)

    async def _serve(self) -> None:
        """Connect, then collect events until the connection ends."""
        import asyncio

        from qemu.qmp import QMPClient, QMPError

        client = QMPClient()
        client.negotiate = False
        collector = None
        self._serving = asyncio.current_task()
        try:
            if self._closing:
                return
            await client.connect(self._sock)
            self._client = client
            collector = asyncio.create_task(self._collect(client))
            self._connected.set_result(None)
            while client.runstate.name == "RUNNING":
                await client.runstate_changed()
        except (QMPError, OSError, EOFError):
            pass  # the end of the process says more than the end of its connection
        except asyncio.CancelledError:
            pass  # by `_leave`
        finally:
            self.lost = True
            if not self._connected.done():
                self._connected.set_exception(NoAnswer("its QMP connection never came up"))
            if collector is not None:
                collector.cancel()
            with contextlib.suppress(Exception):
                await client.disconnect()
            self._sock.close()
            self._notify()

    async def _collect(self, client: QMPClient) -> None:
        async for event in client.events:
            self.events.append(dict(event))
            if event["event"] == "STOP":
                with contextlib.suppress(Exception):
                    answer = await client.execute("query-status")
                    if isinstance(answer, dict):
                        self.status = str(answer.get("status"))
            self._notify()

    def execute(self, command: str, arguments: dict[str, Any], timeout: float) -> Any:
        """What QEMU returns for ``command``. NoAnswer within ``timeout`` seconds, or Refused."""
        import time
        from concurrent.futures import TimeoutError as NotInTime

        deadline = time.monotonic() + timeout
        try:
            self._connected.result(timeout)
            future = _the_loop().call(self._execute, command, arguments)
            return future.result(max(0.0, deadline - time.monotonic()))
        except NotInTime:
            raise NoAnswer(f"no answer to {command} within {timeout:g} s") from None

    async def _execute(self, command: str, arguments: dict[str, Any]) -> Any:
        from qemu.qmp import ExecuteError, QMPError

        assert self._client is not None
        try:
            return await self._client.execute(command, arguments or None)
        except ExecuteError as error:
            raise Refused(str(error)) from None
        except (QMPError, OSError, EOFError) as error:
            raise NoAnswer(f"the connection ended during {command} ({error})") from None

    def close(self) -> bool:
        """Release everything; whether nothing here reads the connection any more. Idempotent.

        QEMU is gone: a connection of its own ends the session; a shared one is left.
        """
        import concurrent.futures

        if self._closing:
            return self._session.done()
        self._closing = True
        if self._shared:
            _the_loop().call(self._leave)
        else:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        # The loop may still be importing: then the session ends on its own, later.
        own = 0.2 if self._connected.done() else 0
        concurrent.futures.wait([self._session], timeout=_LEAVES_WITHIN if self._shared else own)
        with self._news:
            os.close(self._wake)
            self._wake = -1
        return self._session.done()

    async def _leave(self) -> None:
        """End the session, and with it all reading, without a word to the other side."""
        if self._serving is not None:
            self._serving.cancel()
