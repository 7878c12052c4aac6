"""A rule as people and programs read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pipeline.rules.meta import LOOK_EVERY_S, PIPELINE, PipelineRule
from pipeline.rules.model import Rule, RuleMeta


def duration(span: timedelta) -> str:
    """A duration as rules write it."""
    seconds = int(span.total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s" if seconds else "0"


def row(rule: Rule | PipelineRule, *, disabled: bool) -> dict[str, Any]:
    """A line of the list of rules; what a rule about the pipeline has not is null."""
    state = "disabled" if disabled else "on"
    if isinstance(rule, PipelineRule):
        return {
            "id": rule.rule_id,
            "state": state,
            "severity": rule.meta.severity,
            "confidence": None,
            "status": None,
            "evidence": None,
            "dimension": PIPELINE,
            "window": None,
            "hop": None,
            "every": duration(timedelta(seconds=LOOK_EVERY_S)),
            "clock": "wall",
            "owner": None,
            "tags": rule.meta.tags,
            "origin": "shipped",
            "version": rule.version,
            "title": rule.meta.title,
        }
    meta = rule.meta
    return {
        "id": rule.rule_id,
        "state": state,
        "severity": meta.severity,
        "confidence": meta.confidence,
        "status": meta.status,
        "evidence": meta.evidence,
        "dimension": meta.dimension,
        "window": duration(meta.window),
        "hop": duration(meta.hop),
        "every": duration(meta.every),
        "clock": "event",
        "owner": meta.owner,
        "tags": meta.tags,
        "origin": "shipped" if rule.shipped else rule.origin,
        "version": rule.version,
        "title": meta.title,
    }


def listed(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Lines of the list for a terminal."""
    names = ("id", "state", "severity", "confidence", "status", "evidence", "every", "origin", "title")
    return [
        {name: str(one[name] or "-") for name in names}
        | ({"every": f"{one['every']} (wall clock)"} if one["clock"] == "wall" else {})
        for one in rows
    ]


def whole(rule: Rule | PipelineRule, *, disabled: bool) -> dict[str, Any]:
    """All that there is to say, as values of JSON."""
    meta = rule.meta
    alerts = (
        {
            "live": meta.live,
            "keep_firing_for": duration(meta.keep_firing_for),
            "alert": meta.alert,
            "alert_at": meta.alert_at,
        }
        if isinstance(meta, RuleMeta)
        else {"live": False, "keep_firing_for": "0", "alert": "match", "alert_at": None}
    )
    return {
        **row(rule, disabled=disabled),
        "description": meta.description,
        "for": duration(meta.pending_for),
        **alerts,
        "parameters": {
            name: {"value": rule.parameters[name], **item.model_dump()} for name, item in meta.parameters.items()
        },
        "references": meta.references if isinstance(meta, RuleMeta) else [],
        "false_positives": meta.false_positives,
        "limits": meta.limits,
        "runbook": meta.runbook,
        "tests": [case.name for case in meta.tests],
        "files": [f"{rule.origin}.sql", f"{rule.origin}.yml"],
        "sql": rule.sql,
    }


def as_text(rule: Rule | PipelineRule, *, disabled: bool) -> str:
    """For a terminal."""
    told = whole(rule, disabled=disabled)
    head = _pipeline_head(rule, told) if isinstance(rule, PipelineRule) else _head(rule, told)
    return "\n".join((*head, *_body(told)))


def _pipeline_head(rule: PipelineRule, told: Mapping[str, Any]) -> Iterator[str]:
    lasts = "at once" if told["for"] == "0" else f"when that has lasted for {told['for']}"
    yield f"{rule.rule_id}: {rule.meta.title}"
    yield f"  {told['state']}, version {rule.version}, {rule.origin}.sql"
    yield f"  severity {rule.meta.severity}, about the pipeline itself; tags: {', '.join(rule.meta.tags) or 'none'}"
    yield f"  serve looks every {told['every']}, by the wall clock; it alerts {lasts}, until it is no longer so"


def _head(rule: Rule, told: Mapping[str, Any]) -> Iterator[str]:
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


def _body(told: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield told["description"].strip()
    if told["parameters"]:
        yield from ("", "parameters")
        wide = max(map(len, told["parameters"]))
        for name, item in told["parameters"].items():
            value, default = item["value"], item["default"]
            changed = f", not {default:g} as shipped" if value != default else ""
            yield f"  {name:{wide}}  {value:g}  ({item['min']:g} to {item['max']:g}{changed}) {item['description']}"
    for title, items in (
        ("known to look the same", told["false_positives"]),
        ("what it does not see", told["limits"]),
        ("references", told["references"]),
        ("tests", told["tests"]),
    ):
        if items:
            yield from ("", title, *(f"  - {item}" for item in items))
    yield from ("", "what to do", *(f"  {number}. {step}" for number, step in enumerate(told["runbook"], 1)))
