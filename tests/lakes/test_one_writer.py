"""One process writes a DuckLake, many read it, and whoever is killed leaves the whole of what was committed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from pipeline.clock import ManualClock
from pipeline.config import Lake, StoreSettings
from pipeline.errors import StoreError, StoreLockedError
from pipeline.store import Store, apply_deltas, fold, next_offsets, set_offset
from pipeline.store.verify import verify_lake
from tests.lakes.made import Lakes, sessions_ended
from tests.store.made import SETTINGS, START, Event, delta, minutes, rows

pytestmark = pytest.mark.xdist_group("lakes")

ROOT = Path(__file__).resolve().parents[2]
STEPS = 16
COUNTED = [Event(f"a{n % 5}", n * 20) for n in range(STEPS)]

HEAD = """
import os, sys, time
from datetime import timedelta
from pathlib import Path
from pipeline.config import place_of
from pipeline.errors import *
from pipeline.store import *
from tests.lakes.test_one_writer import COUNTED, more, writing
from tests.store.made import *
place, data = place_of(sys.argv[1]), Path(sys.argv[2])
"""


def made(lakes: Lakes) -> tuple[Lake, StoreSettings]:
    return lakes.fresh(SETTINGS, ManualClock(START))


def writing(place: Lake, settings: StoreSettings) -> Store:
    return Store.open(place, settings, clock=ManualClock(START))


def reading(place: Lake) -> Store:
    """As a reader does that knows nothing but the catalogue."""
    return Store.open(place, StoreSettings(), clock=ManualClock(START), read_only=True)


def more(store: Store) -> bool:
    """The next event and its offset in one transaction; false: all are there."""
    n = next_offsets(store.connection, "t").get(0, 0)
    if n == STEPS:
        return False
    with store.transaction() as tx:
        apply_deltas(tx, [delta(n, n + 1, [COUNTED[n]], committed=n)])
        set_offset(tx, "t", 0, n + 1, "epoch")
    return True


def begun(
    code: str, place: Lake, settings: StoreSettings, environ: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    """Code in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HEAD) + textwrap.dedent(code), str(place), str(settings.data_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_second_writer_is_told_who_writes_and_a_killed_one_locks_nothing(lakes: Lakes) -> None:
    place, settings = made(lakes)
    code = """
    with writing(place, StoreSettings(data_path=data)):
        print("open", flush=True)
        time.sleep(60)
    """
    writer = begun(code, place, settings)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "open\n"
    with pytest.raises(StoreLockedError, match=rf"process {writer.pid}\b"):
        writing(place, settings)
    with reading(place) as store:
        assert minutes(store) == {}
    writer.kill()
    writer.communicate()
    with writing(place, settings) as store:
        with pytest.raises(StoreLockedError, match=rf"process {os.getpid()}\b"):
            writing(place, settings)
        assert more(store)


def test_killed_anywhere_nothing_is_lost_and_nothing_doubled(lakes: Lakes) -> None:
    place, settings = made(lakes)
    code = """
    with writing(place, StoreSettings(data_path=data)) as store:
        print("open", flush=True)
        while more(store):
            if next_offsets(store.connection, "t")[0] % 9 == 0:
                with store.transaction() as tx:
                    fold(tx, watermark=START + timedelta(days=1))
    """
    dice = random.Random(7)
    killed = 0
    for _ in range(2):
        writer = begun(code, place, settings)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n", writer.communicate()
        time.sleep(dice.uniform(0.1, 1.2))
        writer.kill()
        writer.communicate()
        killed += writer.returncode == -signal.SIGKILL
        with reading(place) as store:
            done = next_offsets(store.connection, "t").get(0, 0)
            assert sum(events for events, _ in minutes(store).values()) == done
    assert killed > 0
    with writing(place, settings) as store:
        while more(store):
            pass
        assert minutes(store) == {(event.account, int(event.at_s // 60)): (1, 10) for event in COUNTED}
    assert verify_lake(place, StoreSettings()).events == STEPS


@pytest.mark.parametrize("point", ["serve.evaluated", "serve.folding"])
def test_killed_between_the_steps_of_a_transaction(lakes: Lakes, point: str) -> None:
    if (lakes.kind, point) == ("sqlite", "serve.folding"):
        pytest.skip("takes time; killed anywhere, it was folding too")
    place, settings = made(lakes)
    code = """
    from pipeline.config import Settings
    from pipeline.metrics import Metrics
    from pipeline.rules.load import load_rules
    from pipeline.serve.intake import Intake
    from pipeline.serve.step import Stepper
    clock = ManualClock(START)
    with writing(place, StoreSettings(data_path=data)) as store:
        chosen = Settings()
        stepper = Stepper(store, load_rules(chosen.rules), chosen, clock, Metrics(), 1)
        stepper.step(Intake([delta(0, 2, COUNTED[:2], committed=2)], offsets={("t", 0): 2}), (), "epoch")
        with store.transaction() as tx:
            fold(tx, watermark=START + timedelta(days=1))
    """
    writer = begun(code, place, settings, {"STILLWATCH_FAULT": point})
    _, said = writer.communicate(timeout=60)
    assert writer.returncode == -signal.SIGKILL, said
    kept = 2 if point == "serve.folding" else 0
    with writing(place, settings) as store:
        assert next_offsets(store.connection, "t").get(0, 0) == kept
        assert sum(events for events, _ in minutes(store).values()) == kept
        assert rows(store, "select count(*) from pane") == [(0,)]


def test_two_processes_read_whole_states_while_one_writes(lakes: Lakes) -> None:
    place, settings = made(lakes)
    code = """
    seen = set()
    with Store.open(place, StoreSettings(), clock=ManualClock(START), read_only=True) as store:
        print("open", flush=True)
        until = time.monotonic() + 30
        while (not seen or max(seen) < len(COUNTED)) and time.monotonic() < until:
            cursor = store.reader()
            cursor.execute("begin transaction read only")
            [events] = cursor.execute(
                "select coalesce(sum(events), 0)::int from fingerprints_1m where kind = 'account'"
            ).fetchone()
            assert next_offsets(cursor, "t").get(0, 0) == events
            cursor.close()
            seen.add(events)
            time.sleep(0.1)
    print(max(seen), len(seen) > 2)
    """
    readers = [begun(code, place, settings) for _ in range(2)]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n", reader.communicate()
    with writing(place, settings) as store:
        while more(store):
            if next_offsets(store.connection, "t")[0] == STEPS // 2:
                with store.transaction() as tx:
                    fold(tx, watermark=START + timedelta(days=1))
                while store.checkpoint():
                    pass
    for reader in readers:
        told, said = reader.communicate(timeout=60)
        assert told == f"{STEPS} True\n", said


def test_a_writer_that_another_has_replaced_writes_nothing_more(lakes: Lakes) -> None:
    """The lock is lost while the process lives: a Postgres that was started again; of a file, taken away by hand."""
    place, settings = made(lakes)
    first = writing(place, settings)
    assert more(first)
    first._database.close()  # what losing the lock is
    with first.transaction() as tx:
        set_offset(tx, "t", 1, 5, "epoch")
        second = writing(place, settings)
        with second.transaction() as other:
            set_offset(other, "t", 2, 5, "epoch")
        with pytest.raises(duckdb.Error, match=r"retry count|locked"):
            first.connection.execute("commit")
        first.connection.execute("begin transaction")
    with pytest.raises(StoreLockedError, match="taken over"), first.transaction():
        pass
    first.close()
    assert more(second)
    assert next_offsets(second.connection, "t") == {0: 2, 2: 5}
    second.close()


def test_postgres_that_is_started_again_costs_nothing_that_was_committed(lakes: Lakes) -> None:
    if lakes.kind != "postgres":
        pytest.skip("SQLite is no server")
    place, settings = made(lakes)
    server = lakes.running()
    with writing(place, settings) as store:
        assert more(store)
        with sessions_ended(server):
            pass
        left, failed = True, 0
        while left:  # as serve does: what failed is tried again
            try:
                left = more(store)
            except StoreError:
                failed += 1
        assert failed <= 4  # a connection of the pool each
        server.stop()
        with pytest.raises(StoreError, match="its Postgres cannot be used"), store.transaction():
            pass
        server.start()
        assert next_offsets(store.connection, "t") == {0: STEPS}
