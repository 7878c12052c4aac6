"""What an explanation says, as values; text, JSON and HTML are made of these and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pipeline.explain.covered import Covered
from pipeline.explain.worth import Comparison

# What an innocent explanation fares: the facts contradict it, fit it, say too little, or are not known.
Verdict = Literal["contradicted", "fits", "undecided", "not checked"]


@dataclass(frozen=True, slots=True)
class StoreState:
    """What the explanation was read from. ``watermark``: event time up to which all is counted."""

    watermark: datetime | None
    accounts: int
    events: int
    accounts_with_age: int
    holes: int


@dataclass(frozen=True, slots=True)
class RuleUse:
    """A rule that saw something. ``version``: of its SQL and parameters as installed here; None: not installed here."""

    rule_id: str
    version: str | None
    title: str
    description: str
    innocent: Sequence[str]
    look_at: Sequence[str]
    references: Sequence[str]


@dataclass(frozen=True, slots=True)
class Signal:
    """One measured oddity. ``counts``: the score takes it; ``open_window``: its window was not over yet."""

    rule_id: str
    evidence: str
    group_key: str
    strength: float
    reason: str
    group_reason: str | None
    window_start: datetime
    window_end: datetime
    first_seen: datetime
    last_seen: datetime
    recent: bool
    counts: bool
    open_window: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the noisy-or: ``left`` is what stays after it, ``left_before`` times (1 - strength)."""

    rule_id: str
    evidence: str
    strength: float
    left_before: float
    left: float


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How the score comes about. ``stored``: what the store has, which ``computed`` should equal."""

    steps: Sequence[Step]
    computed: float
    stored: float | None

    @property
    def agrees(self) -> bool:
        """The stored score is what the stored signals give."""
        return self.stored is not None and abs(self.stored - self.computed) < 1e-9


@dataclass(frozen=True, slots=True)
class Thing:
    """Something an account used: how often, and how many accounts did the same in the span."""

    kind: str
    id: str
    events: int
    of_kind: int
    accounts: int
    all_events: int


@dataclass(frozen=True, slots=True)
class Trait:
    """What holders of a thing have in common: of how many it is known, and how many have the most common value.

    ``everywhere`` counts all accounts with that value. ``pooled`` counts the holders in other groups of three or more
    that share a value which hardly anybody outside has.
    """

    trait: str
    known: int
    largest: int
    everywhere: int
    pooled: int


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who shares a thing, against everybody with requests in the span. Ages count where they are known."""

    group_key: str
    accounts: int
    devoted: int  # of them with at least 80 % of their requests through it
    events: int
    young: int
    known_age: int
    everyone: int
    others_young: int
    others_known_age: int
    traits: Sequence[Trait]

    def trait(self, name: str) -> Trait:
        """What is common among the holders; zeros where nothing is known."""
        return next((item for item in self.traits if item.trait == name), Trait(name, 0, 0, 0, 0))


@dataclass(frozen=True, slots=True)
class Rate:
    """How busy the account was in the span, among all accounts with requests in it."""

    events: int
    accounts: int
    fewer: int  # accounts with fewer requests
    same: int  # with as many, itself too
    median_events: float
    high_events: float  # the 99th of a hundred


@dataclass(frozen=True, slots=True)
class Check:
    """An innocent explanation, the measured facts, and what they say. ``about``: the thing or account looked at."""

    explanation: str
    about: str
    verdict: Verdict
    facts: str


@dataclass(frozen=True, slots=True)
class Bar:
    """Requests in one minute or hour."""

    window_start: datetime
    events: int
    errors: int
    refused: int
    accounts: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """Requests over the span; ``unit`` is minute or hour. Windows without requests have no bar."""

    unit: Literal["minute", "hour"]
    since: datetime
    until: datetime
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Companion:
    """Another account with signals under the same things."""

    account_id: str
    group_keys: Sequence[str]
    score: float | None
    named: bool
    cleared_reason: str | None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about an account, and what was concluded. ``end_users``: how many its kept requests named."""

    account_id: str
    created_at: datetime | None
    plan: str | None
    quota: int | None
    payment_hash: str | None
    email_domain: str | None
    organisation: str | None
    country: str | None
    status: str | None
    first_seen: datetime | None
    last_seen: datetime | None
    events: int
    errors: int
    refused: int
    input_tokens: int
    output_tokens: int
    said_reason: str | None
    cleared_until: datetime | None
    score: float | None
    named: bool | None
    campaign_id: str | None
    cleared_reason: str | None
    evidence_from: datetime | None
    evidence_to: datetime | None
    population: str | None
    e_value: float | None
    heavy: bool | None
    end_users: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReport:
    """All that is said about one account."""

    kind: Literal["account"] = "account"
    account: Known
    verdict: str
    signals: Sequence[Signal]
    arithmetic: Arithmetic
    comparison: Comparison | None
    rate: Rate | None
    things: Sequence[Thing]
    known_sets: Sequence[Covered]
    crowds: Sequence[Crowd]
    checks: Sequence[Check]
    companions: Sequence[Companion]
    companions_total: int
    timeline: Timeline | None
    more_data: Sequence[str]
    rules: Sequence[RuleUse]
    store: StoreState
    pseudonym: bool


@dataclass(frozen=True, slots=True)
class Member:
    """An account of a campaign; ``probability`` None: a person took it out by clearing it."""

    account_id: str
    probability: float | None
    named: bool
    cleared_reason: str | None
    first_seen: datetime
    last_seen: datetime
    joined_at: datetime | None
    shared: Sequence[str]
    group_keys: Sequence[str]


@dataclass(frozen=True, slots=True)
class CampaignSignal:
    """What one rule says about the members under one thing."""

    rule_id: str
    evidence: str
    group_key: str
    accounts: int
    weakest: float
    strongest: float
    reason: str
    window_start: datetime
    window_end: datetime


@dataclass(frozen=True, slots=True)
class SharedThing:
    """What named accounts share, and what it is worth: see ``detect.membership``."""

    thing: str
    kind: str
    joins: bool
    named_accounts: int
    unrelated: float
    everyone: int
    weight: float
    weight_missing: float


@dataclass(frozen=True, slots=True)
class CampaignEvent:
    """What a look saw change: see ``detect.life``. ``event_until``: how far event time had come then."""

    change: str
    event_until: datetime
    recorded_at: datetime
    accounts: int
    named_accounts: int
    other_campaign: str | None


@dataclass(frozen=True, slots=True)
class SucceededBy:
    """Accounts of ``campaign_id`` took over from those of ``succeeds``: see ``detect.succession``."""

    campaign_id: str
    succeeds: str
    stopped_at: datetime
    began_at: datetime
    accounts_before: int
    accounts_after: int
    strength: float
    evidence: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignReport:
    """All that is said about one campaign. ``asked_for``: another id, where that was merged into this one."""

    kind: Literal["campaign"] = "campaign"
    campaign_id: str
    asked_for: str | None
    verdict: str
    score: float
    accounts: int
    named_accounts: int
    first_key: str
    first_seen: datetime
    last_seen: datetime
    created_at: datetime
    updated_at: datetime
    last_request: datetime | None
    ended_at: datetime | None
    events: Sequence[CampaignEvent]
    successions: Sequence[SucceededBy]
    prior_odds: float | None
    keys: Sequence[str]
    things: Sequence[SharedThing]
    signals: Sequence[CampaignSignal]
    crowds: Sequence[Crowd]
    checks: Sequence[Check]
    members: Sequence[Member]
    members_cut: bool
    timeline: Timeline | None
    more_data: Sequence[str]
    rules: Sequence[RuleUse]
    store: StoreState
    pseudonym: bool


Report = AccountReport | CampaignReport
