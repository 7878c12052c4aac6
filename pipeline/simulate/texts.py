"""What is asked and answered: pools of prompts from files where given, from the built-in grammar otherwise."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.errors import InputNotFoundError
from pipeline.simulate.grammar import PATTERNS, SLOTS
from pipeline.simulate.seeds import generator

POOL_SIZE: Final = 4000
MAX_PROMPT_CHARS: Final = 4000
_SLOT: Final = re.compile(r"\{(\w+)\}")
# Which pool each file of a prompts directory fills, and the fields that hold text.
_FILES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "arena_hard_v0.1.jsonl": ("en", ("prompt",)),
    "alpaca_eval_gpt4o_mini.json": ("en", ("instruction",)),
    "self_instruct_seed_tasks.jsonl": ("document", ("instruction",)),
    "gpteacher_codegen.json": ("code", ("instruction", "input")),
    "gsm8k_test.jsonl": ("math", ("question",)),
    "human_eval.jsonl.gz": ("code", ("prompt",)),
}


@dataclass(frozen=True, slots=True)
class Texts:
    """Pools of prompts by kind (a language, ``code``, ``math``, ``document``); thousands each, or all of a file."""

    pools: Mapping[str, tuple[str, ...]]

    def draw(self, rng: np.random.Generator, kind: str, count: int) -> list[str]:
        """``count`` prompts of a kind, with repeats as people repeat themselves."""
        pool = self.pools[kind]
        return [pool[i] for i in rng.integers(0, len(pool), count)]


def built_in_texts(seed: int) -> Texts:
    """Pools from the grammar: the same for the same seed."""
    return Texts({kind: _expand(generator(seed, "text", kind), patterns) for kind, patterns in PATTERNS.items()})


def load_texts(directory: Path, seed: int) -> Texts:
    """Pools from prompt files, as they are in ``shared/data/prompts``; kinds that no file fills come from the grammar.

    Raises:
        InputNotFoundError: none of the known files is in ``directory``.
    """
    found: dict[str, list[str]] = {}
    for name, (kind, fields) in _FILES.items():
        path = directory / name
        if path.exists():
            found.setdefault(kind, []).extend(_texts_of(path, fields))
    if not found:
        raise InputNotFoundError(
            f"No prompt file in {directory}", next_step=f"Put one of these there: {', '.join(_FILES)}"
        )
    return Texts({**built_in_texts(seed).pools, **{kind: tuple(texts) for kind, texts in found.items()}})


def _texts_of(path: Path, fields: tuple[str, ...]) -> list[str]:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    records: list[dict[str, Any]] = (
        json.loads(raw) if path.suffix == ".json" else [json.loads(line) for line in raw.splitlines() if line.strip()]
    )
    texts = ("\n".join(record[field] for field in fields if record.get(field)) for record in records)
    return [text[:MAX_PROMPT_CHARS] for text in texts if text]


def _expand(rng: np.random.Generator, patterns: tuple[str, ...]) -> tuple[str, ...]:
    draws = iter(rng.random(POOL_SIZE * 12).tolist())

    def word(match: re.Match[str]) -> str:
        words = SLOTS[match.group(1)]
        return words[int(next(draws) * len(words))]

    return tuple(_SLOT.sub(word, patterns[int(next(draws) * len(patterns))]) for _ in range(POOL_SIZE))
