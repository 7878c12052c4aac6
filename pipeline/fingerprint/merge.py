"""Panes and links put together: exact, in any order and any grouping."""

from __future__ import annotations

import polars as pl

from pipeline.fingerprint.grouping import Coded, code_integers, code_strings, combine, group
from pipeline.fingerprint.schema import LINKS, PANES, SUMS
from pipeline.fingerprint.sketch import merge_sketches, merge_tallies


def merge_panes(*frames: pl.DataFrame) -> pl.DataFrame:
    """One row a (kind, entity_id, pane) from PANES frames."""
    panes = pl.concat([PANES.to_frame(), *frames])
    if panes.is_empty():
        return panes
    kind, entity, pane = _code(panes["kind"]), _code(panes["entity_id"]), _code(panes["pane"].to_physical())
    keys, limit = combine((kind.codes, kind.size), (entity.codes, entity.size), (pane.codes, pane.size))
    groups = group(keys, key_limit=limit)
    heads = panes.select("kind", "entity_id", "pane")[groups.order[groups.starts]]
    merged = heads.with_columns(
        *(pl.Series(name, groups.sum(panes[name].to_numpy()), dtype=pl.Int64) for name in SUMS),
        pl.Series("first_seen", groups.minimum(panes["first_seen"].to_physical().to_numpy())),
        pl.Series("last_seen", groups.maximum(panes["last_seen"].to_physical().to_numpy())),
        merge_tallies(groups, panes["tally"]).alias("tally"),
        merge_sketches(groups, panes["ip_sketch"]).alias("ip_sketch"),
        merge_sketches(groups, panes["prompt_sketch"]).alias("prompt_sketch"),
    )
    return merged.select(PANES.names()).cast(PANES).sort("kind", "entity_id", "pane")


def merge_links(*frames: pl.DataFrame) -> pl.DataFrame:
    """One row a (hour, source, target) from LINKS frames."""
    key = ["hour", "source_kind", "source_id", "target_kind", "target_id"]
    merged = (
        pl.concat([LINKS.to_frame(), *frames])
        .group_by(key)
        .agg(
            pl.col("events", "output_tokens").sum(),
            pl.col("first_seen").min(),
            pl.col("last_seen").max(),
        )
    )
    return merged.select(LINKS.names()).sort("source_kind", "source_id", "target_kind", "target_id", "hour")


def _code(column: pl.Series) -> Coded:
    coded = code_strings(column) if column.dtype == pl.String else code_integers(column)
    assert coded is not None
    return coded
