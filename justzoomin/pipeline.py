"""Street photos with their rows as a webdataset pipeline, for training loops without `datasets`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from geoload.messages import needed_for
from justzoomin.justzoomin import JustZoomIn

with needed_for("A webdataset pipeline", "all"):
    import webdataset as wds


class Pipeline(wds.DataPipeline, wds.FluidInterface):  # type: ignore[misc]
    """A webdataset pipeline with the fluent methods of `webdataset.WebDataset`."""


def pipeline(split: str, **options: Any) -> Pipeline:
    """Return one split of the street photos; see `justzoomin.webdataset`."""
    if options.get("in_place"):
        raise ValueError("in_place= is for load_dataset: a pipeline reads every picture anyway.")
    builder = JustZoomIn(config_name="streetview", splits=[split], **options)
    stage = _Rows(builder, split)
    return Pipeline(
        wds.SimpleShardList(list(stage.parts)), wds.split_by_node, wds.split_by_worker, stage
    )


class _Rows:
    """A pipeline stage: names of parts in, samples out. It can be pickled for spawned workers."""

    def __init__(self, builder: JustZoomIn, split: str) -> None:
        self._config, self._split = builder.config, split
        self._source = self._config.source(builder.token)
        self.parts = {part.label: part for part in self._config.parts(self._source, None, None)}
        self._findings = self._config.streamed_findings(self._source, split, len(self.parts))

    def __call__(self, shards: Iterator[dict[str, str]]) -> Iterator[dict[str, Any]]:
        """Yield the samples of each part in turn."""
        parts = [self.parts[shard["url"]] for shard in shards]
        rows = self._config.rows(self._source, parts, self._split, self._findings.add)
        for place, record in rows:
            data = record.pop("image")["bytes"]
            yield {
                "__key__": record["image_id"],
                "__url__": place,
                "jpg": data,
                "json": json.dumps(record, default=str).encode(),
            }
