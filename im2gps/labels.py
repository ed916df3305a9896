"""Which coordinates a photo gets: those inside it, or those of a table beside the photos."""

from __future__ import annotations

import logging
import math
import os
from collections import Counter
from pathlib import Path

from geoload.files import is_clutter
from geoload.jpeg import PhotoError
from geoload.report import Report
from im2gps import photo

_TABLES = (".csv", ".parquet")
_log = logging.getLogger(__name__)


class Labeller:
    """Gives each photo of a pack its coordinates.

    Parameters
    ----------
    names : list of str
        File names of all photos of the pack.
    table : str, optional
        Path of a table of coordinates. None reads them from the photos themselves.
    report : Report
        Counts photos without a row, and rows without a photo.
    skip_broken : bool
        Whether rows without coordinates, and photos that several rows name, are left out and
        counted instead of being an error.

    Raises
    ------
    ValueError
        When the table cannot be read, has a broken row or matches no photo.
    """

    def __init__(
        self, names: list[str], table: str | None, report: Report, skip_broken: bool = False
    ) -> None:
        self._table = table
        self._rows: dict[str, tuple[float, float]] = {}
        if table is not None:
            self._rows = _rows(names, table, report, skip_broken)

    def wants(self, name: str) -> bool:
        """Tell whether there can be coordinates for a photo."""
        return self._table is None or name in self._rows

    def coordinates(self, name: str, data: bytes) -> tuple[float, float]:
        """Return latitude and longitude of a photo; raises PhotoError where it has none."""
        if self._table is None:
            return photo.coordinates(data)
        found = self._rows[name]
        if any(map(math.isnan, found)):
            raise PhotoError(f"no coordinates in its row of {os.path.basename(self._table)}")
        if not any(found):  # as in comments and EXIF
            raise PhotoError(f"only 0, 0 in its row of {os.path.basename(self._table)}")
        return found


def find_table(folder: str) -> str:
    """Find the one CSV or Parquet file in a folder (or beside a ZIP).

    Raises
    ------
    FileNotFoundError
        When there is none, or more than one.
    """
    where = Path(folder) if os.path.isdir(folder) else Path(folder).parent
    files = [path for path in where.iterdir() if not is_clutter(path.name)]
    tables = sorted(path for path in files if path.suffix.lower() in _TABLES)
    if len(tables) == 1:
        return str(tables[0])
    found = ", ".join(p.name for p in tables[:5]) or "none"
    raise FileNotFoundError(
        f"{where} should hold one CSV or Parquet file of coordinates; found: {found}. Name the "
        "right one with coordinates='path/to/it.csv'."
    )


def _rows(
    names: list[str], table: str, report: Report, skip_broken: bool
) -> dict[str, tuple[float, float]]:
    # Here and not above: it brings `evaluate` along, which only these configurations need.
    from gcd_metric.tables import match_ids, read_coordinates, refuse_duplicates

    if not names:
        raise ValueError(f"There are no photos for {table}: only .jpg and .jpeg files count.")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"{len(twice)} names stand for more than one photo, in different folders ({twice[0]}, "
            f"…), so {table} cannot tell them apart. Give the photos names of their own."
        )
    truth = read_coordinates(table, of="references", allow_missing="any" if skip_broken else False)
    for note in truth.attrs["notes"]:
        _log.warning("%s.", note)
    named = truth["image_id"].tolist()
    if not skip_broken:
        refuse_duplicates(named, table)
    counts = Counter(named)
    truth = truth[[bool(name) and counts[name] == 1 for name in named]]
    ids = truth["image_id"].tolist()
    match = match_ids(names, ids)
    repeated = match_ids(names, [name for name, count in counts.items() if name and count > 1])
    if match.ambiguous and not len(match.left) and not len(repeated.left):
        photos, rows = match.ambiguous[0]
        raise ValueError(
            f"{table}: it is ambiguous which photo a row means: {', '.join(rows[:3])} could be any "
            f"of {', '.join(photos[:3])}. Write the full file names into the table."
        )
    if not len(match.left) and not len(repeated.left):
        raise ValueError(
            f"{table}: none of its {len(named)} rows names any of the {len(names)} photos "
            f"(rows: {named[0]!r}, …; photos: {names[:1]}, …)."
        )
    file = os.path.basename(table)
    unclear = {name for group, _ in match.ambiguous for name in group}
    unclear |= {names[i] for i in repeated.left}
    without_row = [names[i] for i in match.unmatched_left if names[i] not in unclear]
    without_photo = [ids[i] for i in match.unmatched_right]
    for kind, left_out in (
        (f"photos without a row in {file}", without_row),
        (f"photos that several rows of {file} could mean", sorted(unclear)),
        (f"rows of {file} without a photo", without_photo),
        (f"rows of {file} without an id", [""] * counts[""]),
    ):
        report.add_many(kind, len(left_out), filter(None, left_out))
    pairs = truth[["latitude", "longitude"]].to_numpy()[match.right].tolist()
    return {names[i]: (row[0], row[1]) for i, row in zip(match.left, pairs, strict=True)}
