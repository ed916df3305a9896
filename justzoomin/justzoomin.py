"""Just Zoom In: street photos of Washington, D.C., where each was taken, and the zoom to there.

On disk: TAR shards of photos and a CSV for each split that names them; or the same, extracted.
This file is the data set builder, and on datasets 3 the loading script.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import datasets
import numpy as np

from geoload.builder import Builder, Config
from geoload.files import local_path
from geoload.hub import resolve_commit
from geoload.report import Report
from justzoomin.sources import REPOSITORY, REVISION, TABLES, Folder, Hub, Part, other_split
from justzoomin.streetview import MISSING, Join, split_report
from justzoomin.table import read_table

_CITATION = """\
@article{erzurumlu2026justzoomin,
  title   = {Just Zoom In: Cross-View Geo-Localization via Autoregressive Zooming},
  author  = {Erzurumlu, Yunus Talha and Kwag, Jiyong and Yilmaz, Alper},
  journal = {arXiv preprint arXiv:2603.25686},
  year    = {2026}
}"""
_SPLITS = {"train": datasets.Split.TRAIN, "validation": datasets.Split.VALIDATION}


@dataclass
class JustZoomInConfig(Config):
    """What to load, and from where.

    Parameters
    ----------
    repository : str
        The dataset repository on the Hub, or a fork of it.
    revision : str, optional
        Its commit, branch or tag. None is the commit that this package was made for, or the
        newest commit of a fork.
    metadata_dir : str, optional
        Folder of the two CSV files, where it is not `metadata/` under the data_dir.
    shards : list of int, optional
        Numbers of the TAR shards to read; the others are not even downloaded.
    splits : list of str, optional
        The splits to prepare. Without streaming, `datasets` prepares all, whichever is asked for.
    strict : bool
        Make everything that would be reported an error.
    """

    repository: str = REPOSITORY
    revision: str | None = None
    metadata_dir: str | None = None
    shards: list[int] | None = None
    splits: list[str] | None = None
    photos: bool = True

    PACKAGES: ClassVar[tuple[str, ...]] = ("justzoomin",)

    def source(self, token: Any = None) -> Hub | Folder:
        """Return where the files lie; `token` is for the Hub."""
        hub = Hub(self.repository, self.revision or REVISION, token, self.metadata_dir)
        return Folder(self.data_dir, self.metadata_dir, hub) if self.data_dir else hub

    def source_key(self) -> Any:
        """Return the commit, or the names, sizes and times of all files read."""
        return self.source().key(self.shards, self.photos)


class JustZoomIn(Builder):
    """Street photos with the coordinates and the zoom actions that lead to them.

    Rows of `streetview` have `image`, `image_id`, `latitude`, `longitude` (decimal degrees,
    WGS 84) and `sequence` (the actions, row · 4 + column of a 4 × 4 grid); rows of `metadata`
    have the same without the image.
    """

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = JustZoomInConfig
    BUILDER_CONFIGS = [
        JustZoomInConfig(
            name="streetview",
            version=VERSION,
            description="Street photos with coordinates and zoom actions.",
        ),
        JustZoomInConfig(
            name="metadata",
            version=VERSION,
            description="Coordinates and zoom actions, without the photos.",
            photos=False,
        ),
    ]
    DEFAULT_CONFIG_NAME = "streetview"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        for option in ("data_dir", "metadata_dir"):
            if kwargs.get(option) is not None:
                kwargs[option] = local_path(kwargs[option], option)
        if kwargs.get("splits") is not None:
            kwargs["splits"] = _known_splits(kwargs["splits"])
        if kwargs.get("shards") is not None:
            kwargs["shards"] = sorted({int(number) for number in kwargs["shards"]})
        _pin(kwargs)
        super().__init__(*args, **kwargs)

    def _info(self) -> datasets.DatasetInfo:
        features = {
            "image": datasets.Image(),
            "image_id": datasets.Value("string"),
            "latitude": datasets.Value("float64"),
            "longitude": datasets.Value("float64"),
            "sequence": datasets.Sequence(datasets.Value("int64")),
        }
        if not self.config.photos:
            del features["image"]
        return datasets.DatasetInfo(
            description=self.config.description or "",
            features=datasets.Features(features),
            homepage="https://osupcvlab.github.io/just-zoom-in/",
            license="cc-by-sa-4.0",
            citation=_CITATION,
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        parts = self._parts(dl_manager)
        folder = self.findings_folder(dl_manager) if self.config.photos else None
        return [
            datasets.SplitGenerator(
                _SPLITS[split], gen_kwargs={"parts": parts, "split": split, "findings": folder}
            )
            for split in self.config.splits or TABLES
        ]

    def _parts(self, dl_manager: Any) -> list[Part]:
        source = self.config.source(self.token)
        if not self.config.photos:
            return [Part("", "metadata")]
        if dl_manager.is_streaming:
            return source.parts(self.config.shards)
        return source.download(self.config.shards, dl_manager, self.cache_dir)

    def _generate_examples(
        self, parts: list[Part], split: str, findings: str | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        source = self.config.source(self.token)
        if not self.config.photos:
            table = read_table(source.table(split))
            for row in range(len(table)):
                yield str(row), table.record(row)
            return

        def leave(part: Part, report: Report, found: np.ndarray) -> None:
            name = f"{split}-{part.name}".replace("/", "-")
            self.leave_findings(findings, name, report, found)

        join = Join(source, split, self.config.strict, None if findings is None else leave)
        for part in parts:
            for row, place, name, data in join.samples(part):
                # Not os.path.basename: while streaming, `datasets` has a slow one of its own here.
                image = {"bytes": data, "path": name.rpartition("/")[2]}
                yield place, {"image": image, **join.table.record(row)}

    def conclude(self, split: str, findings: Report, found: list[np.ndarray]) -> Report:
        """Add rows without a picture and ids that occur twice to the parts' findings."""
        source = self.config.source(self.token)
        table = read_table(source.table(split))
        others = read_table(source.table(other_split(split)))
        report = split_report(table, others, findings, found)
        if self.config.shards is not None:
            # The others' pictures lie in the shards that were not asked for.
            report.counts.pop(MISSING, None)
        return report


def _pin(kwargs: dict[str, Any]) -> None:
    """Turn a branch or tag into the commit it names now: rows are cached by commit."""
    repository = kwargs.get("repository") or REPOSITORY
    revision = kwargs.get("revision")
    if kwargs.get("data_dir") is not None:
        if revision is not None or kwargs.get("repository") is not None:
            raise ValueError(
                "data_dir= and revision= or repository= contradict each other: rows come from the "
                "folder or from the Hub. Leave one out."
            )
        return
    if revision is None and repository == REPOSITORY:
        return
    kwargs["revision"] = resolve_commit(repository, str(revision or "main"), kwargs.get("token"))


def _known_splits(splits: Any) -> list[str]:
    names = [splits] if isinstance(splits, str) else [str(split) for split in splits]
    unknown = [name for name in names if name not in TABLES]
    if unknown or not names:
        raise ValueError(f"splits={names}: the splits are {', '.join(TABLES)}.")
    return [name for name in TABLES if name in names]
