"""Finds the training photos that are the same as, or like, the photos of test sets.

Test photos are in memory, with an index for each kind of overlap. Training photos are read in
batches, so that memory does not depend on their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gcd_metric.distances import sphere_distances, unit_vectors
from im2gps.audit.sources import Batch, Source

EARTH_RADIUS_M = 6_371_000.0
NEAR_M = 10.0
MOST_NEAR_M = 1000.0
SAME_PLACE_M = 0.2  # coordinates are rounded to six decimals, and perhaps stored as 32-bit numbers
KINDS = ("id", "time", "place", "near", "photographer")
_PAIRS = pa.schema([
    *((name, pa.string()) for name in ("image_id", "test", "kind", "train_id")),
    ("metres", pa.float64()), ("bits", pa.int64()), ("train_photos", pa.int64()),
])  # fmt: skip
_MOST_PAIRS = 20_000_000
_SECONDS = 2**40  # more than any capture time

Rows = tuple[np.ndarray, np.ndarray]  # of test photos, and of training photos, in pairs


class Pairs(NamedTuple):
    """Test and training photos that belong together; `metres` can be NaN.

    `test` are rows of the test photos, `train` are names, `train_ids` are Flickr ids or null, and
    `bits` tell how much the pictures of copies differ.
    """

    kind: str
    test: np.ndarray
    train: pa.Array
    train_ids: pa.Array
    metres: np.ndarray
    bits: np.ndarray | None = None


@dataclass
class Overlap:
    """The overlap of a training set with test sets.

    Attributes
    ----------
    tests : list of Source
    names : pyarrow.Array
        The names of all test photos.
    test_set : ndarray of shape (n,)
        The number of the test set of each of these photos.
    pairs : list of Pairs
        For `photographer`, the first training photo of each test photo's photographer.
    train_photos : Counter
        How many training photos are in pairs, by the number of the test set and the kind.
    by_owner : ndarray of shape (n,)
        How many training photos are by the photographer of each test photo.
    owners : list of str
        Photographers with photos on both sides.
    """

    tests: list[Source]
    names: pa.Array
    test_set: np.ndarray
    pairs: list[Pairs] = field(default_factory=list)
    train_photos: Counter[tuple[int, str]] = field(default_factory=Counter)
    by_owner: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    owners: list[str] = field(default_factory=list)

    def test_photos(self, test_set: int, kind: str) -> int:
        """Return how many photos of a test set have training photos of a kind, or of any kind."""
        rows = [pairs.test for pairs in self.pairs if kind in (pairs.kind, "any")]
        found = np.unique(np.concatenate([np.zeros(0, np.intp), *rows]))
        return int(np.count_nonzero(self.test_set[found] == test_set))

    def table(self) -> pa.Table:
        """Return the pairs of each test photo; `metres` and `bits` can be null.

        `train_photos` is how many training photos a row stands for: in the one row of a test photo
        of the kind `photographer`, all photos by its photographer, and otherwise 1.
        """
        sets = pa.array([source.name for source in self.tests])
        parts, rows = [_PAIRS.empty_table()], [np.zeros(0, np.intp)]
        for kind, test, train, _, metres, bits in self.pairs:
            by_owner = kind == "photographer"
            columns = (
                self.names.take(pa.array(test)),
                sets.take(pa.array(self.test_set[test])),
                pa.repeat(kind, len(test)),
                train,
                pa.array(metres.round(2), from_pandas=True),
                pa.nulls(len(test), pa.int64()) if bits is None else pa.array(bits),
                pa.array(self.by_owner[test] if by_owner else np.ones(len(test), np.int64)),
            )
            parts.append(pa.table(columns, schema=_PAIRS))
            rows.append(test)
        order = np.argsort(np.concatenate(rows), kind="stable")
        return pa.concat_tables(parts).take(pa.array(order))

    def train_ids(self) -> tuple[list[str], int]:
        """Return the Flickr ids of training photos in pairs, and how many pairs have none.

        Photos that only have the photographer in common are not among them.
        """
        ids = [pairs.train_ids for pairs in self.pairs if pairs.kind != "photographer"]
        joined = pa.chunked_array(ids, pa.uint64())
        found = pc.unique(joined.drop_null()).sort().cast(pa.string()).to_pylist()
        return found, joined.null_count


def find_overlap(
    train: Sequence[Source],
    tests: Sequence[Source],
    near_m: float = NEAR_M,
    kinds: Collection[str] = KINDS,
) -> Overlap:
    """Compare training sets with test sets.

    Parameters
    ----------
    train, tests : sequence of Source
    near_m : float
        Largest distance of photos of the kind `near`, in metres, up to 1,000.
    kinds : collection of str
        `id`: the same photo id of Flickr. `time`: taken in the same second, and by the same
        photographer or within `near_m`. `place`: the same coordinates. `near`: coordinates within
        `near_m`. `photographer`: by the same photographer.

    Raises
    ------
    ValueError
        If a source cannot be read or has no photos, or if there are too many pairs.
    """
    if not SAME_PLACE_M <= near_m <= MOST_NEAR_M:
        raise ValueError(f"--near {near_m:g}: give {SAME_PLACE_M} to {MOST_NEAR_M:g} metres")
    search = _Search(tests, near_m, kinds)
    for source in train:
        for batch in source.batches():
            search.add(batch)
    for source in train:
        if not source.photos:
            raise ValueError(f"{source.name} contains no photos")
    return search.finish()


class _Search:
    """Test photos with their indexes, and the pairs found so far."""

    def __init__(self, tests: Sequence[Source], near_m: float, kinds: Collection[str]) -> None:
        from scipy.spatial import cKDTree

        batches = [list(source.batches()) for source in tests]
        for source in tests:
            if not source.photos:
                raise ValueError(f"{source.name} contains no photos")
        columns = zip(*(batch for some in batches for batch in some), strict=True)
        self._test = test = Batch(*(_joined(column) for column in columns))
        sets = np.repeat(np.arange(len(tests)), [source.photos for source in tests])
        self.found = Overlap([*tests], test.names, sets)
        self._kinds, self._near_m, self._count = set(kinds), near_m, 0
        self._ids = _Index(*_valid(test.ids))
        self._owners = pc.unique(test.owners).drop_null()
        self._owner = _codes(test.owners, self._owners)
        of_sets = np.zeros((len(tests), len(self._owners) + 1), bool)
        of_sets[sets, self._owner] = True
        of_sets[:, -1] = False  # unknown photographers
        self._owner_in_set = of_sets
        self._photos_by = np.zeros(len(self._owners), np.int64)
        self._first_by: dict[int, tuple[Any, Any]] = {}
        self._times = _Index(*_owner_times(self._owner, test.taken))
        self._located = np.flatnonzero(np.isfinite(test.places[:, 0]))
        self._tree = cKDTree(unit_vectors(*test.places[self._located].T))

    def add(self, batch: Batch) -> None:
        """Find the pairs of some training photos."""
        owner = _codes(batch.owners, self._owners)
        rows = {"id": self._ids.join(*_valid(batch.ids))}
        near, metres = self._nearby(batch)
        rows["near"] = near
        same = metres <= SAME_PLACE_M
        rows["place"] = near[0][same], near[1][same]
        taken = self._test.taken[near[0]] == batch.taken[near[1]]  # false for NaT
        by_owner = self._times.join(*_owner_times(owner, batch.taken))
        pairs = np.concatenate([np.stack(by_owner), np.stack(near)[:, taken]], axis=1)
        rows["time"] = tuple(np.unique(pairs, axis=1)) if pairs.size else by_owner
        rows = {kind: rows[kind] for kind in KINDS if kind in rows and kind in self._kinds}
        for kind, (test, train) in rows.items():
            self._add_pairs(kind, test, train, batch)
        known = owner if "photographer" in self._kinds else np.full_like(owner, -1)
        self._add_owners(known, batch)
        for number, of_set in enumerate(self._owner_in_set):
            self.found.train_photos[number, "photographer"] += int(of_set[known].sum())
            for kind, (test, train) in rows.items():
                one = np.unique(train[self.found.test_set[test] == number])
                self.found.train_photos[number, kind] += len(one)

    def finish(self) -> Overlap:
        """Add a pair for each test photo whose photographer has training photos."""
        found, codes = self.found, self._owner
        known = np.append(self._photos_by, 0)[codes]
        found.by_owner = known
        found.owners = self._owners.filter(pa.array(self._photos_by > 0)).to_pylist()
        rows = np.flatnonzero(known)
        if len(rows):
            names, ids = zip(*(self._first_by[code] for code in codes[rows].tolist()), strict=True)
            nowhere = np.full(len(rows), np.nan)
            train = pa.array(names, pa.string()), pa.array(ids, pa.uint64())
            found.pairs.append(Pairs("photographer", rows, *train, nowhere))
        return found

    def _nearby(self, batch: Batch) -> tuple[Rows, np.ndarray]:
        """Return the pairs within the distance, and their metres."""
        from scipy.spatial import cKDTree

        located = np.flatnonzero(np.isfinite(batch.places[:, 0]))
        if not self._kinds & {"time", "place", "near"}:
            located = located[:0]
        vectors = unit_vectors(*batch.places[located].T)
        tree = cKDTree(vectors, balanced_tree=False, compact_nodes=False)
        chord = 2 * np.sin(self._near_m / EARTH_RADIUS_M / 2)
        self._check_count(self._tree.count_neighbors(tree, chord))  # before they take memory
        found = self._tree.sparse_distance_matrix(tree, chord, output_type="ndarray")
        rows = self._located[found["i"]], located[found["j"]]
        return rows, self._metres(*rows, batch)

    def _metres(self, test: np.ndarray, train: np.ndarray, batch: Batch) -> np.ndarray:
        return sphere_distances(self._test.places[test], batch.places[train], EARTH_RADIUS_M)

    def _add_pairs(self, kind: str, test: np.ndarray, train: np.ndarray, batch: Batch) -> None:
        if not len(test):
            return
        self._check_count(len(test))
        self._count += len(test)
        metres = self._metres(test, train, batch)
        rows = pa.array(train)
        self.found.pairs.append(
            Pairs(kind, test, batch.names.take(rows), batch.ids.take(rows), metres)
        )

    def _check_count(self, more: int) -> None:
        if self._count + more > _MOST_PAIRS:
            raise ValueError(
                f"there are more than {_MOST_PAIRS:,} pairs: give a smaller distance with --near, "
                "or fewer --kinds"
            )

    def _add_owners(self, owner: np.ndarray, batch: Batch) -> None:
        codes, rows, counts = np.unique(owner, return_index=True, return_counts=True)
        known = codes >= 0
        self._photos_by[codes[known]] += counts[known]
        for code, row in zip(codes[known].tolist(), rows[known].tolist(), strict=True):
            if code not in self._first_by:
                self._first_by[code] = batch.names[row].as_py(), batch.ids[row].as_py()


class _Index:
    """Keys of test photos, sorted, with their rows."""

    def __init__(self, keys: np.ndarray, rows: np.ndarray) -> None:
        order = np.argsort(keys, kind="stable")
        self._keys, self._rows = keys[order], rows[order]

    def join(self, keys: np.ndarray, rows: np.ndarray) -> Rows:
        """Return all pairs of a test row and a row of these keys."""
        low = np.searchsorted(self._keys, keys, "left")
        count = np.searchsorted(self._keys, keys, "right") - low
        start = np.cumsum(count) - count
        within = np.arange(count.sum()) - np.repeat(start - low, count)
        return self._rows[within], np.repeat(rows, count)


def _joined(parts: Sequence[Any]) -> Any:
    return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else pa.concat_arrays(parts)


def _valid(values: pa.Array) -> Rows:
    """Return the values that are not null, and their rows."""
    rows = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
    return values.drop_null().to_numpy(zero_copy_only=False), rows


def _codes(owners: pa.Array, among: pa.Array) -> np.ndarray:
    """Number photographers by their place among others; -1 for the rest."""
    codes = pc.fill_null(pc.index_in(owners, among, skip_nulls=True), -1)
    numbers: np.ndarray = codes.to_numpy(zero_copy_only=False).astype(np.intp)
    return numbers


def _owner_times(owner: np.ndarray, taken: np.ndarray) -> Rows:
    """Return keys of photographer and capture time, and the rows in which both are known."""
    rows = np.flatnonzero((owner >= 0) & ~np.isnat(taken))
    return owner[rows] * _SECONDS + taken[rows].astype(np.int64), rows
