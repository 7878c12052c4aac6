"""Where the serving process is: a small private file beside the store, written by serve, read by the commands."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pipeline.config import Place, beside


@dataclass(frozen=True, slots=True)
class ServeAddress:
    """Address, process and bearer token of a serving process."""

    url: str
    pid: int
    token: str


def address_file(store: Place) -> Path:
    """``<store>.serve.json``, beside the store."""
    own = beside(store)
    return own.with_name(own.name + ".serve.json")


def write_address(store: Place, address: ServeAddress) -> None:
    """Replace the file in one step; only its owner can read it from its first byte on."""
    target = address_file(store)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(address))
    draft.replace(target)


def remove_address(store: Place, pid: int) -> None:
    """Take the file away if it is still this process's."""
    found = read_address(store)
    if found is not None and found.pid == pid:
        address_file(store).unlink(missing_ok=True)


def read_address(store: Place) -> ServeAddress | None:
    """What the file says; None where there is none or it is not readable as one. Says nothing about life."""
    try:
        return msgspec.json.decode(address_file(store).read_bytes(), type=ServeAddress)
    except (FileNotFoundError, PermissionError, msgspec.MsgspecError):
        return None


def process_lives(pid: int) -> bool:
    """A process of this number is there; it may be another's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
