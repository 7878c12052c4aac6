"""How well kinds of request are told apart, and what it costs: `python -m benchmarks.request_kinds [--prompts DIR]`.

Without ``--prompts`` the matrices of the texts written for this project (`benchmarks/data/request_kinds.ndjson`):
``held_out`` were written before the cues and never tuned on, ``tuning`` before and tuned on; ``later`` after them, in
other words on purpose, then tuned on; ``fresh`` likewise, last of all, and not tuned on. With it also what becomes of
the public prompt sets in that directory, those that are there. ``--docs`` writes the figures into
docs/request-kinds.md; ``--errors`` shows what went wrong and which cues fired.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from pipeline.events.cues import KINDS
from pipeline.events.request_kind import request_kinds, why
from pipeline.events.template import normalised

WRITTEN: Final = Path(__file__).parent / "data" / "request_kinds.ndjson"
DOCS: Final = Path(__file__).parents[1] / "docs" / "request-kinds.md"
EVENTS: Final = 20_000  # in a batch
ROUNDS: Final = 5

SPLITS: Final = ("held_out", "fresh", "later", "tuning")

Row = Mapping[str, Any]

# File, kind that its prompts are, and how to read a prompt of it.
PUBLIC: Final[dict[str, tuple[str, str, Callable[[Row], str]]]] = {
    "Arena-Hard": ("arena_hard_v0.1.jsonl", "ordinary", lambda row: row["prompt"]),
    "AlpacaEval": ("alpaca_eval_gpt4o_mini.json", "ordinary", lambda row: row["instruction"]),
    "GPTeacher code": ("gpteacher_codegen.json", "ordinary", lambda row: f"{row['instruction']}\n{row['input']}"),
    "self-instruct seeds": (
        "self_instruct_seed_tasks.jsonl",
        "ordinary",
        lambda row: f"{row['instruction']}\n{row['instances'][0]['input']}",
    ),
    "GSM8K": ("gsm8k_test.jsonl", "benchmark_item", lambda row: row["question"]),
    "HumanEval": ("human_eval.jsonl.gz", "benchmark_item", lambda row: row["prompt"]),
}


def read_rows(path: Path) -> list[Row]:
    """Objects of a file of JSON or of lines of JSON, gzipped or not."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]


def written(split: str) -> pl.DataFrame:
    """The project's own texts: kind, language, prompt, system, found."""
    rows = [row for row in read_rows(WRITTEN) if row["split"] == split]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(("kind", "language", "prompt", "system"), pl.String))
    return frame.with_columns(request_kinds(frame["prompt"], frame["system"]).alias("found"))


def public(directory: Path) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """Name, kind and prompts with what was found, of each set that is there."""
    for name, (file, kind, read) in PUBLIC.items():
        if (directory / file).exists():
            prompts = pl.Series("prompt", [read(row) for row in read_rows(directory / file)])
            none = pl.Series("system", [None] * len(prompts), dtype=pl.String)
            yield name, kind, pl.DataFrame([prompts, none, request_kinds(prompts, none).alias("found")])


def matrix(frame: pl.DataFrame) -> Iterator[str]:
    """A table: rows are what a text is, columns what was found."""
    counts = {(kind, found): count for kind, found, count in frame.group_by("kind", "found").len().iter_rows()}
    yield "| is ↓, found → | " + " | ".join(f"`{kind}`" for kind in KINDS) + " |"
    yield "|---|" + "---|" * len(KINDS)
    for kind in KINDS:
        yield f"| `{kind}` | " + " | ".join(str(counts.get((kind, found), 0)) for found in KINDS) + " |"


def sets(directory: Path) -> Iterator[str]:
    """A table: a row a public set."""
    yield "| set | prompts | are | " + " | ".join(f"`{kind}`" for kind in KINDS) + " |"
    yield "|---|---|---|" + "---|" * len(KINDS)
    for name, kind, frame in public(directory):
        counts = dict(frame["found"].value_counts().iter_rows())
        cells = " | ".join(str(counts.get(found, 0)) for found in KINDS)
        yield f"| {name} | {len(frame)} | `{kind}` | {cells} |"


def cost(texts: pl.Series) -> float:
    """CPU-µs a text, beside what normalising it costs anyway; the least of some rounds over a batch."""
    none = pl.Series([None] * len(texts), dtype=pl.String)
    folded = normalised(texts), normalised(none)
    spent = []
    for _ in range(ROUNDS):
        before = time.process_time()
        request_kinds(texts, none, *folded)
        spent.append(time.process_time() - before)
    return min(spent) / len(texts) * 1e6


def loads(directory: Path) -> Iterator[tuple[str, pl.Series]]:
    """Batches of distinct texts, to measure the cost on."""
    rows = read_rows(directory / PUBLIC["AlpacaEval"][0])
    prompts = [frame["prompt"] for name, _, frame in public(directory) if name in {"AlpacaEval", "Arena-Hard"}]
    asked = pl.concat(prompts).to_list()
    interesting = [row["prompt"] for row in read_rows(WRITTEN) if row["kind"] not in {"ordinary", "benchmark_item"}]
    for name, texts, chars in (
        ("ordinary prompts as they are", asked, 0),
        ("ordinary prompts, filled up to 1 KB", asked, 1000),
        ("each of an interesting kind, filled up to 1 KB", interesting, 1000),
    ):
        made = []
        for place in range(EVENTS):
            text = texts[place % len(texts)]
            made.append(f"{place} " + (f"{text}\n\n{rows[place % len(rows)]['output']}"[:chars] if chars else text))
        yield name, pl.Series(made)


def errors(frame: pl.DataFrame, kind: str | None = None) -> Iterator[str]:
    """What was found wrong, and why."""
    for row in frame.iter_rows(named=True):
        if row["found"] != (kind or row["kind"]):
            fired = ", ".join(f"{name} ({weight:g})" for _, name, weight in why(row["prompt"], row["system"]))
            yield f"{row['found']}: {row['prompt'][:200]!r}\n    {fired}"


def write(name: str, lines: list[str]) -> None:
    """Put a table between its marks in the docs."""
    block = re.compile(rf"(<!-- measured: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    text = block.sub(lambda found: found[1] + "\n" + "\n".join(lines) + "\n\n" + found[2], DOCS.read_text("utf-8"))
    DOCS.write_text(text, "utf-8")


def main() -> None:
    """Print the tables; write them where wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=Path, help="directory of public prompt sets")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/request-kinds.md")
    parser.add_argument("--errors", action="store_true", help="show what was found wrong, and which cues fired")
    options = parser.parse_args()
    tables = {split: list(matrix(written(split))) for split in SPLITS}
    if options.prompts:
        tables["public"] = list(sets(options.prompts))
        rows = [f"| {name} | {cost(texts):.1f} |" for name, texts in loads(options.prompts)]
        tables["cost"] = ["| batch of 20,000 | CPU-µs an event |", "|---|---|", *rows]
    for name, lines in tables.items():
        print(f"\n{name}", *lines, sep="\n")
        if options.docs:
            write(name, lines)
    if options.errors:
        print(*errors(written("tuning")), sep="\n")
        for _, kind, frame in public(options.prompts) if options.prompts else ():
            print(*errors(frame, kind), sep="\n")


if __name__ == "__main__":
    main()
