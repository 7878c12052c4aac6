"""Innocent explanations, each held against what is known: pure functions from counts to a verdict and a sentence.

They bear on the false positives that the rules name. A verdict weighs nothing in the score: it tells a person where
to look. Limits below are for reading, not for judging; nobody is named or spared by them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pipeline.explain.model import Check, Crowd, Known, Signal, Trait, Verdict

YOUNG_DAYS: Final = 30
OLD_DAYS: Final = 90
MIN_KNOWN: Final = 5  # fewer known ages compare nothing
MANY_USERS: Final = 20  # end users of one account who are no longer a team
_HALF: Final = 0.5
_APART: Final = 0.3  # shares of young accounts that differ so much
_POOLED: Final = {"payment": "by payment", "mail": "by mail domain", "network": "by network"}


def crowd_checks(crowd: Crowd) -> Iterator[Check]:
    """What else than one hand could make these accounts share a thing."""
    yield _tool(crowd)
    yield _launch(crowd)
    yield _customer(crowd)
    yield _course(crowd)


def account_checks(known: Known, signals: Sequence[Signal], crowds: Sequence[Crowd]) -> Iterator[Check]:
    """What else could make one account look like this; only what its kinds of evidence ask for."""
    kinds, rules = {signal.evidence for signal in signals}, {signal.rule_id for signal in signals}
    if "timing" in kinds:
        yield _batch_job(known, crowds)
    if "lifecycle" in kinds:
        yield _backfill(known, crowds)
    if "infrastructure" in kinds:
        yield _gateway(known)
    if "sampling_profile" in rules:
        yield _evaluation(known)
    if "outputs_fed_back" in rules:
        yield _steps(known, signals)


def _tool(crowd: Crowd) -> Check:
    what = "A published tool, SDK or tutorial that has been out for a while"
    ages = _ages(crowd)
    if ages is None:
        return Check(what, crowd.group_key, "not checked", _unknown_ages(crowd))
    share, others, told = ages
    verdict: Verdict = "contradicted" if share - others >= _APART else "fits" if share - others <= 0.1 else "undecided"
    return Check(what, crowd.group_key, verdict, f"{told} Its users would be as old as everybody else.")


def _launch(crowd: Crowd) -> Check:
    what = "A tool that was just launched, or a workshop, whose users are newcomers"
    ages = _ages(crowd)
    if ages is None:
        return Check(what, crowd.group_key, "not checked", _unknown_ages(crowd))
    share, others, told = ages
    if share - others < _APART:
        return Check(what, crowd.group_key, "contradicted", f"{told} They are not newcomers.")
    traits = [(crowd.trait(name), shown) for name, shown in _POOLED.items()]
    if not any(trait.known for trait, _ in traits):
        facts = f"{told} Whether they pay or register together is not known: no payment, mail domain or network is."
        return Check(what, crowd.group_key, "not checked", facts)
    counts = ", ".join(f"{trait.pooled} {shown}" for trait, shown in traits if trait.known)
    facts = (
        f"{told} That fits a launch. Beside the largest group of each kind, the accounts that share with at least two "
        f"others of them what hardly anybody outside has are: {counts}. A launch does not bring such groups."
    )
    most = max(trait.pooled for trait, _ in traits)
    verdict: Verdict = "fits" if most == 0 else "contradicted" if most >= 0.1 * crowd.accounts else "undecided"
    return Check(what, crowd.group_key, verdict, facts)


def _ages(crowd: Crowd) -> tuple[float, float, str] | None:
    """Share of young accounts among holders and among the others, and both in a sentence; None: too few are known."""
    if crowd.known_age < MIN_KNOWN or crowd.others_known_age < MIN_KNOWN:
        return None
    share, others = crowd.young / crowd.known_age, crowd.others_young / crowd.others_known_age
    told = (
        f"{crowd.young} of {crowd.known_age} accounts that share it ({100 * share:.0f} %) were younger than "
        f"{YOUNG_DAYS} days, and {crowd.others_young} of {crowd.others_known_age} others ({100 * others:.0f} %)."
    )
    return share, others, told


def _unknown_ages(crowd: Crowd) -> str:
    return (
        f"The age is known of {crowd.known_age} of the {crowd.accounts} accounts that share it and of "
        f"{crowd.others_known_age} of the others: too few to compare."
    )


def _customer(crowd: Crowd) -> Check:
    what = "One customer with many accounts (departments, or a vendor's customers)"
    organisation, payment = crowd.trait("organisation"), crowd.trait("payment")
    if organisation.known + payment.known == 0:
        return Check(
            what, crowd.group_key, "not checked", "Neither organisation nor payment is known of any of these accounts."
        )
    facts = f"{_told(organisation, 'organisation', crowd)} {_told(payment, 'means of payment', crowd)}"
    if max(organisation.largest, payment.largest) >= _HALF * crowd.accounts and crowd.accounts > 1:
        return Check(what, crowd.group_key, "fits", facts)
    enough = max(organisation.known, payment.known) >= _HALF * crowd.accounts
    return Check(what, crowd.group_key, "contradicted" if enough else "undecided", facts)


def _course(crowd: Crowd) -> Check:
    what = "A course, a laboratory or people in one place"
    mail, network = crowd.trait("mail"), crowd.trait("network")
    if mail.known + network.known == 0:
        return Check(
            what, crowd.group_key, "not checked", "Neither mail domain nor network is known of any of these accounts."
        )
    facts = f"{_told(mail, 'mail domain', crowd)} {_told(network, 'network', crowd)}"
    # A mail domain that everybody has places nobody.
    own = [item for item in (mail, network) if item.largest >= _HALF * crowd.accounts]
    if any(item.largest >= _HALF * item.everywhere for item in own) and crowd.accounts > 1:
        return Check(what, crowd.group_key, "fits", facts)
    return Check(what, crowd.group_key, "undecided" if own else "contradicted", facts)


def _batch_job(known: Known, crowds: Sequence[Crowd]) -> Check:
    what = "A batch job or nightly evaluation with a fixed number of workers"
    age = _age_days(known)
    crowd = max(crowds, key=lambda item: item.devoted, default=None)
    alone = crowd is None or crowd.devoted <= 1
    if crowd is not None and not alone:
        shared = f"{crowd.devoted} accounts send little else than {crowd.group_key}: a job of one customer uses one."
    else:
        shared = "No other account takes part."
    if age is None:
        return Check(what, known.account_id, "not checked", f"It is not known when the account was created. {shared}")
    facts = f"The account was {age:.1f} days old at its first request. {shared}"
    if alone:
        return Check(what, known.account_id, "fits" if age >= OLD_DAYS else "undecided", facts)
    return Check(what, known.account_id, "undecided" if age >= OLD_DAYS else "contradicted", facts)


def _backfill(known: Known, crowds: Sequence[Crowd]) -> Check:
    what = "A new customer who fills an index, or moves a running job to a new account"
    crowd = max(crowds, key=lambda item: item.devoted, default=None)
    if crowd is not None and crowd.devoted > 1:
        facts = f"{crowd.devoted} accounts send little else than {crowd.group_key}: a back-fill is one customer's."
        return Check(what, known.account_id, "contradicted", facts)
    place = known.organisation or "not known"
    return Check(
        what,
        known.account_id,
        "undecided",
        f"It shares nothing conspicuous with other accounts, which fits. Its organisation is {place}; whether the "
        "customer announced it stands in no event: ask sales or support.",
    )


def _gateway(known: Known) -> Check:
    what = "A gateway, an app or agents on rented machines: many users behind one key"
    if known.end_users >= MANY_USERS:
        facts = f"Its requests name {known.end_users} end users, who would connect from as many places."
        return Check(what, known.account_id, "fits", facts)
    if known.end_users == 0:
        facts = "Its requests name no end users. Gateways often do not pass them on: ask the customer."
        return Check(what, known.account_id, "not checked", facts)
    facts = f"Its requests name {known.end_users} end users only."
    return Check(what, known.account_id, "undecided", facts)


def _evaluation(known: Known) -> Check:
    what = "An evaluation suite, a laboratory, or synthetic data for a model of the customer's own"
    age = _age_days(known)
    place = f"Its organisation is {known.organisation or 'not known'}."
    if age is None:
        return Check(what, known.account_id, "not checked", f"It is not known when the account was created. {place}")
    facts = f"The account was {age:.1f} days old at its first request. {place} Whoever measures models is seldom new."
    return Check(what, known.account_id, "fits" if age >= OLD_DAYS else "undecided", facts)


def _steps(known: Known, signals: Sequence[Signal]) -> Check:
    what = "Steps of one application, or colleagues who hand texts to each other"
    sources = {signal.group_key for signal in signals if signal.group_key.startswith("outputs_of:")}
    if not sources:
        return Check(what, known.account_id, "fits", "What came back the model had said to this customer himself.")
    facts = (
        "What came back the model had said to other customers, as far as organisations, payments and mail domains tell "
        "customers apart. Whether they work together stands in no event: ask them."
    )
    return Check(what, known.account_id, "undecided", facts)


def _age_days(known: Known) -> float | None:
    if known.created_at is None or known.first_seen is None:
        return None
    return (known.first_seen - known.created_at).total_seconds() / 86_400


def _told(trait: Trait, name: str, crowd: Crowd) -> str:
    if trait.known == 0:
        return f"The {name} is known of none of them."
    elsewhere = trait.everywhere - trait.largest
    return (
        f"The most common {name} is that of {trait.largest} of the {crowd.accounts} (known of {trait.known}); "
        f"{elsewhere} accounts outside have it too."
    )
