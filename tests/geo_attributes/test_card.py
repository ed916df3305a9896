"""The card has the header of a Space, and its examples run on maps of the kinds it names."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rasterio", exc_type=ImportError)
pytest.importorskip("reverse_geocoder")

import geo_attributes

CARD = (Path(geo_attributes.__file__).parent / "README.md").read_text(encoding="utf-8")


def test_the_header_is_that_of_a_metrics_space():
    header = yaml.safe_load(CARD.split("---")[1])
    assert header["sdk"] == "static" and header["title"]
    assert {"evaluate", "metric"} <= set(header["tags"])


def test_the_examples_run(write, tmp_path, monkeypatch, capsys):
    random = np.random.default_rng(0)
    shape = 180, 360
    maps = {
        "landcover": random.choice([10, 40, 50, 70, 80], shape).astype(np.uint8),
        "density": np.round(10 ** random.uniform(0, 4, shape)).astype(np.float32),
        "elevation": random.uniform(0, 4000, shape).astype(np.float32),
    }
    for name, array in maps.items():
        shutil.copy(write(array), tmp_path / f"{name}.tif")
    blocks = re.findall(r"```python\n(.*?)```", CARD, flags=re.DOTALL)
    assert len(blocks) == 5
    monkeypatch.chdir(tmp_path)
    exec("\n".join(blocks), {})
    classes, urban, density, gradient, *levels = capsys.readouterr().out.splitlines()
    assert re.match(r"[\d.]+ \([\d.]+, [\d.]+\) \[\[", classes)
    assert urban.startswith("{'n': ") and "'recall'" in urban
    assert all(float(figure) < 5 for figure in density.split())
    assert gradient.endswith(" 4")
    assert [line.split()[0] for line in levels] == ["country", "region", "area", "city"]
    assert levels[0].startswith("country 0.5 (")  # one guess is in Belgium, and one in Switzerland


def test_every_result_is_explained(write):
    path = write(np.array([[1, 2, 3, 4]], np.uint8))
    places = {"predictions": [[0, 5]], "references": [[0, 5]]}
    for options in ({"kind": "classes"}, {"kind": "quantity", "log": True}):
        result = geo_attributes.GeoAttributes().compute(
            **places, raster=path, return_values=True, **options
        )
        described = geo_attributes.GeoAttributes().inputs_description
        for name in result:
            assert f"**{name}**" in CARD and f"`{name}`" in described, name
    result = geo_attributes.GeoAttributes().compute(
        predictions=[[48.86, 2.35]] * 2,
        references=[[48.86, 2.35]] * 2,
        kind="places",
        groups=["a", "b"],
        return_places=True,
    )
    assert all(f"**{name}**" in CARD for name in result)
