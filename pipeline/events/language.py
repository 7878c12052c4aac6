"""A guess at the language of a prompt, in bulk: its script first, then the common words of its first 400 characters.

ISO 639-1 where a language is told, ISO 15924 where only the script is, null where nothing can be said (no letters).
Cost: about 10 CPU-µs a prompt, half of it for taking it apart into words. Short text in Latin script without any common
word is `Latn`: no error.
"""

from __future__ import annotations

from typing import Final

import polars as pl

_HEAD_CHARS: Final = 400

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
_WORDS: Final = pl.DataFrame(
    [(word, language) for language, words in _COMMON.items() for word in words.split()],
    schema=["word", "guess"],
    orient="row",
)


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
    latin = _latin(frame.filter(pl.col("script") == "Latn"))
    column = pl.col("head")
    cyrillic = (
        pl.when(column.str.contains("[іїєґ]")).then(pl.lit("uk")).when(column.str.contains("[ыэёъ]")).then(pl.lit("ru"))
    )
    arabic = pl.when(column.str.contains("[پچژگ]")).then(pl.lit("fa")).otherwise(pl.lit("ar"))
    return (
        frame.join(latin, on="at", how="left", maintain_order="left")
        .select(
            pl.when(pl.col("script") == "Latn")
            .then(pl.coalesce("guess", "script"))
            .when(pl.col("script") == "Cyrl")
            .then(pl.coalesce(cyrillic.otherwise(pl.lit("ru")), "script"))
            .when(pl.col("script") == "Arab")
            .then(arabic)
            .otherwise(pl.col("script").replace(_OF_SCRIPT))
            .alias("language")
        )
        .to_series()
    )


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


def _latin(frame: pl.DataFrame) -> pl.DataFrame:
    """The language with the most common words in each text; ties go to the first in alphabetical order."""
    return (
        frame.select("at", pl.col("head").str.replace_all(r"\P{L}+", " ").str.split(" ").alias("word"))
        .explode("word")
        .join(_WORDS, on="word")
        .group_by("at", "guess")
        .len()
        .sort("at", "len", "guess", descending=[False, True, False])
        .unique("at", keep="first", maintain_order=True)
        .select("at", "guess")
    )
