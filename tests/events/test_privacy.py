"""Pseudonyms, and what a dead letter keeps."""

from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from pydantic import SecretStr

from pipeline.config import PrivacySettings, Settings
from pipeline.errors import ConfigError, CorruptBatchError
from pipeline.events.dead_letter import decode_dead_letters, encode_dead_letters, keep_payload, redact
from pipeline.events.decode import Decoder
from pipeline.events.schema import DEAD_LETTERS
from tests.events.frames import decode, event, one

KEY = SecretStr("0123456789abcdef")
FIELDS = ("account_id", "api_key_id", "user_id", "conversation_id", "ip")


def _settings(**fields: Any) -> Settings:
    return Settings(privacy=PrivacySettings(**fields))


def test_ids_become_pseudonyms_that_can_be_compared() -> None:
    ids = {"account_id": "same", "api_key_id": "same", "user_id": "u", "conversation_id": "c", "ip": "203.0.113.7"}
    settings = _settings(pseudonymise=FIELDS, key=KEY)
    first, again = one(event(**ids), settings=settings), one(event(**ids), settings=settings)
    assert first == again
    assert first["account_id"].startswith("acct~")
    assert len(first["account_id"]) == len("acct~") + 32
    assert first["account_id"][5:] != first["api_key_id"][4:]  # kinds cannot be matched with each other
    assert first["network"] == "203.0.113.0/24"
    assert not any(value in first.values() for value in ids.values())
    other = one(event(**ids), settings=_settings(pseudonymise=FIELDS, key=SecretStr("another key of 16")))
    assert other["account_id"] != first["account_id"]


def test_only_what_is_asked_for_and_null_stays_null() -> None:
    found = one(event(), settings=_settings(pseudonymise=("api_key_id",), key=KEY))
    assert (found["account_id"], found["api_key_id"]) == ("acct", None)


def test_a_key_may_come_from_a_file_and_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY.get_secret_value().encode() + b"\n")
    from_file = one(event(), settings=_settings(pseudonymise=("account_id",), key_file=tmp_path / "key"))
    assert from_file == one(event(), settings=_settings(pseudonymise=("account_id",), key=KEY))
    for fields in ({}, {"key": SecretStr("short")}, {"key_file": tmp_path / "none"}):
        with pytest.raises(ConfigError):
            Decoder(_settings(pseudonymise=("account_id",), **fields))


SECRET = "the launch code is xyzzy"


@pytest.mark.parametrize(
    "fields",
    [
        {"system": SECRET},
        {"prompt": SECRET},
        {"response": SECRET},
        {"messages": [{"role": "user", "content": SECRET}]},
        {"messages": SECRET},
        {"reasoning_blobs": [SECRET]},
        {"content": {"note": SECRET}},
        {"tools": [{"d": SECRET}]},
        {"request": {"input": SECRET}, "response": {"choices": [{"text": SECRET}]}, "status_code": "x"},
        {"request": {"body": {"messages": SECRET, "instructions": SECRET}}, "status_code": "x"},
        {"body": SECRET},
        {"response": {"body": {"output": SECRET}}},
    ],
)
def test_a_dead_letter_holds_no_text(fields: dict[str, Any]) -> None:
    decoded = decode(event(status="x", **fields))
    (dead,) = decoded.dead.rows(named=True)
    assert b"xyzzy" not in dead["payload"]
    assert b"e1" in dead["payload"]
    assert "xyzzy" not in dead["detail"]
    full = decode(event(status="x", **fields), settings=_settings(dead_letter_payload="full"))
    assert b"xyzzy" in full.dead["payload"][0]
    none = decode(event(status="x", **fields), settings=_settings(dead_letter_payload="none"))
    assert none.dead["payload"].to_list() == [None]
    assert none.dead["payload_bytes"].to_list() == decoded.dead["payload_bytes"].to_list()


def test_otlp_attributes_are_text_fields_too() -> None:
    pairs = [
        {"key": "gen_ai.input.messages", "value": {"stringValue": SECRET}},
        {"key": "gen_ai.prompt.0.content", "value": {"stringValue": SECRET}},
        {"key": "user.id", "value": {"stringValue": "acct"}},
    ]
    kept = msgspec.json.encode(redact({"attributes": pairs}))
    assert b"xyzzy" not in kept
    assert b"acct" in kept


def test_what_does_not_parse_is_not_kept_unless_asked_for() -> None:
    assert keep_payload(b'{"prompt": "xyzzy', PrivacySettings()) is None
    assert keep_payload(b'{"prompt": "xyzzy', PrivacySettings(dead_letter_payload="full")) == b'{"prompt": "xyzzy'


def test_payloads_are_capped() -> None:
    settings = PrivacySettings(dead_letter_payload="full", dead_letter_bytes=10)
    assert keep_payload(b"x" * 100, settings) == b"x" * 10


def test_dead_letters_travel() -> None:
    dead = decode(event(status="x"), b"{").dead
    assert decode_dead_letters(encode_dead_letters(dead)).equals(dead)
    assert decode_dead_letters(encode_dead_letters(DEAD_LETTERS.to_frame())).is_empty()


@pytest.mark.parametrize("value", [None, b"", b"ARROW1", b"\xff" * 40, encode_dead_letters(pl.DataFrame({"a": [1]}))])
def test_a_damaged_batch_is_an_error_of_its_own(value: bytes | None) -> None:
    with pytest.raises(CorruptBatchError):
        decode_dead_letters(value, topic="t", partition=1, offset=2)
