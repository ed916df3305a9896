"""Just Zoom In: street photos of Washington, D.C., where each was taken, and the zoom to there.

This file is the data set builder, and the loading script on datasets 3. It delegates to the
configurations in `justzoomin.configs`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import datasets
import numpy as np

from geoload.builder import Builder
from geoload.files import write_json
from geoload.report import Findings
from justzoomin.configs.overhead import Cells, RenderedGrid
from justzoomin.configs.satellite import Satellite
from justzoomin.configs.streetview import Metadata, StreetView
from justzoomin.configs.zoom import Zoom
from justzoomin.findings import StreamedFindings
from justzoomin.options import JustZoomInConfig, Row, check_options

_CITATION = """\
@article{erzurumlu2026justzoomin,
  title   = {Just Zoom In: Cross-View Geo-Localization via Autoregressive Zooming},
  author  = {Erzurumlu, Yunus Talha and Kwag, Jiyong and Yilmaz, Alper},
  journal = {arXiv preprint arXiv:2603.25686},
  year    = {2026}
}"""
_FILES = "shards.json"
_VERSION = datasets.Version("1.0.0")
_CONFIGURATIONS: dict[str, tuple[type[JustZoomInConfig], str]] = {
    "streetview": (StreetView, "Street photos with coordinates and zoom actions."),
    "metadata": (Metadata, "Coordinates and zoom actions, without the photos."),
    "zoom": (Zoom, "Street photos with the overhead views along their zoom path."),
    "views": (RenderedGrid, "The overhead views along all zoom paths, rendered once."),
    "cells": (Cells, "Every cell of a depth with its view: a retrieval database."),
    "satellite": (Satellite, "The overhead tiles, each with the ground that it covers."),
}


class JustZoomIn(Builder):
    """Street photos with the coordinates and the zoom actions that lead to them.

    Rows of `streetview` have `image`, `image_id`, `latitude`, `longitude` (decimal degrees,
    WGS 84) and `sequence` (the actions, row · 4 + column of a 4 × 4 grid); rows of `metadata`
    have the same without the image. Rows of `satellite` are the overhead tiles: `image`, `level`,
    `x`, `y`, the box around it in degrees (`south`, `west`, `north`, `east`), its centre
    (`latitude`, `longitude`) and its side, `ground_size_m`.
    """

    VERSION = _VERSION
    BUILDER_CONFIG_CLASS = JustZoomInConfig
    BUILDER_CONFIGS = [
        kind(name=name, version=_VERSION, description=text)
        for name, (kind, text) in _CONFIGURATIONS.items()
    ]
    DEFAULT_CONFIG_NAME = "streetview"

    config: JustZoomInConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        check_options(kwargs)
        self._streamed: dict[str, StreamedFindings] = {}
        super().__init__(*args, **kwargs)

    def split_names(self) -> list[str]:
        """Return the splits that will be prepared."""
        return self.config.split_names()

    def download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        """See `datasets.DatasetBuilder`; refuses `zoom`, whose views would be stored repeatedly."""
        if self.config.name == "zoom":
            raise ValueError(
                'load_dataset("justzoomin", "zoom") without streaming would store 1.2 million '
                "pictures, each view again for every photo. Use streaming=True; or load "
                '"streetview" and add the views when a row is read: '
                "rows.with_transform(justzoomin.ZoomViews(source))."
            )
        if self._points_to_lost_files():
            kwargs["download_mode"] = datasets.DownloadMode.REUSE_CACHE_IF_EXISTS
        super().download_and_prepare(*args, **kwargs)

    def _points_to_lost_files(self) -> bool:
        """Return whether cached rows point into shards that the Hub's cache no longer contains."""
        file = os.path.join(self.cache_dir, _FILES)
        if not self.config.in_place or not os.path.isfile(file):
            return False
        with open(file, encoding="utf-8") as opened:
            return not all(map(os.path.exists, json.load(opened)))

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description=self.config.description or "",
            features=datasets.Features(self.config.features(self.config.source(self.token))),
            homepage="https://osupcvlab.github.io/just-zoom-in/",
            license="cc-by-sa-4.0",
            citation=_CITATION,
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        download = None if dl_manager.is_streaming else dl_manager
        source = self.config.source(self.token)
        parts = self.config.parts(source, download, self.cache_dir)
        left = self.config.left_in_place(parts)
        if left and download is not None:
            write_json(os.path.join(self._output_dir, _FILES), sorted(left))
        folder = self.findings_folder(dl_manager)
        arguments = {"parts": parts, "count": len(parts), "findings": folder}
        return [
            datasets.SplitGenerator(datasets.NamedSplit(split), {**arguments, "split": split})
            for split in self.split_names()
        ]

    def _generate_examples(
        self, parts: list[Any], count: int, split: str, findings: str | None
    ) -> Iterator[Row]:
        def keep(part: str, report: Findings, found: np.ndarray | None) -> None:
            self.save_findings(findings, f"{split}-{part}".replace("/", "-"), report, found)

        source = self.config.source(self.token)
        if findings is None and split not in self._streamed:
            self._streamed[split] = self.config.streamed_findings(source, split, count)
        done = keep if findings is not None else self._streamed[split].add
        yield from self.config.rows(source, parts, split, done)

    def combine_findings(self, split: str, findings: Findings, found: list[np.ndarray]) -> Findings:
        """Return the report of a split from the findings of its parts."""
        return self.config.combine_findings(self.config.source(self.token), split, findings, found)
