"""Texts within a receiver's limits: what is cut says so."""

from __future__ import annotations

from typing import Final

CUT: Final = " … (cut)"


def shortened(text: str, limit: int) -> str:
    """The text, or as much of it as fits into ``limit`` characters with a mark at its end."""
    return text if len(text) <= limit else text[: limit - len(CUT)] + CUT
