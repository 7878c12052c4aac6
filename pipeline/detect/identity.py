"""Which identity each group goes on under, when campaigns grow, become one, part, or come back.

What is found is a function of what is stored; under which name it goes on depends on what was found before. A campaign
goes on in the group that has most of its accounts, then most of its keys. Where several go on in one group, the oldest
identity stays and the others are merged into it. A part that is not the heir gets an identity of its own, by its first
key; where a merged campaign had that key first, it is that campaign again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.detect.graph import MIN_NAMED, Group, rank


@dataclass(frozen=True, slots=True)
class Stored:
    """A campaign as it stands in the store. ``accounts``: 0 where it is no more, or not just now."""

    created_at: datetime
    merged_into: str | None
    first_key: str
    keys: frozenset[str]  # also those that join it no longer
    accounts: frozenset[str] = frozenset()

    @property
    def lives(self) -> bool:
        """It stands in the view of campaigns."""
        return self.merged_into is None and bool(self.accounts)


@dataclass(frozen=True, slots=True)
class Placed:
    """The identity of one group. ``merged``: those that go on in it. ``split_from``: what it was a part of."""

    campaign_id: str
    first_key: str
    merged: tuple[str, ...] = ()
    split_from: str | None = None


def new_campaign_id(key: str) -> str:
    """The identity that a campaign gets from its first key."""
    return "cmp_" + hashlib.sha256(key.encode()).hexdigest()[:12]


def place(groups: Sequence[Group], stored: Mapping[str, Stored]) -> list[Placed]:
    """The identity of each group, in their order."""
    common = _common(groups, stored)
    heirs: dict[int, list[str]] = {}
    for campaign, groups_of_it in common.items():
        heir = min(groups_of_it, key=lambda index: (*(-count for count in groups_of_it[index]), groups[index].keys))
        heirs.setdefault(heir, []).append(campaign)
    placed: dict[int, Placed] = {}
    for index, campaigns in heirs.items():
        first, *others = sorted(campaigns, key=lambda one: (stored[one].created_at, one))
        placed[index] = Placed(first, stored[first].first_key, tuple(others))
    taken = {one.campaign_id for one in placed.values()} | {other for one in placed.values() for other in one.merged}
    for index in sorted(set(range(len(groups))) - placed.keys(), key=lambda one: groups[one].keys):
        campaign, key = _fresh(groups[index], stored, taken)
        taken.add(campaign)
        parents = {one: found[index] for one, found in common.items() if index in found and stored[one].lives}
        parent = min(parents, key=lambda one: (*(-count for count in parents[one]), one), default=None)
        placed[index] = Placed(campaign, key, (), parent)
    return [placed[index] for index in range(len(groups))]


def _common(groups: Sequence[Group], stored: Mapping[str, Stored]) -> dict[str, dict[int, tuple[int, int]]]:
    """Of each campaign, how many accounts and keys it has in common with each group that it may go on in."""
    of_key = {key: campaign for campaign, one in stored.items() for key in one.keys}
    of_account: dict[str, list[str]] = {}
    for campaign, one in stored.items():
        for account in one.accounts:
            of_account.setdefault(account, []).append(campaign)
    common: dict[str, dict[int, tuple[int, int]]] = {}
    for index, group in enumerate(groups):
        keys = Counter(of_key[key] for key in group.keys if key in of_key)
        accounts = Counter(one for account in group.core for one in of_account.get(account, ()))
        for campaign in sorted(keys.keys() | accounts.keys()):
            shared = accounts[campaign]
            # Who changed all that he says and comes through is known by his accounts.
            if keys[campaign] or (shared >= MIN_NAMED and 2 * shared > len(stored[campaign].accounts)):
                common.setdefault(campaign, {})[index] = (shared, keys[campaign])
    return common


def _fresh(group: Group, stored: Mapping[str, Stored], taken: set[str]) -> tuple[str, str]:
    ranked = sorted(group.keys, key=rank)
    for key in ranked:
        campaign = new_campaign_id(key)
        if campaign not in taken and (campaign not in stored or not stored[campaign].lives):
            return campaign, key
    number = 2
    while (campaign := new_campaign_id(f"{ranked[0]}#{number}")) in taken or campaign in stored:
        number += 1
    return campaign, ranked[0]
