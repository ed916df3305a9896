"""The configuration `metadata`: the table of photos as rows, without the photos."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from geoload.builder import Config
from geoload.files import is_clutter, signature
from im2gps.photo_table import SCHEMA, open_table

NAME = "metadata"
TABLE = "photos.parquet"
_BATCH = 10_000
_HOW_TO = "Make one with `im2gps lists LISTS -o photos.parquet`."


def features() -> datasets.Features:
    """Return the columns, named as in the Parquet file."""
    return datasets.Features.from_arrow_schema(SCHEMA)


def check_options(options: dict[str, Any], config: type[Config]) -> None:
    """Raise ValueError for options about photos."""
    general = {field.name for field in dataclasses.fields(Config)}
    for field in dataclasses.fields(config):
        if field.name in options and field.name not in general:
            raise ValueError(f"{field.name}= has no effect on {NAME!r}, which has no photos.")


def find_table(data_dir: str | None) -> str:
    """Return the path of the table: `data_dir` itself, or the one Parquet file in that folder."""
    if data_dir is None:
        raise ValueError(
            f'load_dataset("im2gps", "{NAME}") needs data_dir=: a table of Flickr photos, or its '
            f"folder. {_HOW_TO}"
        )
    path = Path(data_dir)
    if path.is_file():
        return str(path)
    tables = sorted(p for p in path.glob("*.parquet") if not is_clutter(p.name))
    if path / TABLE in tables:
        return str(path / TABLE)
    if len(tables) != 1:
        found = ", ".join(table.name for table in tables[:5]) or "no .parquet file"
        raise FileNotFoundError(f"{path} should contain {TABLE}, but contains {found}. {_HOW_TO}")
    return str(tables[0])


def key(data_dir: str | None) -> Any:
    """Return the signature of the table."""
    return signature([find_table(data_dir)], "/")


def split_generators(data_dir: str | None) -> list[datasets.SplitGenerator]:
    """Return the one split; its row groups are the parts that workers share."""
    path = find_table(data_dir)
    with open_table(path) as file:
        groups = list(range(file.metadata.num_row_groups))
    arguments = {"source": path, "groups": groups}
    return [datasets.SplitGenerator(datasets.Split.TRAIN, gen_kwargs=arguments)]


def tables(source: str, groups: list[int]) -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows of some row groups, 10,000 at a time."""
    with open_table(source) as file:
        for group in groups:
            batches = file.iter_batches(_BATCH, row_groups=[group], columns=SCHEMA.names)
            for number, batch in enumerate(batches):
                table = pa.Table.from_batches([batch]).select(SCHEMA.names)
                yield f"{group}-{number}", table.cast(SCHEMA)
