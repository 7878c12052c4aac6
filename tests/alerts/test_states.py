"""What becomes of an alert, and what is told of it: states, words, silences, mute hours, groups."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.alerts.said import SilenceWord, check_silence
from pipeline.alerts.words import UnknownAlertError
from pipeline.delivery.bodies import MAX_GROUPED, AlertBody, GroupBody
from pipeline.errors import UsageError
from pipeline.rules import RuleSet
from tests.alerts.made import RULE, START, Day, match_rules


def test_opened_updated_resolved_and_back_within_a_day_as_the_same_alert() -> None:
    day = Day()
    day.campaign(5)
    assert day.look() == ["alert.opened"]
    day.advance(minutes=10)
    day.campaign(9)
    assert day.look() == ["alert.updated"]
    day.advance(hours=2)
    assert day.look() == ["alert.resolved"]
    assert day.look() == []
    day.advance(hours=3)
    day.campaign(9)
    assert day.look() == ["alert.reopened"]
    assert day.states() == ["firing"]
    assert day.told() == ["alert.opened", "alert.updated", "alert.resolved", "alert.reopened"]


def test_growth_is_told_in_the_end_though_nothing_comes_any_more() -> None:
    day = Day()
    day.campaign(5)
    day.look()
    day.advance(minutes=2)
    day.campaign(9)
    assert day.look() == []
    assert day.look(evaluated=False) == []
    day.advance(minutes=4)
    assert day.look(evaluated=False) == ["alert.updated"]
    assert day.look(evaluated=False) == []


def test_evidence_of_another_week_is_another_alert() -> None:
    day = Day()
    day.campaign(5)
    day.look()
    day.advance(hours=2)
    day.look()
    day.advance(days=7)
    day.campaign(5)
    assert day.look() == ["alert.opened"]
    assert day.states() == ["resolved", "firing"]


def test_what_must_last_waits_and_is_told_when_it_has_lasted() -> None:
    day = Day(match_rules(pending_for=timedelta(minutes=10)))
    day.matches(["a", "b"])
    assert day.look() == []
    assert day.states() == ["pending"]
    day.advance(minutes=9)
    day.matches(["a", "b"])
    assert day.look() == []
    day.advance(minutes=1)
    day.matches(["a", "b"])
    assert day.look() == ["alert.opened"]
    assert day.told() == ["alert.opened"]


def test_what_does_not_last_is_never_told() -> None:
    day = Day(match_rules(pending_for=timedelta(hours=2)))
    day.matches(["a", "b"])
    day.look()
    day.advance(minutes=90)  # longer than keep_firing_for without evidence
    assert day.look() == []
    assert day.states() == []
    assert day.told() == []


def test_a_rule_says_how_long_an_alert_lasts_without_evidence() -> None:
    day = Day(match_rules(keep_firing_for=timedelta(hours=6)))
    day.matches(["a", "b"])
    day.look()
    day.advance(hours=5)
    assert day.look() == []
    day.advance(hours=2)
    assert day.look() == ["alert.resolved"]


def test_alerts_of_a_rule_that_cannot_be_read_stay_and_those_of_a_disabled_one_end() -> None:
    day = Day(match_rules())
    day.matches(["a", "b"])
    assert day.look() == ["alert.opened"]
    day.advance(hours=5)
    day.rules = RuleSet({}, missing=frozenset({RULE}))
    assert day.look() == []
    day.rules = RuleSet({})
    assert day.look() == ["alert.resolved"]


def test_acknowledged_until_it_comes_back() -> None:
    day = Day()
    day.campaign(5)
    day.look()
    day.say("ack")
    assert day.states() == ["acknowledged"]
    day.say("ack", by="ben")  # it is in hand already
    day.say("unack")
    assert day.states() == ["firing"]
    day.say("ack")
    day.advance(hours=2)
    day.look()
    with pytest.raises(UnknownAlertError, match="does not fire"):
        day.say("ack")
    day.advance(minutes=5)
    day.campaign(5)
    day.look()
    assert day.states() == ["firing"]
    # Told of twice in one turn, a receiver gets the last word.
    assert day.told() == [
        "alert.opened",
        "alert.acknowledged",
        "alert.acknowledged",
        "alert.resolved",
        "alert.reopened",
    ]
    assert [row[0] for row in day.ask("select action from alert_words order by seq")] == ["ack", "unack", "ack"]


def test_words_are_kept_and_the_last_counts() -> None:
    day = Day()
    day.campaign(5)
    day.look()
    day.say("assign", value="ana")
    day.say("assign", value="ben")
    day.say("assign", value="ben")  # an answer was lost, the command repeated
    day.say("note", note="asked the customer")
    assert day.ask("select assignee from alerts") == [("ben",)]
    day.say("assign")
    assert day.ask("select assignee from alerts") == [(None,)]
    assert day.ask("select action, value, note from alert_words order by seq") == [
        ("assign", "ana", None),
        ("assign", "ben", None),
        ("note", None, "asked the customer"),
        ("assign", None, None),
    ]


def test_a_person_ends_it_and_new_evidence_brings_it_back() -> None:
    day = Day()
    day.campaign(5)
    day.look()
    day.say("resolve", note="keys revoked")
    day.say("resolve", note="keys revoked")
    assert day.states() == ["resolved"]
    assert day.look() == []
    day.advance(minutes=5)
    day.campaign(5)
    assert day.look() == ["alert.reopened"]
    assert day.told() == ["alert.opened", "alert.resolved", "alert.reopened"]


def test_verdicts_end_what_is_false_clear_on_request_and_add_up_by_rule() -> None:
    day = Day()
    for name in ("cmp_1", "cmp_2"):
        day.campaign(3, name)
        day.matches([f"{name}_0", f"{name}_1"], f"client:{name}")
    day.look()
    [first, second] = [row[0] for row in day.ask("select alert_id from alerts order by campaign_id")]
    assert day.say("verdict", alert=first, value="true") == []
    assert day.say("verdict", alert=second, value="benign-known", note="a course", clear=True) == [
        "cmp_2_0",
        "cmp_2_1",
        "cmp_2_2",
    ]
    assert day.ask("select state, verdict from alerts order by campaign_id") == [
        ("firing", "true"),
        ("resolved", "benign-known"),
    ]
    assert day.ask("select * from rule_verdicts") == [("shared_client", 2, 1, 0, 1, 0.5)]
    day.say("verdict", alert=second, value="true")
    assert day.ask("select precision from rule_verdicts") == [(1.0,)]


def test_a_silence_holds_back_and_lets_go() -> None:
    day = Day()
    day.silence("rule=camp*", "severity!=critical", hours=4)
    day.campaign(5)
    assert day.look() == ["alert.opened"]
    day.advance(minutes=10)
    day.campaign(7)
    assert day.look() == ["alert.updated"]
    assert day.told() == []
    assert {row[0] for row in day.ask("select held_for from webhook_deliveries")} == {
        f"silence {day.ask('select silence_id from silences')[0][0]}"
    }
    day.advance(hours=4)
    day.campaign(7)
    day.turn()
    [event] = day.delivered()
    assert isinstance(event, AlertBody)
    assert (event.type, event.data.accounts) == ("alert.opened", 7)  # as it is now


def test_what_was_over_before_a_silence_ended_is_not_told() -> None:
    day = Day()
    day.silence("campaign=cmp_1", hours=4)
    day.campaign(5)
    day.look()
    day.advance(hours=2)
    day.look()
    day.advance(hours=3)
    day.look()
    assert day.told() == []
    assert {row[0] for row in day.ask("select state from webhook_deliveries")} == {"skipped"}


def test_what_was_told_to_be_open_is_told_to_be_over_in_a_silence() -> None:
    day = Day()
    day.campaign(5)
    day.look()
    assert day.told() == ["alert.opened"]
    day.silence("key=*", hours=24)
    day.advance(hours=2)
    day.look()
    assert day.told() == ["alert.resolved"]


def test_a_silence_may_be_ended_and_covers_nothing_else() -> None:
    day = Day()
    silence = day.silence("campaign=cmp_1", hours=24)
    day.campaign(5)
    day.campaign(5, "cmp_2")
    day.look()
    assert [event.data.campaign_id for event in day.delivered()] == ["cmp_2"]  # type: ignore[union-attr]
    from pipeline.alerts.words import apply_silence  # noqa: PLC0415

    apply_silence(day.tx, SilenceWord("ben", silence), now=day.now)
    day.turn()
    assert [event.data.campaign_id for event in day.delivered()] == ["cmp_1"]  # type: ignore[union-attr]
    assert day.ask("select ended_by from silences") == [("ben",)]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"matchers": (), "hours": 1}, "needs a matcher"),
        ({"matchers": ("colour=red",), "hours": 1}, "no matcher"),
        ({"matchers": ("rule",), "hours": 1}, "no matcher"),
        ({"matchers": ("rule=a",), "hours": -1}, "ends before it starts"),
        ({"matchers": ("rule=a",), "hours": 24 * 400}, "longer than a year"),
        ({"matchers": ("rule=a",), "hours": 1, "begin": -2}, "over already"),
        ({"matchers": ("rule=a",), "hours": 1, "reason": " "}, "needs a reason"),
        ({"matchers": ("rule=a",), "hours": 1, "reason": "a\nb"}, "cannot be shown"),
    ],
)
def test_silences_that_are_none(said: dict[str, object], message: str) -> None:
    begin = START + timedelta(hours=said.get("begin", 0))  # type: ignore[arg-type]
    word = SilenceWord(
        "ana",
        None,
        said["matchers"],  # type: ignore[arg-type]
        said.get("reason", "because"),  # type: ignore[arg-type]
        begin,
        begin + timedelta(hours=said["hours"]),  # type: ignore[arg-type]
    )
    with pytest.raises(UsageError, match=message):
        check_silence(word, START)


def test_a_campaigns_alert_holds_back_those_of_its_members_only() -> None:
    day = Day(match_rules())
    day.campaign(5)
    day.matches(["cmp_1_0", "cmp_1_1"], "client:within")
    day.matches(["cmp_1_0", "stranger"], "client:beyond")
    day.look()
    assert sorted(event.data.rule for event in day.delivered()) == ["campaign", "shared_client"]  # type: ignore[union-attr]
    [held] = day.ask("select held_for from webhook_deliveries where state = 'held'")
    assert held[0].startswith("campaign's alert alt_")
    day.over()
    day.advance(minutes=1)
    day.look()
    assert sorted(day.told()) == ["alert.opened", "alert.resolved"]


def test_mute_hours_in_the_endpoints_own_time_zone() -> None:
    # Half past noon UTC is half past nine in the evening in Tokyo.
    day = Day(None, team={"mute": ["mon-fri 18:00-08:00"], "timezone": "Asia/Tokyo"}, other={})
    day.campaign(5)
    day.look()
    assert day.told("team") == []
    assert day.told("other") == ["alert.opened"]
    day.advance(hours=10)
    day.turn()
    assert day.told("team") == []
    day.advance(hours=1, minutes=1)
    day.turn()
    assert day.told("team") == ["alert.opened"]


def test_alerts_alike_come_as_one_message_after_a_wait() -> None:
    day = Day(match_rules(), team={"group_by": ["rule"], "group_wait_s": 30, "group_interval_s": 300})
    for number in range(300):
        day.matches([f"a{number}", f"b{number}"], f"client:{number}")
    day.campaign(5)
    day.look()
    assert day.told() == []
    day.advance(seconds=30)
    day.turn()
    groups = [event for event in day.delivered() if isinstance(event, GroupBody)]
    assert sorted((one.data.group, one.data.count, one.data.truncated) for one in groups) == [
        ("rule=campaign", 1, 0),
        ("rule=shared_client", 300, 300 - MAX_GROUPED),
    ]
    day.advance(minutes=1)
    day.matches(["c", "d"], "client:new")
    day.look()
    day.advance(minutes=1)
    day.turn()
    assert day.told() == []  # not so soon after the last of its group
    day.advance(minutes=4)
    day.turn()
    [group] = day.delivered()
    assert isinstance(group, GroupBody)
    assert (group.data.count, group.data.seq) == (1, 1)
    assert {row[0] for row in day.ask("select distinct delivery from alert_events")} == {"delivered"}


def test_the_same_passes_again_change_nothing() -> None:
    day = Day(match_rules(), team={"group_by": ["all"]}, other={"repeat_every_s": 3600})
    day.campaign(5)
    day.matches(["a", "b"])
    day.look()
    before = day.ask("select * from outbox order by all"), day.ask("select * from alert order by all")
    for _ in range(3):
        assert day.look() == []
    assert (day.ask("select * from outbox order by all"), day.ask("select * from alert order by all")) == before
