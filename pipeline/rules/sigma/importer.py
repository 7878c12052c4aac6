"""A file of Sigma rules → pairs of files in a directory of rules: all of it, or nothing and why."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

import yaml
from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError
from sigma.rule import SigmaRule

from pipeline.errors import StillwatchError, UsageError
from pipeline.resources import sql_dir
from pipeline.rules.load import load_directory
from pipeline.rules.model import RuleFileError
from pipeline.rules.sigma.compile import Compiled, compile_rule, one_line
from pipeline.rules.sigma.condition import check_condition
from pipeline.rules.sigma.refusal import NotExpressibleError, Refusal, SigmaRefusedError
from pipeline.rules.sigma.shape import shape_problems
from pipeline.rules.strict_yaml import read_documents
from pipeline.testing import run_rule_cases

MAX_BYTES: Final = 262_144
MAX_RULES: Final = 200
_CORRECT: Final = "correct the rule: sigmahq.io/docs has its fields"

Change = Literal["written", "replaced", "unchanged"]


@dataclass(frozen=True, slots=True)
class Imported:
    """A pair of files. ``cases``: how many of its own were run and came out as expected."""

    rule_id: str
    title: str
    change: Change
    cases: int


@dataclass(frozen=True, slots=True)
class Importer:
    """Writes rules into one directory, which is made where it is missing; with ``force`` over others of that name."""

    directory: Path
    force: bool = False

    def run(self, file: Path) -> list[Imported]:
        """Import every rule of a file that is not only part of a correlation; blocks for about a second a rule.

        Raises:
            SigmaRefusedError: something in it cannot be expressed; nothing is written.
            UsageError: a rule of that name is there and says something else; nothing is written.
            StillwatchError: the directory cannot be written.
        """
        compiled = compile_file(file)
        texts = [(one, _texts(one)) for one in compiled]
        changes = [self._change(one.rule_id, text) for one, text in texts]
        counts = _prove(file, texts)
        taken = [one.rule_id for one, change in zip(compiled, changes, strict=True) if change == "replaced"]
        if taken and not self.force:
            raise UsageError(
                f"{self.directory} has {', '.join(taken)}, other than the file would make it; nothing was written",
                next_step="--force writes over that, also over what you changed yourself",
            )
        self._write(text for (_, text), change in zip(texts, changes, strict=True) if change != "unchanged")
        return [
            Imported(one.rule_id, one.title, change, counts[one.rule_id])
            for one, change in zip(compiled, changes, strict=True)
        ]

    def _change(self, rule_id: str, text: dict[str, bytes]) -> Change:
        if (sql_dir("rules") / f"{rule_id}.sql").exists():
            raise UsageError(f"{rule_id} is a rule that is shipped", next_step="give the rule another title")
        there = [self.directory / name for name in text if (self.directory / name).exists()]
        if not there:
            return "written"
        same = all(path.is_file() and path.read_bytes() == text[path.name] for path in there)
        return "unchanged" if same and len(there) == len(text) else "replaced"

    def _write(self, texts: Iterator[dict[str, bytes]]) -> None:
        """Under other names first, so that a full disk leaves no half of a rule."""
        made: list[tuple[Path, Path]] = []
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            for text in texts:
                for name, content in text.items():
                    path = self.directory / name
                    beside = path.with_suffix(f"{path.suffix}.new")
                    made.append((beside, path))
                    beside.write_bytes(content)
            for beside, path in made:
                beside.replace(path)
        except OSError as error:
            for beside, _ in made:
                with contextlib.suppress(OSError):
                    beside.unlink(missing_ok=True)
            where = f"{self.directory}: {error.strerror or error}"
            raise StillwatchError(where, next_step="name a directory that can be written: --directory DIR") from error


def compile_file(file: Path) -> list[Compiled]:
    """The rules of a file.

    Raises:
        SigmaRefusedError: with everything in it that cannot be expressed.
    """
    rules, refusals = _read(file)
    compiled: list[Compiled] = []
    for rule in rules:
        try:
            compiled.append(compile_rule(rule))
        except NotExpressibleError as error:
            refusals.append(Refusal(one_line(rule.title), error.what, error.next_step))
        except (SigmaError, RecursionError) as error:
            refusals.append(_of_sigma(rule.title, error))
    for rule_id, times in Counter(one.rule_id for one in compiled).items():
        if times > 1:
            titles = next(one.title for one in compiled if one.rule_id == rule_id)
            refusals.append(Refusal(titles, f"{times} rules would be named {rule_id}", "give them other titles"))
    if refusals:
        raise SigmaRefusedError(file, list(dict.fromkeys(refusals)))
    return compiled


def _read(file: Path) -> tuple[list[SigmaRule | SigmaCorrelationRule], list[Refusal]]:
    """Rules that are to be written, and what is wrong with the others."""
    documents = _documents(file)
    refusals = [refusal for document in documents for refusal in _unfit(document)]
    if refusals:
        return [], refusals
    titles = [one_line(str(document.get("title", ""))) for document in documents]
    try:
        found = SigmaCollection.from_dicts(documents, collect_errors=True, resolve_references=False)
    except (SigmaError, TypeError, ValueError, AttributeError, KeyError, RecursionError) as error:
        return [], [_of_sigma(", ".join(titles), error)]
    wrong = [_of_sigma(rule.title, error) for rule in found.rules for error in rule.errors]
    told = {refusal.what for refusal in wrong}
    wrong += [refusal for error in found.errors if (refusal := _of_sigma("", error)).what not in told]
    broken = {id(rule) for rule in found.rules if rule.errors}
    for rule in found.rules:
        if isinstance(rule, SigmaCorrelationRule) and not rule.errors:
            try:
                rule.resolve_rule_references(found)
            except SigmaError as error:
                broken.add(id(rule))
                wrong.append(_of_sigma(rule.title, error))
            if any(id(getattr(reference, "rule", rule)) in broken for reference in rule.referenced_rules):
                broken.add(id(rule))  # of whose parts one is told of already
    if not found.rules and not wrong:
        wrong.append(Refusal("", "no rule in it", "a Sigma rule has title, logsource and detection"))
    written = [rule for rule in found.get_output_rules() if isinstance(rule, SigmaRule | SigmaCorrelationRule)]
    return [rule for rule in written if id(rule) not in broken], wrong


def _documents(file: Path) -> list[dict[str, Any]]:
    try:
        content = file.read_bytes()[: MAX_BYTES + 1] if file.is_file() else b""
        if len(content) > MAX_BYTES:
            raise SigmaRefusedError(file, [Refusal("", f"larger than {MAX_BYTES} bytes", "split it")])
        documents = [document for document in read_documents(content.decode()) if document is not None]
    except yaml.YAMLError as error:
        what = " ".join(str(error).split())
        raise SigmaRefusedError(file, [Refusal("", what, "correct the YAML")]) from None
    except (OSError, ValueError, RecursionError) as error:
        raise SigmaRefusedError(file, [Refusal("", f"no YAML: {error}", "name a file of Sigma rules")]) from None
    if len(documents) > MAX_RULES:
        raise SigmaRefusedError(file, [Refusal("", f"{len(documents)} rules", f"at most {MAX_RULES}: split it")])
    if any(not isinstance(document, dict) for document in documents):
        raise SigmaRefusedError(file, [Refusal("", "a document that is no mapping", "a Sigma rule has title, …")])
    return documents


def _unfit(document: dict[str, Any]) -> Iterator[Refusal]:
    """What is told of before pySigma reads it, since it would say it in other words, or take long."""
    title = one_line(str(document.get("title", "")))
    if "filter" in document:
        yield Refusal(title, "a Sigma filter", "write what it leaves out into the condition of its rules")
        return
    if "action" in document:
        yield Refusal(title, f"action {one_line(str(document['action']))}", "write each rule out")
        return
    yield from (Refusal(title, problem, _CORRECT) for problem in shape_problems(document))
    detection = document.get("detection")
    conditions = detection.get("condition") if isinstance(detection, dict) else None
    for condition in conditions if isinstance(conditions, list) else [conditions]:
        if isinstance(condition, str):
            try:
                check_condition(condition)
            except NotExpressibleError as error:
                yield Refusal(title, error.what, error.next_step)


def _of_sigma(title: str | None, error: Exception) -> Refusal:
    return Refusal(one_line(title), one_line(str(error)) or type(error).__name__, _CORRECT)


def _texts(one: Compiled) -> dict[str, bytes]:
    tree = yaml.dump(dict(one.tree), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return {f"{one.rule_id}.sql": one.sql.encode(), f"{one.rule_id}.yml": tree.encode()}


class _Dumper(yaml.SafeDumper):
    """Without aliases, which rules may not have."""

    def ignore_aliases(self, data: Any) -> bool:
        _ = data
        return True


def _prove(file: Path, texts: Sequence[tuple[Compiled, dict[str, bytes]]]) -> Counter[str]:
    """Run the cases of every rule over the real pipeline, as it would stand in its directory; count them by rule."""
    with TemporaryDirectory(prefix="stillwatch-sigma-") as scratch:
        for _, text in texts:
            for name, content in text.items():
                (Path(scratch) / name).write_bytes(content)
        try:
            load_directory(Path(scratch))
            results = run_rule_cases(Path(scratch))
        except RuleFileError as error:
            what = one_line(error.message.replace(scratch, ""))
            raise SigmaRefusedError(file, [Refusal("", what, "simplify the rule, and tell us")]) from error
    titles = {one.rule_id: one.title for one, _ in texts}
    failed = [
        Refusal(
            titles[result.rule_id],
            f"it could not be proven to fire: case “{result.case}”: {result.detail}",
            "a simpler condition",
        )
        for result in results
        if not result.passed
    ]
    if failed:
        raise SigmaRefusedError(file, failed)
    return Counter(result.rule_id for result in results)
