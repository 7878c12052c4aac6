"""Tables of docs/performance.md on many processes, too much load, a large store and how cost grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from scripts.gen_performance import chart, measured, read

STAGES: Final = ("ingest", "worker", "serve")
CHANGES: Final = {"": "nothing happens, to compare", "worker": "a second worker", "ingest": "a second ingest"}
CURVES: Final = {
    "size": "bytes of a message",
    "packed": "events a message",
    "keys": "accounts, all alike",
    "partitions": "partitions",
}


def scale_backlog_table() -> Iterator[str]:
    """One, two and four processes of a stage at a backlog."""
    found = read("scale")
    part = found["backlog"]
    yield measured(
        found, f"{part['events'] / 1e6:g} million events, 8 partitions, all processes and the broker together"
    )
    yield ""
    yield "| processes | ingest, CPU-seconds per million | events/s | MB each | worker, the same | events/s | MB each |"
    yield "|---|---|---|---|---|---|---|"
    rows = {(row["stage"], row["processes"]): row for row in part["rows"]}
    for number in sorted({row["processes"] for row in part["rows"]}):
        each = " | ".join(
            f"{row['cpu_s_per_million']:.1f} | {row['events_per_s']:,.0f} | {row['each_peak_mb']:,.0f}"
            for row in (rows["ingest", number], rows["worker", number])
        )
        yield f"| {number} | {each} |"


def scale_steady_table() -> Iterator[str]:
    """The same at a steady rate."""
    part = read("scale")["steady"]
    yield (
        f"| of each, at {part['rate']:,} events/s | ingest, cores | worker, cores | serve, cores "
        "| CPU-seconds per million | ingest, worker, MB each |"
    )
    yield "|---|---|---|---|---|---|"
    for row in part["rows"]:
        cores = row["cores"]
        each = " | ".join(f"{cores[stage]:.2f}" for stage in STAGES)
        memory = ", ".join(f"{row['each_mb'][stage]:,.0f}" for stage in ("ingest", "worker"))
        yield f"| {row['processes']} | {each} | {sum(cores.values()) / part['rate'] * 1e6:,.0f} | {memory} |"


def rebalance_table() -> Iterator[str]:
    """What an event waits for around each change of a group."""
    part = read("scale")["rebalance"]
    yield f"| at {part['rate']:,} events/s | longest from sending to SQL, each time |"
    yield "|---|---|"
    for row in part["rows"]:
        what = "" if not row["stage"] else f" {row['what']}"
        each = ", ".join(f"{seconds:.1f} s" for seconds in row["longest_s"])
        yield f"| {CHANGES[row['stage']]}{what} | {each} |"


def overload_table() -> Iterator[str]:
    """Twice the maximum, then half of it."""
    found = read("overload")
    most, high, low, after = (found[name] for name in ("most", "overload", "drained", "after"))
    how = f"{most['events_per_s']:,.0f} events/s are the most from a backlog; all three stages, sender and broker"
    yield measured(found, how)
    yield ""
    yield from (
        "| | sent a second | stored a second | ingest, worker, serve: MB at most | MB more a minute, once warm |",
        "|---|---|---|---|---|",
    )
    for what, part in (
        (f"overload, {high['seconds']:.0f} s", high),
        (f"then, until nothing waited: {low['seconds']:.0f} s", low),
    ):
        peak = ", ".join(f"{part['peak_mb'][stage]:,.0f}" for stage in STAGES)
        slope = ", ".join(f"{part['mb_a_minute'][stage]:+.1f}" for stage in STAGES)
        yield f"| {what} | {part['sent_per_s']:,.0f} | {part['stored_per_s']:,.0f} | {peak} | {slope} |"
    yield ""
    yield (
        f"{high['most_waiting']:,} events waited at most. Once nothing did, at {after['events_per_s']:,} events/s, it "
        f"took p50 {after['p50_s']:.2f} s and p99 {after['p99_s']:.2f} s from event to SQL; the last one that took 2 s "
        f"was sent {after['back_under_s']:.0f} s after the overload. All {found['sent']:,} that were sent were in the "
        f"store at the end, or among the dead letters ({found['dead_letters']:,})."
    )


def days_table() -> Iterator[str]:
    """A store that holds a month."""
    found = read("days")
    caught = found["catch_up"]
    yield measured(
        found,
        f"{found['accounts']:,} accounts, {found['days']} days, {found['rows'] / 1e6:,.0f} million rows, "
        f"{found['file_bytes'] / 1e9:,.1f} GB",
    )
    yield ""
    yield from (
        "| table | rows | bytes a row in the file | of them histograms (`tally`) | entries of one |",
        "|---|---|---|---|---|",
    )
    for table, one in found["tables"].items():
        if one["rows"]:
            of_it = (
                f"{one['tally_bytes'] / one['rows']:.0f} | {one['tally_entries']:.1f}" if "tally_bytes" in one else " |"
            )
            yield f"| `{table}` | {one['rows']:,} | {one['bytes'] / one['rows']:.0f} | {of_it} |"
    yield f"| panes, hours and days together | {found['pane_rows']:,} | {found['pane_bytes']:.0f} | | |"
    yield ""
    yield from (f"| saved question, {found['repeats']} times each | p50 | p95 |", "|---|---|---|")
    for row in found["queries"]:
        times = f"{row['p50_s']:.2f} s | {row['p95_s']:.2f} s" if not row["failed"] else f"{row['failed']} |"
        yield f"| `{row['name']}` | {times} |"
    yield ""
    yield (
        f"`serve` answers {found['start_s']:.1f} s after its start. What came in {caught['minutes']} minutes at "
        f"{caught['rate']:,} events/s while nothing ran was in the store {caught['took_s']:.0f} s after ingest and "
        f"worker were started: {caught['events_per_s']:,.0f} events/s, "
        f"{caught['times_real_time']:.1f} times real time, {caught['serve_cpu_s_per_million']:.0f} CPU-seconds of "
        f"`serve` per million; it held {caught['serve_peak_mb']:,.0f} MB at most."
    )


def memory_table() -> Iterator[str]:
    """A million accounts in an hour."""
    found = read("memory")
    yield measured(
        found,
        f"{found['accounts']:,} accounts; a backlog of an hour, {found['events'] / 1e6:g} million events, "
        f"then {found['rate']:,} events/s for {found['seconds']} s",
    )
    yield ""
    yield from (
        "| settings | at the backlog: ingest, worker, serve, MB | at the steady rate | rules that failed |",
        "|---|---|---|---|",
    )
    for row in found["rows"]:
        each = " | ".join(
            ", ".join(f"{row[part][stage]:,.0f}" for stage in STAGES) for part in ("backlog_mb", "steady_mb")
        )
        failed = ", ".join(f"`{rule}`" for rule in row["rules_failed"]) or "none"
        yield f"| {row['name']} | {each} | {failed} |"
    yield ""
    for row in found["rows"]:
        if row["settings"]:
            said = ", ".join(f"`{_setting(name)} = {value}`" for name, value in row["settings"].items())
            yield f"- *{row['name']}*: {said}"


def curves_table() -> Iterator[str]:
    """How the cost of ingest and worker grows with each thing."""
    found = read("curves")
    yield measured(found, "events of 480 bytes, 20,000 accounts, 4 partitions but for what is told")
    for curve, rows in found["curves"].items():
        yield ""
        yield from (
            f"| {CURVES[curve]} | ingest, CPU-seconds per million | events/s | MB | worker, the same | events/s | MB |",
            "|---|---|---|---|---|---|---|",
        )
        for row in rows:
            each = " | ".join(
                f"{one['cpu_s_per_million']:.1f} | {one['events_per_s']:,.0f} | {one['peak_mb']:,.0f}"
                for one in (row["ingest"], row["worker"])
            )
            yield f"| {row['at']} | {each} |"
    for curve in ("size", "packed"):
        rows = [row for row in found["curves"].get(curve, ()) if "array" not in row["at"]]
        if rows:
            yield ""
            yield from chart(
                f"Ingest, CPU-seconds per million events by {CURVES[curve]}",
                [row["at"].split()[0] for row in rows],
                [row["ingest"]["cpu_s_per_million"] for row in rows],
                "line",
                "CPU-seconds",
            )


def _setting(name: str) -> str:
    return name.removeprefix("STILLWATCH_").lower().replace("__", ".")


PARTS: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "scale_backlog": scale_backlog_table,
    "scale_steady": scale_steady_table,
    "rebalance": rebalance_table,
    "overload": overload_table,
    "days": days_table,
    "memory": memory_table,
    "curves": curves_table,
}
