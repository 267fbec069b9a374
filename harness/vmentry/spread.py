"""Chunks of a campaign, spread over processes of this machine, or over a Dask cluster."""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from harness import project, supervise
from harness.verdict import RunEnded, Verdict, bad_usage
from harness.vmentry.chunk import Plan

Work = tuple[str, int]  # CPU model and number of the chunk
Result = dict[str, Any]

MOST_LOSSES = 2  # so often a chunk may lose its worker
CONNECT_WITHIN = 10.0  # seconds until a scheduler must have answered
CHUNK_WITHIN = 1800.0  # seconds without any result; only a hang takes so long


def checked(result: Result) -> Result:
    """A worker's result; RunEnded if it is the reason why there is none."""
    if "ended" in result:
        raise RunEnded(
            Verdict.from_word(str(result["ended"])),
            str(result["sentence"]),
            evidence=tuple(map(str, result["evidence"])),
        )
    return result


class _Losses:
    """Counts chunks whose worker was lost; raises when it is not the worker's fault."""

    def __init__(self) -> None:
        self._count: dict[Work, int] = {}

    def add(self, work: Work, why: str) -> None:
        self._count[work] = self._count.get(work, 0) + 1
        if self._count[work] > MOST_LOSSES:
            cpu, number = work
            raise RunEnded(
                Verdict.ENGINE_DIED,
                f"chunk {number} on {cpu} lost its worker {MOST_LOSSES + 1} times: {why}.",
            )


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    work: Work
    output: bytearray = field(default_factory=bytearray)


class Processes:
    """Workers on this machine, each with its own engine. A context: leaving it ends them all."""

    def __init__(self, plan: Plan, jobs: int) -> None:
        self._plan = plan
        self._jobs = jobs
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()
        # The workers' machines live in here: a worker that is killed can't remove its own.
        self._scratch = tempfile.TemporaryDirectory(prefix="hv-fuzz-")

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._selector.close()
        for worker in self._workers:
            _close(worker)
        self._scratch.cleanup()

    @property
    def processes(self) -> list[int]:
        """The workers' process ids."""
        return [worker.process.pid for worker in self._workers]

    def results(self, work: Sequence[Work]) -> Iterator[Result]:
        """The result of each chunk, as they come. RunEnded if one can't be done."""
        to_do, losses = deque(work), _Losses()
        for _ in range(min(self._jobs, len(to_do))):
            self._give(self._start(), to_do)
        while self._workers:
            ready = self._selector.select(CHUNK_WITHIN)
            if not ready:
                raise RunEnded(
                    Verdict.TIMEOUT, f"no chunk ended within {CHUNK_WITHIN:g} s, which is a hang."
                )
            for key, _ in ready:
                worker: _Worker = key.data
                data = os.read(key.fd, 1 << 16)
                worker.output += data
                if not data:  # it is gone, and its chunk with it
                    self._drop(worker)
                    status = worker.process.returncode
                    losses.add(worker.work, f"its process ended with status {status}")
                    to_do.appendleft(worker.work)
                    self._give(self._start(), to_do)
                elif worker.output.endswith(b"\n"):
                    result = checked(json.loads(worker.output))
                    worker.output.clear()
                    if to_do:
                        self._give(worker, to_do)
                    else:
                        self._drop(worker)
                    yield result

    def _start(self) -> _Worker:
        environment = {
            **os.environ, "VANDERPOOL_ROOT": str(project.root()), "TMPDIR": self._scratch.name,
        }  # fmt: skip
        here = str(Path(__file__).resolve().parent.parent.parent)
        paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
        process = supervise.spawn(
            [sys.executable, "-m", "harness.vmentry.worker"],
            project.root(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,
            environment={**environment, "PYTHONPATH": os.pathsep.join(paths)},
        )
        worker = _Worker(process, ("", 0))
        self._workers.append(worker)
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)
        return worker

    def _give(self, worker: _Worker, to_do: deque[Work]) -> None:
        worker.work = to_do.popleft()
        cpu, number = worker.work
        request = {"plan": self._plan.as_json(), "cpu": cpu, "chunk": number}
        assert worker.process.stdin is not None
        with contextlib.suppress(OSError):  # one that is gone already shows at its output
            worker.process.stdin.write(json.dumps(request).encode() + b"\n")

    def _drop(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        self._selector.unregister(worker.process.stdout)  # type: ignore[arg-type]
        _close(worker)


def _close(worker: _Worker) -> None:
    for stream in (worker.process.stdin, worker.process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    supervise.end(worker.process)


class Dask:
    """Workers of a Dask cluster: at ``address``, or without one a local cluster of ``jobs``.

    A cluster's workers need this package and the same image in their checkout; what is not the same
    is noticed there. Dask itself repeats the chunk of a worker that is lost.
    """

    def __init__(self, plan: Plan, jobs: int, address: str | None) -> None:
        try:
            import distributed
        except ImportError:
            raise bad_usage(
                "Dask is not installed: `pip install 'vanderpool[dask]'` would bring it."
            ) from None
        self._distributed = distributed
        self._plan = plan
        self._exit = contextlib.ExitStack()
        try:
            self._client = self._connect(jobs, address)
        except BaseException:
            self._exit.close()
            raise

    def _connect(self, jobs: int, address: str | None) -> Any:
        distributed = self._distributed
        if address is None:
            scratch = self._exit.enter_context(tempfile.TemporaryDirectory(prefix="hv-fuzz-"))
            cluster = distributed.LocalCluster(
                n_workers=jobs, threads_per_worker=1, host="127.0.0.1", dashboard_address=None,
                silence_logs=50, local_directory=scratch,
                env={"TMPDIR": scratch},
            )  # fmt: skip
            return self._exit.enter_context(
                distributed.Client(self._exit.enter_context(cluster), set_as_default=False)
            )
        if not re.fullmatch(r"((tcp|tls|ws|wss)://)?(\[[\da-f:]+\]|[^:/\s]+):\d+", address):
            raise bad_usage(f"{address!r} is no scheduler's address, like tcp://10.0.0.1:8786.")
        try:
            client = distributed.Client(address, timeout=CONNECT_WITHIN, set_as_default=False)
        except (OSError, ValueError, TimeoutError):
            raise bad_usage(
                f"no Dask scheduler answers at {address} within {CONNECT_WITHIN:g} s."
            ) from None
        return self._exit.enter_context(client)

    def __enter__(self) -> Dask:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exit.close()

    @property
    def address(self) -> str:
        """The scheduler's."""
        return str(self._client.scheduler.address)

    @property
    def processes(self) -> list[int]:
        """The process ids of the cluster's workers, on whatever machine they are."""
        return list(self._client.run(os.getpid).values())

    def results(self, work: Sequence[Work]) -> Iterator[Result]:
        """The result of each chunk, as they come. RunEnded if one can't be done."""
        from harness.vmentry.worker import answer

        requests = [
            {"plan": self._plan.as_json(), "cpu": cpu, "chunk": number} for cpu, number in work
        ]
        futures = self._client.map(answer, requests, retries=MOST_LOSSES, pure=False)
        try:
            as_completed: Any = self._distributed.as_completed  # it has no types
            for future in as_completed(futures, loop=self._client.loop):
                yield checked(future.result())
        except self._distributed.KilledWorker as error:
            raise RunEnded(Verdict.ENGINE_DIED, f"Dask lost its workers: {error}.") from None
        finally:
            with contextlib.suppress(Exception):  # the cluster may be gone
                self._client.cancel(futures)
