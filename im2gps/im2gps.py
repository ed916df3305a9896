"""Im2GPS: photos from all over the world, and where each was taken.

On disk: ZIP files of JPEGs whose comment segments hold the coordinates (the four packs of the
project page), or photos with a CSV of coordinates beside them. This file is the data set builder,
and on datasets 3 the loading script.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import datasets

from geoload.builder import Builder, Config
from geoload.files import local_path, persistently, signature
from geoload.report import Report
from im2gps import metadata
from im2gps.labels import Labeller, find_table
from im2gps.packs import PackError, explained, find_pack, folder_photos, only_pack, open_pack
from im2gps.photo import PhotoError, check_header, clean

PROJECT_PAGE = "http://graphics.cs.cmu.edu/projects/im2gps/"
UNUSABLE = "photos that cannot be used"

_CITATION = """\
@inproceedings{hays2008im2gps,
  title     = {{IM2GPS}: estimating geographic information from a single image},
  author    = {Hays, James and Efros, Alexei A.},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year      = {2008}
}"""
_NO_TRAINING_SET = """\
Im2GPS has no training photos to download: its 6,472,304 exist only as lists of Flickr ids. \
Collect photos with the authors' Flickr code ({page}flickr_code.html) and load them, with a CSV \
of image_id, latitude, longitude beside them, as load_dataset("im2gps", "photos", \
data_dir="your/folder", split="test"). Every configuration here has the one split "test"."""

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
    """

    archive: str = ""
    photos: int = 0
    labelled_by_table: bool = False
    coordinates: str | None = None
    original_bytes: bool = False
    skip_broken: bool = False
    base_url: str = PROJECT_PAGE

    PACKAGES: ClassVar[tuple[str, ...]] = ("im2gps", "gcd_metric")

    def source(self) -> str:
        """Return the path of the local ZIP or folder, or the address of the ZIP."""
        if self.data_dir is None:
            return self.base_url.rstrip("/") + "/" + self.archive
        others = {c.archive for c in Im2GPS.BUILDER_CONFIGS} - {self.archive, ""}
        if self.archive:
            return find_pack(self.data_dir, self.archive, others)
        return only_pack(self.data_dir)

    def table(self) -> str | None:
        """Return the path of the file with the coordinates, where they are not in the photos."""
        if not self.labelled_by_table:
            return None
        return self.coordinates or find_table(str(self.data_dir))

    def source_key(self) -> Any:
        """Return the names, sizes and times of all files read, or the address."""
        if self.name == metadata.NAME:
            return metadata.key(self.data_dir)
        if self.data_dir is None:
            return self.base_url + self.archive
        source = self.source()
        files = folder_photos(source) if os.path.isdir(source) else [source]
        table = self.table()
        return [source, signature([*files, *([table] if table else [])], self.data_dir)]


class Im2GPS(Builder):
    """Photos with the latitude and longitude at which they were taken.

    Rows have `image`, `image_id` (the file name), `latitude` and `longitude` (decimal degrees,
    WGS 84). The handed-out bytes are stripped of all metadata but colour profile and orientation:
    the original files hold the answer.
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
            kwargs["coordinates"] = _beside(kwargs["coordinates"], folder)
        metadata.check_options(kwargs, self.BUILDER_CONFIG_CLASS)
        super().__init__(*args, **kwargs)
        if self.config.coordinates and not self.config.labelled_by_table:
            raise ValueError(
                f"coordinates= is for the configurations im2gps3k and photos; {self.config.name!r} "
                "takes the coordinates from the photos."
            )

    def split_names(self) -> list[str]:
        """Return the one split that there is."""
        return ["train"] if self.config.name == metadata.NAME else ["test"]

    def check_split(self, split: Any) -> None:
        """Refuse a training split with what to do instead, and any other but "test"."""
        if self.config.name != metadata.NAME and re.search(r"\btrain", str(split)):
            raise ValueError(_NO_TRAINING_SET.format(page=PROJECT_PAGE))
        super().check_split(split)

    def _info(self) -> datasets.DatasetInfo:
        features = datasets.Features(
            {
                "image": datasets.Image(),
                "image_id": datasets.Value("string"),
                "latitude": datasets.Value("float64"),
                "longitude": datasets.Value("float64"),
            }
        )
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
            raise ValueError(_fetch_by_hand(self.config.name))
        source = self.config.source()
        if self.config.data_dir is None:
            with explained(source, self.config.archive):
                source = persistently(dl_manager.download)(source)
        arguments = {"source": source, "findings": self.findings_folder(dl_manager)}
        return [datasets.SplitGenerator(datasets.Split.TEST, gen_kwargs=arguments)]

    def gives_tables(self) -> bool:
        """Tell whether the rows come as Arrow tables."""
        return self.config.name == metadata.NAME

    def _generate_tables(self, **arguments: Any) -> Iterator[tuple[str, Any]]:
        return metadata.tables(**arguments)

    def _generate_examples(
        self, source: str, findings: str | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        report = Report()
        with explained(source, self.config.archive), open_pack(source, report) as photos:
            self._check_count(len(photos))
            label = Labeller([name for name, _ in photos], self.config.table(), report)
            seen: set[str] = set()
            for name, read in photos:
                if not label.wants(name):
                    continue
                try:
                    if name in seen:
                        raise PhotoError("a second photo of this name")
                    seen.add(name)
                    data = read()
                    latitude, longitude = label.coordinates(name, data)
                    check_header(data)
                    handed_out = data if self.config.original_bytes else clean(data)
                except (PhotoError, PackError) as error:
                    report.add(UNUSABLE, f"{name}: {error}")
                    continue
                yield (
                    name,
                    {
                        "image": {"bytes": handed_out, "path": name},
                        "image_id": name,
                        "latitude": latitude,
                        "longitude": longitude,
                    },
                )
        self._finish(source, len(photos), report, findings)

    def _check_count(self, count: int) -> None:
        """A pack from the project page is whole or an error; one of the user's own may differ."""
        expected = self.config.photos
        if not expected or count == expected:
            return
        if self.config.data_dir is None:
            raise PackError(
                f"{self.config.archive} from {self.config.base_url} holds {count} photos, not the "
                f"published {expected}. Load it again with download_mode='force_redownload'; if "
                "the count stays, the pack has changed: give your copy with data_dir=."
            )
        _log.warning(
            "%s: %d photos under %s, where the published pack has %d.",
            self.config.name, count, self.config.data_dir, expected,
        )  # fmt: skip

    def _finish(self, source: str, count: int, report: Report, findings: str | None) -> None:
        if report.counts[UNUSABLE] and not self.config.skip_broken:
            raise PackError(
                f"{source}: of {count} photos, {report.line(UNUSABLE)}. Get the files again, or "
                "leave these photos out with skip_broken=True."
            )
        if findings is None and report:
            if self.config.strict:
                raise PackError(f"{source}: {report} (strict=True).")
            _log.warning("%s: %s", source, report)
        self.leave_findings(findings, "test-0", report)


def _fetch_by_hand(name: str) -> str:
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


def _beside(table: str, folder: str | None) -> str:
    """A table named without its folder is the one beside the photos, if it is there."""
    if folder is not None:
        where = folder if os.path.isdir(folder) else os.path.dirname(folder)
        if os.path.isfile(os.path.join(where, table)):
            return os.path.join(where, table)
    return local_path(table, "coordinates")
