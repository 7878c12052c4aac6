"""Facts about accounts: from a file or a message to checked rows, with every problem told at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import polars as pl

from pipeline.errors import InputNotFoundError, UsageError
from pipeline.events.schema import UTC_MICROSECONDS

ACCOUNTS: Final = pl.Schema(
    {
        "account_id": pl.String(),
        "created_at": UTC_MICROSECONDS,
        "plan": pl.String(),
        "quota": pl.Int64(),
        "payment_hash": pl.String(),
        "email_domain": pl.String(),
        "organisation": pl.String(),
        "country": pl.String(),
        "status": pl.String(),
        "cleared_reason": pl.String(),
    }
)
SHOWN_PROBLEMS: Final = 20

_Text = Annotated[str, msgspec.Meta(max_length=256)]


class _Facts(msgspec.Struct, frozen=True):
    account_id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    created_at: datetime | None = None
    plan: _Text | None = None
    quota: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None
    payment_hash: _Text | None = None
    email_domain: _Text | None = None
    organisation: _Text | None = None
    country: _Text | None = None
    status: _Text | None = None
    cleared_reason: _Text | None = None


class AccountsError(UsageError):
    """Facts that cannot be used; every problem found is in ``problems`` and, up to SHOWN_PROBLEMS, in the message."""

    exit_code = 65

    def __init__(self, place: str, problems: Sequence[str]) -> None:
        shown = [*problems[:SHOWN_PROBLEMS]]
        if len(problems) > SHOWN_PROBLEMS:
            shown.append(f"… and {len(problems) - SHOWN_PROBLEMS} more")
        told = shown[0] if len(shown) == 1 else "\n  ".join([f"{len(problems)} problems", *shown])
        super().__init__(f"{place}: {told}", next_step="mend that; nothing was imported")
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Checked:
    """Rows that can be used, with the columns of ACCOUNTS, and what is wrong with the others."""

    frame: pl.DataFrame
    problems: Sequence[str]


def check_accounts(rows: Iterable[Mapping[str, object]], *, lines: Sequence[int] = ()) -> Checked:
    """Check rows one by one; fields that are not facts are left out.

    Args:
        rows: a mapping an account; ``created_at`` as a datetime, RFC 3339, a date, or epoch in s, ms or µs.
        lines: where each row stands, for the messages; else its number from 1.
    """
    good: list[tuple[object, ...]] = []
    problems: list[str] = []
    for number, row in enumerate(rows):
        place = f"line {lines[number]}" if lines else f"row {number + 1}"
        try:
            facts = msgspec.convert(_cleaned(row), _Facts)
        except (msgspec.ValidationError, ValueError, OverflowError) as error:
            problems.append(f"{place}: {str(error).replace(' - at `$.', ' in `')}")
            continue
        good.append(msgspec.structs.astuple(facts))
    return Checked(pl.DataFrame(good, schema=ACCOUNTS, orient="row"), problems)


def read_accounts(path: Path) -> pl.DataFrame:
    """A file's facts, with those columns of ACCOUNTS that it has. Told by its ending: csv, json, ndjson, parquet.

    Raises:
        InputNotFoundError: no such file.
        AccountsError: it cannot be read, has unknown columns, or rows that cannot be used; all of them are named.
    """
    if not path.is_file():
        raise InputNotFoundError(f"{path}: no such file", next_step="name a CSV, JSON, NDJSON or Parquet file")
    rows, lines = _rows(path)
    names = {name: None for row in rows for name in row}
    unknown = [name for name in names if name not in ACCOUNTS]
    problems = [f"column {name!r} is no fact; they are {', '.join(ACCOUNTS)}" for name in unknown]
    if rows and "account_id" not in names:
        problems.append("column 'account_id' is missing")
    checked = check_accounts(rows, lines=lines) if not problems else Checked(ACCOUNTS.to_frame(), problems)
    problems = [*checked.problems, *_repeated(checked.frame)]
    if problems:
        raise AccountsError(str(path), problems)
    return checked.frame.select(name for name in ACCOUNTS if name in names or name == "account_id")


def _rows(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    try:
        match path.suffix.lower():
            case ".csv":
                frame = pl.read_csv(path, infer_schema=False)
                return frame.to_dicts(), list(range(2, frame.height + 2))
            case ".parquet":
                frame = pl.read_parquet(path)
                return frame.to_dicts(), list(range(1, frame.height + 1))
            case ".json":
                found = json.loads(path.read_text(encoding="utf-8"))
                rows = found if isinstance(found, list) else [found]
                return _objects(path, rows, list(range(1, len(rows) + 1)))
            case ".ndjson" | ".jsonl":
                return _ndjson(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, OSError) as error:
        if isinstance(error, UsageError):
            raise
        raise AccountsError(str(path), [str(error).splitlines()[0]]) from None
    raise AccountsError(str(path), [f"ending {path.suffix!r}: one of .csv, .json, .ndjson, .parquet is needed"])


def _ndjson(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    rows: list[Any] = []
    lines: list[int] = []
    problems: list[str] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append(msgspec.json.decode(line))
            lines.append(number)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            problems.append(f"line {number}: no JSON: {error}")
    if problems:
        raise AccountsError(str(path), problems)
    return _objects(path, rows, lines)


def _objects(path: Path, rows: list[Any], lines: list[int]) -> tuple[list[dict[str, Any]], list[int]]:
    problems = [f"line {line}: no object" for row, line in zip(rows, lines, strict=True) if not isinstance(row, dict)]
    if problems:
        raise AccountsError(str(path), problems)
    return rows, lines


def _repeated(frame: pl.DataFrame) -> list[str]:
    twice = frame.filter(pl.col("account_id").is_duplicated())["account_id"].unique().sort()
    return [f"account {name!r} is there more than once" for name in twice]


def _cleaned(row: Mapping[str, object]) -> dict[str, object]:
    """The known fields of a row; text that stands for a number or a time becomes one."""
    found = {name: value for name, value in row.items() if name in ACCOUNTS and value is not None}
    if found.get("created_at") == "":
        del found["created_at"]
    if "created_at" in found:
        found["created_at"] = _time(found["created_at"])
    quota = found.get("quota")
    if isinstance(quota, str):
        if not quota.strip():
            del found["quota"]
        elif not quota.strip().isdigit():
            raise ValueError(f"{quota!r} is no whole number in `quota`")
        else:
            found["quota"] = int(quota)
    return found


def _time(value: object) -> datetime:
    if isinstance(value, str):
        try:
            return _utc(datetime.fromisoformat(value.strip()))
        except ValueError:
            raise ValueError(f"{value[:40]!r} is no time in `created_at`; write 2026-01-05T12:00:00Z") from None
    if isinstance(value, datetime):
        return _utc(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        magnitude = abs(value)
        return datetime.fromtimestamp(value / (1e6 if magnitude >= 1e14 else 1e3 if magnitude >= 1e11 else 1), UTC)
    raise ValueError("no time in `created_at`")


def _utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
