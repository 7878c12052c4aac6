"""What became of campaigns between two looks: born, grown, merged, parted, gone, ended, awake again.

A history of looks: what a look saw is recorded once and never rewritten. Whoever looks more often records more of it,
so it is kept apart from what stands (``campaigns``), which does not depend on looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.detect.identity import Placed

Change = Literal["born", "grew", "absorbed", "merged", "split", "split_off", "faded", "returned", "ended", "awoke"]
_GROWN_BY = 1.1  # against the most that was recorded: a history of every account that joins would have no end
_GROWN_AT_LEAST = 3


@dataclass(frozen=True, slots=True)
class Then:
    """A campaign as the last look left it. ``told``: the most members that were recorded of it."""

    lives: bool
    ended: bool
    told: int
    accounts: int
    named_accounts: int


@dataclass(frozen=True, slots=True)
class Stand:
    """A campaign as it stands now."""

    ended: bool
    accounts: int
    named_accounts: int


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one campaign. ``other``: the campaign it was merged with, or parted from."""

    campaign_id: str
    change: Change
    accounts: int
    named_accounts: int
    other: str | None = None


def changes(placed: Sequence[Placed], now: Mapping[str, Stand], then: Mapping[str, Then]) -> list[Event]:
    """What happened since the last look, in an order that depends on nothing else."""
    gone = {one for one, was in then.items() if was.lives} - now.keys()
    merged = {other: one.campaign_id for one in placed for other in one.merged}
    found = [event for one in placed for event in _of(one, now[one.campaign_id], then)]
    for campaign in gone:
        was = then[campaign]
        change: Change = "merged" if campaign in merged else "faded"
        found.append(Event(campaign, change, was.accounts, was.named_accounts, merged.get(campaign)))
    return sorted(found, key=lambda event: (event.campaign_id, event.change, event.other or ""))


def _of(one: Placed, stands: Stand, then: Mapping[str, Then]) -> Iterator[Event]:
    was = then.get(one.campaign_id)

    def told(change: Change, other: str | None = None) -> Event:
        return Event(one.campaign_id, change, stands.accounts, stands.named_accounts, other)

    if was is None or not was.lives:
        yield told("split_off", one.split_from) if one.split_from else told("born" if was is None else "returned")
    elif stands.accounts >= max(was.told + _GROWN_AT_LEAST, _GROWN_BY * was.told):
        yield told("grew")
    if one.split_from:
        parent = then[one.split_from]
        yield Event(one.split_from, "split", parent.accounts, parent.named_accounts, one.campaign_id)
    for other in one.merged:
        if other in then and then[other].lives:
            yield told("absorbed", other)
    if stands.ended and not (was and was.lives and was.ended):
        yield told("ended")
    if was is not None and was.lives and was.ended and not stands.ended:
        yield told("awoke")
