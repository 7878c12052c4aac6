"""What somebody says about accounts they know, as it comes in: checked before the writer takes it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec

from pipeline.errors import UsageError

MAX_ACCOUNTS: Final = 10_000
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Clearing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody says about accounts. ``until``: what they do from then on counts again; None: until taken back."""

    accounts: Annotated[tuple[_Id, ...], msgspec.Meta(min_length=1, max_length=MAX_ACCOUNTS)]
    action: Literal["clear", "unclear"]
    said_by: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)] | None = None
    until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


def check_clearing(said: Clearing) -> Clearing:
    """The same, checked: as a decoder checks it, and a reason where one is due.

    Raises:
        UsageError: it cannot be used.
    """
    try:
        checked = msgspec.convert(msgspec.to_builtins(said), Clearing)
    except msgspec.ValidationError as error:
        raise UsageError(
            str(error).replace(" - at `$.", " in `"), next_step="see stillwatch accounts clear --help"
        ) from None
    if checked.action == "clear" and not (checked.reason or "").strip():
        raise UsageError("a clearance needs a reason", next_step="say what you know: --reason 'nightly evaluation'")
    if checked.action == "unclear" and checked.until is not None:
        raise UsageError("what is taken back has no end", next_step="leave --until out")
    return checked
