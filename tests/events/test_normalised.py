"""Normalised text is what a plain reading of its definition gives, whatever stands beside it in the batch."""

from __future__ import annotations

import re
import unicodedata

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events.template import normalised, skeletons

# ASCII with every white space, and what NFKC, lower case, blanks and invisible characters do something to.
ALPHABET = "aB 1:.,\"'\t\n\r\x0b\x0c\0" + "éßＡ①ﬁ\u0301\u00a0\u2003\u2028\u3000\u200b\u00ad\ufeff\u2060漢かな한عпы😀"
INVISIBLE = re.compile("[\u200b-\u200f\u2060-\u2064\ufeff\u00ad]")
BLANKS = re.compile(r"[\s\u0085]+")
texts = st.lists(st.text(ALPHABET, max_size=40) | st.none(), max_size=12)


def plainly(text: str | None) -> str | None:
    if text is None:
        return None
    clean = INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).replace("\0", "").lower()
    return BLANKS.sub(" ", clean).strip()


@given(texts)
def test_a_batch_is_normalised_as_each_text_by_itself(batch: list[str | None]) -> None:
    column = pl.Series(batch, dtype=pl.String)
    assert normalised(column).to_list() == [plainly(text) for text in batch]


@given(texts)
def test_a_skeleton_does_not_depend_on_the_batch(batch: list[str | None]) -> None:
    alone = [skeletons(pl.Series([text], dtype=pl.String)).item() for text in batch]
    assert skeletons(pl.Series(batch, dtype=pl.String)).to_list() == alone
