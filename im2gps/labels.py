"""Which coordinates a photo gets: those inside it, or those of a table beside the photos."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from geoload.report import Report
from im2gps import photo

_TABLES = (".csv", ".parquet")


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

    Raises
    ------
    ValueError
        When the table cannot be read or matches no photo.
    """

    def __init__(self, names: list[str], table: str | None, report: Report) -> None:
        self._rows: dict[str, tuple[float, float]] | None = None
        if table is not None:
            self._rows = _rows(names, table, report)

    def wants(self, name: str) -> bool:
        """Tell whether there can be coordinates for a photo."""
        return self._rows is None or name in self._rows

    def coordinates(self, name: str, data: bytes) -> tuple[float, float]:
        """Return latitude and longitude of a photo; raises PhotoError where it has none."""
        return photo.coordinates(data) if self._rows is None else self._rows[name]


def find_table(folder: str) -> str:
    """Find the one CSV or Parquet file in a folder (or beside a ZIP).

    Raises
    ------
    FileNotFoundError
        When there is none, or more than one.
    """
    where = Path(folder) if os.path.isdir(folder) else Path(folder).parent
    tables = sorted(p for p in where.iterdir() if p.suffix.lower() in _TABLES)
    if len(tables) == 1:
        return str(tables[0])
    found = ", ".join(p.name for p in tables[:5]) or "none"
    raise FileNotFoundError(
        f"{where} should hold one CSV or Parquet file of coordinates; found: {found}. Name the "
        "right one with coordinates='path/to/it.csv'."
    )


def _rows(names: list[str], table: str, report: Report) -> dict[str, tuple[float, float]]:
    # Here and not above: it brings `evaluate` along, which only these configurations need.
    from gcd_metric.tables import match_ids, read_coordinates

    if not names:
        raise ValueError(f"There are no photos for {table}: only .jpg and .jpeg files count.")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"{len(twice)} names stand for more than one photo, in different folders ({twice[0]}, "
            f"…), so {table} cannot tell them apart. Give the photos names of their own."
        )
    truth = read_coordinates(table)
    match = match_ids(names, truth["image_id"].tolist())
    if not len(match.left):
        raise ValueError(
            f"{table}: none of its {len(truth)} rows names any of the {len(names)} photos "
            f"(rows: {truth['image_id'][0]!r}, …; photos: {names[:1]}, …)."
        )
    file = os.path.basename(table)
    ids = truth["image_id"].tolist()
    unclear = [name for group, _ in match.ambiguous for name in group]
    without_row = [names[i] for i in match.unmatched_left if names[i] not in unclear]
    without_photo = [ids[i] for i in match.unmatched_right]
    for kind, left_out in (
        (f"photos without a row in {file}", without_row),
        (f"photos that several rows of {file} could mean", unclear),
        (f"rows of {file} without a photo", without_photo),
    ):
        report.add_many(kind, len(left_out), left_out)
    pairs = truth[["latitude", "longitude"]].to_numpy()[match.right].tolist()
    return {names[i]: (row[0], row[1]) for i, row in zip(match.left, pairs, strict=True)}
