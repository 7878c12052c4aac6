"""The noisy-or of the strongest signal of each kind, step by step, so that anybody can do it again by hand."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.explain.model import Arithmetic, Signal, Step


def noisy_or(signals: Sequence[Signal], *, stored: float | None) -> Arithmetic:
    """``1 - (1 - s1)(1 - s2)…`` over the signals that count, strongest first (``detect.scores`` says which)."""
    left = 1.0
    steps = []
    for signal in signals:
        if signal.counts:
            after = left * (1 - signal.strength)
            steps.append(Step(signal.rule_id, signal.evidence, signal.strength, left, after))
            left = after
    return Arithmetic(steps, 1 - left, stored)
