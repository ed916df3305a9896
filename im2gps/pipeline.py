"""Training shards as a webdataset pipeline, for training loops without `datasets`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

from geoload.optional import needed_for
from geoload.report import Report
from im2gps.im2gps import Im2GPS
from im2gps.rows import shard_samples

with needed_for("A webdataset pipeline", "all"):
    import webdataset as wds

_log = logging.getLogger(__name__)


class Pipeline(wds.DataPipeline, wds.FluidInterface):
    """A webdataset pipeline with the fluent methods of `webdataset.WebDataset`."""


def pipeline(split: str, **options: Any) -> Pipeline:
    """Return one split of the training photos; see `im2gps.webdataset`."""
    builder = Im2GPS(**options)
    shards = builder.config.shards()
    if split not in shards:
        builder.check_split(split)
        raise ValueError(f"split={split!r} is no training photos: use load_dataset.")
    return Pipeline(
        wds.SimpleShardList(shards[split]),
        wds.split_by_node,
        wds.split_by_worker,
        Expand(split, builder.config, builder.token),
    )


class Expand:
    """A pipeline stage: shards in, samples out. Picklable, so workers can be spawned."""

    def __init__(self, split: str, config: Any, token: Any) -> None:
        self._split, self._config, self._token = split, config, token

    def __call__(self, shards: Iterator[dict[str, str]]) -> Iterator[dict[str, Any]]:
        """Yield the samples of each shard in turn."""
        for shard in shards:
            for sample in shard_samples(
                self._config, shard["url"], self._split, self._token, self._leave
            ):
                yield {
                    "__key__": sample.name.rpartition(".")[0],
                    "__url__": shard["url"],
                    sample.name.rpartition(".")[2].lower(): sample.data,
                    "json": json.dumps({"image_id": sample.name, **sample.record}).encode(),
                }

    def _leave(self, part: str, report: Report) -> None:
        report.settle(part, self._config.strict, _log)
