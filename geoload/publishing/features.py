"""Column types as they are written beside published rows: in Parquet files and in cards.

Both forms are those that every supported version of `datasets` reads; what one version writes by
itself, an older one may refuse.
"""

from __future__ import annotations

import json
from typing import Any

import datasets
import pyarrow as pa


def pictures(features: datasets.Features) -> list[str]:
    """Return the names of the columns that are pictures."""
    return [name for name, feature in features.items() if isinstance(feature, datasets.Image)]


def undecoded(rows: datasets.IterableDataset, features: datasets.Features) -> Any:
    """Return a stream whose pictures come as they are stored: a dict of `bytes` and `path`."""
    for name in pictures(features):
        rows = rows.cast_column(name, datasets.Image(decode=False))
    return rows


def parquet_schema(features: datasets.Features) -> pa.Schema:
    """Return the Arrow schema of Parquet files, with the column types in its metadata.

    Lists are called `Sequence` there: datasets 3 knows no `List`, and 4 and 5 read both.
    """
    types = {name: _stored(column) for name, column in features.to_dict().items()}
    metadata = json.dumps({"info": {"features": types}})
    return features.arrow_schema.with_metadata({"huggingface": metadata})


def card_features(features: datasets.Features) -> list[dict[str, Any]]:
    """Return the column types as a card's `dataset_info` states them.

    Raises
    ------
    ValueError
        For a type that no configuration here has had yet.
    """
    return [{"name": name, **_stated(name, column)} for name, column in features.to_dict().items()]


def _stored(column: Any) -> Any:
    if not isinstance(column, dict):
        return column
    stored = {key: _stored(value) for key, value in column.items() if key != "length"}
    if stored.get("_type") in ("List", "LargeList"):
        stored["_type"] = "Sequence"
    return stored


def _stated(name: str, column: dict[str, Any]) -> dict[str, Any]:
    kind = column["_type"]
    if kind == "Value":
        return {"dtype": column["dtype"]}
    if kind == "Image":
        return {"dtype": "image"}
    if kind in ("List", "LargeList", "Sequence"):
        inner = _stated(name, column["feature"])
        return {"list": inner["dtype"] if list(inner) == ["dtype"] else inner}
    raise ValueError(f"column {name} is a {kind}, which the card cannot state")
