"""Text → lengths and hashes. Hashes are XXH3-64 of normalised text: the same in every process and version.

``system_hash`` and ``prompt_hash`` are of the whole text after NFKC, lower case and white space made single blanks.
Cost: one pass over the text. With hashes only they arrive in ``content``; without, they are null.

``template_hash`` is of the prompt's *skeleton*: the fixed instruction without what varies.

1. Of the first 4,000 characters: code fences, quoted passages, URLs, e-mail addresses, identifiers (8 or more
   hexadecimal digits, words with digits) and numbers become marks; so do capitalised words that follow a word (names).
2. The skeleton ends at the first line break after three words, or at a colon and white space after five, whichever
   comes first: behind it stands the payload. White space and case do not count.
3. Of that the first 32 words, at most 240 characters.

Stable under: other numbers, names, quotes, ids, and any payload behind the instruction. Loses: instructions that stand
behind their payload or past the first line, and what only differs there; a paraphrase is another template; one-line
prompts whose payload follows without colon, quote or line break keep up to 32 words of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import polars_hash as plh

_HEAD_CHARS: Final = 4000
_SKELETON_CHARS: Final = 240
_INVISIBLE: Final = r"[\u{200B}-\u{200F}\u{2060}-\u{2064}\u{FEFF}\u{00AD}]"

# A letter outside of these blocks, of which each letter is its own NFKC and none joins with the one before it: ASCII,
# À to ÿ, Cyrillic, usual punctuation, kana, Han and Hangul syllables.
_MAY_CHANGE: Final = (
    r"[^\x00-\x7F¡¢£¤¥¦§©«¬®°±¶·»¿À-ÿ\u{0400}-\u{0482}\u{048A}-\u{052F}\u{2013}\u{2014}\u{2018}\u{2019}“”„•€"
    r"、。「」『』ぁ-ゖァ-ヺー一-\u{9FFF}가-힣]"
)

# In this order; the marks are private-use characters, so that no text can hold them by chance. (pattern, mark)
_MASKS: Final = (
    (r"(?s)```.*?(```|$)", "\ue000"),
    (r'"[^"\n]{1,600}"|“[^”\n]{1,600}”|«[^»\n]{1,600}»|`[^`\n]{1,600}`', "\ue001"),
    (r"https?://\S+|www\.\S+", "\ue002"),
    (r"[\w.+-]+@[\w-]+\.[\w.-]+", "\ue003"),
    (r"\b[0-9a-fA-F]{8,}(-[0-9a-fA-F]{4,})*\b|\b\w*\d\w*\b([.,:/-]\d+)*", "\ue004"),
    (r"([\p{Ll},;] )\p{Lu}\p{Ll}[\p{L}'-]*( \p{Lu}\p{Ll}[\p{L}'-]*)*", "${1}\ue005"),
)
_FIRST_LINE: Final = r"^(\s*(?:\S+[^\S\n]*\s+?){2,}?\S+[^\n]*)"
_BEFORE_COLON: Final = r"^((?:[^\s:\x{FF1A}]+\s+){4,}?[^\s:\x{FF1A}]+)\s*[:\x{FF1A}](?:\s|$)"
_SKELETON_WORDS: Final = 32
_WORDS: Final = rf"^((?:[^ ]+ ){{{_SKELETON_WORDS - 1}}}[^ ]+) "  # where there are more
_BEGIN_CHARS: Final = 360  # some more than most skeletons are made of
_LAST_CHARS: Final = 60  # of its last word
_OPEN: Final = r'["“«`]'  # a quotation that may end further on


def normalised(texts: pl.Series) -> pl.Series:
    """NFKC, lower case, white space made single blanks; invisible characters and NUL taken out."""
    return lowered(texts).to_frame("text").select(_blanks(pl.col("text")).str.strip_chars()).to_series()


def lowered(texts: pl.Series) -> pl.Series:
    """As ``normalised``, with white space as it came."""
    return composed(texts).str.replace_all("\0", "", literal=True).str.to_lowercase()


def skeletons(texts: pl.Series) -> pl.Series:
    """What is left of each prompt when its payload is masked and cut off; empty text stays empty."""
    heads = composed(texts.str.slice(0, _HEAD_CHARS))
    at, lines = _lines_of_beginnings(heads)
    others = pl.Series([True]).new_from_index(0, len(heads)).scatter(at, values=False).arg_true()
    whole = _first_lines(_masked(_quoted(heads.gather(others).str.strip_chars())))
    frame = heads.scatter(at, lines).scatter(others, whole).to_frame("text")
    # Step by step: in one expression each step would be worked out again for each time that it is named.
    flat = _blanks(pl.col("text").str.to_lowercase()).str.strip_chars()
    for step in (_extracted(_BEFORE_COLON), flat, _extracted(_WORDS)):
        frame = frame.with_columns(step.alias("text"))
    return frame["text"].str.slice(0, _SKELETON_CHARS)


def _lines_of_beginnings(heads: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Rows of long heads of which the beginning says the whole skeleton, and what ``_first_lines`` makes of it.

    It does where the skeleton's line ends in it. Or else where it holds more words than a skeleton, and no quotation is
    open at its end. For no mask but a code fence's reaches over the end of a line, and none but these, a quotation's
    and a name's over the blank that the beginning is cut at: a fence or a name is its last word then, wherever it ends.
    """
    long = (heads.str.len_chars() > _BEGIN_CHARS).fill_null(value=False).arg_true()
    frame = heads.gather(long).str.slice(0, _BEGIN_CHARS).to_frame("text")
    last = pl.col("text").str.slice(_BEGIN_CHARS - _LAST_CHARS).str.extract(r"\s(\S*)$").str.len_chars()
    frame = frame.with_columns((_BEGIN_CHARS - 1 - last.cast(pl.Int64)).alias("length"))
    # Without a blank in reach the length is null, which would mean all of it.
    begin = pl.when(pl.col("length").is_not_null()).then(pl.col("text").str.slice(0, pl.col("length")))
    begins = frame.select(begin.str.strip_chars_start()).to_series()
    quoted = _quoted(begins)
    masked = _masked(quoted)
    lines = _first_lines(masked)
    ended = lines.str.len_bytes() < masked.str.len_bytes()
    filled = lines.str.count_matches(r"\S\s") > _SKELETON_WORDS
    told = ended | (filled & ~quoted.str.contains(_OPEN))
    at = told.fill_null(value=False).arg_true()
    return long.gather(at), lines.gather(at)


def _quoted(heads: pl.Series) -> pl.Series:
    """Code fences and quotations made marks."""
    return _replaced(heads, _MASKS[:2])


def _masked(quoted: pl.Series) -> pl.Series:
    """The rest made marks."""
    return _replaced(quoted, _MASKS[2:])


def _replaced(texts: pl.Series, masks: Sequence[tuple[str, str]]) -> pl.Series:
    text = pl.col("text")
    for pattern, mark in masks:
        text = text.str.replace_all(pattern, mark)
    return texts.to_frame("text").select(text).to_series()


def _first_lines(masked: pl.Series) -> pl.Series:
    """Up to the end of the line that has the third word; all of what has fewer."""
    lines = masked.to_frame("text").select(pl.col("text").str.splitn("\n", 2).struct.field("field_0")).to_series()
    # Nearly all have three in their first.
    others = (~lines.str.contains(r"^\s*\S+\s+\S+\s+\S")).arg_true()
    more = masked.gather(others).to_frame("text").select(_extracted(_FIRST_LINE)).to_series()
    return lines.scatter(others, more)


def composed(texts: pl.Series) -> pl.Series:
    """NFKC without invisible characters. Text of which no letter can change, as nearly all is, is not looked at."""
    others = (texts.str.len_bytes() > texts.str.len_chars()).arg_true()
    if not others.is_empty():
        others = others.filter(texts.gather(others).str.contains(_MAY_CHANGE))
    if others.is_empty():
        return texts
    made = texts.gather(others).str.normalize("NFKC").str.replace_all(_INVISIBLE, "")
    return texts.scatter(others, made)


def _blanks(text: pl.Expr) -> pl.Expr:
    """Every run of white space one blank; single blanks, which are nearly all, are no match."""
    return text.str.replace_all(r"\s{2,}|[^\S ]", " ")


def _extracted(pattern: str) -> pl.Expr:
    return pl.coalesce(pl.col("text").str.extract(pattern), "text")


def stable_hash(column: str) -> pl.Expr:
    """XXH3-64 of a text column; null of null."""
    return plh.col(column).nchash.xxh3_64()


def distinct(texts: pl.Series) -> tuple[pl.Series, npt.NDArray[np.int64]]:
    """Where each distinct text stands first, and for each text the place there: ``texts.gather(firsts)[codes]``.

    Texts are told apart by their hash. What repeats, as system prompts do, is then worked on once.
    """
    hashes = texts.to_frame("text").select(stable_hash("text").fill_null(0)).to_series().to_numpy()
    _, firsts, codes = np.unique(hashes, return_index=True, return_inverse=True)
    return pl.Series(firsts, dtype=pl.UInt32), codes
