"""The joined street photos as a webdataset pipeline, for training loops without `datasets`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import webdataset as wds

from justzoomin.justzoomin import JustZoomIn
from justzoomin.streetview import Join


class Pipeline(wds.DataPipeline, wds.FluidInterface):
    """A webdataset pipeline with the fluent methods of `webdataset.WebDataset`."""


def pipeline(split: str, **options: Any) -> Pipeline:
    """Return one split of the street photos; see `justzoomin.webdataset`."""
    builder = JustZoomIn(config_name="streetview", splits=[split], **options)
    source = builder.config.source(builder.token)
    parts = {part.name: part for part in source.parts(builder.config.shards)}
    return Pipeline(
        wds.SimpleShardList(list(parts)),
        wds.split_by_node,
        wds.split_by_worker,
        Expand(source, split, builder.config.strict, parts),
    )


class Expand:
    """A pipeline stage: shards in, joined samples out. Picklable, so workers can be spawned."""

    def __init__(self, source: Any, split: str, strict: bool, parts: dict[str, Any]) -> None:
        self._arguments = (source, split, strict)
        self._parts = parts

    def __call__(self, shards: Iterator[dict[str, str]]) -> Iterator[dict[str, Any]]:
        """Yield the samples of each shard in turn."""
        join = Join(*self._arguments)
        for shard in shards:
            for row, _, _, data in join.samples(self._parts[shard["url"]]):
                record = join.table.record(row)
                yield {
                    "__key__": record["image_id"],
                    "__url__": shard["url"],
                    "jpg": data,
                    "json": json.dumps(record).encode(),
                }
