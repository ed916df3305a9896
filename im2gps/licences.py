"""Flickr's licences by number, and which of them allow a photo to be redistributed.

The numbers are those of Flickr's method flickr.photos.licenses.getInfo
(https://www.flickr.com/services/api/flickr.photos.licenses.getInfo.html); 11 to 16 were added in
June 2025. Photos with another number are not redistributed.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from im2gps.flickr.ids import OWNER, PHOTO_ID, SECRET, SERVER

_CC = "https://creativecommons.org/"
_NAME = re.compile(rf"(?:.*_)?({PHOTO_ID})_{SECRET}_{SERVER}_({OWNER})\.jpe?g", re.IGNORECASE)


class Licence(NamedTuple):
    """A licence: its name, where its text is, and whether it allows redistribution."""

    name: str
    link: str
    redistributable: bool


LICENCES = {
    0: Licence("All rights reserved", "", False),
    1: Licence("CC BY-NC-SA 2.0", f"{_CC}licenses/by-nc-sa/2.0/", True),
    2: Licence("CC BY-NC 2.0", f"{_CC}licenses/by-nc/2.0/", True),
    3: Licence("CC BY-NC-ND 2.0", f"{_CC}licenses/by-nc-nd/2.0/", True),
    4: Licence("CC BY 2.0", f"{_CC}licenses/by/2.0/", True),
    5: Licence("CC BY-SA 2.0", f"{_CC}licenses/by-sa/2.0/", True),
    6: Licence("CC BY-ND 2.0", f"{_CC}licenses/by-nd/2.0/", True),
    7: Licence("No known copyright restrictions", "https://www.flickr.com/commons/usage/", True),
    8: Licence("United States Government Work", "https://www.usa.gov/government-works", True),
    9: Licence("CC0 1.0", f"{_CC}publicdomain/zero/1.0/", True),
    10: Licence("Public Domain Mark 1.0", f"{_CC}publicdomain/mark/1.0/", True),
    11: Licence("CC BY 4.0", f"{_CC}licenses/by/4.0/", True),
    12: Licence("CC BY-SA 4.0", f"{_CC}licenses/by-sa/4.0/", True),
    13: Licence("CC BY-ND 4.0", f"{_CC}licenses/by-nd/4.0/", True),
    14: Licence("CC BY-NC 4.0", f"{_CC}licenses/by-nc/4.0/", True),
    15: Licence("CC BY-NC-SA 4.0", f"{_CC}licenses/by-nc-sa/4.0/", True),
    16: Licence("CC BY-NC-ND 4.0", f"{_CC}licenses/by-nc-nd/4.0/", True),
}
UNKNOWN = Licence("unknown", "", False)


def licence_of(record: dict[str, Any]) -> Licence:
    """Return the licence that a photo's record names, or UNKNOWN."""
    text = str(record.get("license"))
    return LICENCES.get(int(text), UNKNOWN) if re.fullmatch(r"[0-9]{1,3}", text) else UNKNOWN


def credit(name: str, record: dict[str, Any], licence: Licence) -> dict[str, Any]:
    """Return a photo's row of the attribution table, from its file name and its record."""
    match = _NAME.fullmatch(name)
    photo, owner = (match[1], match[2]) if match else ("", "")
    photo = str(record.get("photo") or record.get("photo_id") or photo).split(" ")[0]
    owner = str(record.get("owner") or owner)
    on_flickr = re.fullmatch(PHOTO_ID, photo) and re.fullmatch(OWNER, owner)
    return {
        "image_id": name,
        "title": str(record.get("title") or ""),
        "owner": owner,
        "licence": licence.name,
        "licence_link": licence.link,
        "link": f"https://www.flickr.com/photos/{owner}/{photo}/" if on_flickr else "",
    }
