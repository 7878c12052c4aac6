"""What a delta adds to panes, links, distributions and loops.

Every column merges by sum, min, max or union, in any order and grouping.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

import polars as pl

from pipeline.events.distribution import PHASES
from pipeline.events.schema import UTC_MICROSECONDS

PANE_S: Final = 60
HOUR_S: Final = 3600
SKETCH_SIZE: Final = 32  # bottom-k: relative standard error about 1/sqrt(k-2), 18 %; exact below k

FEATURES: Final = 2 * PHASES  # of a prompt: the cosines of its phases, then the sines
FRAGMENTS_KEPT: Final = 64  # links to fragments an account and hour, the smallest hashes
PASSAGES_KEPT: Final = 64  # sampled passages an account, hour and side, the smallest hashes

EntityKind = Literal[
    "account", "api_key", "end_user", "template", "system_prompt", "client", "network", "reasoning_blob"
]

# Merged by sum; all Int64.
SUMS: Final = (
    "events",
    "errors",  # status >= 400
    "rate_limited",  # 429
    "refused",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "input_tokens_sq",  # sum of squares
    "output_tokens_sq",
    "latency_ms",
    "latency_events",  # events that told their latency
    "single_turn",  # message_count <= 2
    "tool_events",  # tools offered
    "streamed",
    "sampled_n",  # n > 1
    "logprobs",
    "seeded",
    "capped",  # output_tokens >= max_tokens, or finish_reason length
)

PANES: Final = pl.Schema(
    {
        "kind": pl.String(),  # an EntityKind
        "entity_id": pl.String(),  # hashes as 16 hexadecimal digits
        "pane": UTC_MICROSECONDS,  # start of [pane, pane + 60 s)
        **dict.fromkeys(SUMS, pl.Int64()),
        "first_seen": UTC_MICROSECONDS,  # min
        "last_seen": UTC_MICROSECONDS,  # max
        # Sparse histograms as a multiset of (count << 12 | feature << 8 | bucket): union is concatenation, counts of
        # equal codes add up. The count is on top, since most are small: zeros above it take no room in the store.
        "tally": pl.List(pl.UInt64),
        # Bottom-k sketches: the k smallest distinct 64-bit hashes, ascending.
        "ip_sketch": pl.List(pl.UInt64),
        "prompt_sketch": pl.List(pl.UInt64),
    }
)

TALLY_CODE_BITS: Final = 12  # of an entry of `tally`: below them its code, above them the count

# Feature numbers in `tally`, 0..15; buckets are 0..255.
TALLY_INPUT_TOKENS: Final = 1  # bucket = bit length of the value: 0, 1, 2-3, 4-7, …
TALLY_OUTPUT_TOKENS: Final = 2
TALLY_LATENCY_MS: Final = 3
TALLY_LANGUAGE: Final = 4  # bucket = index in a fixed list of languages
TALLY_REQUEST_KIND: Final = 5  # bucket = index in pipeline.events.cues.KINDS

LINKS: Final = pl.Schema(
    {
        "hour": UTC_MICROSECONDS,  # start of the hour of event time
        "source_kind": pl.String(),  # account or api_key
        "source_id": pl.String(),
        "target_kind": pl.String(),  # an EntityKind, or model, asn
        "target_id": pl.String(),
        "events": pl.Int64(),
        "output_tokens": pl.Int64(),
        "first_seen": UTC_MICROSECONDS,
        "last_seen": UTC_MICROSECONDS,
    }
)
# account → template, system_prompt, client, network, api_key, end_user, reasoning_blob, fragment, model, asn;
# api_key → network, client.

DISTRIBUTIONS: Final = pl.Schema(
    {
        "account_id": pl.String(),
        "hour": UTC_MICROSECONDS,  # start of the hour of event time
        "events": pl.Int64(),  # prompts: requests whose last user message has a word
        "prompt_sum": pl.Array(pl.Int64, FEATURES),  # of their features, see distributions.py
    }
)

LOOPS: Final = pl.Schema(
    {
        "account_id": pl.String(),
        "hour": UTC_MICROSECONDS,  # start of the hour of event time
        "output": pl.Boolean(),  # true: the model said it to the account; false: the account sent it to the model
        "passage": pl.UInt64(),  # see pipeline.events.loops
        "events": pl.Int64(),
        "first_seen": UTC_MICROSECONDS,  # min
    }
)


@dataclass(frozen=True, slots=True)
class Delta:
    """What one emission of one source partition adds. Covers input offsets ``[from_offset, to_offset)`` and no others.

    Successive deltas of a partition are contiguous. A restarted worker begins at some earlier delta's ``to_offset``;
    so whoever applies a delta first removes what it has of the partition from ``from_offset`` on.
    """

    partition: int  # of the topic stillwatch.events; the delta travels in the same partition of stillwatch.fingerprints
    generation: int  # of the worker's consumer group; an older one is a zombie's
    from_offset: int
    to_offset: int
    committed: int  # input offset known to be committed: nothing before it is ever emitted again
    watermark: datetime | None  # of this partition: newest event time seen, less the lateness; None: no event yet
    idle: bool  # the partition has been read to its end and quiet for idle_after_s
    emitted_at: datetime
    events: int  # counted
    duplicates: int  # seen within the hour before, not counted
    late: int  # counted, though their pane was behind the watermark
    panes: pl.DataFrame = field(compare=False)  # PANES, one row a (kind, entity_id, pane)
    links: pl.DataFrame = field(compare=False)  # LINKS, one row a (hour, source, target)
    distributions: pl.DataFrame = field(compare=False)  # DISTRIBUTIONS, one row an (account_id, hour)
    loops: pl.DataFrame = field(compare=False)  # LOOPS, one row an (account_id, hour, output, passage)
