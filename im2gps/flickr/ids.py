"""Ids, file names and addresses of Flickr photos.

Every field of a row is checked before an address or a file name is made from it, because lists can
come from anywhere: a row must not be able to name anything but a photo on the photo host.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

PHOTO_ID = "[1-9][0-9]{0,19}"
SECRET = "[0-9A-Za-z]{1,32}"
SERVER = "[0-9]{1,9}"
OWNER = "[0-9]{1,20}@N[0-9]{2}"
PATTERNS = {"photo_id": PHOTO_ID, "secret": SECRET, "server": SERVER, "owner": OWNER}
LONGEST_SIDE = 1024  # of training photos, in pixels
_ORIGINAL_FORMATS = ("jpg", "jpeg", "png", "gif")
_MEDIUM_800_FROM = 1330560000  # 1 March 2012, in Unix seconds


def invalid_field(row: Mapping[str, Any]) -> str:
    """Return the first field of a row that cannot be Flickr's, with its value, or an empty text.

    Checked are `photo_id`, `secret`, `server`, `owner` (text), `latitude` and `longitude` (decimal
    degrees).
    """
    for name, pattern in PATTERNS.items():
        value = row[name]
        if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
            return f"{name} {str(value)[:40]!r}"
    for name, bound in (("latitude", 90), ("longitude", 180)):
        value = row[name]
        if value is None or not math.isfinite(value) or abs(value) > bound:
            return f"{name} {value}"
    return ""


def file_stem(row: Mapping[str, Any]) -> str:
    """Return a photo's file name without its suffix, in the form of the test packs' names."""
    return "{photo_id}_{secret}_{server}_{owner}".format_map(row)


def addresses(row: Mapping[str, Any], host: str) -> list[tuple[str, str]]:
    """Return the suffix and the address of each size that may exist, best picture first.

    `_b` (1,024 pixels) exists if the upload was larger. The original comes first if it is known
    to be no larger than that, and after `_b` otherwise. The smaller sizes follow, except those
    that cannot exist: Flickr enlarges no photo and made `_c` only from March 2012 on. Sizes
    between `_b` and the original have secrets of their own, which lists do not contain.

    Parameters
    ----------
    row : mapping
        A row without an invalid field; `date_upload` (Unix seconds), `original_secret`,
        `original_format`, `original_width` and `original_height` (pixels) may be None.
    host : str
        Such as "https://live.staticflickr.com".
    """
    longest = max(row["original_width"] or 0, row["original_height"] or 0)
    base = f"{host}/{row['server']}/{row['photo_id']}"
    sized = f"{base}_{row['secret']}"
    sizes = [("_b", f"{sized}_b.jpg")]
    secret, kind = row["original_secret"] or "", (row["original_format"] or "").lower()
    if re.fullmatch(SECRET, secret) and kind in _ORIGINAL_FORMATS:
        sizes.insert(0 if 0 < longest <= LONGEST_SIDE else 1, ("_o", f"{base}_{secret}_o.{kind}"))
    if not 0 < longest <= 800 and (row["date_upload"] or _MEDIUM_800_FROM) >= _MEDIUM_800_FROM:
        sizes.append(("_c", f"{sized}_c.jpg"))
    if not 0 < longest <= 640:
        sizes.append(("_z", f"{sized}_z.jpg"))
    return [*sizes, ("", f"{sized}.jpg")]
