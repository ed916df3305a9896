"""Training shards as a webdataset pipeline, for training loops without `datasets`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

from geoload.messages import needed_for
from geoload.report import Findings
from im2gps.im2gps import Im2GPS
from im2gps.options import Im2GPSConfig
from im2gps.rows import shard_samples

with needed_for("A webdataset pipeline", "all"):
    import webdataset as wds

_log = logging.getLogger(__name__)


class Pipeline(wds.DataPipeline, wds.FluidInterface):  # type: ignore[misc]  # untyped
    """A webdataset pipeline with the fluent methods of `webdataset.WebDataset`."""


def pipeline(split: str, **options: Any) -> Pipeline:
    """Return one split of the training photos; see `im2gps.webdataset`."""
    builder = Im2GPS(**options)
    shards = builder.config.shards()
    if split not in shards:
        builder.check_split(split)
        raise ValueError(f"split={split!r} has no training photos: use load_dataset.")
    expand = Expand(split, builder.config, builder.token)
    source = wds.SimpleShardList(shards[split])
    return Pipeline(source, wds.split_by_node, wds.split_by_worker, expand)


class Expand:
    """A pipeline stage from shards to samples; it can be pickled for spawned workers."""

    def __init__(self, split: str, config: Im2GPSConfig, token: Any) -> None:
        self._split, self._config, self._token = split, config, token

    def __call__(self, shards: Iterator[dict[str, str]]) -> Iterator[dict[str, Any]]:
        """Yield the samples of each shard in turn."""
        for shard in shards:
            url, report = shard["url"], Findings()
            for sample in shard_samples(self._config, url, self._split, self._token, report):
                stem, _, suffix = sample.name.rpartition(".")
                yield {
                    "__key__": stem,
                    "__url__": url,
                    suffix.lower(): sample.data,
                    "json": json.dumps({"image_id": sample.name, **sample.record}).encode(),
                }
            report.raise_or_log(url, self._config.strict, _log)
