"""A rule as people and programs read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from pipeline.rules.model import Rule


def duration(span: timedelta) -> str:
    """A duration as rules write it."""
    seconds = int(span.total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s" if seconds else "0"


def row(rule: Rule, *, disabled: bool) -> dict[str, Any]:
    """A line of the list of rules."""
    meta = rule.meta
    return {
        "id": rule.rule_id,
        "state": "disabled" if disabled else "on",
        "severity": meta.severity,
        "confidence": meta.confidence,
        "status": meta.status,
        "evidence": meta.evidence,
        "dimension": meta.dimension,
        "window": duration(meta.window),
        "hop": duration(meta.hop),
        "every": duration(meta.every),
        "owner": meta.owner,
        "tags": meta.tags,
        "origin": "shipped" if rule.shipped else rule.origin,
        "version": rule.version,
        "title": meta.title,
    }


def whole(rule: Rule, *, disabled: bool) -> dict[str, Any]:
    """All that there is to say, as values of JSON."""
    meta = rule.meta
    return {
        **row(rule, disabled=disabled),
        "description": meta.description,
        "for": duration(meta.pending_for),
        "keep_firing_for": duration(meta.keep_firing_for),
        "live": meta.live,
        "alert": meta.alert,
        "alert_at": meta.alert_at,
        "parameters": {
            name: {"value": rule.parameters[name], **item.model_dump()} for name, item in meta.parameters.items()
        },
        "references": meta.references,
        "false_positives": meta.false_positives,
        "limits": meta.limits,
        "runbook": meta.runbook,
        "tests": [case.name for case in meta.tests],
        "files": [f"{rule.origin}.sql", f"{rule.origin}.yml"],
        "sql": rule.sql,
    }


def as_text(rule: Rule, *, disabled: bool) -> str:
    """For a terminal."""
    return "\n".join(_lines(rule, whole(rule, disabled=disabled)))


def _lines(rule: Rule, told: Mapping[str, Any]) -> Iterator[str]:
    meta = rule.meta
    yield f"{rule.rule_id}: {meta.title}"
    yield f"  {told['state']}, {meta.status}, version {rule.version}, {rule.origin}.sql"
    yield f"  severity {meta.severity}, confidence {meta.confidence}, evidence {meta.evidence} about {meta.dimension}"
    yield f"  kept by {meta.owner or 'nobody'}; tags: {', '.join(meta.tags) or 'none'}"
    yield f"  windows of {told['window']}, ending every {told['hop']}; a filling one is looked at every {told['every']}"
    if meta.live:
        yield "  looked at in between too, as soon as something came"
    if meta.alert == "match":
        yield (
            f"  a match of {meta.alert_at:g} or more alerts after {told['for']}, "
            f"and is over after {told['keep_firing_for']} without one"
        )
    else:
        yield "  opens no alert of its own: what it finds counts towards scores"
    yield ""
    yield meta.description.strip()
    if meta.parameters:
        yield from ("", "parameters")
        wide = max(map(len, meta.parameters))
        for name, item in meta.parameters.items():
            value = rule.parameters[name]
            changed = f", not {item.default:g} as shipped" if value != item.default else ""
            yield f"  {name:{wide}}  {value:g}  ({item.min:g} to {item.max:g}{changed}) {item.description}"
    for title, items in (
        ("known to look the same", meta.false_positives),
        ("what it does not see", meta.limits),
        ("references", meta.references),
        ("tests", told["tests"]),
    ):
        if items:
            yield from ("", title, *(f"  - {item}" for item in items))
    yield from ("", "what to do", *(f"  {number}. {step}" for number, step in enumerate(meta.runbook, 1)))
