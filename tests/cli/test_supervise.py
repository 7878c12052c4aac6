"""The process tree: restarts with back-off, drains in order, and leaves nothing when its parent is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pipeline.cli.tree import children
from pipeline.clock import ManualClock
from pipeline.supervise import ChildFailedError, ChildSpec, Supervisor, backoff_s

WAIT = """
import pathlib, signal, sys
log, name = sys.argv[1:]
def leave(*_):
    with open(log, "a") as file:
        file.write(name)
    sys.exit()
signal.signal(signal.SIGTERM, leave)
pathlib.Path(log + name).touch()
signal.pause()
"""
# Argument 1: where each child puts a file named by its process id.
CHILD = """
import os, pathlib, sys, threading
from pipeline.supervise import die_with_parent
die_with_parent(int(sys.argv[1]), poll_s=0.05)
(pathlib.Path(sys.argv[2]) / str(os.getpid())).touch()
threading.Event().wait()
"""
PARENT = """
import os, sys, threading
from pipeline.supervise import ChildSpec, Supervisor
argv = (sys.executable, "-c", sys.argv[1], str(os.getpid()), sys.argv[2])
Supervisor([ChildSpec(name, argv) for name in "ab"]).run(threading.Event())
"""


def until(condition: Callable[[], bool], limit_s: float = 15) -> bool:
    """Real processes take their time; there is no clock to move."""
    pause = threading.Event()
    for _ in range(int(limit_s / 0.02)):
        if condition():
            return True
        pause.wait(0.02)
    return condition()


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_draining_goes_in_order(tmp_path: Path) -> None:
    log = tmp_path / "log"
    supervisor = Supervisor([ChildSpec(n, (sys.executable, "-c", WAIT, str(log), n)) for n in ("1", "2", "3")])
    stop = threading.Event()
    thread = threading.Thread(target=supervisor.run, args=(stop,))
    thread.start()
    assert until(lambda: all((tmp_path / f"log{n}").exists() for n in "123"))
    assert sorted(supervisor.pids()) == ["1", "2", "3"]
    stop.set()
    thread.join(20)
    assert log.read_text() == "123"
    assert supervisor.pids() == {}


def test_a_child_that_dies_is_started_again_after_the_back_off(tmp_path: Path) -> None:
    clock = ManualClock()
    supervisor = Supervisor([ChildSpec("one", (sys.executable, "-c", WAIT, str(tmp_path / "l"), "1"))], clock)
    stop = threading.Event()
    thread = threading.Thread(target=supervisor.run, args=(stop,))
    thread.start()
    try:
        assert until(lambda: "one" in supervisor.pids())
        first = supervisor.pids()["one"]
        os.kill(first, signal.SIGKILL)
        assert until(lambda: supervisor._children[0].failures == 1)
        assert supervisor.pids() == {}
        clock.advance(backoff_s(1))
        assert until(lambda: supervisor.pids().get("one", first) != first)
    finally:
        stop.set()
        thread.join(20)


def test_what_a_restart_cannot_mend_ends_the_tree() -> None:
    specs = [ChildSpec("bad", (sys.executable, "-c", "raise SystemExit(78)"))]
    with pytest.raises(ChildFailedError, match="bad ended with 78") as caught:
        Supervisor(specs).run(threading.Event())
    assert caught.value.exit_code == 78


def test_the_back_off_grows_and_is_bounded() -> None:
    waits = [backoff_s(n) for n in range(1, 12)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.5, 30.0)


def test_a_killed_parent_leaves_no_child(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD, str(tmp_path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as parent:
        assert until(lambda: len(list(tmp_path.iterdir())) == 2)
        pids = [int(path.name) for path in tmp_path.iterdir()]
        assert all(alive(pid) for pid in pids)
        parent.kill()
        parent.wait()
    assert until(lambda: not any(alive(pid) for pid in pids))


def test_the_tree_feeds_forward() -> None:
    names = [spec.name for spec in children(None, ingests=2, workers=1)]
    assert names == ["ingest-1", "ingest-2", "worker-1", "serve"]
