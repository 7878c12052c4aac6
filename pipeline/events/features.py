"""Features of a request's text, its origin and its tools: what stays when the text is dropped."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.events.check import NOBODY
from pipeline.events.cues import KINDS
from pipeline.events.distribution import DISTRIBUTION, PHASES, phases
from pipeline.events.fragments import MOST, fragments
from pipeline.events.json_lines import nested, unescape
from pipeline.events.language import guess_languages
from pipeline.events.loops import MOST as MOST_PASSAGES
from pipeline.events.loops import loop_in, loop_out
from pipeline.events.request_kind import request_kinds
from pipeline.events.schema import EVENTS
from pipeline.events.template import distinct, normalised, skeletons, stable_hash
from pipeline.events.text import count_list, read_text
from pipeline.events.words import in_words

HASHES: Final = ("system_hash", "template_hash", "prompt_hash")
LENGTHS: Final = ("system_chars", "prompt_chars", "response_chars")
_GIVEN: Final = (*HASHES, *LENGTHS, "language", "request_kind", "distribution")
# Lists of hashes, and how many an event has at most.
HASH_LISTS: Final = {"fragments": MOST, "loop_out": MOST_PASSAGES, "loop_in": MOST_PASSAGES}
_CONTENT: Final = pl.Schema(
    [*((name, pl.String()) for name in _GIVEN), *((name, pl.List(pl.String())) for name in HASH_LISTS)]
)
_BLOBS: Final = pl.Schema({"m": pl.List(pl.String)})
_TEXTS: Final = ("system", "messages", "prompt", "response")
_LISTS: Final = ("reasoning_blobs", *HASH_LISTS)
_HEX64: Final = r"^[0-9a-f]{16}$"
_PHASES: Final = rf"^[0-9a-f]{{{2 * PHASES}}}$"
_ACCEPTED: Final = {
    **dict.fromkeys(HASHES, "16 hexadecimal digits"),
    **dict.fromkeys(LENGTHS, "a whole number"),
    "language": "an ISO code",
    "request_kind": f"one of {', '.join(KINDS)}",
    "distribution": f"{2 * PHASES} hexadecimal digits",
}
_COUNTS: Final = ("message_count", "tool_count", "tool_call_count")
_NOTHING: Final = [
    pl.repeat(None, pl.len(), dtype=pl.UInt32() if name in _COUNTS else EVENTS[name]).alias(name)
    for name in (*_GIVEN, *_COUNTS, *_LISTS)
]
_LANGUAGE: Final = r"^([a-z]{2,3}|[A-Z][a-z]{3})$"


def text_features(wire: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Feature columns of EVENTS with ``message_count``, ``tool_count`` and ``tool_call_count`` as the text has them, a
    row for each of ``wire``; and the rows whose text or content has a wrong shape (REFUSED).
    """
    found = wire.select(_NOTHING)
    refused = [NOBODY]
    # Metadata-only traffic goes past all of this.
    if any(wire[name].null_count() < len(wire) for name in _TEXTS):
        told = wire.select(pl.any_horizontal(pl.col(_TEXTS).is_not_null())).to_series().arg_true()
        made, bad = _of_text(wire[told])
        # Polars scatters no lists: the rows are gathered instead, null where there was no text.
        row = pl.Series([None], dtype=pl.UInt32).new_from_index(0, len(wire)).scatter(told, range(len(told)))
        found = found.with_columns(made[name].gather(row) for name in made.columns)
        refused.append(bad.with_columns(pl.lit(told).gather(pl.col("at")).alias("at")))
    if wire["content"].null_count() < len(wire):
        given, bad = _of_content(wire["content"])
        found = found.with_columns(pl.coalesce(given[name], found[name]).alias(name) for name in given.columns)
        refused.append(bad)
    if wire["tools"].null_count() < len(wire):
        found = found.with_columns(count_list(wire["tools"]).alias("tool_count"))
    if wire["reasoning_blobs"].null_count() < len(wire):
        blobs, bad = _blobs(wire["reasoning_blobs"])
        found = found.with_columns(blobs)
        refused.append(bad)
    return found, pl.concat(refused)


def _of_text(wire: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    text = read_text(wire)
    firsts, codes = distinct(text["system"])
    masked = pl.DataFrame(
        {
            "system": normalised(text["system"].gather(firsts)).gather(codes),
            "prompt": normalised(text["prompt"]),
            "template": skeletons(text["prompt"]),
        }
    )
    hashes = masked.select(
        *(
            pl.when(pl.col(name) != "").then(stable_hash(name)).alias(hashed)
            for name, hashed in (("system", "system_hash"), ("template", "template_hash"), ("prompt", "prompt_hash"))
        )
    )
    lengths = text.select(
        pl.col("system").str.len_chars().cast(pl.Int32).alias("system_chars"),
        pl.col("prompt_chars").cast(pl.Int32),
        pl.col("response").str.len_chars().cast(pl.Int32).alias("response_chars"),
        pl.col("messages").alias("message_count"),
        pl.col("tool_calls").alias("tool_call_count"),
    )
    language = guess_languages(text["prompt"]).alias("language")
    words = in_words(masked["prompt"])
    passages = fragments(masked["system"], masked["prompt"], words)
    place = phases(len(masked), words)
    kind = request_kinds(text["prompt"], text["system"], masked["prompt"], masked["system"])
    loops = (
        loop_out(text["response"]).alias("loop_out"),
        loop_in(text["system"], text["earlier"], words).alias("loop_in"),
    )
    bad = text["shape"].arg_true()
    detail = "messages is to be a list of messages, each an object"
    return hashes.hstack(lengths).with_columns(language, passages, place, kind, *loops), _refuse(
        bad, "wrong_type", detail
    )


def _of_content(column: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What a gateway computed itself: hashes and phases as hexadecimal digits, lengths, a language, a kind."""
    raw = nested(column, _CONTENT)
    made = raw.select(
        *(
            pl.when(pl.col(name).str.contains(_HEX64))
            .then(pl.col(name))
            .str.to_integer(base=16, dtype=pl.UInt64, strict=False)
            for name in HASHES
        ),
        *(pl.col(name).cast(pl.Int32, strict=False) for name in LENGTHS),
        pl.when(pl.col("language").str.contains(_LANGUAGE)).then(pl.col("language")),
        pl.when(pl.col("request_kind").is_in(KINDS)).then(pl.col("request_kind")),
        pl.when(pl.col("distribution").str.contains(_PHASES))
        .then(pl.col("distribution").str.decode("hex", strict=False))
        .bin.reinterpret(dtype=DISTRIBUTION),
    )
    refused = [
        _refuse(
            (column.is_not_null() & ~column.str.starts_with("{")).arg_true(), "wrong_type", "content is to be an object"
        )
    ]
    for name in _GIVEN:
        lost = (raw[name].is_not_null() & made[name].is_null()).arg_true()
        refused.append(_refuse(lost, "wrong_type", f"content.{name} is to be {_ACCEPTED[name]}"))
    for name, most in HASH_LISTS.items():
        given, bad = _given_hashes(raw[name], most)
        made = made.with_columns(given)
        refused.append(bad)
    refused += [_refuse((made[name] < 0).arg_true(), "out_of_range", f"content.{name} is negative") for name in LENGTHS]
    return made, pl.concat(refused)


def _given_hashes(lists: pl.Series, most: int) -> tuple[pl.Series, pl.DataFrame]:
    """Hashes as 16 hexadecimal digits each; ascending, each once, as many as an event keeps."""
    made = lists.list.eval(
        pl.when(pl.element().str.contains(_HEX64))
        .then(pl.element())
        .str.to_integer(base=16, dtype=pl.UInt64, strict=False)
    )
    detail = f"content.{lists.name} is to be at most {most} times 16 hexadecimal digits"
    wrong = (made.list.eval(pl.element().is_null()).list.any() | (made.list.len() > most)).arg_true()
    return made.list.unique().list.sort(), _refuse(wrong, "wrong_type", detail)


def _blobs(column: pl.Series) -> tuple[pl.Series, pl.DataFrame]:
    at = column.is_not_null().arg_true()
    texts = column.gather(at)
    shaped = texts.str.starts_with("[")
    wrapped = (
        texts.to_frame("t")
        .select(pl.when(pl.lit(shaped)).then(pl.concat_str(pl.lit('{"m":'), "t", pl.lit("}"))).otherwise(pl.lit("{}")))
        .to_series()
    )
    lists = nested(wrapped, _BLOBS)["m"]
    told = unescape(pl.DataFrame({"at": at, "m": lists}).explode("m")).drop_nulls("m")
    hashed = told.with_columns(stable_hash("m").alias("h")).group_by("at").agg(pl.col("h").unique().sort())
    rows = pl.DataFrame({"at": pl.arange(0, len(column), dtype=pl.UInt32, eager=True)})
    blobs = rows.join(hashed, on="at", how="left", maintain_order="left")["h"].alias("reasoning_blobs")
    bad = at.filter(~shaped | lists.is_null())
    return blobs, _refuse(bad, "wrong_type", "reasoning_blobs is to be a list of text")


def _refuse(at: pl.Series, reason: str, detail: str) -> pl.DataFrame:
    return pl.DataFrame({"at": at}).select(
        pl.col("at").cast(pl.UInt32), pl.lit(reason).alias("reason"), pl.lit(detail).alias("detail")
    )
