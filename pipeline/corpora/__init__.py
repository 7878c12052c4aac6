"""Known sets (benchmarks, seed tasks, canaries): a file of texts in, hashes out, by which requests are told.

Text is read and dropped where the command runs; nothing but hashes reaches a store or a serving process.
"""

from pipeline.corpora.marks import KnownSet, known_set
from pipeline.corpora.read import Texts, read_texts

__all__ = ["KnownSet", "Texts", "known_set", "read_texts"]
