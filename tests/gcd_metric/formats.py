"""Makes predictions and their files for the tests of formats."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

N = 40


def places():
    random = np.random.default_rng(0)
    ids = [f"{index:05d}" for index in range(N)]
    lat, lon = random.uniform(-60, 60, N).round(6), random.uniform(-170, 170, N).round(6)
    return pd.DataFrame({"image_id": ids, "lat": lat, "lon": lon})


def write(name, text, encoding="utf-8"):
    data = text.encode(encoding)
    with (gzip.open if name.endswith(".gz") else open)(name, "wb") as file:
        file.write(data)
    return name


def rows_of(frame):
    return frame.to_dict("records")


def lines_of(frame):
    return "".join(f"{json.dumps(row)}\n" for row in rows_of(frame))


def both(frame, names="image_id,gt_lat,gt_long,predicted_lat,predicted_long"):
    truth = places()
    columns = [frame["image_id"], truth["lat"], truth["lon"], frame["lat"], frame["lon"]]
    return pd.DataFrame(dict(zip(names.split(","), columns, strict=True)))


def same(found, expected):
    """Whether figures are equal up to the last digits, which older versions of pandas change."""
    return found.keys() == expected.keys() and all(
        found[key] == pytest.approx(value, rel=1e-9, abs=1e-9) for key, value in expected.items()
    )
