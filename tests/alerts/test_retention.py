"""What messages said goes after a while; alerts, their history and that they were told stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from pipeline.clock import ManualClock
from pipeline.config import StoreSettings
from pipeline.store import Store, Transaction
from pipeline.store.retention import expire
from tests.alerts.made import START, Day
from tests.store.made import memory_store

SETTINGS = StoreSettings(retention_hours_d=90)
GROUPED = {"group_by": ["all"], "group_wait_s": 0, "group_interval_s": 0}


@contextmanager
def later(store: Store, day: Day, **time: float) -> Iterator[Transaction]:
    """What comes then, in a transaction of its own."""
    day.advance(**time)
    with store.transaction() as tx:
        day.tx = tx
        yield tx


def gone(tx: Transaction) -> int:
    return expire(tx, SETTINGS).rows


def test_the_words_of_what_is_long_over_go_and_that_it_was_told_stays() -> None:
    clock = ManualClock(START)
    day = Day(None, team={}, away={}, together=GROUPED)
    day.clock = clock
    with memory_store(clock, SETTINGS) as store:
        with later(store, day):
            day.campaign(5, "over")
            day.campaign(5, "lasts")
            day.look()
        with later(store, day, hours=1):
            day.over("over")
            day.look()
            assert len(day.told()) == 3
            assert len(day.delivered("together")) == 2
            assert day.refused("away") == 2  # the first of each alert; given up
            history = day.ask("select * exclude (delivery, delivered_at) from alert_events order by all")
        with later(store, day, days=89) as tx:
            assert gone(tx) == 0
        with later(store, day, days=2) as tx:
            assert gone(tx) > 0
            assert gone(tx) == 0
            words = day.ask(
                "select outbox.endpoint, coalesce(alert.campaign_id, 'group'), outbox.state, bool_or(body <> '') "
                "from outbox left join alert on outbox.alert_id = alert.alert_id group by all order by all"
            )
            assert words == [
                ("away", "lasts", "failed", True),
                ("away", "over", "failed", True),
                ("away", "over", "pending", True),
                ("team", "lasts", "delivered", True),
                ("team", "over", "delivered", False),
                ("together", "group", "delivered", False),
                ("together", "lasts", "grouped", True),
                ("together", "over", "grouped", False),
            ]
            assert day.ask("select * exclude (delivery, delivered_at) from alert_events order by all") == history
            assert day.ask("select count(*) from webhook_deliveries where state = 'delivered'") == [(5,)]


def test_an_alert_that_lasts_is_reminded_of_after_its_words_would_have_gone() -> None:
    clock = ManualClock(START)
    day = Day(None, team={"repeat_every_s": timedelta(days=100).total_seconds()})
    day.clock = clock
    with memory_store(clock, SETTINGS) as store:
        with later(store, day):
            day.campaign(5)
            day.look()
            assert day.told() == ["alert.opened"]
        with later(store, day, days=99) as tx:
            gone(tx)
        with later(store, day, days=1):
            day.turn()
            assert day.told() == ["alert.repeated"]
