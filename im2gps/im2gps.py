"""Im2GPS: photos from all over the world, and where each was taken.

On disk: ZIP files of JPEGs whose comment segments contain the coordinates (the four packs of the
project page), photos with a table of coordinates beside them, or the training shards that `im2gps
build` writes. This file is the dataset builder, and for datasets 3 the loading script.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Iterator
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from geoload.builder import Builder
from geoload.files import is_remote
from geoload.registry import requested
from geoload.remote import with_retries
from geoload.report import Findings
from geoload.tables import Row
from im2gps import metadata, osv5m
from im2gps.options import (
    CONFIGS,
    DEFAULT,
    NO_TRAINING_SET,
    PROJECT_PAGE,
    VERSION,
    Im2GPSConfig,
    check_options,
    check_resolved,
    resolve_paths,
)
from im2gps.packs import explained
from im2gps.rows import pack_rows, shard_rows
from im2gps.training import warn_of_missing_shards

_CITATION = """\
@inproceedings{hays2008im2gps,
  title     = {{IM2GPS}: estimating geographic information from a single image},
  author    = {Hays, James and Efros, Alexei A.},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year      = {2008}
}"""
_log = logging.getLogger(__name__)


class Im2GPS(Builder):
    """Photos with the latitude and longitude at which they were taken.

    Rows have `image`, `image_id` (the file name), `latitude` and `longitude` (decimal degrees,
    WGS 84), and `record` if it is requested. All metadata are removed from the photos except colour
    profile and orientation, because they contain the coordinates.
    """

    VERSION = VERSION
    BUILDER_CONFIG_CLASS = Im2GPSConfig
    BUILDER_CONFIGS = CONFIGS
    DEFAULT_CONFIG_NAME = DEFAULT

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        resolve_paths(kwargs)
        check_options(kwargs)
        self._warned: set[str] = set()
        self._found: dict[str, dict[str, np.ndarray]] = {}  # rows, by split and part
        super().__init__(*args, **kwargs)
        check_resolved(self.config)
        if kwargs.get("validation_fraction") is not None and not self.config.shards():
            if self._lacks_shards():
                raise ValueError(f"validation_fraction= has no effect here: {self._no_shards()}")
            self._warn(f"validation_fraction= has no effect on configuration {self.config.name!r}")

    def takes_data_files(self, options: dict[str, Any]) -> bool:
        """Return whether data_files= may be used: by itself, in the default configuration."""
        default = options.get("config_name") in (None, DEFAULT)
        return default and options.get("data_dir") is None

    def split_names(self) -> list[str]:
        """Return the splits that will be prepared."""
        if self.config.name == metadata.NAME:
            return ["train"]
        if self.config.name == osv5m.NAME:
            return self.config.splits or list(osv5m.SPLITS)
        names = list(self.config.shards())
        if self.config.data_files is None:
            names.append("test")
        chosen = self.config.splits
        if chosen is not None and not set(chosen) <= set(names):
            if self._lacks_shards() and set(chosen) & {"train", "validation"}:
                raise ValueError(f"splits={chosen}: {self._no_shards()}")
            raise ValueError(f"splits={chosen}: the splits are {', '.join(names)}.")
        return [name for name in names if chosen is None or name in chosen]

    def _lacks_shards(self) -> bool:
        return self.config.name == DEFAULT and not self.config.shards()

    def _no_shards(self) -> str:
        if self.config.data_dir is None:
            return NO_TRAINING_SET
        return (
            f"{self.config.data_dir} contains no training shards, such as im2gps-00000.tar; "
            f"`im2gps build PHOTOS.parquet -o FOLDER` makes them."
        )

    def check_split(self, split: Any) -> None:
        """Refuse a training split that is not there, and say how to get it."""
        if re.search(r"\b(train|validation)", str(split)) and self._lacks_shards():
            raise ValueError(NO_TRAINING_SET)
        super().check_split(split)

    def as_dataset(self, split: Any = None, **kwargs: Any) -> Any:
        """See `datasets.DatasetBuilder`; says why the test split is missing, if it is."""
        if "test" in str(split) and "test" not in (self.info.splits or ()):
            raise ValueError(
                f"{self.config.known.archive} could not be downloaded when these rows were "
                "prepared. Put it into data_dir, or load it by itself: without data_dir, "
                "split='test'."
            )
        return super().as_dataset(split=split, **kwargs)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description=self.config.description or "",
            features=self.config.features(),
            homepage=PROJECT_PAGE,
            license="each photo has the licence that its photographer chose on Flickr",
            citation=_CITATION,
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        if self.config.name == metadata.NAME:
            return metadata.split_generators(self.config.data_dir)
        if self.config.name == osv5m.NAME:
            files, splits = self.config.files(self.token), self.config.splits
            parts: Any = osv5m.split_parts(files, splits, dl_manager, self._output_dir)
        else:
            parts = self._parts(dl_manager)
        findings = self.findings_folder(dl_manager)
        generators = []
        for split, found in parts.items():
            arguments = {"findings": findings, "split": split, "parts": found, "count": len(found)}
            generators.append(datasets.SplitGenerator(split, gen_kwargs=arguments))
        return generators

    def _parts(self, dl_manager: Any) -> dict[str, list[str]]:
        """Return the training shards, or the test pack, of each split that is available."""
        self.config.table()  # raises if it has to be fetched by hand
        shards, parts = self.config.shards(), {}
        for split in self.split_names():
            if split in shards:
                parts[split] = shards[split]
            elif (source := self._test_source(dl_manager)) is not None:
                parts[split] = [source]
        if shards and self.config.data_dir:
            warn_of_missing_shards(self.config.data_dir, len(next(iter(shards.values()))))
        return parts

    def _test_source(self, dl_manager: Any) -> str | None:
        """Return the test pack's path or address, or None if only training photos are available."""
        source: str = self.config.source()
        if not is_remote(source):
            return source
        try:
            with explained(source, self.config.known.archive):
                path: str = with_retries(dl_manager.download)(source)
                return path
        except ConnectionError as error:
            if not self.config.shards() or "test" in str(requested().get("split")):
                raise
            _log.warning("im2gps: the split test is left out. %s", error)
            return None

    def combine_findings(self, split: str, findings: Findings, found: list[np.ndarray]) -> Findings:
        """Return the report of a split; warn if validation is empty, as in a small build."""
        sizes = {name: info.num_examples for name, info in self.info.splits.items()}
        share = self.config.validation_fraction if self.config.data_files is None else 0
        photos = sizes.get("train", 0)
        if split == "validation" and share and photos and not sizes[split]:
            text = (
                f"im2gps: the split validation is empty: none of the photographers of {photos:,} "
                f"photos are in validation_fraction={share}; try "
                f"{0.1 if share < 0.1 else 'a larger one'}"
            )
            if self.config.strict:
                raise ValueError(f"{text} (strict=True).")
            self._warn(text)
        if self.config.name == osv5m.NAME:
            findings.merge(osv5m.whole(self.config.files(self.token), split, found))
        return super().combine_findings(split, findings, found)

    def gives_tables(self) -> bool:
        """Return whether the rows are read as Arrow tables."""
        return bool(self.config.name == metadata.NAME)

    def _generate_tables(self, **arguments: Any) -> Iterator[tuple[str, pa.Table]]:
        if self.gives_tables():
            return metadata.tables(**arguments)
        return super()._generate_tables(**arguments)

    def _generate_examples(
        self, findings: str | None, split: str, parts: list[Any], count: int
    ) -> Iterator[Row]:
        done = functools.partial(self._done, findings, split, count)
        if self.config.name == osv5m.NAME:
            yield from osv5m.rows(self.config.files(self.token), split, parts, done)
        elif split in self.config.shards():
            yield from shard_rows(self.config, split, parts, self.token, done)
        else:
            yield from pack_rows(self.config, parts[0], report := Findings(), self._warn)
            done("0", parts[0], report)

    def _done(
        self, findings: str | None, split: str, count: int, label: str, path: str,
        report: Findings, found: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """Take the report of a part, and the rows of `osv5m` that were found in it."""
        if findings is not None:
            self.save_findings(findings, f"{split}-{label}", report, found)
            return
        self._report(path, report)
        if found is not None:
            seen = self._found.setdefault(split, {})
            seen[label] = found
            if len(seen) == count:  # only all parts together show what is missing
                report = osv5m.whole(self.config.files(self.token), split, list(seen.values()))
                seen.clear()
                self._report(f"{osv5m.NAME}, split {split}", report)

    def _report(self, what: str, report: Findings) -> None:
        report.raise_or_log(what, self.config.strict)
        if report:
            self._warn(f"{what}: {report}")

    def _warn(self, text: str) -> None:
        """Log a warning once, however often the rows are read."""
        if text not in self._warned:
            self._warned.add(text)
            _log.warning("%s.", text)
