"""Randomness that depends on a seed and on names only: never on the process, the hash seed or the order of calls."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A stream of its own for each (seed, names); adding one cohort does not disturb another's traffic."""
    keys = [zlib.crc32(str(name).encode()) for name in names]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed & 0xFFFFFFFF, *keys])))


def hex_ids(rng: np.random.Generator, count: int, prefix: str, digits: int = 16) -> list[str]:
    """``count`` ids of a prefix and ``digits`` hexadecimal digits; distinct but for a negligible chance."""
    raw = rng.bytes(count * ((digits + 1) // 2)).hex()
    width = 2 * ((digits + 1) // 2)
    return [prefix + raw[i * width : i * width + digits] for i in range(count)]
