"""From an id to its explanation: finds what is meant, reads, checks, and says what more data would change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from pipeline.config import Settings
from pipeline.detect.reference import Reference, load_reference
from pipeline.errors import ConfigError, InputNotFoundError, UsageError
from pipeline.events.pseudonym import pseudonymise_accounts, read_key
from pipeline.explain.arithmetic import noisy_or
from pipeline.explain.checks import YOUNG_DAYS, account_checks, crowd_checks
from pipeline.explain.comparison import compare
from pipeline.explain.model import (
    AccountReport,
    Arithmetic,
    CampaignReport,
    Crowd,
    Known,
    Report,
    RuleUse,
    Signal,
    StoreState,
    Thing,
)
from pipeline.explain.read import Reader, Span
from pipeline.explain.worth import Comparison
from pipeline.rules.load import RuleSet
from pipeline.rules.model import Rule
from pipeline.serve.ask import Asker

PSEUDONYM: Final = "acct~"


class UnknownSubjectError(InputNotFoundError):
    """No account and no campaign has this id."""

    def __init__(self, subject: str, nearest: Sequence[str]) -> None:
        super().__init__(
            f"no account and no campaign {subject!r} in the store",
            next_step=f"the nearest: {', '.join(repr(item) for item in nearest)}"
            if nearest
            else "`stillwatch sql 'from suspicious_accounts'` names some",
        )


def explain(source: Asker, subject: str, *, rules: RuleSet, settings: Settings) -> Report:
    """The explanation of an account or a campaign.

    Args:
        source: the store, through its serving process or as a file.
        subject: an id; ``account:ID`` and ``campaign:ID`` tell apart where both have it. An account may be named by
            its own id where the key of its pseudonym is configured here.
        rules: those installed here; a signal of another rule is shown without its description.
        settings: for ``rules.reference``, the pseudonyms and the time limit of a query.

    Raises:
        UnknownSubjectError: there is none; the nearest are named.
        UsageError: it is an account and a campaign.
        ConfigError: the reference cannot be read.
        QueryError: the store does not answer in time.
    """
    reader = Reader(source, settings.store.query_timeout_s)
    builder = _Builder(reader, rules, settings, load_reference(settings.rules.reference))
    found = [item for item in (builder.account(subject), builder.campaign(subject)) if item is not None]
    if len(found) > 1:
        raise UsageError(
            f"{subject!r} is an account and a campaign", next_step="write account:ID or campaign:ID for ID"
        )
    if found:
        return found[0]
    kind, _, rest = subject.partition(":")
    report = builder.account(rest) if kind == "account" else builder.campaign(rest) if kind == "campaign" else None
    report = report or builder.account(_pseudonym(subject, settings))
    if report is None:
        raise UnknownSubjectError(subject, reader.nearest(subject))
    return report


@dataclass(frozen=True, slots=True)
class _Builder:
    reader: Reader
    rules: RuleSet
    settings: Settings
    reference: Reference

    def account(self, account_id: str) -> AccountReport | None:
        """None: there is no such account."""
        known = self.reader.account(account_id)
        if known is None:
            return None
        store = self.reader.store()
        signals = self.reader.signals(account_id, store.watermark)
        span = _account_span(known, signals)
        keys = _shared({signal.group_key for signal in signals})
        crowds = self.reader.crowds(keys, span, young_days=YOUNG_DAYS) if span else []
        companions, total = self.reader.companions(account_id)
        things = self.reader.things(account_id, span) if span else []
        arithmetic = noisy_or(signals, stored=known.score)
        comparison = compare(known, signals, self.reader.naming(), self.reference)
        return AccountReport(
            account=known,
            verdict=_account_verdict(known, comparison),
            signals=signals,
            arithmetic=arithmetic,
            comparison=comparison,
            rate=self.reader.rate(account_id, span) if span else None,
            things=things,
            known_sets=self.reader.known_sets(account_id, span) if span else [],
            crowds=crowds,
            checks=[
                *(check for crowd in crowds for check in crowd_checks(crowd)),
                *account_checks(known, signals, crowds),
            ],
            companions=companions,
            companions_total=total,
            timeline=self.reader.timeline(span, account=account_id) if span else None,
            more_data=[*_more_about(known, signals, things, arithmetic), *_more_in(store)],
            rules=self._uses(signal.rule_id for signal in signals),
            store=store,
            pseudonym=account_id.startswith(PSEUDONYM),
        )

    def campaign(self, campaign_id: str) -> CampaignReport | None:
        """None: there is no such campaign; one that was merged gives the one that it goes on in."""
        row, asked_for = self.reader.campaign(campaign_id), None
        if row is None:
            heir = self.reader.merged_into(campaign_id)
            row, asked_for = (self.reader.campaign(heir), campaign_id) if heir else (None, None)
        if row is None:
            return None
        found = str(row["campaign_id"])
        store = self.reader.store()
        span = Span.around(row["first_seen"], row["last_seen"])
        keys = self.reader.campaign_keys(found)
        signals = self.reader.campaign_signals(found)
        members, cut = self.reader.members(found)
        crowds = self.reader.crowds(keys, span, young_days=YOUNG_DAYS)
        return CampaignReport(
            campaign_id=found,
            asked_for=asked_for,
            verdict=_campaign_verdict(row),
            **{
                name: row[name]
                for name in (
                    *("score", "accounts", "named_accounts", "first_key", "prior_odds"),
                    *("first_seen", "last_seen", "created_at", "updated_at", "last_request", "ended_at"),
                )
            },
            events=self.reader.campaign_events(found),
            successions=self.reader.successions(found),
            keys=keys,
            things=self.reader.campaign_things(found),
            signals=signals,
            crowds=crowds,
            checks=[check for crowd in crowds for check in crowd_checks(crowd)],
            members=members,
            members_cut=cut,
            timeline=self.reader.timeline(span, campaign=found),
            more_data=[*_more_about_crowds(crowds, [item.evidence for item in signals]), *_more_in(store)],
            rules=self._uses(signal.rule_id for signal in signals),
            store=store,
            pseudonym=any(member.account_id.startswith(PSEUDONYM) for member in members),
        )

    def _uses(self, ids: Iterable[str]) -> list[RuleUse]:
        return [_use(rule_id, self.rules.rules.get(rule_id)) for rule_id in sorted(set(ids))]


def _use(rule_id: str, rule: Rule | None) -> RuleUse:
    if rule is None:
        return RuleUse(rule_id, None, rule_id, "This rule is not installed where this was written.", (), (), ())
    meta = rule.meta
    description = " ".join(meta.description.split())
    return RuleUse(rule_id, rule.version, meta.title, description, meta.false_positives, meta.runbook, meta.references)


def _pseudonym(subject: str, settings: Settings) -> str:
    if "account_id" not in settings.privacy.pseudonymise:
        return subject
    try:
        key = read_key(settings.privacy)
    except ConfigError:
        return subject  # whoever has no key asks by pseudonym
    return str(pseudonymise_accounts(pl.DataFrame({"account_id": [subject]}), key)["account_id"][0])


def _account_span(known: Known, signals: Sequence[Signal]) -> Span | None:
    """What the signals speak of, else the last day that the account was seen; None: it never was."""
    recent = [signal for signal in signals if signal.recent]
    if recent:
        return Span.around(min(item.first_seen for item in recent), max(item.last_seen for item in recent))
    if known.first_seen is None or known.last_seen is None:
        return None
    day = known.last_seen.replace(hour=0, minute=0, second=0, microsecond=0)
    return Span.around(max(known.first_seen, day), known.last_seen)


def _shared(keys: set[str]) -> list[str]:
    return sorted(key for key in keys if not key.startswith("account:"))


def _account_verdict(known: Known, comparison: Comparison | None) -> str:
    if known.score is None:
        return "No rule has a signal against this account: nothing was found."
    worth = f"its score {known.score:.3f}"
    if comparison is not None and comparison.e_value is not None:
        worth += f" has an e-value of {comparison.e_value:,.1f}"
    if known.cleared_reason is not None:
        return f"Not named: a person cleared it ({known.cleared_reason}). Otherwise {worth}."
    return f"{'Named' if known.named else 'Not named'}: {worth}; {_what_it_takes(comparison)}."


def _campaign_verdict(row: Mapping[str, Any]) -> str:
    verdict = f"{row['accounts']} accounts are taken to act as one; {row['named_accounts']} of them are named."
    if row["ended_at"] is None:
        return verdict
    return f"{verdict} It has ended: its accounts sent nothing after {row['last_request']:%Y-%m-%d %H:%M} UTC."


def _what_it_takes(comparison: Comparison | None) -> str:
    if comparison is None:
        return "what that is worth was not measured yet"
    if comparison.e_value is None:
        return "no benign accounts of its kind were measured to hold that against"
    if comparison.needed is None:
        return "nobody is named"
    return f"accounts{' that send as much' if comparison.heavy else ''} are named from {comparison.needed:,.1f} on"


def _more_about(
    known: Known, signals: Sequence[Signal], things: Sequence[Thing], arithmetic: Arithmetic
) -> Iterator[str]:
    if known.created_at is None:
        yield "When the account was created is not known: its age can speak neither for nor against it."
    if known.payment_hash is None or known.email_domain is None:
        yield "Payment or mail domain is not known: whether it registered or pays together with others cannot be seen."
    if not any(thing.kind in {"template", "system_prompt"} for thing in things):
        yield "No text (and no hash of it) was seen: prompts shared with other accounts cannot be found."
    if not any(thing.kind == "network" for thing in things):
        yield "No network was seen: whether it sends from where others send cannot be told."
    kinds = sorted({signal.evidence for signal in signals if signal.counts})
    if len(kinds) == 1:
        yield f"All evidence is of one kind ({kinds[0]}); a second kind would make the finding surer."
    if 0 < known.events < 10:
        yield f"It sent {known.events} requests in all: what they say of this account alone is little."
    if any(signal.open_window for signal in signals):
        yield "Some windows are still open: their signals may grow or vanish as event time goes on."
    if known.score is not None and not arithmetic.agrees:
        yield (
            f"The stored score is {known.score:.6f}, and the stored signals give {arithmetic.computed:.6f}: another "
            "version scored it, or it is about to be scored anew."
        )


def _more_about_crowds(crowds: Sequence[Crowd], kinds: Sequence[str]) -> Iterator[str]:
    for crowd in crowds:
        if crowd.known_age < crowd.accounts:
            yield (
                f"The age is known of {crowd.known_age} of the {crowd.accounts} accounts that share {crowd.group_key}."
            )
        if crowd.trait("payment").known == 0:
            yield f"No payment is known of the accounts that share {crowd.group_key}."
    if len(set(kinds)) == 1:
        yield f"All evidence is of one kind ({kinds[0]}); a second kind would make the finding surer."


def _more_in(store: StoreState) -> Iterator[str]:
    if store.accounts_with_age < store.accounts:
        yield (
            f"Facts are known of {store.accounts_with_age} of {store.accounts} accounts: the others cannot be compared "
            "by age (stillwatch accounts import)."
        )
    if store.holes:
        yield f"{store.holes} stretches of events are missing in the store (see the view pipeline_health)."
    yield (
        "The store keeps counts and hashes, not requests: which requests carry this is told by their time, account "
        "and the things named here, in the gateway's own log."
    )
