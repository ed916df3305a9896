"""Finds the training photos that are the same as, or like, the photos of test sets.

Test photos are in memory. Training photos are read in batches, so that memory does not depend on
their number.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from gcd_metric.distances import sphere_distances, unit_vectors
from im2gps.audit.sources import Source

_EARTH_RADIUS_M = 6_371_000.0  # the default of gcd_metric
_MOST_NEAR_M = 1000.0
_SAME_PLACE_M = 0.2  # coordinates are rounded to six decimals, and perhaps stored as 32-bit numbers
_PLACE = ["latitude", "longitude"]
_TABLE = pa.schema([
    *((name, pa.string()) for name in ("image_id", "test", "kind", "train_id")),
    ("metres", pa.float64()), ("bits", pa.int64()), ("similarity", pa.float64()),
    ("train_photos", pa.int64()),
])  # fmt: skip
_PAIRS = {
    "kind": "object", "test": "int64", "train": "int64", "name": "object", "photo_id": "UInt64",
    "metres": "float64", "bits": "Int64", "similarity": "float64", "train_photos": "int64",
}  # fmt: skip
_MOST_PAIRS = 20_000_000


@dataclass
class Overlap:
    """The overlap of a training set with test sets.

    Attributes
    ----------
    tests : list of Source
    photos : DataFrame
        All test photos, as in the batches of a Source but with a number for each `owner`, and with
        the number of their `test_set`.
    pairs : DataFrame
        Test and training photos that belong together. `test` is the row of the test photo; `train`
        is equal for pairs with the same training photo, of which `name` and Flickr's `photo_id`
        are known; `metres` can be NaN; `bits` tell how much the pictures of copies differ, and
        `similarity` how similar the embeddings are. For the kind `photographer`, they are the first
        training photo of each test photo's photographer; `train_photos` counts all of them, and is
        otherwise 1.
    owners : list of str
        Photographers with photos on both sides.
    """

    tests: list[Source]
    photos: pd.DataFrame
    pairs: pd.DataFrame
    owners: list[str]

    def add(self, kind: str, columns: dict[str, object]) -> None:
        """Add pairs of a kind."""
        self.pairs = pd.concat([self.pairs, _pairs(kind, columns)], ignore_index=True)

    def counts(self, test_set: int, kind: str | None = None) -> dict[str, int]:
        """Return how many photos of a test set, and of training, are in pairs of a kind, or any."""
        pairs = self.pairs[self.photos["test_set"].to_numpy()[self.pairs["test"]] == test_set]
        pairs = pairs[pairs["kind"] == kind] if kind else pairs
        train = pairs.drop_duplicates("train")["train_photos"].sum()
        return {"test_photos": pairs["test"].nunique(), "train_photos": int(train)}

    def table(self) -> pa.Table:
        """Return the pairs of each test photo; `metres`, `bits` and `similarity` can be null."""
        pairs = self.pairs.sort_values("test", kind="stable").rename(columns={"name": "train_id"})
        photos = self.photos.iloc[pairs["test"]]
        names = np.array([source.name for source in self.tests], object)
        pairs["image_id"] = photos["name"].array
        pairs["test"] = names[photos["test_set"]]
        pairs = pairs.round({"metres": 2, "similarity": 4})
        return pa.Table.from_pandas(pairs, _TABLE, preserve_index=False)

    def train_ids(self) -> tuple[list[str], int]:
        """Return the Flickr ids of training photos in pairs, and how many pairs have none.

        Photos that only have the photographer in common are not among them.
        """
        ids = self.pairs["photo_id"][self.pairs["kind"] != "photographer"]
        known = ids.drop_duplicates().dropna().sort_values()
        return known.astype(str).tolist(), int(ids.isna().sum())


def find_overlap(
    train: Sequence[Source], tests: Sequence[Source], near_m: float, kinds: Collection[str]
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
    if not _SAME_PLACE_M <= near_m <= _MOST_NEAR_M:
        raise ValueError(f"--near {near_m:g}: give {_SAME_PLACE_M} to {_MOST_NEAR_M:g} metres")
    batches = [
        batch.assign(test_set=number)
        for number, source in enumerate(tests)
        for batch in source.batches()
    ]
    search = _Search(pd.concat(batches, ignore_index=True), near_m, kinds)
    for source in train:
        for batch in source.batches():
            search.add(batch)
    pairs, owners = search.finish()
    return Overlap([*tests], search.photos, pairs, owners)


def _pairs(kind: str, columns: dict[str, object]) -> pd.DataFrame:
    """Return pairs with all columns."""
    usual = {"kind": kind, "metres": np.nan, "bits": pd.NA, "similarity": np.nan, "train_photos": 1}
    return pd.DataFrame({name: {**usual, **columns}[name] for name in _PAIRS}).astype(_PAIRS)


class _Search:
    """Test photos, and the pairs found so far."""

    def __init__(self, photos: pd.DataFrame, near_m: float, kinds: Collection[str]) -> None:
        from scipy.spatial import cKDTree

        owners = photos["owner"].dropna().unique()
        self._owners = pd.Series(np.arange(len(owners)), owners)  # their numbers
        self.photos = photos.assign(owner=photos["owner"].map(self._owners))
        self._near_m, self._kinds = near_m, set(kinds)
        self._found = [_pairs("id", dict.fromkeys(_PAIRS, []))]
        self._count, self._read = 0, 0
        self._by_owner: list[pd.DataFrame] = []
        self._located = np.flatnonzero(photos["latitude"].notna())
        self._tree = cKDTree(_vectors(photos.iloc[self._located]))

    def add(self, batch: pd.DataFrame) -> None:
        """Find the pairs of some training photos."""
        batch = batch.assign(owner=batch["owner"].map(self._owners))
        near = self._nearby(batch)
        test_taken, train_taken = (
            frame["taken"].to_numpy()[near[side]]
            for side, frame in (("test", self.photos), ("train", batch))
        )
        same_second = near[test_taken == train_taken]  # NaT is equal to nothing
        by_owner = self._joined(batch, ["owner", "taken"])
        pairs = {
            "id": self._joined(batch, ["photo_id"]),
            "time": pd.concat([by_owner, same_second]).drop_duplicates(),
            "place": near[self._metres(near, batch) <= _SAME_PLACE_M],
            "near": near,
        }
        for kind, found in pairs.items():
            if kind in self._kinds and len(found):
                self._add_pairs(kind, found, batch)
        if "photographer" in self._kinds:
            known = batch.dropna(subset="owner")
            first = known.drop_duplicates("owner").set_index("owner")[["name", "photo_id"]]
            self._by_owner.append(first.assign(train_photos=known["owner"].value_counts()))
        self._read += len(batch)

    def finish(self) -> tuple[pd.DataFrame, list[str]]:
        """Return all pairs, and the photographers with photos on both sides."""
        owners: list[str] = []
        if self._by_owner:
            rows = pd.concat(self._by_owner)
            first = rows[~rows.index.duplicated()].assign(
                train_photos=rows["train_photos"].groupby(level=0).sum()
            )
            first["train"] = np.arange(len(first))
            pairs = self.photos[["owner"]].join(first, on="owner", how="inner")
            columns = {str(name): pairs[name] for name in first}
            self._found.append(_pairs("photographer", {**columns, "test": pairs.index}))
            owners = self._owners.index[first.index.astype(int)].tolist()
        return pd.concat(self._found, ignore_index=True), owners

    def _joined(self, batch: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
        """Return the rows of test and training photos with the same keys."""
        test, train = (
            frame[keys].dropna().rename_axis(side).reset_index()
            for side, frame in (("test", self.photos), ("train", batch))
        )
        return test.merge(train, on=keys)[["test", "train"]]

    def _nearby(self, batch: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of test and training photos within the distance."""
        from scipy.spatial import cKDTree

        located = np.flatnonzero(batch["latitude"].notna())
        if not self._kinds & {"time", "place", "near"}:
            located = located[:0]
        tree = cKDTree(_vectors(batch.iloc[located]), balanced_tree=False, compact_nodes=False)
        chord = 2 * np.sin(self._near_m / _EARTH_RADIUS_M / 2)
        self._check_count(self._tree.count_neighbors(tree, chord))  # before they take memory
        found = self._tree.sparse_distance_matrix(tree, chord, output_type="ndarray")
        return pd.DataFrame({"test": self._located[found["i"]], "train": located[found["j"]]})

    def _metres(self, pairs: pd.DataFrame, batch: pd.DataFrame) -> np.ndarray:
        test = self.photos[_PLACE].to_numpy()[pairs["test"]]
        return sphere_distances(test, batch[_PLACE].to_numpy()[pairs["train"]], _EARTH_RADIUS_M)

    def _add_pairs(self, kind: str, pairs: pd.DataFrame, batch: pd.DataFrame) -> None:
        self._check_count(len(pairs))
        self._count += len(pairs)
        photos = batch.iloc[pairs["train"]]
        columns = {name: photos[name].array for name in ("name", "photo_id")}
        rows = {"test": pairs["test"].array, "train": self._read + pairs["train"].array}
        self._found.append(_pairs(kind, {**columns, **rows, "metres": self._metres(pairs, batch)}))

    def _check_count(self, more: int) -> None:
        if self._count + more > _MOST_PAIRS:
            raise ValueError(
                f"there are more than {_MOST_PAIRS:,} pairs: give a smaller distance with --near, "
                "or fewer --kinds"
            )


def _vectors(photos: pd.DataFrame) -> np.ndarray:
    return unit_vectors(*photos[_PLACE].to_numpy().T)
