"""Rewrites the generated parts of docs/: settings, metrics, facts about dependencies, and a page for each signal.

A generated part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``. ``--check`` changes nothing and
exits 1 when a file is not current.
"""

from __future__ import annotations

import json
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from importlib.metadata import metadata
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from packaging.utils import canonicalize_name
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipeline.config import Lake, Settings
from pipeline.delivery.bodies import MAX_GROUPED
from pipeline.delivery.endpoints import Endpoint
from pipeline.delivery.post import KEPT_BYTES, MAX_ANSWER_BYTES
from pipeline.delivery.retry import JITTER, MAX_RETRY_AFTER_S, SCHEDULE_S, verdict
from pipeline.delivery.sender import BREAKS_AFTER, RESTS_S
from pipeline.delivery.topic import CONFIRMED_WITHIN_S
from pipeline.detect.reference import load_reference
from pipeline.metrics import DEFINITIONS
from pipeline.rules.load import load_rules
from pipeline.rules.model import UNSCORED, Rule
from pipeline.rules.sigma.fields import FIELDS
from scripts import gen_performance, gen_scale

DOCS = Path(__file__).resolve().parents[1] / "docs"
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
REQUIREMENTS = DOCS.parent / "requirements/dev.txt"
PIN = re.compile(r"^([\w.-]+)(?:\[[^]]*\])?==([^ ;\\]+)", re.MULTILINE)
DEPENDENCY = re.compile(r"^\| `([\w.-]+)` \| [^|]*\| [^|]*\| (.*)$", re.MULTILINE)
PLAIN = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true, false",
    Path: "path",
    Lake: "DuckLake",
    SecretStr: "secret",
}


def cells(*values: str) -> str:
    """A row of a Markdown table; a bar inside a cell is escaped."""
    return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"


def type_name(annotation: Any) -> str:
    """How a person calls a type."""
    if annotation in PLAIN:
        return PLAIN[annotation]
    origin = get_origin(annotation)
    if origin is typing.Annotated:
        return type_name(get_args(annotation)[0])
    if origin is Literal:
        return ", ".join(f"`{item}`" for item in get_args(annotation))
    if origin is tuple:
        return "list of " + type_name(get_args(annotation)[0])
    if origin is dict:
        return "table of " + type_name(get_args(annotation)[1])
    if origin in (types.UnionType, typing.Union):
        return " or ".join(type_name(item) for item in get_args(annotation) if item is not type(None))
    raise TypeError(f"a setting of type {annotation!r} has no name for people yet")


def default_text(item: FieldInfo) -> str:
    """A default as it would be written in TOML; unset ones have none."""
    if item.default is None or item.default is PydanticUndefined:
        return ""
    value = list(item.default) if isinstance(item.default, tuple) else item.default
    shown = value if isinstance(value, bool | int | float | list | dict) else str(value)
    return f"`{json.dumps(shown, ensure_ascii=False)}`"


def settings_table() -> Iterator[str]:
    """Every setting, a table a section, in the order of the tree."""
    for section, field in Settings.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        yield f"\n**`[{section}]`** {model.__doc__}\n"
        yield from ("| setting | type | default | meaning |", "|---|---|---|---|")
        for name, item in model.model_fields.items():
            meaning = item.description or ""
            yield cells(f"`{name}`", type_name(item.annotation), default_text(item), meaning)
    yield ""


def metrics_table() -> Iterator[str]:
    """Every metric as Prometheus sees it."""
    yield from ("", "| metric | kind | labels | meaning |", "|---|---|---|---|")
    for name, item in DEFINITIONS.items():
        suffix = "_total" if item.kind == "counter" else ""
        labels = ", ".join(f"`{label}`" for label in item.labels)
        yield cells(f"`stillwatch_{name}{suffix}`", item.kind, labels, item.help)
    yield ""


def reference_table() -> Iterator[str]:
    """The shipped reference: populations, how high they score, and their bounds."""
    reference = load_reference(None)
    yield from (
        f"\nMeasured on {reference.about}.\n",
        "| population | accounts | a score of 0.3 or more | of 0.5 | highest | B |",
    )
    yield "|---|---|---|---|---|---|"
    for name, one in sorted(reference.populations.items()):
        highest = f"{one.scores[-1][0]:.3f}" if one.scores else "none"
        high = (f"{one.reaching(score):,}" for score in (0.3, 0.5))
        yield cells(f"`{name}`", f"{one.accounts:,}", *high, highest, f"{one.bound:.2f}")
    yield ""


SIGMA_ROLES = {
    "who": "no matter",
    "flag": "minute",
    "size": "minute",
    "kind": "minute",
    "thing": "hour",
    "sketch": "minute",
}


def sigma_table() -> Iterator[str]:
    """Fields that a Sigma rule may name."""
    yield from (
        "",
        "| field | also | counted by the | of API keys | `value_count` | what it is |",
        "|---|---|---|---|---|---|",
    )
    for one in FIELDS:
        also = ", ".join(f"`{alias}`" for alias in one.aliases)
        keys = "" if one.of_entity("api_key") and one.target != "api_key" else "no"
        counted = "yes" if one.role in {"thing", "sketch"} else ""
        keys = "itself" if one.target == "api_key" else keys or "yes"
        yield cells(f"`{one.name}`", also, SIGMA_ROLES[one.role], keys, counted, one.meaning)
    yield ""


def span(seconds: float) -> str:
    """A duration as the pages write it."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def delivery_table() -> Iterator[str]:
    """What becomes of a message by what a receiver answers, and the limits of delivery."""
    said: dict[str, list[int]] = {}
    for status in range(200, 600):
        said.setdefault(verdict(status), []).append(status)
    whole = [hundred for hundred in (3, 5) if {hundred * 100, hundred * 100 + 99} <= set(said["retry"])]
    single = [str(status) for status in said["retry"] if status // 100 not in whole]
    passing = ", ".join([*single, *(f"{hundred}xx" for hundred in whole)])
    endpoint = Endpoint.model_fields
    tries, longest = len(SCHEDULE_S) + 1, sum(SCHEDULE_S)
    waits = ", ".join(span(wait) for wait in SCHEDULE_S)
    drawn = f"each drawn between {1 - JITTER:g} and {1 + JITTER:g} times that"
    yield from ("", "| answer | what happens |", "|---|---|")
    yield cells("2xx", "delivered")
    yield cells(
        f"{passing}, no answer, no connection",
        f"tried again after {waits}, {drawn}; a longer Retry-After is kept to, up to {span(MAX_RETRY_AFTER_S)}. "
        f"After {tries} tries given up: `failed`. That is {longest / 86_400:.1f} days after the first on average, and "
        f"{longest * (1 + JITTER) / 86_400:.1f} at most without Retry-After",
    )
    assert said["gone"] == [410]
    yield cells("410", "the receiver is taken for gone, with all that waits for it: `disabled`, until `webhooks retry`")
    yield cells("other 4xx", "given up at once: `failed`")
    yield from ("", "| limit | |", "|---|---|")
    yield cells(
        "time of a try", f"{span(endpoint['timeout_s'].default)}; `timeout_s` of an endpoint, `webhook.timeout_s`"
    )
    rests = ", ".join(span(rest) for rest in RESTS_S)
    yield cells(
        "breaker",
        f"after {BREAKS_AFTER} failures in a row nothing is tried for {span(RESTS_S[0])}, then one message, by which "
        f"it decides; each failure of that one rests longer: {rests}. A message refused is no such failure",
    )
    yield cells("pace", "as fast as it answers, one message at a time; `--per-minute`, `--at-once` (16 at most)")
    yield cells(
        "a group",
        f"{span(endpoint['group_wait_s'].default)} after its first alert (`group_wait_s`), then each "
        f"{span(endpoint['group_interval_s'].default)} at most (`group_interval_s`); the worst {MAX_GROUPED} in full",
    )
    yield cells("of an answer", f"{MAX_ANSWER_BYTES // 1024} KiB are read, the first {KEPT_BYTES:,} bytes kept")
    yield cells("a topic", f"the broker confirms within {span(CONFIRMED_WITHIN_S)}, or it is tried again")
    yield ""


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "sigma": sigma_table,
    "settings": settings_table,
    "metrics": metrics_table,
    "reference": reference_table,
    "delivery": delivery_table,
    **gen_performance.PARTS,
    **gen_scale.PARTS,
}


def pinned(name: str) -> str:
    """The version that the requirements name; where it hangs on the version of Python, each."""
    found = [pin[2] for pin in PIN.finditer(REQUIREMENTS.read_text("utf-8")) if pin[1] == canonicalize_name(name)]
    if not found:
        raise SystemExit(f"error: {name} is not in {REQUIREMENTS.name} → make requirements")
    return ", ".join(found)


def licence(name: str) -> str:
    """The licence a distribution declares: its expression, else its classifier, else the first line of its text."""
    facts = metadata(name)
    expression = facts.get_all("License-Expression")
    classified = [
        item.rpartition(" :: ")[2] for item in facts.get_all("Classifier") or () if item.startswith("License")
    ]
    text = facts.get_all("License") or ["not declared"]
    return str((expression or classified or text)[0]).strip().partition("\n")[0]


def current(path: Path) -> str:
    """A file's text with its generated parts as they should be."""
    text = path.read_text(encoding="utf-8")
    text = BLOCK.sub(lambda found: found[1] + "\n".join(PARTS[found[2]]()) + "\n" + found[3], text)
    if path != DOCS / "dependencies.md":
        return text
    return DEPENDENCY.sub(
        lambda found: f"| `{found[1]}` | {pinned(found[1])} | {licence(found[1])} | {found[2]}",
        text,
    )


def every(span: timedelta) -> str:
    """A duration as a person says it."""
    minutes = int(span.total_seconds()) // 60
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"


def listed(title: str, items: Iterable[str]) -> list[str]:
    """A heading and a list."""
    return [f"## {title}", "", *(f"- {item}" for item in items), ""]


def benign_table(rule_id: str) -> Iterator[str]:
    """How many accounts of each population of the shipped reference have such a signal."""
    yield from ("| population | accounts | with a signal | of 0.5 or more |", "|---|---|---|---|")
    for name, one in sorted(load_reference(None).populations.items()):
        high = (f"{one.showing(rule_id, strength):,}" for strength in (0.0, 0.5))
        yield cells(f"`{name}`", f"{one.accounts:,}", *high)


def among_benign(rule: Rule) -> Iterator[str]:
    """What the reference knows of a rule; of what counts towards no score nothing was measured with it."""
    yield from ("## Among benign accounts", "")
    if rule.meta.evidence == UNSCORED:
        yield "It counts towards no score, so the shipped reference has no figures of it; it opens alerts of its own."
        return
    yield from (
        "How many of the shipped reference show it (see [method.md](../method.md)), by what is known of them:",
        "",
    )
    yield from benign_table(rule.rule_id)


def signal_page(rule: Rule) -> str:
    """All that a rule's YAML says about its signal."""
    meta = rule.meta
    names = [cells(f"`{name}`", f"{item.default:g}", item.description) for name, item in meta.parameters.items()]
    lines = [
        f"# {meta.title}",
        "",
        (
            f"`{rule.rule_id}`, evidence of kind `{meta.evidence}`. "
            f"Written by `make docs` from `sql/rules/{rule.rule_id}.yml`."
        ),
        "",
        (
            f"Severity {meta.severity}, confidence {meta.confidence}, {meta.status}, kept by {meta.owner}. "
            f"Tags: {', '.join(f'`{tag}`' for tag in meta.tags)}."
        ),
        "",
        meta.description,
        "",
        *listed("After", meta.references),
        *listed("Known to look the same", meta.false_positives),
        *listed("What it does not see", meta.limits),
        *listed("What to do", meta.runbook),
        *listed("Tried on every change", (case.name for case in meta.tests)),
        *among_benign(rule),
        "",
        "## When it looks",
        "",
        (
            f"Windows of {every(meta.window)} that end each {every(meta.hop)}; the last one is looked at each "
            f"{every(meta.every)} of event time."
        ),
        "What a look costs stands in the metric `stillwatch_rules_seconds`.",
        "",
        "## Parameters",
        "",
        "| parameter | default | meaning |",
        "|---|---|---|",
        *names,
    ]
    return "\n".join(lines) + "\n"


def signal_pages() -> dict[Path, str]:
    """A page for each shipped rule, and a list of them."""
    rules = load_rules(Settings().rules)
    pages = {DOCS / "signals" / f"{rule.rule_id}.md": signal_page(rule) for rule in rules}
    rows = [f"| [`{rule.rule_id}`]({rule.rule_id}.md) | {rule.meta.evidence} | {rule.meta.title} |" for rule in rules]
    head = ["# Signals", "", "One page a rule. How they add up stands in [rules.md](../rules.md).", ""]
    pages[DOCS / "signals" / "README.md"] = (
        "\n".join([*head, "| rule | evidence | what |", "|---|---|---|", *rows]) + "\n"
    )
    return pages


def main(arguments: list[str]) -> int:
    """Write, or with ``--check`` only compare."""
    stale = []
    pages = signal_pages()
    for path in sorted({*DOCS.rglob("*.md"), *pages}):
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        after = pages[path] if path in pages else current(path)
        if before != after:
            stale.append(path.relative_to(DOCS.parent).as_posix())
            if "--check" not in arguments:
                path.parent.mkdir(exist_ok=True)
                path.write_text(after, encoding="utf-8")
    print("\n".join(stale) if stale else "all generated parts of docs/ are current")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
