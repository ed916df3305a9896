"""The table of a configuration's photos: their places and licences, without the pictures.

It says in which file and row each photo is, so that a reader finds one without reading all ids.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from geoload.geoparquet import PlaceWriter
from geoload.output_folder import OutputFolder
from geoload.publishing.convert import Manifest, credit_lines, encodable
from geoload.publishing.formats import ParquetShard, has_places, picture_columns

FILE = "photos.parquet"
_LICENCE = ("licence", "licence_link")  # titles and owners are kept apart from places


def write_photo_table(
    out: OutputFolder,
    config: str,
    features: datasets.Features,
    written: dict[str, Manifest],
    form: str,
) -> str | None:
    """Write `CONFIG/photos.parquet` and return its path; None if rows are not located photos."""
    path, pictures = f"{config}/{FILE}", picture_columns(features)
    located = pictures and has_places(features) and "image_id" in features
    if form != ParquetShard.suffix or not located:
        out.remove(path)  # of an earlier run
        return None
    columns = [name for name in features if name not in pictures]
    with out.create(path) as file:
        writer = None
        for split, manifest in written.items():
            for table in _shards(out, config, split, manifest, columns):
                writer = writer or PlaceWriter(file, table.schema)
                writer.write_table(table)
            if writer is not None:
                writer.flush()  # a row group has rows of one split
        if writer is not None:
            writer.close()
    return path


def _shards(
    out: OutputFolder, config: str, split: str, manifest: Manifest, columns: list[str]
) -> Iterator[pa.Table]:
    """Yield the rows of each shard without pictures, with their licences if they have their own."""
    credits = credit_lines(out, config, [split])
    for name, shard in zip(
        manifest.names(split, ParquetShard.suffix), manifest.shards, strict=True
    ):
        with pq.ParquetFile(os.path.join(out.folder, config, name)) as file:
            table = file.read(columns)
        if shard.credits:
            lines = list(itertools.islice(credits, shard.rows))
            for column in _LICENCE:
                texts = [encodable(line[column]) for line in lines]
                table = table.append_column(column, pa.array(texts, pa.string()))
        where = {"split": pa.repeat(split, shard.rows), "file": pa.repeat(name, shard.rows),
                 "row": pa.array(range(shard.rows), pa.int32())}  # fmt: skip
        for column, values in where.items():
            table = table.append_column(column, values)
        yield table.replace_schema_metadata()
