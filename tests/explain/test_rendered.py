"""What a person reads of an explanation is as much as is needed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.explain.test_explain import Analyzed, account, shown


def test_a_thing_that_many_windows_saw_is_said_once(analyzed: Analyzed) -> None:
    found = account(analyzed[0], min(analyzed[1]))
    things = {(one.rule_id, one.group_key): one for one in reversed(found.signals)}
    once = sorted(things.values(), key=lambda one: -one.strength)
    later = [
        replace(one, counts=False, strength=one.strength / 2, window_end=one.window_end + timedelta(hours=hours))
        for one in once
        for hours in (6, 12)
    ]
    text, page = shown(replace(found, signals=(*once, *later)))
    assert text.count("; other windows: 2") == page.text.count("; other windows: 2") == len(things)
    assert text.count("                 under ") == len(things)
