"""The photos of each split: as the tables say, or by blocks of the city.

Street photos are frames of drives. In the random split of the tables, most validation photos have a
training photo a few metres away, so a model scores well if it remembers streets. In a split by
blocks, they have none.
"""

from __future__ import annotations

import functools
import hashlib

import numpy as np

from gcd_metric.distances import unit_vectors
from justzoomin.source import Source, other_split
from justzoomin.table import Table, read_table
from justzoomin.zoom import EARTH_RADIUS_M

SPLIT_BY = ("table", "blocks")
BUFFER_M = 100.0
_ACTIONS = 2  # before the view that is a block, which is therefore 625 m wide
_ONE_IN = 10  # blocks in the validation split


def read_tables(source: Source, split: str) -> tuple[Table, Table]:
    """Read the table of a split, and that of all other photos."""
    table = read_table(source.table(split))
    others = read_table(source.table(other_split(split)))
    if source.split_by == "table":
        return table, others
    train, validation = (table, others) if split == "train" else (others, table)
    return split_by_blocks(train, validation)[split]


@functools.lru_cache(maxsize=1)
def split_by_blocks(train: Table, validation: Table) -> dict[str, tuple[Table, Table]]:
    """Divide the photos of both tables anew.

    The city is cut into 256 blocks of 625 m, the views after two actions. A digest of these actions
    chooses about one block in ten for validation, so that everyone gets the same split. Photos of
    other blocks that are within 100 m of a validation photo are in neither split.

    Returns
    -------
    dict
        For each split its photos, and all other photos. Both have the order of the tables, `train`
        before `validation`.
    """
    photos = _joined(train, validation)
    chosen = np.array([_is_chosen(tuple(one[:_ACTIONS])) for one in photos.sequence], bool)
    kept = ~chosen
    if chosen.any():
        places = places_of(photos)
        kept[kept] = nearest(places[kept], places[chosen])[1] >= BUFFER_M
    return {
        split: (photos.take(rows), photos.take(~rows))
        for split, rows in (("train", kept), ("validation", chosen))
    }


def nearest(points: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest of other points.

    Parameters
    ----------
    points, among : ndarray, shape (n, 2) and (m, 2)
        Latitude and longitude in degrees.

    Returns
    -------
    rows, metres : ndarray, shape (n,)
        The row in `among`, and the great-circle distance to it.
    """
    from scipy.spatial import cKDTree

    chords, rows = cKDTree(unit_vectors(*among.T)).query(unit_vectors(*points.T))
    return rows, 2 * EARTH_RADIUS_M * np.arcsin(np.clip(chords / 2, 0, 1))


def places_of(table: Table) -> np.ndarray:
    """Return the coordinates of a table's photos in degrees, shape (n, 2)."""
    return np.stack([table.latitude, table.longitude], -1)


@functools.lru_cache(maxsize=256)
def _is_chosen(actions: tuple[int, ...]) -> bool:
    name = "-".join(map(str, actions))
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % _ONE_IN == 0


def _joined(first: Table, second: Table) -> Table:
    """Return the photos of both tables; of repeated ids, only the first row."""
    further = second.columns()
    both = Table(*(column + further[name] for name, column in first.columns().items()))
    firsts = np.zeros(len(both), bool)
    firsts[list(both.row.values())] = True
    return both.take(firsts)
