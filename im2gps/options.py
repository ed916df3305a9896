"""Options of `load_dataset("im2gps", …)` that lack something, and what to do instead."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geoload.files import local_path
from im2gps.training import find_shards

NO_TRAINING_SET = """\
Im2GPS has no training photos to download: its 6,472,304 exist only as lists of Flickr ids. Build \
them once: `im2gps search` asks Flickr for lists, `im2gps lists` makes a table of them, `im2gps \
build PHOTOS.parquet -o FOLDER` fetches the photos into shards; then load_dataset("im2gps", \
data_dir="FOLDER") has the splits train, validation and test. Shards of someone else's, with \
coordinates in their JSON: load_dataset("im2gps", data_files="their/*.tar"). Everything else has \
the one split "test"."""


def elsewhere(folder: str, archive: str) -> str:
    """Say where the photos are when a folder is the wrong one: published, or one too high."""
    if not os.path.isdir(folder):
        return ""
    here = Path(folder)
    if (here / "README.md").is_file() and any(here.glob("*/*-[0-9]*-of-[0-9]*.*")):
        return f'This folder was written by `im2gps publish`: load_dataset("{folder}").'
    for below in sorted(path for path in here.iterdir() if path.is_dir()):
        if (below / archive).is_file() or find_shards(str(below)):
            return f'Did you mean data_dir="{below}"?'
    return ""


def fetch_by_hand(name: str) -> str:
    """Say what to do about a configuration whose files cannot be downloaded."""
    if name == "photos":
        return (
            'load_dataset("im2gps", "photos") needs data_dir=: a folder with photos (or one ZIP of '
            "them) and a CSV with columns such as image_id, latitude, longitude."
        )
    return (
        "Im2GPS3k is fetched by hand: put im2gps3ktest.zip and its CSV (IMG_ID, AUTHOR, LAT, LON, "
        "…, as in im2gps3k_places365.csv of the GeoEstimation project) into a folder and give it "
        "as data_dir=."
    )


def beside(table: str, folder: str | None) -> str:
    """A table named without its folder is the one beside the photos, if it is there."""
    if folder is not None:
        where = folder if os.path.isdir(folder) else os.path.dirname(folder)
        if os.path.isfile(os.path.join(where, table)):
            return os.path.join(where, table)
    return local_path(table, "coordinates")


def check_training_options(options: dict[str, Any]) -> None:
    """Raise ValueError for a share of photographers that is none, or that nobody asks for."""
    fraction = options.get("validation_fraction")
    if fraction is None:
        return
    if not 0 <= fraction <= 1:
        raise ValueError(f"validation_fraction={fraction}: must be from 0 to 1.")
    if options.get("data_files") is not None:
        raise ValueError(
            "validation_fraction= is for a folder that `im2gps build` wrote. Of data_files= name "
            'the splits: {"train": "a/*.tar", "validation": "b/*.tar"}.'
        )


def check_shards(data_files: Mapping[str, list[str]]) -> None:
    """Raise ValueError unless each split has files, and all of them are TARs."""
    for split, files in data_files.items():
        others = [file for file in files if not file.endswith(".tar")]
        if others or not files:
            raise ValueError(
                f"data_files=, split {split}: {others[0] if others else 'no file'} found, but "
                "these should be WebDataset shards, as in data_files='shards/*.tar'."
            )
