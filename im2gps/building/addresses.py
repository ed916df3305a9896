"""From a row of the list to the addresses of its photo, best picture first.

A list comes from anywhere, so every field is checked before an address, or the name of a file, is
made of it: whatever a row holds, it can name nothing but a photo on the photo host.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

LONGEST = 1024
_FORMS = {
    "photo_id": "[0-9]{1,20}",
    "secret": "[0-9A-Za-z]{1,32}",
    "server": "[0-9]{1,8}",
    "owner": "[0-9A-Za-z@_-]{1,64}",
}
_ORIGINAL_FORMATS = ("jpg", "jpeg", "png", "gif")
_MEDIUM_800_FROM = 1330560000  # 1 March 2012, in Unix seconds


class RowError(ValueError):
    """A row of which no address, no file name or no place can be made."""


def check_row(row: Mapping[str, Any]) -> None:
    """Raise RowError unless a row's fields have the form that Flickr's have.

    Parameters
    ----------
    row : mapping
        `photo_id`, `secret`, `server`, `owner` (text), `latitude`, `longitude` (decimal degrees).
    """
    for field, form in _FORMS.items():
        value = row[field]
        if not isinstance(value, str) or re.fullmatch(form, value) is None:
            raise RowError(f"{field} {str(value)[:40]!r}")
    for field, bound in (("latitude", 90), ("longitude", 180)):
        value = row[field]
        if value is None or not math.isfinite(value) or abs(value) > bound:
            raise RowError(f"{field} {value}")


def key(row: Mapping[str, Any]) -> str:
    """Return what the photo is called, without suffix: the form of the test packs' file names."""
    return "{photo_id}_{secret}_{server}_{owner}".format_map(row)


def addresses(row: Mapping[str, Any], host: str) -> list[tuple[str, str]]:
    """Return the size's suffix and the address of each size that may exist, best picture first.

    `_b` is the photo as the data set wants it, 1,024 pixels long; it exists where the upload was
    larger. An original that is no longer than that is better than anything made of it, so where
    the list says so, it comes first; otherwise it follows `_b` and is shrunk here. (The sizes
    between have secrets of their own, which no list holds.) Then the smaller ones in turn, but for
    those that the photo would have had to be enlarged for, and `_c` before March 2012: those
    never existed.

    Parameters
    ----------
    row : mapping
        A row that passed `check_row`, with `date_upload` (Unix seconds), `original_secret`,
        `original_format`, `original_width` and `original_height` (pixels), each of them or None.
    host : str
        As in "https://live.staticflickr.com".
    """
    longest = max(row["original_width"] or 0, row["original_height"] or 0)
    base = f"{host}/{row['server']}/{row['photo_id']}"
    original = _original(row)
    sized = f"{base}_{row['secret']}"
    sizes = [("_b", f"{sized}_b.jpg")]
    if original:
        sizes.insert(0 if 0 < longest <= LONGEST else 1, ("_o", base + original))
    if not 0 < longest <= 800 and (row["date_upload"] or _MEDIUM_800_FROM) >= _MEDIUM_800_FROM:
        sizes.append(("_c", f"{sized}_c.jpg"))
    if not 0 < longest <= 640:
        sizes.append(("_z", f"{sized}_z.jpg"))
    return [*sizes, ("", f"{sized}.jpg")]


def _original(row: Mapping[str, Any]) -> str:
    secret, kind = row["original_secret"] or "", (row["original_format"] or "").lower()
    if re.fullmatch(_FORMS["secret"], secret) and kind in _ORIGINAL_FORMATS:
        return f"_{secret}_o.{kind}"
    return ""
