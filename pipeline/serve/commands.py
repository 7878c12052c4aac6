"""What clients of serve ask of its writer: each checked, then applied in a turn of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.alerts.said import AlertWord, SilenceWord, check_alert_word, check_silence
from pipeline.delivery.outbox import given_up
from pipeline.serve.clearing import Clearing, check_clearing
from pipeline.serve.corpora import AddCorpus, RemoveCorpus
from pipeline.serve.intake import Intake
from pipeline.serve.releases import Release, check_release
from pipeline.serve.resend import Resend
from pipeline.serve.step import Stepper
from pipeline.serve.view import Backup, Command, ImportAccounts
from pipeline.store import Store
from pipeline.store.accounts import AccountsError, check_accounts
from pipeline.store.backup import backup

Told = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Writer:
    """Who applies it."""

    store: Store
    stepper: Stepper
    epoch: str

    def step(self, intake: Intake) -> None:
        self.stepper.step(intake, epoch=self.epoch)


def run_command(command: Command, store: Store, stepper: Stepper, epoch: str) -> Told:
    """Apply a command; return what its sender is told. The writer's thread only.

    Raises:
        StillwatchError: it cannot be applied; nothing was.
    """
    return _RUN[type(command)](_Writer(store, stepper, epoch), command)


def _import(writer: _Writer, command: ImportAccounts) -> Told:
    problems = check_accounts(command.rows).problems
    if problems:
        raise AccountsError("accounts", problems)
    writer.step(Intake(accounts=command.rows))
    return {"accounts": len(command.rows)}


def _clear(writer: _Writer, command: Clearing) -> Told:
    writer.step(Intake(clearings=[check_clearing(command)]))
    return {"accounts": len(command.accounts)}


def _add_corpus(writer: _Writer, command: AddCorpus) -> Told:
    writer.step(Intake(corpora=[command]))
    return {"corpus": command.known.name, "findable": command.known.findable}


def _remove_corpus(writer: _Writer, command: RemoveCorpus) -> Told:
    writer.step(Intake(corpora=[command]))
    return {"corpus": command.name}


def _release(writer: _Writer, command: Release) -> Told:
    writer.step(Intake(releases=[check_release(command)]))
    return {"model": command.model}


def _resend(writer: _Writer, command: Resend) -> Told:
    with writer.store.reading() as connection:
        waiting = given_up(connection, command.endpoint, command.message_ids)
    writer.step(Intake(resends=[command]))
    return {"endpoint": command.endpoint, "messages": waiting}


def _alert_word(writer: _Writer, command: AlertWord) -> Told:
    writer.step(Intake(alert_words=[check_alert_word(command)]))
    return {"alerts": len(command.alerts)}


def _silence(writer: _Writer, command: SilenceWord) -> Told:
    checked = check_silence(command, writer.stepper.clock.now())
    writer.step(Intake(silences=[checked]))
    return {"silence_id": checked.silence_id or checked.new_id}


def _backup(writer: _Writer, command: Backup) -> Told:
    backup(writer.store, command.target)
    return {"target": str(command.target)}


_RUN: Final[Mapping[type[Command], Callable[[_Writer, Any], Told]]] = {
    ImportAccounts: _import,
    Clearing: _clear,
    AddCorpus: _add_corpus,
    RemoveCorpus: _remove_corpus,
    Release: _release,
    Resend: _resend,
    AlertWord: _alert_word,
    SilenceWord: _silence,
    Backup: _backup,
}
