"""YAML of files that people write or send: stricter than YAML is, so that a rule says what its reader sees."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

MAX_BYTES: Final = 262_144

_M = TypeVar("_M", bound=BaseModel)


def read_model(file: Path, model: type[_M]) -> tuple[_M | None, list[str]]:
    """What the file says, checked; or None, and all that is wrong with it, after the file's ending."""
    try:
        if file.stat().st_size > MAX_BYTES:
            return None, [f".yml: larger than {MAX_BYTES} bytes"]
        tree = yaml.load(file.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - a SafeLoader, stricter
        return model.model_validate(tree), []
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
