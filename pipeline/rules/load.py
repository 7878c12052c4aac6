"""Reads the shipped rules and the user's directory; a bad file is named with all that is wrong with it."""

from __future__ import annotations

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

_MAX_BYTES: Final = 262_144


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
    directories = [sql_dir("rules"), *([settings.directory] if settings.directory else [])]
    found: dict[str, Rule] = {}
    problems: list[str] = []
    for directory in directories:
        rules, wrong = read_directory(directory)
        problems += wrong
        problems += [
            f"{rules[name].origin}: the id {name} is taken by {found[name].origin}" for name in rules.keys() & found
        ]
        found.update(rules)
    problems += [f"rules.disabled: there is no rule {name}" for name in settings.disabled if name not in found]
    if problems:
        raise RuleFileError(
            "rules cannot be used:\n  " + "\n  ".join(sorted(problems)),
            next_step="correct the files; docs/rules.md has the fields",
        )
    return RuleSet({name: found[name] for name in sorted(found) if name not in settings.disabled})


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
    rules, problems = {}, []
    stems = sorted({path.stem for path in directory.iterdir() if path.suffix in {".sql", ".yml"}})
    for stem in stems:
        rule, wrong = _read(directory / stem)
        problems += [f"{directory / stem}{part}" for part in wrong]
        if rule is not None and not wrong:
            rules[stem] = rule
    return rules, problems


def _read(base: Path) -> tuple[Rule | None, list[str]]:
    missing = [f"{suffix}: missing" for suffix in (".sql", ".yml") if not base.with_suffix(suffix).is_file()]
    if missing:
        return None, missing
    meta, problems = _meta(base.with_suffix(".yml"))
    try:
        sql = base.with_suffix(".sql").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return None, [*problems, f".sql: {error}"]
    if meta is None:
        return None, problems
    names = frozenset(meta.parameters)
    problems += [f".sql: {text}" for text in sql_problems(sql, names)]
    defaults = {name: item.default for name, item in meta.parameters.items()}
    return Rule(base.name, meta, sql, defaults, str(base), behind(sql)), problems


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
