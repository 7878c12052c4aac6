"""Keeps a set of child processes running: starts, restarts with back-off, drains in order, leaves none behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline import logs
from pipeline.clock import Clock, SystemClock
from pipeline.errors import StillwatchError

STILLWATCH: Final = (sys.executable, "-m", "pipeline.cli")  # the command, by this interpreter
POLL_S: Final = 0.2
FIRST_BACKOFF_S: Final = 0.5
LONGEST_BACKOFF_S: Final = 30.0
HEALTHY_AFTER_S: Final = 60.0  # a child that lived so long starts again with a clean record
# What a restart cannot mend: the settings, the command's words, a store that another process or version has.
HOPELESS: Final = frozenset({64, 73, 78})
EXIT_KILLED: Final = 70  # a child that a signal ended, again and again
ORPHAN_GRACE_S: Final = 10.0
STAGE_ENDS_WITHIN_S: Final = 30.0

_log = logs.get("supervise")


class ChildFailedError(StillwatchError):
    """A child ended in a way that restarting does not mend, or too often. Its exit code becomes ours."""

    def __init__(self, message: str, *, next_step: str, exit_code: int) -> None:
        super().__init__(message, next_step=next_step)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child: its command and how long it may take to end on SIGTERM before it is killed."""

    name: str
    argv: Sequence[str]
    drain_s: float = 30.0


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    failures: int = 0
    restart_at_s: float = 0.0


def backoff_s(failures: int) -> float:
    """How long to wait before the next start after so many failures in a row."""
    return min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** (failures - 1))


@dataclass(slots=True)
class Supervisor:
    """Runs children in the order given until told to stop; call from one thread.

    Children write to our standard error. Each has a session of its own: a Ctrl-C in the terminal comes to us alone,
    and we end them in the order given. They watch for our death (``die_with_parent``).
    """

    specs: Sequence[ChildSpec]
    clock: Clock = field(default_factory=SystemClock)
    max_failures: int = 8
    _children: list[_Child] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        """Start all and keep them running until ``stop`` is set, then drain.

        Raises:
            ChildFailedError: a child is beyond mending; the others are drained first.
        """
        self._children = [_Child(spec) for spec in self.specs]
        try:
            while not stop.is_set():
                for child in self._children:
                    self._tend(child)
                stop.wait(POLL_S)
        finally:
            self.drain()

    def pids(self) -> dict[str, int]:
        """Process ids of what runs, by name."""
        running = {}
        for child in self._children:
            if child.process is not None and child.process.poll() is None:
                running[child.spec.name] = child.process.pid
        return running

    def drain(self) -> None:
        """End all in the order given, each within its time, then by SIGKILL. May be called twice."""
        for child in self._children:
            process, child.process = child.process, None
            if process is None:
                continue
            process.terminate()
            try:
                code = process.wait(child.spec.drain_s)
                _log.info("child_ended", child=child.spec.name, exit_code=code)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                _log.warning("child_killed", child=child.spec.name, drain_s=child.spec.drain_s)

    def _tend(self, child: _Child) -> None:
        now = self.clock.monotonic()
        if child.process is None:
            if now >= child.restart_at_s:
                child.process = subprocess.Popen(child.spec.argv, stdin=subprocess.DEVNULL, start_new_session=True)
                child.started_s = now
                _log.info("child_started", child=child.spec.name, pid=child.process.pid)
            return
        code = child.process.poll()
        if code is None:
            return
        child.process = None
        child.failures = 1 if now - child.started_s >= HEALTHY_AFTER_S else child.failures + 1
        if code in HOPELESS or child.failures >= self.max_failures:
            raise ChildFailedError(
                f"{child.spec.name} ended with {code}, {child.failures} times in a row",
                next_step="its error stands above; `stillwatch doctor` looks for the cause",
                exit_code=code if code > 0 else EXIT_KILLED,
            )
        wait_s = backoff_s(child.failures)
        child.restart_at_s = now + wait_s
        _log.warning("child_died", child=child.spec.name, exit_code=code, restart_in_s=wait_s, failures=child.failures)


@contextmanager
def running_stage(
    name: str, environ: Mapping[str, str], log: Path, *, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """``ingest``, ``worker`` or ``serve`` for as long as the context; what it says goes into ``log``. Not restarted."""
    command = [*STILLWATCH, name, "--parent", str(os.getpid())]
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=dict(environ), stdout=file, stderr=file, cwd=cwd)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STAGE_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def die_with_parent(parent: int, *, poll_s: float = 0.5) -> None:
    """Called by a child: when ``parent`` is gone, drain as on SIGTERM, and be gone after ORPHAN_GRACE_S in any case.

    A thread that watches the parent's id: unlike PR_SET_PDEATHSIG it works on every Unix, and does not fire when
    only the thread that started us ends.
    """

    def watch() -> None:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(poll_s)
        os.kill(os.getpid(), signal.SIGTERM)
        pause.wait(ORPHAN_GRACE_S)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set; main thread only. A second signal ends the process at once."""
    stop = threading.Event()

    def handle(number: int, _frame: object) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return stop
