"""Coordinates from a large table, a batch at a time. What they are for is decided elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from gcd_metric.columns import ADVICE, Unclear, find_pair
from gcd_metric.tables import is_table, open_csv
from geoload.files import is_clutter
from geoload.report import Findings

TRAINING_TABLE = "photos.parquet"
UNUSABLE = "rows without usable coordinates"
_SLIPS = 0.01  # share of the rows
_ROWS = 131_072  # of one batch


def find_table(source: str | Path) -> Path:
    """Return the table that a path means: itself, or the training table in that folder.

    Raises
    ------
    ValueError
        When there is no table, or several and none is the training table.
    """
    path = Path(source)
    if path.is_file():
        if not is_table(path):
            raise ValueError(f"{path}: a table of coordinates is a .csv, .tsv or .parquet file")
        return path
    if not path.is_dir():
        raise ValueError(f"{path}: there is no such file or folder")
    files = [file for file in path.iterdir() if file.is_file() and not is_clutter(file.name)]
    tables = sorted(file for file in files if is_table(file))
    usual = [table for table in tables if table.name == TRAINING_TABLE]
    if len(usual or tables) != 1:
        found = ", ".join(table.name for table in tables[:5]) or "none"
        raise ValueError(
            f"{path}: expected {TRAINING_TABLE}, or one table of coordinates; found: {found}. Name "
            "the file itself"
        )
    return (usual or tables)[0]


def read_batches(path: Path, report: Findings) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read latitudes and longitudes of a CSV, TSV or Parquet file in flat memory.

    Parameters
    ----------
    path : Path
        Columns are found by their usual names; a CSV or TSV has a header and may be compressed.
    report : Findings
        Counts rows whose coordinates are empty, no numbers or out of range, which are left out.

    Yields
    ------
    latitude, longitude : ndarray of shape (n,), float64
        Degrees.

    Raises
    ------
    ValueError
        For a file that cannot be read or lacks a column; at the end, for one whose latitudes and
        longitudes look swapped.
    """
    row = 0
    farthest, beyond = np.zeros(2), 0  # of any row; how many latitudes are out of range
    with tqdm(unit=" rows", unit_scale=True, disable=None) as bar:
        for cells in _parquet(path, bar) if path.suffix.lower() == ".parquet" else _csv(path):
            degrees = [pd.to_numeric(column, errors="coerce") for column in cells]
            latitude, longitude = (
                column.to_numpy(dtype=np.float64, na_value=np.nan) for column in degrees
            )
            good = (np.abs(latitude) <= 90) & (np.abs(longitude) <= 180)
            bad = np.flatnonzero(~good)
            beyond += int((np.abs(latitude) > 90).sum())
            for at, degree in enumerate((latitude, longitude)):
                farthest[at] = np.fmax.reduce(np.abs(degree), initial=farthest[at])
            values = [(row + i + 1, cells[0].iloc[i], cells[1].iloc[i]) for i in bad[:5]]
            names = [f"row {at}: {_shown(here)} {_shown(there)}" for at, here, there in values]
            report.add_many(UNUSABLE, len(bad), names)
            row += len(good)
            bar.update(len(good))
            yield latitude[good], longitude[good]
    # a few may be slips of the pen, in a region that holds no longitude beyond 90 degrees
    if beyond > row * _SLIPS and farthest[0] <= 180 and farthest[1] <= 90:
        raise ValueError(
            f"{path}: {beyond:,} of {row:,} rows have a latitude beyond ±90 degrees, and none a "
            "longitude; latitude and longitude look swapped"
        )


def _shown(cell: Any) -> str:
    return f"{cell:.7g}" if isinstance(cell, float) else repr(cell)[:20]


def _columns(path: Path, names: list[str]) -> list[str]:
    try:
        return list(find_pair(names).values())
    except Unclear as error:
        raise ValueError(f"{path}: {error}; {ADVICE.format(error.role)}") from None


def _parquet(path: Path, bar: Any) -> Iterator[tuple[pd.Series, pd.Series]]:
    import pyarrow
    from pyarrow import parquet

    try:
        # nothing is read ahead, or the whole of both columns would be held
        with parquet.ParquetFile(path, pre_buffer=False) as file:
            bar.total = file.metadata.num_rows
            latitude, longitude = _columns(path, file.schema_arrow.names)
            for batch in file.iter_batches(_ROWS, columns=[latitude, longitude]):
                yield batch.column(latitude).to_pandas(), batch.column(longitude).to_pandas()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path}: {error}") from None


def _csv(path: Path) -> Iterator[tuple[pd.Series, pd.Series]]:
    names, read = open_csv(path, str(path))
    rows = read([names[0], *_columns(path, names)])
    while batch := list(islice(rows, _ROWS)):
        latitude, longitude = ([row[at] for row in batch] for at in (1, 2))
        yield pd.Series(latitude, dtype=object), pd.Series(longitude, dtype=object)
