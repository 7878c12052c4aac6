"""A gateway's sketch stands for the text: ingest makes the same features of either."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.events.features import HASHES, LENGTHS
from pipeline.sketch import sketch, sketch_many
from tests.events.frames import event, one

FEATURES = (
    *HASHES,
    *LENGTHS,
    "language",
    "request_kind",
    "fragments",
    "distribution",
    "loop_out",
    "loop_in",
    "message_count",
    "tool_call_count",
)
WORDS = st.sampled_from(
    ["why", "does", "bread", "rise", "Task:", "7", "\n", "请解释", "ж", "🙂", "\u200b", "step", "by"]
)
TEXT = st.lists(WORDS, max_size=40).map(" ".join)
MESSAGES = st.lists(
    st.builds(
        lambda role, text, parts: {"role": role, "content": [{"type": "text", "text": text}] if parts else text},
        st.sampled_from(["system", "user", "assistant"]),
        TEXT,
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)
REQUESTS = st.fixed_dictionaries({}, optional={"system": TEXT, "prompt": TEXT, "response": TEXT, "messages": MESSAGES})


def features(fields: dict[str, Any]) -> dict[str, Any]:
    """What ingest makes of an event with these fields."""
    return {name: value for name, value in one(event(**fields)).items() if name in FEATURES}


@given(REQUESTS)
@settings(max_examples=60, deadline=None)
def test_ingest_makes_the_same_of_the_sketch_as_of_the_text(request: dict[str, Any]) -> None:
    assert features(sketch(request)) == features(request)


def test_many_at_once_are_as_one_at_a_time() -> None:
    requests = [{"prompt": f"Question {number}: why does bread rise, and what if it does not?"} for number in range(30)]
    requests += [{}, {"messages": [{"role": "user", "content": "Why?"}]}]  # type: ignore[dict-item]
    assert sketch_many(requests) == [sketch(request) for request in requests]


def test_no_text_is_in_it() -> None:
    secret = "The launch code of the harbour crane is sealed in envelope nine, says Miriam to nobody in particular."
    made = json.dumps(sketch({"system": secret, "prompt": secret, "response": secret}))
    assert not {word for word in secret.lower().split() if len(word) > 4 and word in made.lower()}


def test_messages_of_another_shape_are_refused() -> None:
    with pytest.raises(UsageError, match="messages"):
        sketch_many([{"prompt": "fine"}, {"messages": "not a list"}])


def test_it_needs_neither_broker_nor_store() -> None:
    heavy = {"duckdb", "kafka", "aiokafka", "faust", "pyarrow"}
    code = f"import sys, pipeline.sketch; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
