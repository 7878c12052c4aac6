"""Which macros and views a text of SQL rests on, by their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from pipeline.resources import sql_dir

_USES: Final = re.compile(r"(?<=\bfrom )\w+|(?<=\bjoin )\w+|\w+(?=\()")


@cache
def view_texts() -> Mapping[str, str]:
    """The macros and views of ``sql/views``, a statement each, by name; ``macro_`` is none of it."""
    return {
        path.stem.removeprefix("macro_"): path.read_text(encoding="utf-8")
        for path in sorted(sql_dir("views").glob("*.sql"))
    }


def used(text: str, names: Mapping[str, str]) -> set[str]:
    """Those of ``names`` that stand in a text where macros, functions and views do; comments are left out."""
    return set(_USES.findall(code(text))) & names.keys()


def code(text: str) -> str:
    """A text without its comments."""
    return "\n".join(line.partition("--")[0].rstrip() for line in text.splitlines())


def behind(text: str) -> str:
    """The code of all macros that a text of SQL rests on, in the order of their names."""
    texts = {name: text for name, text in view_texts().items() if "create or replace macro" in text}
    found: set[str] = set()
    left = used(text, texts)
    while left:
        found |= left
        left = {name for one in left for name in used(texts[one], texts)} - found
    return "\n".join(code(texts[name]) for name in sorted(found))


@cache
def views_in_order() -> tuple[str, ...]:
    """The macros and views of ``sql/views``, each after those that it uses."""
    return tuple(in_order(view_texts()))


def in_order(texts: Mapping[str, str]) -> Iterator[str]:
    """Each macro and view after those that it uses.

    Raises:
        ValueError: some use each other in a circle.
    """
    left = dict(texts)
    while left:
        ready = [name for name, text in left.items() if not used(text, left) - {name}]
        if not ready:
            raise ValueError(f"views use each other in a circle: {', '.join(sorted(left))}")
        yield from [left.pop(name) for name in ready]
