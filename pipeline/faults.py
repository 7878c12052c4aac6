"""Points at which a test may kill the process: one before each numbered step of a promise.

Set ``STILLWATCH_FAULT=name`` (or ``name:3`` for the third time it is passed) and the process sends itself SIGKILL
there, as a power cut would. Unset, a point costs one dictionary look-up. The names are listed for tests to walk.
"""

from __future__ import annotations

import os
import signal
from typing import Final, Literal, get_args

FaultPoint = Literal[
    "ingest.decoded",  # polled and decoded, nothing produced
    "ingest.produced",  # batches and dead letters sent, offsets not
    "ingest.offsets_sent",  # offsets in the transaction (or, without transactions: flushed), not committed
    "ingest.committed",  # committed, next poll not begun
    "worker.received",  # events taken in, no delta built
    "worker.delta_built",  # delta built, not sent
    "worker.delta_part_sent",  # the first part of a delta confirmed, the rest not
    "worker.delta_confirmed",  # the broker has the delta, input not acknowledged
    "worker.acknowledged",  # input acknowledged, offset not yet committed
    "serve.assembled",  # deltas read, no transaction begun
    "serve.applied",  # deltas inserted in an open transaction
    "serve.evaluated",  # rules evaluated, alerts and outbox rows in the open transaction
    "serve.committed",  # committed
    "serve.folding",  # inside the folding transaction
    "serve.sent",  # a webhook was accepted by the receiver, not marked
]

FAULT_POINTS: Final[tuple[FaultPoint, ...]] = get_args(FaultPoint)

_remaining: dict[str, int] = {}
_setting = os.environ.get("STILLWATCH_FAULT", "")
if _setting:
    _name, _, _count = _setting.partition(":")
    if _name not in FAULT_POINTS:
        raise SystemExit(f"STILLWATCH_FAULT={_setting}: no such fault point; one of {', '.join(FAULT_POINTS)}")
    _remaining[_name] = int(_count or 1)


def hit(point: FaultPoint) -> None:
    """Pass a fault point: does nothing, or ends the process with SIGKILL."""
    left = _remaining.get(point)
    if left is None:
        return
    if left == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    _remaining[point] = left - 1
