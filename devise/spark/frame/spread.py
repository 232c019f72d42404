"""Rows to partitions exactly as they are numbered.

Spark has no partitioner of frames by a number: it hashes. So each number is given a key that Spark's own hash puts into
the partition of that number. (Hashing the number itself left 178 of 500 tasks without a row; `repartitionByRange` draws
a sample for its bounds, which then are hardly ever these.)
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

MASK = 0xFFFFFFFF


def spread(frame: DataFrame, place: str, n: int) -> DataFrame:
    """The frame in `n` partitions, each row in the one whose number its int column `place` (0 to n - 1) holds."""
    keys = ", ".join(map(str, _keys(n)))
    key = F.element_at(F.expr(f"array({keys})"), F.col(place) + 1)
    return frame.withColumn("_key", key).repartition(n, "_key").drop("_key")


def _keys(n: int) -> list[int]:
    """For each partition an int whose hash Spark sends there."""
    found: dict[int, int] = {}
    key = 0
    while len(found) < n:
        found.setdefault(_hash(key) % n, key)
        key += 1
    return [found[place] for place in range(n)]


def _hash(key: int) -> int:
    """Spark's hash of an int column: Murmur3 (x86, 32 bits) of its 4 bytes with seed 42, as a signed number."""
    part = key * 0xCC9E2D51 & MASK
    part = ((part << 15 | part >> 17) & MASK) * 0x1B873593 & MASK
    mixed = 42 ^ part
    mixed = ((mixed << 13 | mixed >> 19) * 5 + 0xE6546B64) & MASK
    mixed ^= 4
    mixed = (mixed ^ mixed >> 16) * 0x85EBCA6B & MASK
    mixed = (mixed ^ mixed >> 13) * 0xC2B2AE35 & MASK
    mixed ^= mixed >> 16
    return mixed - 2**32 if mixed >= 2**31 else mixed
