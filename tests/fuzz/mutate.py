"""Damaged and odd variants of good inputs, for any format."""

from __future__ import annotations

import json
import re
from random import Random

LARGEST = 2**17
_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d+)?")
_NUMBERS = [b"0", b"-1", b"1e999", b"-0", b"nan", b"inf", b"1" * 400, b"0" * 5000 + b"7", b"1_0"]
_NUMBERS += [b"4294967295", b"9223372036854775807", b"18446744073709551616", b"90.0000001"]
_NUMBERS += [b"181", b"0x10", b"48,86", b"\xd9\xa3", b"\xe2\x88\x925", b""]
_TOKENS = [bytes([one]) for one in b"\0\n\r\"',;\t:[]{}\\/\xff*&|"]
_TOKENS += [b"\xff\xd0", b"\xff\xd9", b"\xff\xda", b"\xff\xe1", b"\xff\xfe", b"\xef\xbb\xbf"]
_TOKENS += [b"&a ", b"!!python/name:os", b"<<: ", b"--- ", b"\\ud800", b"\\u0000", b"null", b"../"]
_TOKENS += [b"\x1f\x8b", b"PK\x01\x02", b"\xc3\xa9", b"e\xcc\x81", b"\xe2\x80\xa8", b"\xc2\x85"]
_TOKENS += [b"latitude: ", b"photo: ", b"title: ", b"size=1\n", b"GNU.sparse.size", b"7 path=x\n"]
_INTEGERS = (0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_VALUES = [None, True, -1, 0, 1.5, 2**63, 10**400, float("nan"), float("inf"), "", "\ud800", "1"]
_VALUES += [[], {}, [[]], [1, 2, 3, 4], {"a": 1}, "x" * 5000]


def mutate(data: bytes, others: list[bytes], random: Random) -> bytes:
    """Return an input with one to five changes, at most `LARGEST` bytes long.

    `others` are inputs from which pieces are taken.
    """
    for _ in range(random.choice((1, 1, 2, 3, 5))):
        change = random.choice((_bytes, _bytes, _bytes, _number, _parts, _json))
        data = change(data, others, random)[:LARGEST]
    return data


def _bytes(data: bytes, others: list[bytes], random: Random) -> bytes:
    """Replace a piece, or insert something before it."""
    start, stop = _span(data, random)
    old, other = data[start:stop], random.choice(others)
    number = random.choice(_INTEGERS).to_bytes(8, random.choice(("big", "little")))
    flood = LARGEST // 64 if random.random() < 0.2 else 1  # so that work that is quadratic shows
    new = random.choice(
        (b"", random.randbytes(1), random.randbytes(len(old)), random.choice(_TOKENS),
         number[: len(old)], number[-len(old) :], old * flood, other[slice(*_span(other, random))])
    )  # fmt: skip
    return data[:start] + new + data[random.choice((start, stop)) :]


def _span(data: bytes, random: Random) -> tuple[int, int]:
    start = random.randrange(len(data) + 1)
    return start, min(len(data), start + random.choice((1, 1, 2, 4, 8, 64, 512, 4096)))


def _number(data: bytes, others: list[bytes], random: Random) -> bytes:
    found = list(_NUMBER.finditer(data[:4096]))
    if not found:
        return data
    start, stop = random.choice(found).span()
    return data[:start] + random.choice(_NUMBERS) + data[stop:]


def _parts(data: bytes, others: list[bytes], random: Random) -> bytes:
    """Remove, replace or insert a line or a cell."""
    separator = random.choice((b"\n", b"\n", b",", b"\t", b": "))
    parts = data.split(separator)
    at = random.randrange(len(parts))
    parts[at : at + random.randrange(2)] = random.choice(([], [random.choice(parts)]))
    return separator.join(parts)


def _json(data: bytes, others: list[bytes], random: Random) -> bytes:
    """Put an odd value at a random place of a JSON text."""
    try:
        root = [json.loads(data)]
        node, key = root, 0
        while isinstance(node[key], (dict, list)) and node[key] and random.random() < 0.8:
            node = node[key]
            key = random.choice(list(node) if isinstance(node, dict) else range(len(node)))
        node[key] = random.choice(_VALUES)
        return json.dumps(root[0]).encode()
    except (ValueError, RecursionError):  # not JSON, or an integer longer than Python writes
        return data
