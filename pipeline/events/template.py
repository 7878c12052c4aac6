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

from typing import Final

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
_WORDS: Final = r"^((?:\S+ ){0,31}\S+)"


def normalised(texts: pl.Series) -> pl.Series:
    """NFKC, lower case, white space made single blanks; invisible characters and NUL taken out."""
    clean = pl.col("text").str.replace_all("\0", "", literal=True).str.to_lowercase()
    return composed(texts).to_frame("text").select(_blanks(clean).str.strip_chars()).to_series()


def skeletons(texts: pl.Series) -> pl.Series:
    """What is left of each prompt when its payload is masked and cut off; empty text stays empty."""
    head = pl.col("text").str.strip_chars()
    for pattern, mark in _MASKS:
        head = head.str.replace_all(pattern, mark)
    frame = composed(texts.str.slice(0, _HEAD_CHARS)).to_frame("text").with_columns(head.alias("text"))
    flat = _blanks(pl.col("text").str.to_lowercase()).str.strip_chars()
    # Step by step: in one expression each step would be worked out again for each time that it is named.
    for step in (_extracted(_FIRST_LINE), _extracted(_BEFORE_COLON), flat, _extracted(_WORDS)):
        frame = frame.with_columns(step.alias("text"))
    return frame["text"].str.slice(0, _SKELETON_CHARS)


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
