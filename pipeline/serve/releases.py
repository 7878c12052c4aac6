"""What somebody says about when a model was released, as it comes in: checked before the writer takes it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec

from pipeline.errors import UsageError

_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)  # a slip of the hand in the year is more likely than a plan
_NEXT: Final = "see stillwatch releases add --help"


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A word about a model, named as requests name it. ``released_at``: event time; None where it is taken back."""

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    action: Literal["add", "remove"]
    said_by: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    released_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    note: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)] | None = None


def check_release(said: Release) -> Release:
    """The same, checked: as a decoder checks it, text that can be shown, and a date where one is due.

    Raises:
        UsageError: it cannot be used.
    """
    try:
        checked = msgspec.convert(msgspec.to_builtins(said), Release)
    except msgspec.ValidationError as error:
        raise UsageError(str(error).replace(" - at `$.", " in `"), next_step=_NEXT) from None
    if not checked.model.isprintable() or checked.model != checked.model.strip():
        raise UsageError(
            f"{checked.model!r} is no name of a model",
            next_step="write it as requests do, without control characters or spaces around it",
        )
    for name, text in (("note", checked.note), ("name", checked.said_by)):
        if text is not None and not (text.isprintable() and text.strip()):
            raise UsageError(f"the {name} {text!r} cannot be shown", next_step="leave out control characters")
    if (checked.released_at is None) != (checked.action == "remove"):
        raise UsageError("a release has a date, and what is taken back has none", next_step=_NEXT)
    if checked.released_at is not None and not _EARLIEST <= checked.released_at < _LATEST:
        raise UsageError(
            f"{checked.released_at:%Y-%m-%d}: not from {_EARLIEST:%Y} to {_LATEST:%Y}", next_step="check the year"
        )
    return checked
