"""The columns of panes, links, distributions and loops as SQL: names, and how several rows of one key become one."""

from __future__ import annotations

from typing import Final

from pipeline.fingerprint.schema import PASSAGES_KEPT, SUMS

# Sums of squares of absurd token counts can leave 64 bits: they stop at the end of them instead of failing.
_MERGED_SUMS: Final = tuple(f"least(sum({name}), 9223372036854775807)::bigint as {name}" for name in SUMS)

PANE_KEY: Final = ("kind", "entity_id", "window_start")
DISTRIBUTION_KEY: Final = ("hour", "account_id")
LOOP_KEY: Final = ("hour", "account_id", "output", "passage")
LINK_KEY: Final = ("source_kind", "source_id", "target_kind", "target_id")


def _merged(macro: str, name: str) -> str:
    """Of a row that is alone, as most are, there is nothing to merge: lists cost more than all else here."""
    return f"case when count(*) = 1 then first({name}) else {macro}(flatten(list({name}))) end as {name}"


PANE_MERGE: Final = ", ".join(
    (
        *_MERGED_SUMS,
        "min(first_seen) as first_seen",
        "max(last_seen) as last_seen",
        _merged("tally_merge", "tally"),
        _merged("sketch_merge", "ip_sketch"),
        _merged("sketch_merge", "prompt_sketch"),
    )
)
LINK_MERGE: Final = (
    "sum(events)::bigint as events, sum(output_tokens)::bigint as output_tokens, "
    "min(first_seen) as first_seen, max(last_seen) as last_seen"
)
DISTRIBUTION_MERGE: Final = "sum(events)::bigint as events, distribution_sum(prompt_sum) as prompt_sum"
LOOP_MERGE: Final = "sum(events)::bigint as events, min(first_seen) as first_seen"
# Behind the grouping: the smallest of all are among the smallest of every part, so what stays has whole numbers.
LOOP_KEPT: Final = (
    f"qualify row_number() over (partition by hour, account_id, output order by passage) <= {PASSAGES_KEPT}"
)
SEEN: Final = ("events", "errors", "refused", "input_tokens", "output_tokens")
SEEN_MERGE: Final = ", ".join(
    (
        "min(first_seen) as first_seen",
        "max(last_seen) as last_seen",
        *(f"sum({name})::bigint as {name}" for name in SEEN),
    )
)
