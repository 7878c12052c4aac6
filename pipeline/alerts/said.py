"""What somebody says about alerts, as it comes in: checked before the writer takes it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from pipeline.alerts.silences import Matcher
from pipeline.errors import UsageError

MAX_ALERTS: Final = 1000
LONGEST_SILENCE: Final = timedelta(days=366)
VERDICTS: Final = ("true", "false", "benign-known")
Action = Literal["ack", "unack", "assign", "note", "verdict", "resolve"]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class AlertWord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A word about alerts. ``value``: whose they are from now on, or the verdict. ``clear``: clears their accounts."""

    alerts: Annotated[tuple[_Name, ...], msgspec.Meta(min_length=1, max_length=MAX_ALERTS)]
    action: Action
    said_by: _Name
    value: _Name | None = None
    note: _Text | None = None
    clear: bool = False
    until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class SilenceWord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A silence that is to hold, or (``silence_id`` alone) one that is to end now."""

    said_by: _Name
    silence_id: _Name | None = None
    matchers: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=20)] = ()
    reason: _Text | None = None
    starts_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    ends_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None

    @property
    def new_id(self) -> str:
        """The id of a silence that is to hold: the same where the same is said again."""
        said = "|".join((*self.matchers, str(self.starts_at), str(self.ends_at), self.reason or ""))
        return "sil_" + hashlib.sha256(said.encode()).hexdigest()[:12]


def check_alert_word(said: AlertWord) -> AlertWord:
    """The same, checked: as a decoder checks it, text that can be shown, a verdict that is one.

    Raises:
        UsageError: it cannot be used.
    """
    checked = _converted(said, AlertWord)
    _shown(checked.said_by, "name")
    _shown(checked.value, "value")
    match checked.action:
        case "verdict":
            if checked.value not in VERDICTS:
                raise UsageError(f"{checked.value!r} is no verdict", next_step=f"say one of {', '.join(VERDICTS)}")
        case "assign":
            pass  # without a name: to nobody
        case "note" | "resolve":
            if checked.value is not None or not (checked.note or "").strip():
                raise UsageError(
                    f"{checked.action} needs a text", next_step=f"see stillwatch alerts {checked.action} -h"
                )
        case _:
            if checked.value is not None:
                raise UsageError(f"{checked.action} takes no value", next_step="leave it out")
    if (checked.clear or checked.until) and not (checked.action == "verdict" and checked.value != "true"):
        raise UsageError("accounts are cleared by the verdicts false and benign-known", next_step="leave --clear out")
    if checked.until is not None and not checked.clear:
        raise UsageError("--until is when a clearance ends", next_step="add --clear, or leave --until out")
    if checked.clear and not (checked.note or "").strip():
        raise UsageError("a clearance needs a reason", next_step="say what you know: --reason 'nightly evaluation'")
    _shown(checked.note, "note")
    return checked


def check_silence(said: SilenceWord, now: datetime) -> SilenceWord:
    """The same, checked: matchers that are some, a reason, an end that is after the beginning and ahead.

    Raises:
        UsageError: it cannot be used.
    """
    checked = _converted(said, SilenceWord)
    _shown(checked.said_by, "name")
    new = (checked.matchers, checked.reason, checked.starts_at, checked.ends_at)
    if checked.silence_id is not None:
        if any(new):
            raise UsageError("a silence that ends needs its id only", next_step="stillwatch alerts silence list")
        return checked
    for text in checked.matchers:
        Matcher.read(text)
    if not checked.matchers:
        raise UsageError(
            "a silence needs a matcher", next_step="name a rule, a campaign or an alert: rule=shared_client"
        )
    if not (checked.reason or "").strip():
        raise UsageError("a silence needs a reason", next_step="say why: --reason 'load test'")
    _shown(checked.reason, "reason")
    if checked.starts_at is None or checked.ends_at is None:
        raise UsageError("a silence begins and ends", next_step="say for how long: --for 4h")
    if checked.ends_at <= checked.starts_at:
        raise UsageError("the silence ends before it starts", next_step="check both moments")
    if checked.ends_at <= now:
        raise UsageError("the silence is over already", next_step="check when it ends")
    if checked.ends_at - max(checked.starts_at, now) > LONGEST_SILENCE:
        raise UsageError("no silence holds longer than a year", next_step="disable the rule, or clear the accounts")
    return msgspec.structs.replace(
        checked, starts_at=checked.starts_at.astimezone(UTC), ends_at=checked.ends_at.astimezone(UTC)
    )


_T = TypeVar("_T", AlertWord, SilenceWord)


def _converted(said: _T, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(msgspec.to_builtins(said), kind)
    except msgspec.ValidationError as error:
        raise UsageError(str(error).replace(" - at `$.", " in `"), next_step="see stillwatch alerts --help") from None


def _shown(text: str | None, name: str) -> None:
    if text is not None and not (text.isprintable() and text.strip()):
        raise UsageError(f"the {name} {text!r} cannot be shown", next_step="leave out control characters")
