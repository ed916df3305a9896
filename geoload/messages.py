"""Format text for users: errors, sizes, progress, missing libraries; and remove secrets."""

from __future__ import annotations

import base64
import contextlib
import errno
import functools
import html
import re
import sys
from collections.abc import Collection, Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from tqdm import tqdm

_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space, or write to another one",
    errno.EDQUOT: "your quota is used up: free some space, or write elsewhere",
    errno.EFBIG: "the file would be larger than the system allows here",
    errno.EROFS: "nothing can be written there: name another folder",
}
_CALLS = re.compile(r"(load_dataset\([^)]*\))")
# A secret can come in parts, in several fields. Shorter parts could match an id by chance.
_PART = 12
_ESCAPE = re.compile(r"\\(?:u|x)([0-9a-f]{4}|(?<=x)[0-9a-f]{2})", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\W_]+")


def one_line(error: BaseException, options: Collection[str]) -> str:
    """Return the text of an error in one line, for the user of a command with these options.

    `data_dir=` becomes `--data-dir`, except in Python code.
    """
    option = re.compile(rf"\b({'|'.join(map(re.escape, options))})=(?:True\b)?(?=(.?))")

    def typed(match: re.Match[str]) -> str:
        space = " " if re.match(r"[\w'\"\[]", match[2]) else ""  # before a value
        return f"--{match[1].replace('_', '-')}{space}"

    parts = _CALLS.split(" ".join(without_token(error_text(error)).split()))
    return "".join(p if _CALLS.fullmatch(p) else option.sub(typed, p) for p in parts)


def error_text(error: BaseException) -> str:
    """Return the text of an error; for a system error, advice without its number."""
    if not isinstance(error, OSError) or error.errno is None or not error.strerror:
        return str(error)
    advice = _ADVICE.get(error.errno, error.strerror)
    return f"{error.filename}: {advice}" if error.filename else advice


def format_bytes(size: float) -> str:
    """Return a number of bytes as text: `48.0 kB`, `12.3 MB`, `1.2 GB`."""
    if size < 1e5:
        return f"{size / 1e3:,.1f} kB"
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def progress_bar(
    title: str,
    total: int | None = None,
    unit: str = "B",
    initial: int = 0,
    items: Iterable[Any] | None = None,
) -> Any:
    """Return a `tqdm` bar that appears after two seconds, and only on a terminal."""
    scaled = unit == "B"
    return tqdm(
        items, title, total, unit=unit, unit_scale=scaled, initial=initial, delay=2, disable=None
    )


@contextlib.contextmanager
def needed_for(what: str, extra: str) -> Iterator[None]:
    """Import optional libraries in a block; the ImportError says how to install a missing one.

    `what` needs them and begins the sentence ("A preview"); `extra` of this package installs them.
    """
    try:
        yield
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name
        reason = str(error.name).partition(".")[0] if missing else f"a working library ({error})"
        raise ImportError(
            f"{what} needs {reason}: pip install 'im2gps-justzoomin[{extra}]'", name=error.name
        ) from error


def without_token(text: str) -> str:
    """Return a text, such as a server's answer, without the user's Hub token."""
    hub = sys.modules.get("huggingface_hub")
    if hub is None or not text:  # then no token was sent
        return text
    hidden = hide(text, hub.get_token())
    return hidden or "The answer of the Hub contains your token and is not shown."


def hide(text: str, secret: str | None) -> str:
    """Return a text without a secret, or an empty text if the secret cannot be cut out.

    The search covers parts of 12 characters and more, in either case, with separators, as (nested)
    escapes of JSON, HTML or URLs, and the whole in hexadecimal or base64.
    """
    if not secret or not _contains(text, secret):
        return text
    rest = re.sub(re.escape(secret), "", text, flags=re.IGNORECASE)
    return "" if _contains(rest, secret) else rest


def hide_in(value: Any, secret: str) -> Any:
    """Return decoded JSON without a secret in its texts, keys and numbers."""
    if isinstance(value, dict):
        return {hide(key, secret): hide_in(entry, secret) for key, entry in value.items()}
    if isinstance(value, list):
        return [hide_in(entry, secret) for entry in value]
    if isinstance(value, str):
        return hide(value, secret)
    return "" if secret and isinstance(value, int) and secret in str(value) else value


def _contains(text: str, secret: str) -> bool:
    parts, coded = _needles(secret)
    for spelling in _unescaped(text):
        folded = spelling.lower()
        plain = _SEPARATORS.sub("", folded)
        if any(n in spelling for n in coded) or any(p in folded or p in plain for p in parts):
            return True
    return False


@functools.lru_cache(1)
def _needles(secret: str) -> tuple[list[str], list[str]]:
    """Return the parts of a secret, in lower case, and its spellings in base64."""
    folded, data = secret.lower(), secret.encode()
    length = min(_PART, len(folded))
    parts = {folded[i : i + length] for i in range(len(folded) - length + 1)}
    coded = []
    for before in range(3):  # the number of bytes before it shifts its bits
        start, stop = -(-before * 8 // 6), (before + len(data)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            coded.append(encode(bytes(before) + data).decode()[start:stop])
    return [*parts, data.hex()], coded


def _unescaped(text: str) -> Iterator[str]:
    """Yield a text as it is, and with one to three layers of escapes removed."""
    yield text
    for _ in range(3):
        before = text
        text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), html.unescape(unquote(text)))
        if text == before:
            return
        yield text
