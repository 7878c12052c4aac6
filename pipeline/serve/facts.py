"""What is known about accounts into a store that no serve has open: it is judged anew, as it would be there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.alerts.said import AlertWord, SilenceWord
from pipeline.clock import Clock
from pipeline.config import Place, Settings, is_there
from pipeline.delivery.destination import Reach
from pipeline.delivery.endpoints import endpoints_file, read_endpoints
from pipeline.delivery.outbox import send_again
from pipeline.errors import InputNotFoundError
from pipeline.metrics import Metrics
from pipeline.rules.load import load_rules
from pipeline.serve.clearing import Clearing
from pipeline.serve.corpora import AddCorpus, CorpusChange
from pipeline.serve.intake import Intake
from pipeline.serve.releases import Release
from pipeline.serve.resend import Resend
from pipeline.serve.step import Stepper
from pipeline.store import Store, read_words


def import_facts(store_path: Place, rows: Sequence[Mapping[str, object]], settings: Settings, *, clock: Clock) -> None:
    """Store checked facts and bring findings up to date; the store is made where it is missing.

    Alerts that open go to the outbox; the next serve sends them.

    Raises:
        StoreError: the store cannot be used, or is open elsewhere.
    """
    _step(store_path, Intake(accounts=rows), settings, clock)


def say_clearing(store_path: Place, said: Clearing, settings: Settings, *, clock: Clock) -> None:
    """Store what a person knows about accounts and bring findings up to date.

    Raises:
        InputNotFoundError: there is no store.
        UnknownAccountsError: of one of them nothing is known; nothing was stored.
        StoreError: the store cannot be used, or is open elsewhere.
    """
    if not is_there(store_path):
        raise InputNotFoundError(f"{store_path}: no store here", next_step="name one by --store")
    _step(store_path, Intake(clearings=[said]), settings, clock)


def change_corpus(store_path: Place, change: CorpusChange, settings: Settings, *, clock: Clock) -> None:
    """Store or remove a known set and bring findings up to date; a store is made where one is missing, to add to.

    Raises:
        InputNotFoundError: there is no store to remove from.
        KnownSetError: another set has the name, or none has.
        StoreError: the store cannot be used, or is open elsewhere.
    """
    if not isinstance(change, AddCorpus) and not is_there(store_path):
        raise InputNotFoundError(f"{store_path}: no store here", next_step="name one by --store")
    _step(store_path, Intake(corpora=[change]), settings, clock)


def say_release(store_path: Place, said: Release, settings: Settings, *, clock: Clock) -> None:
    """Store when a model was released and bring findings up to date; the store is made where one is missing, to add to.

    Raises:
        InputNotFoundError: there is no store to take it back from.
        ReleaseError: nobody said it, or there is no room.
        StoreError: the store cannot be used, or is open elsewhere.
    """
    if said.action == "remove" and not is_there(store_path):
        raise InputNotFoundError(f"{store_path}: no store here", next_step="name one by --store")
    _step(store_path, Intake(releases=[said]), settings, clock)


def resend(store_path: Place, asked: Resend, settings: Settings, *, clock: Clock) -> int:
    """Put messages that were given up back in line, for the next serve; return how many.

    Raises:
        InputNotFoundError: there is no store.
        StoreError: the store cannot be used, or is open elsewhere.
    """
    if not is_there(store_path):
        raise InputNotFoundError(f"{store_path}: no store here", next_step="name one by --store")
    with Store.open(store_path, settings.store, clock=clock) as store, store.transaction() as tx:
        return send_again(tx, asked.endpoint, asked.message_ids, clock.now())


def say_alert(store_path: Place, said: AlertWord, settings: Settings, *, clock: Clock) -> None:
    """Store a word about alerts; what is to be told of it, the next serve sends.

    Raises:
        InputNotFoundError: there is no store.
        UnknownAlertError: there is no such alert, or this cannot be said of it any more.
        StoreError: the store cannot be used, or is open elsewhere.
    """
    if not is_there(store_path):
        raise InputNotFoundError(f"{store_path}: no store here", next_step="name one by --store")
    _step(store_path, Intake(alert_words=[said]), settings, clock)


def silence(store_path: Place, said: SilenceWord, settings: Settings, *, clock: Clock) -> None:
    """Store a silence, or end one.

    Raises:
        InputNotFoundError: there is no store.
        UnknownAlertError: there is no such silence.
        StoreError: the store cannot be used, or is open elsewhere.
    """
    if not is_there(store_path):
        raise InputNotFoundError(f"{store_path}: no store here", next_step="name one by --store")
    _step(store_path, Intake(silences=[said]), settings, clock)


def _step(store_path: Place, intake: Intake, settings: Settings, clock: Clock) -> None:
    with Store.open(store_path, settings.store, clock=clock) as store:
        partitions = max(1, len(read_words(store.connection)))
        stepper = Stepper(store, load_rules(settings.rules), settings, clock, Metrics(), partitions=partitions)
        reach = Reach.of(settings.webhook.allow, http=settings.webhook.allow_http)
        stepper.endpoints = stepper.endpoints.and_those_of(read_endpoints(endpoints_file(settings), reach))
        stepper.step(intake)
