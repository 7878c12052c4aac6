"""What can go wrong, as types that carry data; a person's message says what to do next."""

from __future__ import annotations

from dataclasses import dataclass


class StillwatchError(Exception):
    """An error a person is shown in one line: what is wrong, then the next step.

    ``exit_code`` follows sysexits where one fits (64 usage, 66 no input, 69 unavailable, 73 cannot create,
    74 I/O, 78 configuration); the command line turns it into the process's exit code.
    """

    exit_code = 1

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message} → {self.next_step}" if self.next_step else self.message


class UsageError(StillwatchError):
    """The command's words do not fit together."""

    exit_code = 64


class ConfigError(StillwatchError):
    """The settings cannot be used; every problem found is in the message, one a line."""

    exit_code = 78


class InputNotFoundError(StillwatchError):
    """A file or topic that was named is not there."""

    exit_code = 66


class BrokerUnavailableError(StillwatchError):
    """No broker answers at the configured address, or it refuses us."""

    exit_code = 69


class StoreError(StillwatchError):
    """The store cannot be opened, read or written."""

    exit_code = 74


class StoreLockedError(StoreError):
    """Another process has the store open; it is the one to ask."""

    exit_code = 73


class StoreVersionError(StoreError):
    """The file was written by a newer version than this one."""

    exit_code = 78


class QueryError(StillwatchError):
    """Analyst SQL that is refused, fails, or takes too long."""

    exit_code = 65


class CorruptBatchError(Exception):
    """Bytes on an internal topic that are not the Arrow batch they should be."""

    def __init__(self, topic: str, partition: int, offset: int, reason: str) -> None:
        super().__init__(f"{topic}[{partition}]@{offset}: {reason}")
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Hole:
    """Input offsets ``[expected, found)`` of a source partition that no delta covers."""

    partition: int
    expected: int
    found: int
