"""What kind of request a text is: whether it asks for the model's reasoning, for grades, for a cleaned version of what
a model wrote, for new instructions, for the solution of a benchmark's item, or for none of these.

A kind is no accusation: teachers grade, audits ask for explanations, and whoever tests a model sends benchmark items.

Source: what Anthropic (2026) and AA26-251A report that distillers ask for; docs/request-kinds.md. Of the first and last
2,000 characters of prompt and system prompt, words of eleven languages are looked up that stand for one notion each
(`request_kind.toml`); *cues* say which notions in one sentence (or in two that follow each other, or in the text) speak
for which kind and how much. Each cue counts once; a kind is taken from 3 points on, that with most points; a
benchmark's item only where no other is. Every decision can be read: ``why`` lists the cues that fired.

Cost: about 10 CPU-µs for an ordinary text of 1 KB (4 for a usual prompt), 30 where words are found that may decide, in
batches of thousands; a batch costs some 15 ms by itself. What it loses: requests in other words or languages (see the
figures in the docs); with hashes only the gateway computes it (`content.request_kind`); with metadata only it is null.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.events.cues import KINDS, Cues, cues, plain
from pipeline.events.template import composed, normalised, stable_hash

THRESHOLD: Final = 3.0
_END_CHARS: Final = 2000
_PIECE_BYTES: Final = 2_000_000  # of text at a time
_SHORT_CHARS: Final = 700  # sums in words are not longer, and what they ask for is asked everywhere
_TELLING: Final = 1.0  # points of a system prompt from which on the prompt is looked at, whatever words it has
_NOTHING: Final = np.uint64(0)
_FALLBACK: Final = KINDS.index("benchmark_item")

Bits = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Read:
    """What was found: in which texts was looked, which cues and forms fired in each, and its notions as bits."""

    at: npt.NDArray[np.int64]
    fired: Flags
    notions: Bits


def request_kinds(
    prompts: pl.Series,
    systems: pl.Series,
    folded_prompts: pl.Series | None = None,
    folded_systems: pl.Series | None = None,
) -> pl.Series:
    """One of KINDS for each request; null where neither text has anything but blanks.

    ``folded_…`` are the texts as ``normalised`` makes them, for a caller that has them already.
    """
    folded_prompts = normalised(prompts) if folded_prompts is None else folded_prompts
    folded_systems = normalised(systems) if folded_systems is None else folded_systems
    at, fired = _fired(prompts, systems, folded_prompts, folded_systems)
    kinds = np.zeros(len(prompts), dtype=np.int64)
    kinds[at] = _decide(fired)
    told = (folded_prompts != "").fill_null(value=False) | (folded_systems != "").fill_null(value=False)
    found = pl.Series(KINDS, dtype=pl.String).gather(kinds)
    return pl.select(pl.when(pl.lit(told)).then(pl.lit(found))).to_series().alias("request_kind")


def why(prompt: str | None, system: str | None = None) -> list[tuple[str, str, float]]:
    """Kind, name and weight of each cue that fired: how a request came to its kind."""
    texts = pl.Series([prompt], dtype=pl.String), pl.Series([system], dtype=pl.String)
    _, fired = _fired(*texts, *(normalised(text) for text in texts))
    hits = [cues().every[place] for place in np.flatnonzero(fired.any(axis=0))]
    return [(one.kind, one.name, one.weight) for one in hits]


def _decide(fired: Flags) -> npt.NDArray[np.int64]:
    scores = fired.astype(np.float64) @ cues().weights
    scores[:, 0] = 0.0
    others = scores.copy()
    others[:, _FALLBACK] = 0.0
    best = np.where(others.max(axis=1, initial=0.0) >= THRESHOLD, others.argmax(axis=1), 0)
    item = (best == 0) & (scores[:, _FALLBACK] >= THRESHOLD)
    return np.where(item, _FALLBACK, best)


def _fired(
    prompts: pl.Series, systems: pl.Series, folded_prompts: pl.Series, folded_systems: pl.Series
) -> tuple[npt.NDArray[np.int64], Flags]:
    """Requests in which a cue may have fired, and which did."""
    model = cues()
    told = _once(systems, _has_anchor(folded_systems, model), model)
    telling = np.zeros(len(prompts), dtype=np.bool_)
    telling[told.at] = (told.fired.astype(np.float64) @ model.weights >= _TELLING).any(axis=1)
    asked = _once(prompts, _has_anchor(folded_prompts, model) | (telling & prompts.is_not_null().to_numpy()), model)
    at = np.union1d(told.at, asked.at)
    fired = np.zeros((len(at), len(model.every)), dtype=np.bool_)
    notions = np.zeros(len(at), dtype=np.uint64)
    for read in (told, asked):
        rows = np.searchsorted(at, read.at)
        fired[rows] |= read.fired
        notions[rows] |= read.notions
    for place, cue in enumerate(model.cues):
        if cue.where == "text":
            fired[:, place] = _holds(notions, cue.needs, cue.without)
    return at, fired


def _has_anchor(folded: pl.Series, model: Cues) -> Flags:
    found = np.zeros(len(folded), dtype=np.bool_)
    there = folded.is_not_null().arg_true()
    if there.is_empty():
        return found
    text = _ends(folded.gather(there)).to_frame("text").select(text=pl.concat_str(pl.lit(" "), "text"))
    facts = text.select(
        ascii=pl.col("text").str.len_bytes() == pl.col("text").str.len_chars(),
        brief=pl.col("text").str.len_chars() <= _SHORT_CHARS,
    )
    for (plain_ascii, brief), anchors in model.anchors.items():
        at = ((facts["ascii"] == plain_ascii) & (facts["brief"] == brief)).arg_true()
        if not at.is_empty():
            hits = at.filter(text["text"].gather(at).str.contains(anchors))
            found[there.gather(hits).to_numpy()] = True
    return found


def _once(texts: pl.Series, wanted: Flags, model: Cues) -> _Read:
    """Read each distinct text that is wanted once: system prompts repeat, and so do prompts."""
    at = np.flatnonzero(wanted)
    if not len(at):
        return _Read(at, np.zeros((0, len(model.every)), dtype=np.bool_), np.zeros(0, dtype=np.uint64))
    hashes = texts.gather(at).to_frame("text").select(stable_hash("text")).to_series().to_numpy()
    _, firsts, codes = np.unique(hashes, return_index=True, return_inverse=True)
    read = _read(texts.gather(at[firsts]), model)
    return _Read(at, read.fired[codes], read.notions[codes])


def _read(texts: pl.Series, model: Cues) -> _Read:
    lower = composed(_ends(texts)).str.to_lowercase()
    owner, sentences = _sentences(plain(lower), model)
    near = sentences.copy()
    same = owner[1:] == owner[:-1]
    near[:-1][same] |= sentences[1:][same]
    notions = np.zeros(len(texts), dtype=np.uint64)
    np.bitwise_or.at(notions, owner, sentences)
    fired = np.zeros((len(texts), len(model.every)), dtype=np.bool_)
    masks = {"sentence": sentences, "near": near}
    for place, cue in enumerate(model.cues):
        if cue.where != "text":
            fired[owner[_holds(masks[cue.where], cue.needs, cue.without)], place] = True
    chars = lower.str.len_chars().to_numpy()
    counted: dict[str, pl.Series] = {}
    for place, form in enumerate(model.forms, len(model.cues)):
        may = _holds(notions, form.after)
        if form.most_chars is not None:
            may &= chars <= form.most_chars
        at = np.flatnonzero(may)
        if len(at):
            # Forms with one pattern differ by how often it is to be there.
            if form.pattern not in counted:
                counted[form.pattern] = lower.gather(at).str.count_matches(form.pattern)
            fired[at, place] = (counted[form.pattern] >= form.least).to_numpy()
    return _Read(np.arange(len(texts)), fired, notions)


def _ends(texts: pl.Series) -> pl.Series:
    """The first and last 2,000 characters; of what is no longer than both all."""
    long = (texts.str.len_chars() > 2 * _END_CHARS).fill_null(value=False)
    if not long.any():
        return texts
    at = long.arg_true()
    whole = texts.gather(at).to_frame("text")
    head, tail = pl.col("text").str.head(_END_CHARS), pl.col("text").str.tail(_END_CHARS)
    return texts.scatter(at, whole.select(pl.concat_str(head, tail, separator="\n")).to_series())


def _sentences(flat: pl.Series, model: Cues) -> tuple[npt.NDArray[np.int64], Bits]:
    """Row and notions of each sentence in which any was found, in order."""
    phrases = pl.col("text").str.extract_many(model.phrases.categories.to_list(), overlapping=True)
    owners, sentences = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.uint64)]
    # In parts, since every letter of a text may be a match of its own, which takes twenty times its memory.
    pieces = (flat.str.len_bytes().cum_sum().to_numpy() - 1) // _PIECE_BYTES
    begins = np.flatnonzero(np.diff(pieces, prepend=-1))
    for begin, end in zip(begins, [*begins[1:], len(flat)], strict=True):
        found = flat[int(begin) : int(end)].to_frame("text").select(phrases).with_row_index("at")
        found = found.explode("text").drop_nulls("text")
        at = found["at"].to_numpy().astype(np.int64) + begin
        masks = model.masks[found["text"].cast(model.phrases).to_physical().to_numpy()]
        if not len(at):
            continue
        # The end of a sentence has no bits, and begins the next.
        starts = np.flatnonzero(np.concatenate(([True], (at[1:] != at[:-1]) | (masks[:-1] == 0))))
        notions = np.bitwise_or.reduceat(masks, starts)
        owners.append(at[starts][notions != 0])
        sentences.append(notions[notions != 0])
    return np.concatenate(owners), np.concatenate(sentences)


def _holds(notions: Bits, needs: np.uint64, without: np.uint64 = _NOTHING) -> Flags:
    held: Flags = ((notions & needs) == needs) & ((notions & without) == 0)
    return held
