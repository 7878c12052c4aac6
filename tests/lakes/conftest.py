"""Lakes of each kind, one server for all tests of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lakes.made import KINDS, Lakes, need


@pytest.fixture(scope="session", params=KINDS)
def lakes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lakes]:
    """Makes lakes in SQLite and in Postgres in turn."""
    kind = str(request.param)
    need(kind)
    made = Lakes(kind, tmp_path_factory.mktemp(kind))
    yield made
    made.close()
