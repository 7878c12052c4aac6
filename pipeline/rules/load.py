"""Reads the shipped rules and the user's directory; a bad file is named with all that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

from pipeline.config import RuleSettings
from pipeline.errors import ConfigError
from pipeline.resources import rule_files, sql_dir
from pipeline.rules.lint import problems as sql_problems
from pipeline.rules.meta import PipelineRule, read_pipeline_rules
from pipeline.rules.model import Rule, RuleFileError, RuleMeta, out_of_range
from pipeline.rules.strict_yaml import MAX_BYTES, read_model
from pipeline.sql_text import behind

RULE_ID: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Reading:
    """One pair of files as it was read: the rule, or what is wrong with it."""

    rule_id: str
    base: Path  # without .sql or .yml
    rule: Rule | None
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Installed:
    """All that the settings name: rules that can be used, by id, disabled ones too; what is wrong with the others.

    Rules about the pipeline itself stand apart: they run by the wall clock. ``broken`` has the problems of single
    rules of either kind by their id, ``settings`` those of no rule.
    """

    rules: Mapping[str, Rule]
    pipeline: Mapping[str, PipelineRule]
    disabled: frozenset[str]
    broken: Mapping[str, tuple[str, ...]]
    settings: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """All there are."""
        return tuple(sorted((*self.settings, *(one for wrong in self.broken.values() for one in wrong))))

    def active(self) -> RuleSet:
        """Those that run."""
        on = self.disabled.isdisjoint
        return RuleSet(
            {name: self.rules[name] for name in sorted(self.rules) if on({name})},
            {name: self.pipeline[name] for name in sorted(self.pipeline) if on({name})},
            frozenset(self.broken) - self.rules.keys() - self.pipeline.keys() - self.disabled,
        )


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules by id, in the order in which they run; those about the pipeline itself apart, and not iterated over.

    ``missing``: ids of rules that ought to run and cannot be read. What they found is neither renewed nor over.
    """

    rules: Mapping[str, Rule]
    pipeline: Mapping[str, PipelineRule] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules.values())

    def __len__(self) -> int:
        return len(self.rules)


def load_rules(settings: RuleSettings) -> RuleSet:
    """Read every rule that is not disabled: those shipped, then the user's.

    Raises:
        RuleFileError: with every problem of every file; nothing is loaded then.
    """
    found = installed(settings)
    if found.problems:
        raise _unusable(found)
    return found.active()


def usable_rules(settings: RuleSettings) -> Installed:
    """As ``installed``, for whoever goes on with the rules that can be used and says what is wrong with the others.

    Raises:
        ConfigError: ``rules.directory`` is not there.
        RuleFileError: with every problem of every file, where no rule is left.
    """
    if settings.directory is not None and not settings.directory.is_dir():
        raise ConfigError(
            f"rules.directory: {settings.directory}: no such directory",
            next_step="make it, or correct the setting; no path at all is fine where there are no rules of your own",
        )
    found = installed(settings)
    if found.problems and not found.active():
        raise _unusable(found)
    return found


def _unusable(found: Installed) -> RuleFileError:
    return RuleFileError(
        "rules cannot be used:\n  " + "\n  ".join(found.problems),
        next_step="correct the files; docs/rules.md has the fields",
    )


def installed(settings: RuleSettings) -> Installed:
    """Read every rule, those shipped first, with the parameters of the settings; says what cannot be used."""
    found: dict[str, Rule] = {}
    broken: dict[str, tuple[str, ...]] = {}
    problems: list[str] = []
    for directory in (sql_dir("rules"), *([settings.directory] if settings.directory else [])):
        if not directory.is_dir():
            problems.append(f"{directory}: no such directory")
            continue
        for read in read_pairs(directory):
            wrong = read.problems
            if read.rule is not None and read.rule_id in found:
                wrong = (f"{read.base}: the id {read.rule_id} is taken by {found[read.rule_id].origin}",)
            elif read.rule is not None and not wrong:
                found[read.rule_id] = read.rule
            if wrong:
                broken[read.rule_id] = (*broken.get(read.rule_id, ()), *wrong)
    about = read_pipeline_rules()
    pipeline = {read.rule_id: read.rule for read in about if read.rule is not None}
    broken |= {read.rule_id: read.problems for read in about if read.problems}
    known = found.keys() | pipeline.keys() | broken.keys()
    problems += [f"rules.disabled: there is no rule {name}" for name in settings.disabled if name not in known]
    for name, values in settings.parameters.items():
        try:
            if name in found:
                found[name] = override(found[name], values)
            elif name in pipeline:
                pipeline[name] = override(pipeline[name], values)
            elif name not in broken:
                problems.append(f"rules.parameters: there is no rule {name}")
        except RuleFileError as error:
            (found if name in found else pipeline).pop(name)
            broken[name] = (f"rules.parameters: {error.message}",)
    return Installed(found, pipeline, frozenset(settings.disabled), broken, tuple(sorted(problems)))


def load_directory(directory: Path) -> RuleSet:
    """Read the rules of one directory only.

    Raises:
        RuleFileError: with every problem of every file, or there is no rule.
    """
    rules, wrong = read_directory(directory)
    if wrong or not rules:
        raise RuleFileError(
            f"{directory}: " + ("\n  ".join(["rules cannot be used:", *wrong]) if wrong else "no rule here"),
            next_step="a rule is a pair ID.sql and ID.yml; docs/rules.md has the fields",
        )
    return RuleSet(rules)


def read_directory(directory: Path) -> tuple[dict[str, Rule], list[str]]:
    """Rules of a directory, and what is wrong with the others; a rule with a problem is not among the first."""
    if not directory.is_dir():
        return {}, [f"{directory}: no such directory"]
    pairs = read_pairs(directory)
    rules = {read.rule_id: read.rule for read in pairs if read.rule is not None}
    return rules, [problem for read in pairs for problem in read.problems]


def read_pairs(directory: Path) -> list[Reading]:
    """Every pair of files of a directory that is there, in the order of their ids; hidden files are none."""
    stems = {path.stem for path in rule_files(directory)}
    return [_read_pair(directory / stem) for stem in sorted(stems)]


def _read_pair(base: Path) -> Reading:
    if not RULE_ID.fullmatch(base.name):
        said = f"{base}: {base.name!r} is no id of a rule; use lower-case letters, digits, _ and -, a letter first"
        return Reading(base.name, base, None, (said,))
    rule, wrong = _read(base)
    problems = tuple(f"{base}{part}" for part in wrong)
    return Reading(base.name, base, None if problems else rule, problems)


def _read(base: Path) -> tuple[Rule | None, list[str]]:
    missing = [f"{suffix}: missing" for suffix in (".sql", ".yml") if not base.with_suffix(suffix).is_file()]
    if ".yml: missing" in missing and base.with_suffix(".yaml").is_file():
        return None, [f".yaml: name it {base.name}.yml"]
    if missing:
        return None, missing
    meta, problems = read_model(base.with_suffix(".yml"), RuleMeta)
    try:
        if base.with_suffix(".sql").stat().st_size > MAX_BYTES:
            return None, [*problems, f".sql: larger than {MAX_BYTES} bytes"]
        sql = base.with_suffix(".sql").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return None, [*problems, f".sql: {error}"]
    if meta is None:
        return None, problems
    names = frozenset(meta.parameters)
    problems += [f".sql: {text}" for text in sql_problems(sql, names)]
    defaults = {name: item.default for name, item in meta.parameters.items()}
    return Rule(
        base.name, meta, sql, defaults, str(base), behind(sql), shipped=base.parent == sql_dir("rules")
    ), problems


_R = TypeVar("_R", Rule, PipelineRule)


def override(rule: _R, values: Mapping[str, float]) -> _R:
    """The rule with other parameters.

    Raises:
        RuleFileError: a name is unknown or a value out of range.
    """
    wrong: Iterable[str] = out_of_range(values, rule.meta.parameters)
    if wrong:
        raise RuleFileError(f"{rule.rule_id}: {'; '.join(wrong)}", next_step="see the rule's YAML for names and ranges")
    return replace(rule, parameters={**rule.parameters, **values})
