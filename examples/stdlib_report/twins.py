"""Near-duplicate functions: shingles of normalised lines, minhash, and buckets that split over hash ranges.

Two functions with many shingles in common share their smallest shingle hashes with a probability that grows with
their similarity (Broder 1997), so only functions that meet in a bucket are compared. A bucket belongs to exactly one
range of hashes: each task takes a range, reads the files itself, and no pair is reported twice.
"""

from __future__ import annotations

import ast
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import NamedTuple

from . import source

#: lines of a shingle, lines of the smallest function looked at, smallest hashes that open a bucket
SHINGLE, SMALLEST, BUCKETS = 3, 12, 4
#: share of common shingles (Jaccard) from which two functions count as near duplicates
SIMILAR = 0.8
#: functions of a bucket that are compared; a larger bucket holds boilerplate
CROWD = 40
HASHES = 2**32


class Pair(NamedTuple):
    """Two functions, 'module:line name' each, and the share of shingles that they have in common."""

    similarity: float
    lines: int
    left: str
    right: str


def rank(pair: Pair) -> tuple[float, int, str, str]:
    """The most similar first, the longest among equals."""
    return -pair.similarity, -pair.lines, pair.left, pair.right


class Sketch(NamedTuple):
    where: str
    lines: int
    shingles: frozenset[int]


def outermost(tree: ast.AST) -> Iterator[source.Function]:
    """Functions and methods, without those inside other functions: they would be twins of what encloses them."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, source.Function):
            yield node
        else:
            yield from outermost(node)


def spread(value: int) -> int:
    """Scatter a hash over [0, HASHES): the smallest of many hashes are small, and the ranges should share the work."""
    return value * 2654435761 % HASHES  # Knuth's multiplicative constant, odd: a permutation


def sketch(path: str) -> Iterable[Sketch]:
    tree = source.parse(path)
    text = (source.root() / path).read_text(encoding="utf-8", errors="replace").splitlines()
    for node in outermost(tree):
        if (node.end_lineno or 0) - node.lineno < SMALLEST:
            continue
        first = (
            node.body[1] if ast.get_docstring(node, clean=False) is not None and len(node.body) > 1 else node.body[0]
        )
        body = [line.strip() for line in text[first.lineno - 1 : node.end_lineno]]
        body = [line for line in body if line and not line.startswith("#")]
        if len(body) < SMALLEST:
            continue
        grams = ("\n".join(body[i : i + SHINGLE]) for i in range(len(body) - SHINGLE + 1))
        yield Sketch(f"{path}:{node.lineno} {node.name}", len(body), frozenset(zlib.crc32(g.encode()) for g in grams))


def find(paths: Iterable[str], low: int, high: int, most: int = 25) -> list[Pair]:
    """The most similar pairs whose common bucket, spread, lies in [low, high); longest first among equals."""
    buckets: dict[int, list[Sketch]] = defaultdict(list)
    for path in paths:
        try:
            for item in sketch(path):
                for smallest in sorted(item.shingles)[:BUCKETS]:
                    buckets[smallest].append(item)
        except SyntaxError:
            continue
    pairs = set()
    for smallest, members in buckets.items():
        if not low <= spread(smallest) < high or len(members) > CROWD:
            continue
        for left, right in combinations(members, 2):
            common = left.shingles & right.shingles
            if min(common, default=-1) != smallest:
                continue  # the pair belongs to the bucket of its smallest common shingle
            similarity = len(common) / len(left.shingles | right.shingles)
            if similarity >= SIMILAR:
                pairs.add(Pair(round(similarity, 3), min(left.lines, right.lines), left.where, right.where))
    return sorted(pairs, key=rank)[:most]
