"""The outer shape of a Sigma rule, checked before pySigma reads it: of some fields' types it looks at none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Texts = str | list[str]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Detection(_Part):
    condition: Texts


class _Condition(_Part):
    field: Texts | None = None


class _Correlation(_Part):
    type: str
    rules: Texts | None = None
    group_by: Texts | None = Field(None, alias="group-by")
    timespan: str
    condition: _Condition | str | None = None


class _Rule(_Part):
    title: str
    name: str | None = None
    description: str | None = None
    author: str | None = None
    license: str | None = None
    references: list[str] | None = None
    falsepositives: list[str] | None = None
    tags: list[str] | None = None
    detection: _Detection | None = None
    correlation: _Correlation | None = None


def shape_problems(document: Mapping[str, Any]) -> Iterator[str]:
    """What has another type than it must, each by its place."""
    try:
        found = _Rule.model_validate(document)
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False, include_context=False):
            yield f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
    else:
        if found.detection is None and found.correlation is None:
            yield "neither detection nor correlation"
