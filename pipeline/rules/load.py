"""Reads the shipped rules and the user's directory; a bad file is named with all that is wrong with it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import ValidationError

from pipeline.config import RuleSettings
from pipeline.resources import sql_dir
from pipeline.rules.lint import problems as sql_problems
from pipeline.rules.model import Rule, RuleFileError, RuleMeta, out_of_range
from pipeline.sql_text import behind

RULE_ID: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_MAX_BYTES: Final = 262_144
_SUFFIXES: Final = frozenset({".sql", ".yml", ".yaml"})


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

    ``broken`` has the problems of single rules by their id, ``problems`` all there are.
    """

    rules: Mapping[str, Rule]
    disabled: frozenset[str]
    broken: Mapping[str, tuple[str, ...]]
    problems: tuple[str, ...]

    def active(self) -> RuleSet:
        """Those that run."""
        return RuleSet({name: self.rules[name] for name in sorted(self.rules) if name not in self.disabled})


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules by id, in the order in which they run."""

    rules: Mapping[str, Rule]

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
        raise RuleFileError(
            "rules cannot be used:\n  " + "\n  ".join(found.problems),
            next_step="correct the files; docs/rules.md has the fields",
        )
    return found.active()


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
                problems += wrong
    known = found.keys() | broken.keys()
    problems += [f"rules.disabled: there is no rule {name}" for name in settings.disabled if name not in known]
    for name, values in settings.parameters.items():
        if name in found:
            try:
                found[name] = override(found[name], values)
            except RuleFileError as error:
                del found[name]
                broken[name] = (f"rules.parameters: {error.message}",)
                problems += broken[name]
        elif name not in broken:
            problems.append(f"rules.parameters: there is no rule {name}")
    return Installed(found, frozenset(settings.disabled), broken, tuple(sorted(problems)))


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
    stems = {path.stem for path in directory.iterdir() if path.suffix in _SUFFIXES and not path.name.startswith(".")}
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
    meta, problems = _meta(base.with_suffix(".yml"))
    try:
        if base.with_suffix(".sql").stat().st_size > _MAX_BYTES:
            return None, [*problems, f".sql: larger than {_MAX_BYTES} bytes"]
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


def _meta(file: Path) -> tuple[RuleMeta | None, list[str]]:
    try:
        if file.stat().st_size > _MAX_BYTES:
            return None, [f".yml: larger than {_MAX_BYTES} bytes"]
        tree = yaml.load(file.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - a SafeLoader, stricter
        return RuleMeta.model_validate(tree), []
    except yaml.YAMLError as error:
        return None, [f".yml: {' '.join(str(error).split())}"]
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        return None, [f".yml: {error}"]
    except ValidationError as error:
        items = error.errors(include_url=False, include_input=False, include_context=False)
        return None, [f".yml: {'.'.join(str(part) for part in item['loc']) or 'file'}: {item['msg']}" for item in items]


def read_documents(text: str) -> list[Any]:
    """Every document of a YAML text, as strictly as rules are read.

    Raises:
        yaml.YAMLError: it is none, has aliases, or gives a key twice.
        RecursionError: it is nested too deeply.
    """
    return list(yaml.load_all(text, Loader=_StrictLoader))


if TYPE_CHECKING:
    _SafeLoader = yaml.SafeLoader
else:
    # libyaml's parser where PyYAML was built with it: the cases of the shipped rules take Python's over a second.
    _SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StrictLoader(_SafeLoader):
    """Refuses aliases (a few lines of them can become gigabytes) and a key given twice."""

    def construct_document(self, node: yaml.Node) -> Any:
        _refuse_aliases(node)
        return super().construct_document(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key.value, str))
        twice = [key for key, times in keys.items() if times > 1]
        if twice:
            raise yaml.YAMLError(f"given twice: {', '.join(sorted(twice))}{node.start_mark}")
        parsed: dict[Any, Any] = super().construct_mapping(node, deep)
        return parsed


def _refuse_aliases(root: yaml.Node) -> None:
    """An alias is the node that it names, met a second time: nothing is walked twice, whatever it would become."""
    met: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in met:
            raise yaml.YAMLError(f"aliases (*name) are not used in rules{node.start_mark}")
        met.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            waiting += (part for pair in node.value for part in pair)


def override(rule: Rule, values: Mapping[str, float]) -> Rule:
    """The rule with other parameters.

    Raises:
        RuleFileError: a name is unknown or a value out of range.
    """
    wrong: Iterable[str] = out_of_range(values, rule.meta.parameters)
    if wrong:
        raise RuleFileError(f"{rule.rule_id}: {'; '.join(wrong)}", next_step="see the rule's YAML for names and ranges")
    return replace(rule, parameters={**rule.parameters, **values})
