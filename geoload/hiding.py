"""Keeps a key or a token out of texts that a server sends back, however it is written there."""

from __future__ import annotations

import base64
import functools
import html
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

# So much of a secret counts as all of it, since it can come in parts, in several fields. Ids and
# the like are shorter than what would fit by chance.
_PART = 12
_ESCAPE = re.compile(r"\\(?:u|x)([0-9a-f]{4}|(?<=x)[0-9a-f]{2})", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\W_]+")
_LAYERS = 3


def hide(text: str, secret: str | None) -> str:
    """Return a text without a secret: all of it empty where it cannot be told what to leave out.

    Found are parts of 12 characters and more, in upper or lower case, with separators, as escapes
    of JSON, HTML or addresses (one within the other, too), and the whole in hexadecimal or base64.
    """
    if not secret or not _holds(text, secret):
        return text
    rest = re.sub(re.escape(secret), "", text, flags=re.IGNORECASE)
    return "" if _holds(rest, secret) else rest


def hide_in(value: Any, secret: str) -> Any:
    """Return decoded JSON whose texts, keys and numbers do not hold a secret."""
    if isinstance(value, dict):
        return {hide(key, secret): hide_in(entry, secret) for key, entry in value.items()}
    if isinstance(value, list):
        return [hide_in(entry, secret) for entry in value]
    if isinstance(value, str):
        return hide(value, secret)
    return "" if secret and isinstance(value, int) and secret in str(value) else value


def _holds(text: str, secret: str) -> bool:
    parts, coded = _needles(secret)
    for spelling in _spellings(text):
        if any(needle in spelling for needle in coded):
            return True
        folded = spelling.lower()
        plain = _SEPARATORS.sub("", folded)
        if any(part in folded or part in plain for part in parts):
            return True
    return False


@functools.lru_cache(1)
def _needles(secret: str) -> tuple[list[str], list[str]]:
    """Return the parts of a secret, in lower case, and what it looks like in base64."""
    folded, data = secret.lower(), secret.encode()
    length = min(_PART, len(folded))
    parts = {folded[i : i + length] for i in range(len(folded) - length + 1)}
    coded = []
    for before in range(3):  # what precedes it decides where its bits lie
        start, stop = -(-before * 8 // 6), (before + len(data)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            coded.append(encode(bytes(before) + data).decode()[start:stop])
    return [*parts, data.hex()], coded


def _spellings(text: str) -> Iterator[str]:
    """Give a text as it stands, and as it is with one layer of escapes after the other undone."""
    yield text
    for _ in range(_LAYERS):
        before = text
        text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), html.unescape(unquote(text)))
        if text == before:
            return
        yield text
