"""How surely does an injected passage show? Share of pairs of requests with a fragment in common, and what it costs.

    python -m benchmarks.passages

A passage of so many words stands before, behind or in the middle of payloads of so many words (random words of a small
vocabulary, so that payloads share some phrases by chance); two requests of one campaign are compared. The last column
is the share of pairs of payloads alone that have a fragment in common.
"""

from __future__ import annotations

import itertools
import json
import time
from typing import Final

import numpy as np
import polars as pl

from pipeline.events.fragments import fragments
from pipeline.events.template import normalised
from pipeline.events.words import in_words

_PASSAGES: Final = (12, 20, 40)
_PAYLOADS: Final = (20, 100, 600)
_PAIRS: Final = 400
_WORDS: Final = 3000


def _texts(rng: np.random.Generator, words: int) -> list[str]:
    draw = rng.zipf(1.3, (_PAIRS * 2, words)) % _WORDS
    return [" ".join(f"w{number}" for number in row) for row in draw.tolist()]


def _shared(texts: list[str]) -> float:
    """Of neighbours (0 and 1, 2 and 3 …), which share has a fragment in common."""
    said = normalised(pl.Series(texts))
    found = fragments(pl.Series([None] * len(texts), dtype=pl.String), said, in_words(said)).to_list()
    return sum(bool(set(a) & set(b)) for a, b in zip(found[::2], found[1::2], strict=True)) / (len(texts) // 2)


def _placed(rng: np.random.Generator, passage: int, payload: int, place: str) -> float:
    texts = _texts(rng, payload)
    # Another passage for each pair: some passages have luckier hashes than others.
    passages = [text for text in _texts(rng, passage)[::2] for _ in (0, 1)]
    if place == "before":
        both = [f"{said} {text}" for said, text in zip(passages, texts, strict=True)]
    elif place == "behind":
        both = [f"{text} {said}" for said, text in zip(passages, texts, strict=True)]
    else:
        half = payload // 2
        both = [
            " ".join([*text.split()[:half], said, *text.split()[half:]])
            for said, text in zip(passages, texts, strict=True)
        ]
    return _shared(both)


def main() -> None:
    """Print a table and one line of JSON."""
    rng = np.random.default_rng(1)
    print(f"{'passage':>8}{'payload':>9}{'before':>9}{'behind':>9}{'middle':>9}{'none':>9}")
    rows = []
    for passage, payload in itertools.product(_PASSAGES, _PAYLOADS):
        shares = [_placed(rng, passage, payload, place) for place in ("before", "behind", "middle")]
        shares.append(_shared(_texts(rng, payload)))
        print(f"{passage:>8}{payload:>9}" + "".join(f"{share:>9.3f}" for share in shares))
        rows.append({"passage": passage, "payload": payload, "shares": shares})
    texts = normalised(pl.Series(_texts(rng, 200)))
    none = pl.Series([None] * len(texts), dtype=pl.String)
    begun = time.process_time()
    for _ in range(20):
        fragments(none, texts, in_words(texts))
    cost = (time.process_time() - begun) / 20 / len(texts) * 1e6
    summary = {"rows": rows, "cpu_s_per_million": round(cost, 1), "mean_bytes": texts.str.len_bytes().mean()}
    print(f"passages: {json.dumps(summary)}")


if __name__ == "__main__":
    main()
