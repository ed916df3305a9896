"""Names of members and photos: which belong to the layout, and which photo a name means."""

from __future__ import annotations

import numbers
import re
from typing import Any

from geoload.report import Kind
from geoload.tar import Member
from justzoomin.source import IMAGES

SUFFIX = "_undistorted.jpg"
MAX_PICTURE = 64 * 2**20
OUTSIDE = Kind("outside_layout", "members outside the layout")
NOT_FILES = Kind("not_a_file", "members other than regular files")
TOO_LARGE = Kind("too_large", f"members larger than {MAX_PICTURE // 2**20} MB")

_PREFIX = f"{IMAGES}/"
_WHOLE = r"(0|-?[1-9][0-9]{0,7})"
_PHOTO = re.compile(rf"{IMAGES}/([0-9A-Za-z_-]{{1,100}}){re.escape(SUFFIX)}")
_TILE = re.compile(rf"satellite/{_WHOLE}/{_WHOLE}/{_WHOLE}\.jpg")
_FOLDER = re.compile(rf"(\./)?(streetview|{IMAGES}|satellite(/{_WHOLE}(/{_WHOLE})?)?)?/?")


def tile_of(path: str) -> tuple[int, int, int] | None:
    """Return level, x and y of a tile from its path, or None."""
    match = _TILE.fullmatch(path)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def image_id_of(path: str) -> str | None:
    """Return the id of a photo from its path, or None."""
    match = _PHOTO.fullmatch(path)
    return match[1] if match else None


def path_of(name: str, level: int | None) -> str | None:
    """Return where below a folder a member is extracted; None if its name is not in the layout.

    Only the exact forms of the layout count: no absolute path, no `..`, and no tile of a level
    other than that of the TAR file. `level` is None for a TAR file of photos.
    """
    name = name.removeprefix("./")
    if level is None:
        return name if _PHOTO.fullmatch(name) else None
    tile = tile_of(name)
    return name if tile is not None and tile[0] == level else None


def refusal(member: Member, level: int | None) -> Kind | None:
    """Return why a member is not extracted, as the kind of a report, or None."""
    if member.kind == "dir":
        return None if _FOLDER.fullmatch(member.name) else OUTSIDE
    if member.kind != "file":
        return NOT_FILES
    if path_of(member.name, level) is None:
        return OUTSIDE
    return TOO_LARGE if member.size > MAX_PICTURE else None


def shown(name: str) -> str:
    """Return an untrusted name as short text that is safe to print on a terminal."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    return text if len(text) <= 80 else f"{text[:77]}..."


def joined_id(name: str) -> str | None:
    """Return the id in a member's name to look up in the tables, which may contain any text."""
    name = name.removeprefix("./")
    if name.startswith(_PREFIX) and name.endswith(SUFFIX):
        return name[len(_PREFIX) : -len(SUFFIX)]
    return None


def photo_id(value: Any) -> str | None:
    """Return the id of a photo that a table gives as its id, a file name or a path.

    Parameters
    ----------
    value : object
        Text, bytes or a whole number. A float counts only if it has lost no digit.

    Returns
    -------
    str or None
        None if the value cannot be an id.
    """
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, (str, numbers.Integral)) or isinstance(value, bool):
        return None
    name = str(value).strip().replace("\\", "/").rpartition("/")[2]
    name = re.sub(r"\.jpe?g$", "", name, flags=re.IGNORECASE)
    return name.removesuffix("_undistorted") or None
