"""Ids → keyed pseudonyms: HMAC-SHA256 cut to 16 bytes, hexadecimal, behind a prefix that says what it stands for."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import polars as pl

from pipeline.config import PrivacySettings
from pipeline.errors import ConfigError

_PREFIXES: Final = {
    "account_id": "acct~",
    "api_key_id": "key~",
    "user_id": "user~",
    "conversation_id": "conv~",
    "ip": "ip~",
}
_DIGEST_BYTES: Final = 16
_KEY_BYTES: Final = 16


def read_key(settings: PrivacySettings) -> bytes:
    """The key; empty when nothing is pseudonymised.

    Raises:
        ConfigError: no key, too short a key, or a file that cannot be read.
    """
    if not settings.pseudonymise:
        return b""
    if settings.key is not None:
        key = settings.key.get_secret_value().encode()
    elif settings.key_file is not None:
        try:
            key = settings.key_file.read_bytes().strip()
        except OSError as error:
            raise ConfigError(
                f"privacy.key_file cannot be read: {error.strerror}", next_step="check its path and its permissions"
            ) from None
    else:
        raise ConfigError(
            "privacy.pseudonymise needs a key", next_step="set STILLWATCH_PRIVACY__KEY or privacy.key_file"
        )
    if len(key) < _KEY_BYTES:
        raise ConfigError("the key of privacy is too short", next_step=f"use at least {_KEY_BYTES} random bytes")
    return key


def pseudonymise(events: pl.DataFrame, fields: tuple[str, ...], key: bytes) -> pl.DataFrame:
    """Replace the named columns' values; equal values get equal pseudonyms, whatever the batch or process."""
    return events.with_columns(_replaced(events[name], key) for name in fields) if fields else events


def pseudonymise_accounts(facts: pl.DataFrame, key: bytes) -> pl.DataFrame:
    """Facts under the pseudonyms that the accounts' events have; who is told by pseudonym already stays."""
    told = pl.col("account_id").str.starts_with(_PREFIXES["account_id"])
    made = _replaced(facts["account_id"], key)
    return facts.with_columns(account_id=pl.when(told).then("account_id").otherwise(made))


def _replaced(column: pl.Series, key: bytes) -> pl.Series:
    values = column.unique().drop_nulls()
    prefix = _PREFIXES[column.name]
    made = [
        prefix + hmac.digest(key, f"{prefix}{value}".encode(), hashlib.sha256)[:_DIGEST_BYTES].hex() for value in values
    ]
    return column.replace_strict(values, pl.Series(made, dtype=pl.String), default=None, return_dtype=pl.String)
