"""What there is to tell: campaigns, named accounts outside any, and matches of rules that alert by themselves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from pipeline.rules.load import RuleSet
from pipeline.rules.model import SEVERITIES, Severity
from pipeline.rules.run import Tx

SHOWN_ACCOUNTS: Final = 20
KEEP_FIRING: Final = timedelta(hours=1)  # of event time without new evidence, unless a rule says otherwise
CRITICAL_ACCOUNTS: Final = 100
# Campaigns that are told of, by account: what an alert of a rule may be within.
TOLD_OF: Final = """(
    select campaign_member.account_id, min(campaign_member.campaign_id) as campaign_id
    from campaign_member
    inner join campaign on campaign_member.campaign_id = campaign.campaign_id
    where campaign.merged_into is null and campaign.named_accounts > 0
    group by campaign_member.account_id
)"""
_Wanted = dict[str, list[str]] | None  # group keys by rule


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing an alert can be about, as it stands now."""

    rule_id: str  # "campaign", "account", the rule's own id, or pipeline.ID
    group_key: str
    campaign_id: str | None
    severity: Severity
    title: str
    summary: str
    accounts: int
    shown: Sequence[str]  # at most SHOWN_ACCOUNTS of them
    score: float
    reasons: Sequence[str]
    evidence_sql: str
    first_seen: datetime
    last_seen: datetime
    dimension: str = "account"
    tags: frozenset[str] = frozenset()  # of the rule
    within: str | None = None  # a campaign that is told of, to which all of its accounts belong
    pending_for: timedelta = timedelta()  # event time that it must last before it is told
    keep_firing_for: timedelta = KEEP_FIRING  # event time without new evidence after which it is over

    @property
    def key(self) -> str:
        """What tells subjects apart: at most one open alert each."""
        return f"{self.rule_id}|{self.group_key}"

    def with_accounts(self, accounts: int) -> Subject:
        """The same, with another count."""
        return replace(self, accounts=accounts)


def worse(one: Severity, other: Severity) -> bool:
    """``one`` is more severe than ``other``."""
    return SEVERITIES.index(one) > SEVERITIES.index(other)


def pasteable(template: str, *values: str) -> str:
    """A query for a person to paste, with literals: it is shown, never run by us."""
    return template.format(*("'" + value.replace("'", "''") + "'" for value in values))


def _sentences(first: str, reasons: Sequence[str]) -> str:
    """Who and how sure, then the strongest reason; a rule of one's own may end it without a full stop."""
    return " ".join([first, *(reason if reason.endswith((".", "!", "?")) else f"{reason}." for reason in reasons[:1])])


def current_subjects(tx: Tx, rules: RuleSet | None, keys: Collection[str] | None = None) -> Mapping[str, Subject]:
    """Subjects by key; those that are over are told apart by their ``last_seen``.

    Args:
        tx: the transaction at hand.
        rules: those with ``alert: match`` have subjects of their own.
        keys: which are wanted; None: all that there are.
    """
    wanted: _Wanted = None
    if keys is not None:
        wanted = {}
        for rule_id, _, group_key in (key.partition("|") for key in keys):
            wanted.setdefault(rule_id, []).append(group_key)
    subjects = [*_campaigns(tx, wanted), *_accounts(tx, wanted), *(_matches(tx, rules, wanted) if rules else ())]
    return {subject.key: subject for subject in subjects}


def _among(wanted: _Wanted, rule_id: str, column: str) -> tuple[str, dict[str, object]]:
    """A condition on group keys, and what is bound in it."""
    if wanted is None:
        return "true", {}
    return f"{column} in (select unnest($wanted::varchar[]))", {"wanted": wanted.get(rule_id, [])}


def _campaigns(tx: Tx, wanted: _Wanted) -> list[Subject]:
    among, bound = _among(wanted, "campaign", "campaign.campaign_id")
    rows = tx.execute(
        f"""
        select
            campaign.campaign_id,
            campaign.score,
            campaign.named_accounts,
            campaign.reasons,
            campaign.first_seen,
            campaign.last_seen,
            (
                select list(campaign_member.account_id order by probability desc, account_id)[1:$shown]
                from campaign_member
                inner join finding on campaign_member.account_id = finding.entity_id
                where
                    campaign_member.campaign_id = campaign.campaign_id
                    and finding.dimension = 'account'
                    and finding.named
            ) as shown
        from campaign
        where merged_into is null and named_accounts > 0 and {among}
        order by campaign.campaign_id
        """,  # noqa: S608 - one of two literals
        {"shown": SHOWN_ACCOUNTS, **bound},
    ).fetchall()
    return [
        Subject(
            rule_id="campaign",
            group_key=campaign_id,
            campaign_id=campaign_id,
            severity="critical" if named >= CRITICAL_ACCOUNTS else "high",
            title=f"{named} accounts act as one",
            summary=_sentences(f"{named} accounts are named, with a mean score of {score:.2f}.", reasons),
            accounts=named,
            shown=shown or [],
            score=score,
            reasons=reasons,
            evidence_sql=pasteable("select * from suspicious_accounts where campaign_id = {}", campaign_id),
            first_seen=first_seen,
            last_seen=last_seen,
            dimension="campaign",
        )
        for campaign_id, score, named, reasons, first_seen, last_seen, shown in rows
    ]


def _accounts(tx: Tx, wanted: _Wanted) -> list[Subject]:
    among, bound = _among(wanted, "account", "'account:' || account_id")
    rows = tx.execute(
        "select account_id, score, reasons, first_seen, last_seen from suspicious_accounts "  # noqa: S608 - as above
        f"where campaign_id is null and {among} order by account_id",
        bound,
    ).fetchall()
    return [
        Subject(
            rule_id="account",
            group_key=f"account:{account_id}",
            campaign_id=None,
            severity="medium",
            title="One account is suspicious by itself",
            summary=_sentences(f"Account {account_id} has a score of {score:.2f}.", reasons),
            accounts=1,
            shown=[account_id],
            score=score,
            reasons=reasons,
            evidence_sql=pasteable("select * from signals where account_id = {}", account_id),
            first_seen=first_seen,
            last_seen=last_seen,
        )
        for account_id, score, reasons, first_seen, last_seen in rows
    ]


def _matches(tx: Tx, rules: RuleSet, wanted: _Wanted) -> list[Subject]:
    found = []
    for rule in rules:
        if rule.meta.alert != "match" or (wanted is not None and rule.rule_id not in wanted):
            continue
        among, bound = _among(wanted, rule.rule_id, "group_key")
        rows = tx.execute(
            f"""
            select
                group_key,
                max(strength),
                count(distinct signals.account_id),
                list(distinct signals.account_id order by signals.account_id)[1:$shown],
                arg_max(coalesce(group_reason, reason), (strength, signals.account_id)),
                min(first_seen),
                max(last_seen),
                if(bool_and(told.campaign_id is not null), min(told.campaign_id), null)
            from signals
            left join {TOLD_OF} as told on signals.account_id = told.account_id
            where rule_id = $rule and strength >= $at and {among}
            group by group_key
            order by group_key
            """,  # noqa: S608 - as above
            {"rule": rule.rule_id, "at": rule.meta.alert_at, "shown": SHOWN_ACCOUNTS, **bound},
        ).fetchall()
        for group_key, strength, accounts, shown, reason, first_seen, last_seen, within in rows:
            found.append(
                Subject(
                    rule_id=rule.rule_id,
                    group_key=group_key,
                    campaign_id=None,
                    severity=rule.meta.severity,
                    title=rule.meta.title,
                    summary=reason,
                    accounts=accounts,
                    shown=shown,
                    score=strength,
                    reasons=[reason],
                    evidence_sql=pasteable(
                        "select * from signals where rule_id = {} and group_key = {}", rule.rule_id, group_key
                    ),
                    first_seen=first_seen,
                    last_seen=last_seen,
                    dimension=rule.meta.dimension,
                    tags=frozenset(rule.meta.tags),
                    within=within,
                    pending_for=rule.meta.pending_for,
                    keep_firing_for=rule.meta.keep_firing_for,
                )
            )
    return found


def accounts_of(tx: Tx, subject: Subject) -> list[str]:
    """All accounts that a subject is about now, not only those that are shown; none where it is over."""
    if subject.rule_id == "account":
        return [subject.group_key.removeprefix("account:")]
    if subject.rule_id == "campaign":
        sql = (
            "select distinct campaign_member.account_id from campaign_member inner join finding "
            "on campaign_member.account_id = finding.entity_id where campaign_member.campaign_id = $key "
            "and finding.dimension = 'account' and finding.named order by campaign_member.account_id"
        )
        rows = tx.execute(sql, {"key": subject.group_key}).fetchall()
    else:
        sql = "select distinct account_id from signals where rule_id = $rule and group_key = $key order by account_id"
        rows = tx.execute(sql, {"rule": subject.rule_id, "key": subject.group_key}).fetchall()
    return [row[0] for row in rows]
