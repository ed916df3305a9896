"""The joined street photos as a webdataset pipeline, for training loops without `datasets`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from geoload.messages import needed_for
from justzoomin.justzoomin import JustZoomIn
from justzoomin.sources import other_split
from justzoomin.streetview import Join, Pass
from justzoomin.table import read_table

with needed_for("A webdataset pipeline", "all"):
    import webdataset as wds


class Pipeline(wds.DataPipeline, wds.FluidInterface):
    """A webdataset pipeline with the fluent methods of `webdataset.WebDataset`."""


def pipeline(split: str, **options: Any) -> Pipeline:
    """Return one split of the street photos; see `justzoomin.webdataset`."""
    if options.get("in_place"):
        raise ValueError("in_place= is for load_dataset: a pipeline reads every picture anyway.")
    builder = JustZoomIn(config_name="streetview", splits=[split], **options)
    source = builder.config.source(builder.token)
    parts = {part.name: part for part in source.parts(builder.config.shards)}
    return Pipeline(
        wds.SimpleShardList(list(parts)),
        wds.split_by_node,
        wds.split_by_worker,
        Expand(source, split, builder.config, parts),
    )


class Expand:
    """A pipeline stage: shards in, joined samples out. Picklable, so workers can be spawned."""

    def __init__(self, source: Any, split: str, config: Any, parts: dict[str, Any]) -> None:
        self._source, self._split, self._strict = source, split, config.strict
        self._parts, self._config = parts, config
        self._pass = Pass(source, split, len(parts), config.strict, config.shards is not None)

    def __call__(self, shards: Iterator[dict[str, str]]) -> Iterator[dict[str, Any]]:
        """Yield the samples of each shard in turn."""
        join = Join(self._source, self._split, self._config, self._pass.leave)
        covered = self._config.covered_table(getattr(self._source, "token", None))
        if covered is not None:
            others = read_table(self._source.table(other_split(self._split)))
            covered.say(self._split, join.table, others, self._strict)
        parts = [self._parts[shard["url"]] for shard in shards]
        for row, place, _, data in join.samples(parts):
            record = join.table.record(row)
            if covered is not None:
                record.update(covered.record(join.table.image_id[row]))
            yield {
                "__key__": record["image_id"],
                "__url__": place,
                "jpg": data,
                "json": json.dumps(record, default=str).encode(),
            }
