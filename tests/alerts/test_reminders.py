"""Reminders of what fires and nobody took on: due by what came, not by what was written."""

from __future__ import annotations

import pytest

from tests.alerts.made import Day


def test_a_reminder_of_what_nobody_took_on() -> None:
    day = Day(None, team={"repeat_every_s": 3600}, other={})
    day.campaign(5)
    day.look()
    assert day.told() == ["alert.opened"]
    for minutes in (50, 11, 30):
        day.advance(minutes=minutes)
        day.campaign(5)
        day.look()
    assert day.told() == ["alert.repeated"]
    day.say("ack")
    assert day.told() == ["alert.acknowledged"]
    day.advance(hours=5)
    day.campaign(5)
    day.look()
    assert day.told() == []
    assert day.told("other") == ["alert.opened", "alert.acknowledged"]


GROUPED = {"group_by": ["all"], "group_wait_s": 0, "group_interval_s": 0}


@pytest.mark.parametrize("grouped", [{}, GROUPED], ids=["alone", "grouped"])
def test_a_reminder_waits_from_when_something_was_delivered(grouped: dict[str, object]) -> None:
    """Not from when it was written: a receiver that was down is not reminded the moment it is back."""
    day = Day(None, team={"repeat_every_s": 3600, **grouped})
    day.campaign(5)
    day.look()
    assert day.refused(status=500) == 1
    day.advance(minutes=90)
    day.turn()
    assert day.ask("select count(*) from outbox where type = 'alert.repeated'") == [(0,)]  # the first is under way
    assert len(day.delivered()) == 1
    day.advance(minutes=59)
    day.turn()
    assert day.delivered() == []
    day.advance(minutes=1)
    day.turn()
    assert len(day.delivered()) == 1


@pytest.mark.parametrize("grouped", [{}, GROUPED], ids=["alone", "grouped"])
def test_what_was_given_up_does_not_put_a_reminder_off(grouped: dict[str, object]) -> None:
    day = Day(None, team={"repeat_every_s": 3600, **grouped})
    day.campaign(5)
    day.look()
    assert len(day.delivered()) == 1
    day.advance(minutes=50)
    day.campaign(6)
    assert day.look() == ["alert.updated"]
    assert day.refused() == 1
    day.advance(minutes=10)
    day.turn()
    assert day.refused() == 1  # the reminder, an hour after what was taken; it is given up too
    for _ in range(59):
        day.advance(minutes=1)
        day.turn()
        assert day.refused() == 0  # and not written again at once
    day.advance(minutes=1)
    day.turn()
    assert len(day.delivered()) == 1


@pytest.mark.parametrize("grouped", [{}, GROUPED], ids=["alone", "grouped"])
def test_nobody_is_reminded_of_what_he_was_never_told(grouped: dict[str, object]) -> None:
    day = Day(None, team={"repeat_every_s": 3600, **grouped})
    day.campaign(5)
    day.look()
    assert day.refused() == 1
    day.advance(hours=5)
    day.turn()
    assert day.delivered() == []
