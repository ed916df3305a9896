"""Im2GPS: photos from all over the world, and where each was taken.

On disk: ZIP files of JPEGs whose comment segments hold the coordinates (the four packs of the
project page), photos with a CSV of coordinates beside them, or the training shards that `im2gps
build` writes. This file is the data set builder, and on datasets 3 the loading script.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import datasets
import numpy as np

from geoload.builder import Builder, Config
from geoload.files import is_remote, local_path, persistently, signature
from geoload.registry import requested
from geoload.report import Report
from im2gps import metadata
from im2gps.labels import find_table
from im2gps.options import (
    NO_TRAINING_SET,
    beside,
    check_shards,
    check_training_options,
    elsewhere,
    fetch_by_hand,
)
from im2gps.packs import explained, find_pack, folder_photos, only_pack
from im2gps.rows import Row, pack_rows, shard_rows
from im2gps.training import VALIDATION_FRACTION, find_shards, warn_of_missing_shards

PROJECT_PAGE = "http://graphics.cs.cmu.edu/projects/im2gps/"

_CITATION = """\
@inproceedings{hays2008im2gps,
  title     = {{IM2GPS}: estimating geographic information from a single image},
  author    = {Hays, James and Efros, Alexei A.},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year      = {2008}
}"""
_log = logging.getLogger(__name__)


@dataclass
class Im2GPSConfig(Config):
    """Which photos, and what to do with them.

    Parameters
    ----------
    archive : str
        Name of the pack's ZIP file.
    photos : int
        How many photos the published pack holds; 0 where there is no such number.
    coordinates : str, optional
        Path of the CSV or Parquet file with the coordinates, where it is not the only one beside
        the photos.
    original_bytes : bool
        Hand out the files as they are, with the coordinates, owner and title inside.
    skip_broken : bool
        Leave out photos that cannot be used, and count them, instead of raising.
    strict : bool
        Make everything that would be reported an error.
    base_url : str
        Where the ZIP files are downloaded from.
    records : bool
        Add the column `record`: JSON text of what else is known of each photo. Of training photos
        that is what Flickr's list says (photographer, title, tags, dates, number of the licence),
        of the packs' photos the fields of their comments.
    validation_fraction : float
        Share of photographers whose training photos are in the split validation.
    splits : list of str, optional
        The splits to prepare. Without streaming, `datasets` prepares all, whichever is asked for.
    """

    archive: str = ""
    photos: int = 0
    labelled_by_table: bool = False
    coordinates: str | None = None
    original_bytes: bool = False
    skip_broken: bool = False
    records: bool = False
    base_url: str = PROJECT_PAGE
    validation_fraction: float = VALIDATION_FRACTION
    splits: list[str] | None = None

    PACKAGES: ClassVar[tuple[str, ...]] = ("im2gps", "gcd_metric")

    def shards(self) -> dict[str, list[str]]:
        """Return the training shards of each split: all of them, where photographers decide."""
        if self.data_files is not None:
            return {split: list(files) for split, files in self.data_files.items()}
        if self.data_dir is None or self.name != Im2GPS.DEFAULT_CONFIG_NAME:
            return {}
        found = find_shards(self.data_dir)
        return {"train": found, "validation": found} if found else {}

    def source(self) -> str:
        """Return the path of the local ZIP or folder, or the address of the ZIP."""
        address = self.base_url.rstrip("/") + "/" + self.archive
        if self.data_dir is None:
            return address
        others = {c.archive for c in Im2GPS.BUILDER_CONFIGS} - {self.archive, ""}
        if not self.archive:
            return only_pack(self.data_dir)
        try:
            return find_pack(self.data_dir, self.archive, others)
        except FileNotFoundError as error:
            if self.shards():
                return address
            if hint := elsewhere(self.data_dir, self.archive):
                raise FileNotFoundError(f"{error} {hint}") from None
            if self.name != Im2GPS.DEFAULT_CONFIG_NAME:
                raise
            hint = "Training shards, as `im2gps build` writes them, would do as well."
            raise FileNotFoundError(f"{error} {hint}") from None

    def table(self) -> str | None:
        """Return the path of the file with the coordinates, where they are not in the photos."""
        if not self.labelled_by_table:
            return None
        return self.coordinates or find_table(str(self.data_dir))

    def source_key(self) -> Any:
        """Return the names, sizes and times of all files read, or their addresses."""
        if self.name == metadata.NAME:
            return metadata.key(self.data_dir)
        shards = sorted({file for files in self.shards().values() for file in files})
        if self.data_files is not None:
            # What is not on this machine `datasets` keys by its time or its ETag.
            return signature([file for file in shards if not is_remote(file)], "/")
        source = self.source()
        if self.data_dir is None:
            return source
        files = [] if is_remote(source) else [source]
        if files and os.path.isdir(source):
            files = [str(photo) for photo in folder_photos(source)]
        table = self.table()
        return [source, signature([*files, *([table] if table else []), *shards], self.data_dir)]


class Im2GPS(Builder):
    """Photos with the latitude and longitude at which they were taken.

    Rows have `image`, `image_id` (the file name), `latitude` and `longitude` (decimal degrees,
    WGS 84), and `record` where it is asked for. The handed-out bytes are stripped of all metadata
    but colour profile and orientation: the original files hold the answer.
    """

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = Im2GPSConfig
    BUILDER_CONFIGS = [
        Im2GPSConfig(
            name="im2gps",
            version=VERSION,
            description="The test set of the CVPR 2008 paper.",
            archive="gps_query_imgs.zip",
            photos=237,
        ),
        Im2GPSConfig(
            name="random_2k",
            version=VERSION,
            description="Random geotagged photos, unfiltered.",
            archive="2k_random_test.zip",
            photos=2000,
        ),
        Im2GPSConfig(
            name="geo_uniform",
            version=VERSION,
            description="Photos spread evenly over the land.",
            archive="geo_uniform_test.zip",
            photos=955,
        ),
        Im2GPSConfig(
            name="human",
            version=VERSION,
            description="The photos of the study with human observers.",
            archive="human_geolocation_test.zip",
            photos=64,
        ),
        Im2GPSConfig(
            name="im2gps3k",
            version=VERSION,
            description="Im2GPS3k: photos and a CSV, both fetched by hand.",
            archive="im2gps3ktest.zip",
            photos=3000,
            labelled_by_table=True,
        ),
        Im2GPSConfig(
            name="photos",
            version=VERSION,
            description="Any folder or ZIP of photos with a table of coordinates beside it.",
            labelled_by_table=True,
        ),
        Im2GPSConfig(
            name=metadata.NAME,
            version=VERSION,
            description="What the Flickr lists say of the training photos, without the photos.",
        ),
    ]
    DEFAULT_CONFIG_NAME = "im2gps"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        folder = kwargs.get("data_dir")
        if folder is not None:
            kwargs["data_dir"] = folder = local_path(folder)
        if kwargs.get("coordinates") is not None:
            kwargs["coordinates"] = beside(kwargs["coordinates"], folder)
        check_training_options(kwargs)
        metadata.check_options(kwargs, self.BUILDER_CONFIG_CLASS)
        super().__init__(*args, **kwargs)
        if self.config.data_files is not None:
            check_shards(self.config.data_files)
        if self.config.coordinates and not self.config.labelled_by_table:
            raise ValueError(
                f"coordinates= is for the configurations im2gps3k and photos; {self.config.name!r} "
                "takes the coordinates from the photos."
            )
        if kwargs.get("validation_fraction") is not None and not self.config.shards():
            if self._lacks_shards():
                raise ValueError(f"validation_fraction= means nothing here: {self._no_shards()}")
            _log.warning(
                "validation_fraction= means nothing for configuration %r.", self.config.name
            )

    def takes_data_files(self, options: dict[str, Any]) -> bool:
        """Tell whether data_files= can name training shards: alone, in the default."""
        default = options.get("config_name") in (None, self.DEFAULT_CONFIG_NAME)
        return default and options.get("data_dir") is None

    def split_names(self) -> list[str]:
        """Return the splits that will be prepared."""
        if self.config.name == metadata.NAME:
            return ["train"]
        names = list(self.config.shards())
        if self.config.data_files is None:
            names.append("test")
        chosen = self.config.splits
        if chosen is not None and not set(chosen) <= set(names):
            if self._lacks_shards() and set(chosen) & {"train", "validation"}:
                raise ValueError(f"splits={chosen}: {self._no_shards()}")
            raise ValueError(f"splits={chosen}: there is {', '.join(names)}.")
        return [name for name in names if chosen is None or name in chosen]

    def _lacks_shards(self) -> bool:
        """Tell whether there could be training shards, but are none."""
        return self.config.name == self.DEFAULT_CONFIG_NAME and not self.config.shards()

    def _no_shards(self) -> str:
        if self.config.data_dir is None:
            return NO_TRAINING_SET
        return (
            f"{self.config.data_dir} holds no training shards, such as im2gps-00000.tar; "
            f"`im2gps build PHOTOS.parquet -o FOLDER` makes them."
        )

    def check_split(self, split: Any) -> None:
        """Refuse a training split that is not there with what to do instead."""
        wanted = re.search(r"\b(train|validation)", str(split))
        if wanted and self._lacks_shards():
            raise ValueError(NO_TRAINING_SET)
        super().check_split(split)

    def as_dataset(self, split: Any = None, **kwargs: Any) -> Any:
        """See `datasets.DatasetBuilder`; says why the test split can be lacking."""
        if "test" in str(split) and "test" not in (self.info.splits or ()):
            raise ValueError(
                f"{self.config.archive} could not be had when these rows were prepared. Put it "
                "into data_dir, or load it by itself: without data_dir, split='test'."
            )
        return super().as_dataset(split=split, **kwargs)

    def _info(self) -> datasets.DatasetInfo:
        features = datasets.Features(
            {
                "image": datasets.Image(),
                "image_id": datasets.Value("string"),
                "latitude": datasets.Value("float64"),
                "longitude": datasets.Value("float64"),
            }
        )
        if self.config.records:
            features["record"] = datasets.Value("string")
        return datasets.DatasetInfo(
            description=self.config.description or "",
            features=metadata.features() if self.config.name == metadata.NAME else features,
            homepage=PROJECT_PAGE,
            license="each photo has the licence that its photographer chose on Flickr",
            citation=_CITATION,
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        if self.config.name == metadata.NAME:
            return metadata.split_generators(self.config.data_dir)
        if self.config.labelled_by_table and self.config.data_dir is None:
            raise ValueError(fetch_by_hand(self.config.name))
        findings = self.findings_folder(dl_manager)
        generators = []
        shards = self.config.shards()
        for split in self.split_names():
            if split in shards:
                arguments = {"shards": shards[split], "split": split, "findings": findings}
            elif source := self._test_source(dl_manager):
                arguments = {"source": source, "findings": findings}
            else:
                continue
            generators.append(datasets.SplitGenerator(split, gen_kwargs=arguments))
        if shards and self.config.data_dir:
            warn_of_missing_shards(self.config.data_dir, len(next(iter(shards.values()))))
        return generators

    def _test_source(self, dl_manager: Any) -> str | None:
        """Return the test pack's path or address; None where the rest can do without it."""
        source = self.config.source()
        if not is_remote(source):
            return source
        try:
            with explained(source, self.config.archive):
                return persistently(dl_manager.download)(source)
        except ConnectionError as error:
            if not self.config.shards() or "test" in str(requested().get("split")):
                raise
            _log.warning("im2gps: the split test is left out. %s", error)
            return None

    def conclude(self, split: str, findings: Report, found: list[np.ndarray]) -> Report:
        """Return the report of a split; says when validation is empty, as in a small build."""
        sizes = {name: info.num_examples for name, info in self.info.splits.items()}
        share = self.config.validation_fraction if self.config.data_files is None else 0
        photos = sizes.get("train", 0)
        if split == "validation" and share and photos and not sizes[split]:
            text = (
                f"im2gps: the split validation is empty: none of the photographers of {photos:,} "
                f"photos fell into validation_fraction={share}; try "
                f"{0.1 if share < 0.1 else 'a larger one'}"
            )
            if self.config.strict:
                raise ValueError(f"{text} (strict=True).")
            _log.warning("%s.", text)
        return super().conclude(split, findings, found)

    def gives_tables(self) -> bool:
        """Tell whether the rows come as Arrow tables."""
        return self.config.name == metadata.NAME

    def _generate_tables(self, **arguments: Any) -> Iterator[tuple[str, Any]]:
        return metadata.tables(**arguments)

    def _generate_examples(
        self, findings: str | None, source: str = "", shards: list[str] | None = None,
        split: str = "test",
    ) -> Iterator[Row]:  # fmt: skip
        def leave(part: str, report: Report) -> None:
            if findings is None:
                report.settle(source or part, self.config.strict, _log)
            self.leave_findings(findings, part, report)

        if shards is not None:
            yield from shard_rows(self.config, shards, split, self.token, leave)
        else:
            downloaded = is_remote(self.config.source())
            yield from pack_rows(self.config, source, downloaded, leave)
