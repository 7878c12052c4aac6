"""A guess at the language of a prompt, in bulk: its script first, then the common words of its first 400 characters.

ISO 639-1 where a language is told, ISO 15924 where only the script is, null where nothing can be said (no letters).
Cost: about 4 CPU-µs a prompt, more where letters are not ASCII. Short text in Latin script without any common
word is `Latn`: no error.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Final

import numpy as np
import polars as pl

from pipeline.events.words import Hashes, Places, eight_bytes, mixed

_HEAD_CHARS: Final = 400
_LONGEST: Final = 16  # bytes of a common word, at most
_HEADS: Final = 500  # at a time, so that what is made of them stays in the processor's cache
_SLOT_BITS: Final = 14
_SHIFT: Final = np.uint64(64 - _SLOT_BITS)

# (letters that decide, what they say); the most frequent script of the text wins.
_SCRIPTS: Final = {
    "Latn": r"\p{Latin}",
    "Hani": r"\p{Han}",
    "Kana": r"[\p{Hiragana}\p{Katakana}]",
    "Hang": r"\p{Hangul}",
    "Cyrl": r"\p{Cyrillic}",
    "Arab": r"\p{Arabic}",
    "Deva": r"\p{Devanagari}",
    "Thai": r"\p{Thai}",
    "Hebr": r"\p{Hebrew}",
    "Grek": r"\p{Greek}",
    "Beng": r"\p{Bengali}",
    "Taml": r"\p{Tamil}",
}
_OF_SCRIPT: Final = {
    "Kana": "ja",
    "Hani": "zh",
    "Hang": "ko",
    "Thai": "th",
    "Hebr": "he",
    "Grek": "el",
    "Deva": "hi",
    "Beng": "bn",
    "Taml": "ta",
}
_COMMON: Final = {
    "en": "the of and to in is that for with are this be as what how you it from please write not have which can",
    "es": "el la los las de que y en un una por con para es del como qué se más pero lo su al",
    "fr": "le la les des de et en un une du que est pour dans qui sur avec pas vous ce il au plus être",
    "de": "der die das und ist nicht ein eine zu den von mit für auf dem im wie sich des auch es werden bitte",
    "pt": "o a os as de que e em um uma não para com do da por é dos como mais se na ao você",
    "it": "il lo la gli di che e un una per non con del della sono come è i si nel alla più questo",
    "nl": "de het een en van is dat niet te met voor op zijn aan er om hoe ook naar deze wat bij",
    "pl": "i w na z że się nie do to jest o jak co ale za od dla po przez oraz czy są",
    "tr": "ve bir bu için ile de da ne olarak çok daha gibi nasıl var mı en kadar olan sonra",  # noqa: RUF001 -- Turkish has a dotless i
    "vi": "và của là có không được cho một những các người trong này với để như khi đã từ",
    "id": "yang dan di dari untuk dengan ini itu adalah pada tidak dalam akan bagaimana atau juga oleh saya",
    "sv": "och att det i en är på som för av med inte den till hur ett om har jag kan",
    "cs": "a je v na se že to s z do jak pro jsem co ale jako by nebo které při",
    "ro": "și în de la cu care este o un pe nu să din pentru mai sau ce cum sunt",
}  # fmt: skip
_LANGUAGES: Final = sorted(_COMMON)


def guess_languages(texts: pl.Series) -> pl.Series:
    """A guess for each text; null for null."""
    frame = pl.DataFrame({"head": texts.str.slice(0, _HEAD_CHARS).str.to_lowercase()}).with_row_index("at")
    plain = (frame["head"].str.len_bytes() == frame["head"].str.len_chars()).fill_null(value=True)  # ASCII
    scripts = pl.Series("script", ["Latn"], dtype=pl.String).new_from_index(0, len(frame))
    if not plain.all():
        scripts = scripts.scatter((~plain).arg_true(), _scripts(frame["head"].filter(~plain)))
    letters = frame["head"].str.contains(r"\p{L}")
    frame = frame.with_columns(scripts.alias("script")).with_columns(
        pl.when(pl.lit(letters)).then("script").alias("script")
    )
    at = (frame["script"] == "Latn").fill_null(value=False).arg_true()
    guesses = pl.Series("guess", [None], dtype=pl.String).new_from_index(0, len(frame))
    frame = frame.with_columns(guesses.scatter(at, _latin(frame["head"].gather(at))))
    column = pl.col("head")
    cyrillic = (
        pl.when(column.str.contains("[іїєґ]")).then(pl.lit("uk")).when(column.str.contains("[ыэёъ]")).then(pl.lit("ru"))
    )
    arabic = pl.when(column.str.contains("[پچژگ]")).then(pl.lit("fa")).otherwise(pl.lit("ar"))
    return frame.select(
        pl.when(pl.col("script") == "Latn")
        .then(pl.coalesce("guess", "script"))
        .when(pl.col("script") == "Cyrl")
        .then(pl.coalesce(cyrillic.otherwise(pl.lit("ru")), "script"))
        .when(pl.col("script") == "Arab")
        .then(arabic)
        .otherwise(pl.col("script").replace(_OF_SCRIPT))
        .alias("language")
    ).to_series()


def _scripts(heads: pl.Series) -> pl.Series:
    counts = heads.to_frame("head").select(
        pl.col("head").str.count_matches(pattern).alias(script) for script, pattern in _SCRIPTS.items()
    )
    # Japanese is mostly Han letters: some kana decide. A few foreign letters in Latin text do not.
    counts = counts.with_columns(
        pl.when(pl.col("Kana") * 10 > pl.col("Hani"))
        .then(pl.col("Kana") + pl.col("Hani"))
        .otherwise("Kana")
        .alias("Kana")
    )
    names = list(_SCRIPTS)
    return counts.select(
        pl.when(pl.max_horizontal(names) == 0)
        .then(pl.lit("Zyyy"))
        .otherwise(
            pl.coalesce(pl.when(pl.col(n) == pl.max_horizontal(names)).then(pl.lit(n)) for n in ("Kana", *names))
        )
    ).to_series()


def _latin(heads: pl.Series) -> pl.Series:
    """The language with the most common words in each text, of equals the first of the alphabet; null without any."""
    none = pl.Series([None], dtype=pl.String).new_from_index(0, len(heads))
    others = (heads.str.len_bytes() > heads.str.len_chars()).arg_true()
    if len(others):  # every byte beyond ASCII is then part of a letter
        heads = heads.scatter(others, heads.gather(others).str.replace_all(r"\P{L}+", " "))
    encoded = heads.cast(pl.Binary).to_list()
    for begin in range(0, len(heads), _HEADS):
        row, guess = _guessed(encoded[begin : begin + _HEADS])
        none = none.scatter(row + begin, pl.Series(_LANGUAGES).gather(guess))
    return none


def _guessed(heads: list[bytes]) -> tuple[Places, Places]:
    """Heads that have common words, and the place in _LANGUAGES of the language with the most."""
    raw = np.frombuffer(b"\n".join([b"", *heads, b""]), dtype=np.uint8)
    inside = (raw - np.uint8(97) < np.uint8(26)) | (raw >= np.uint8(0x80))  # what is below a wraps around
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    model = _common()
    eights = eight_bytes(raw, starts, lengths)
    word = model.slots[(eights * model.factor) >> _SHIFT]
    at = np.flatnonzero((model.eights[word] == eights) & (model.lengths[word] == lengths))
    rest = eight_bytes(raw, starts[at] + 8, np.maximum(lengths[at] - 8, 0))
    at = at[model.rests[word[at]] == rest]
    ends = np.cumsum([len(head) + 1 for head in heads])
    row = np.searchsorted(ends, starts[at])
    if not len(at):
        return row, row
    begins = np.flatnonzero(np.diff(row, prepend=-1))
    # A count a byte: a head has no more than 200 words.
    counts = np.add.reduceat(model.known[word[at]], begins, axis=0)
    return row[begins], counts.astype("<u8", copy=False).view(np.uint8).argmax(axis=1)


@dataclass(frozen=True, slots=True)
class _Common:
    """Common words: the first eight bytes of each, the rest, its bytes, and the languages in which it is one, a byte
    each in the order of _LANGUAGES. Its place is found by its first eight bytes, by ``factor``, in ``slots``.
    """

    eights: Hashes
    rests: Hashes
    lengths: Places
    known: Hashes
    factor: np.uint64
    slots: Places


@cache
def _common() -> _Common:
    told = list({word: None for words in _COMMON.values() for word in words.split()})
    raw = np.frombuffer(b"".join(word.encode().ljust(_LONGEST, b"\0") for word in told), dtype="<u8")
    eights, rests = raw.astype(np.uint64).reshape(-1, 2).T
    known = np.zeros((len(told), 16), dtype=np.uint8)
    for place, language in enumerate(_LANGUAGES):
        known[:, place] = [word in _COMMON[language].split() for word in told]
    factors = (mixed(np.arange(tried, tried + 1, dtype=np.uint64))[0] | np.uint64(1) for tried in count(1))
    factor = next(one for one in factors if len(np.unique((eights * one) >> _SHIFT)) == len(told))
    slots = np.zeros(1 << _SLOT_BITS, dtype=np.int64)
    slots[(eights * factor) >> _SHIFT] = np.arange(len(told))
    lengths = np.array([len(word.encode()) for word in told])
    return _Common(eights, rests, lengths, known.view("<u8").astype(np.uint64), factor, slots)
