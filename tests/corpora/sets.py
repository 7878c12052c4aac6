"""Items made up for tests: each of other words, so that nothing of one stands in another."""

from __future__ import annotations

import random
from collections.abc import Sequence

_SYLLABLES = ("ba", "do", "ke", "li", "mu", "na", "po", "ra", "si", "tu", "ve", "zo")


def items(count: int, *, words: int = 24, seed: int = 1) -> list[str]:
    """So many texts of so many words."""
    dice = random.Random(seed)
    return [
        " ".join("".join(dice.choices(_SYLLABLES, k=3)) for _ in range(words)).capitalize() + "." for _ in range(count)
    ]


def events(account: str, prompts: Sequence[str], *, step_s: float = 10, start_s: float = 0) -> list[dict[str, object]]:
    """A request a prompt, in order; native events but for their ids."""
    return [
        {"account_id": account, "prompt": prompt, "at_s": start_s + number * step_s}
        for number, prompt in enumerate(prompts)
    ]
