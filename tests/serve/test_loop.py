import queue
import threading
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from pipeline.clock import ManualClock
from pipeline.config import Settings
from pipeline.delivery.outbox import Outcome
from pipeline.errors import StoreError
from pipeline.metrics import Metrics
from pipeline.rules.load import load_rules
from pipeline.serve.loop import RETRY_AFTER_S, _Loop, _run_commands
from pipeline.serve.state import ServeState
from pipeline.serve.step import Stepper
from pipeline.serve.view import Command, ImportAccounts
from pipeline.store import Store
from pipeline.store.accounts import AccountsError

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
TOLD = Outcome("msg_1", "endpoint", "delivered", 1, NOW, 200)


class QuietConsumer:
    """A broker that has nothing new."""

    def poll(self, **_: object) -> dict[object, list[object]]:
        return {}

    def assignment(self) -> set[object]:
        return set()


class Finished:
    """Delivery whose message was just accepted by its receiver."""

    def __init__(self) -> None:
        self.outcomes = [TOLD]

    def collect(self) -> list[Outcome]:
        outcomes, self.outcomes = self.outcomes, []
        return outcomes

    def send(self, due: object) -> None:
        """Nothing is due."""


class Unchanged:
    """A file of receivers that stays as it is."""

    problem = None

    def changed(self) -> None:
        """Nothing new."""


class FullOnce(Stepper):
    """A store whose disk is full the first time; keeps what the later transactions were given."""

    marked: list[Outcome]
    full = True

    def step(self, intake: Any, outcomes: Any = (), epoch: str = "") -> Any:
        if self.full:
            self.full = False
            raise StoreError("the disk is full", next_step="make room")
        self.marked = [*getattr(self, "marked", []), *outcomes]
        return super().step(intake, outcomes, epoch)


def test_what_was_delivered_while_the_disk_was_full_is_marked_once_there_is_room() -> None:
    settings, clock, metrics = Settings(), ManualClock(NOW), Metrics()
    with Store.open(None, settings.store, clock=clock) as store:
        stepper = FullOnce(store, load_rules(settings.rules), settings, clock, metrics, 1)
        state = ServeState(store, settings, clock)
        loop = _Loop(
            settings=settings,
            clock=clock,
            metrics=metrics,
            store=store,
            stepper=stepper,
            consumer=cast("Any", QuietConsumer()),
            delivery=cast("Any", Finished()),
            endpoints=cast("Any", Unchanged()),
            state=state,
            epoch="e",
            stop=threading.Event(),
        )
        loop.turn()
        assert "the disk is full" in state.health().reasons[0]
        clock.advance(RETRY_AFTER_S)
        loop.turn()
        clock.advance(5)
        loop.turn()
        assert stepper.marked == [TOLD]
        assert state.health().reasons == ["no worker has spoken yet for partitions 0"]


def test_an_import_with_facts_that_cannot_be_used_says_so_and_stores_nothing() -> None:
    settings, clock = Settings(), ManualClock(NOW)
    with Store.open(None, settings.store, clock=clock) as store:
        stepper = Stepper(store, load_rules(settings.rules), settings, clock, Metrics(), 1)
        commands: queue.SimpleQueue[tuple[Command, Future[Any]]] = queue.SimpleQueue()
        bad: Future[Any] = Future()
        good: Future[Any] = Future()
        commands.put((ImportAccounts([{"account_id": "a"}, {"plan": "whose?"}]), bad))
        commands.put((ImportAccounts([{"account_id": "b"}]), good))
        _run_commands(commands, store, stepper, "e")
        with pytest.raises(AccountsError):
            bad.result(0)
        assert good.result(0) == {"accounts": 1}
        assert store.connection.execute("select account_id from accounts").fetchall() == [("b",)]
