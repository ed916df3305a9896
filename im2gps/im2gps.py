"""Im2GPS: photos from all over the world, and where each was taken.

On disk: ZIP files of JPEGs whose comment segments contain the coordinates (the four packs of the
project page), photos with a table of coordinates beside them, or the training shards that `im2gps
build` writes. This file is the dataset builder, and for datasets 3 the loading script.
"""

from __future__ import annotations

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
from im2gps.packs import UNUSABLE, PackError, explained
from im2gps.rows import make_row, pack_rows, shard_samples
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
        self._found: dict[str, dict[osv5m.Part, np.ndarray]] = {}  # rows, by split and part
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
        if self.config.columns and (truth := self.config.truth()):
            features.update(truth.features)
        if self.config.name == osv5m.NAME:
            features.update(osv5m.features(self.config.columns))
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
        if self.config.name == osv5m.NAME:
            return self._osv5m_generators(dl_manager)
        self.config.table()  # raises if it has to be fetched by hand
        findings = self.findings_folder(dl_manager)
        generators = []
        shards = self.config.shards()
        for split in self.split_names():
            arguments: dict[str, Any] = {"findings": findings}
            if split in shards:
                arguments |= {"shards": shards[split], "split": split}
            elif (source := self._test_source(dl_manager)) is not None:
                arguments["source"] = source
            else:
                continue
            generators.append(datasets.SplitGenerator(split, gen_kwargs=arguments))
        if shards and self.config.data_dir:
            warn_of_missing_shards(self.config.data_dir, len(next(iter(shards.values()))))
        return generators

    def _osv5m_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        """Return the splits of osv5m; the tables of those that are requested are read now.

        Then processes that are forked later have them too.
        """
        if not dl_manager.is_streaming and self.config.splits is None:
            raise ValueError(
                f"Without streaming, {osv5m.NAME} would download and prepare all of its 5 million "
                "photos. Use streaming=True, or name the splits to prepare: splits=['test']."
            )
        files, generators = self.config.files(self.token), []
        common = {"findings": self.findings_folder(dl_manager)}
        asked = re.findall(r"\w+", str(requested().get("split") or ""))
        names = [
            name for name in self.split_names() if not {*asked} & {*osv5m.SPLITS} or name in asked
        ]
        for split in names:
            parts = osv5m.parts(files, split, dl_manager, self._output_dir)
            if split in asked or not dl_manager.is_streaming:
                osv5m.read_table(files.table(split), self.config.columns)
            arguments = {**common, "split": split, "parts": parts, "count": len(parts)}
            generators.append(datasets.SplitGenerator(split, gen_kwargs=arguments))
        return generators

    def _osv5m_rows(
        self, findings: str | None, split: str, parts: list[osv5m.Part], count: int
    ) -> Iterator[Row]:
        config = self.config
        table = osv5m.read_table(config.files(self.token).table(split), config.columns)
        for part in parts:
            report, found = Findings(), list[np.ndarray]()
            label = f"{part[0].rpartition('/')[2]}-{part[1]}"
            for name, place, image, others in osv5m.read_part(
                part, table, report, found, self.token, config.original_bytes
            ):
                yield f"{label}/{name}", {**make_row(name, place, image, None), **others}
            if report.counts[UNUSABLE] and not config.skip_broken:
                raise PackError(
                    f"{part[0]}: {report.line(UNUSABLE)}. Get the file again, or leave these "
                    "photos out with skip_broken=True."
                )
            self._finish_part(findings, f"{split}-{label}", part[0], report, np.concatenate(found))
            if findings is None:
                seen = self._found.setdefault(split, {})
                seen[part] = np.concatenate(found)
                if len(seen) == count:
                    all_of_it = osv5m.whole(table, split, list(seen.values()))
                    seen.clear()
                    self._finish_part(None, split, f"{osv5m.NAME}, split {split}", all_of_it)

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
            table = osv5m.read_table(
                self.config.files(self.token).table(split), self.config.columns
            )
            findings.merge(osv5m.whole(table, split, found))
        return super().combine_findings(split, findings, found)

    def gives_tables(self) -> bool:
        """Return whether the rows are read as Arrow tables."""
        return bool(self.config.name == metadata.NAME)

    def _generate_tables(self, **arguments: Any) -> Iterator[tuple[str, pa.Table]]:
        if self.gives_tables():
            return metadata.tables(**arguments)
        return super()._generate_tables(**arguments)

    def _generate_examples(
        self, findings: str | None, source: str = "", shards: list[str] | None = None,
        split: str = "test", parts: list[osv5m.Part] | None = None, count: int = 0,
    ) -> Iterator[Row]:  # fmt: skip
        if parts is not None:
            yield from self._osv5m_rows(findings, split, parts, count)
            return
        if shards is None:
            report = Findings()
            yield from pack_rows(self.config, source, report, self._warn)
            self._finish_part(findings, "test-0", source, report)
            return
        for shard in shards:
            report = Findings()
            for sample in shard_samples(self.config, shard, split, self.token, report):
                record = sample.record if self.config.records else None
                coordinates = sample.latitude, sample.longitude
                yield sample.key, make_row(sample.name, coordinates, sample.data, record)
            self._finish_part(findings, f"{split}-{shard.rpartition('/')[2]}", shard, report)

    def _finish_part(
        self, findings: str | None, part: str, path: str, report: Findings,
        found: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        if findings is None and report:
            report.raise_or_log(path, self.config.strict)
            self._warn(f"{path}: {report}")
        self.save_findings(findings, part, report, found)

    def _warn(self, text: str) -> None:
        """Log a warning once, however often the rows are read."""
        if text not in self._warned:
            self._warned.add(text)
            _log.warning("%s.", text)
