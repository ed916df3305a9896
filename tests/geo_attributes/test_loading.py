"""evaluate.load finds the metric: after the import, by path, beside gcd_metric; and lightly."""

import importlib.util
from pathlib import Path

import evaluate
import numpy as np
import pytest

pytest.importorskip("rasterio", exc_type=ImportError)

import gcd_metric
import geo_attributes

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "geo_attributes"


@pytest.fixture()
def arguments(write):
    path = write(np.arange(8, dtype=np.uint8).reshape(2, 4))
    return {"predictions": [[1, 1]], "references": [[1, 91]], "raster": path, "kind": "quantity"}


def test_from_an_empty_folder_after_a_light_import(python, tmp_path, arguments):
    code = (
        "import evaluate, sys; before = set(sys.modules); import geo_attributes\n"
        "print({name.split('.')[0] for name in set(sys.modules) - before})\n"
        f"print(evaluate.load('geo_attributes').compute(**{arguments!r})['mean_error'])"
    )
    loaded, found = python("-c", code, cwd=tmp_path).splitlines()
    assert found == "-1.0"
    ours = {"gcd_metric", "geoload", "im2gps", "justzoomin"}
    heavy = {"rasterio", "scipy", "pyproj", "matplotlib", "torch"}
    assert not [name for name in ours | heavy if f"'{name}'" in loaded]


@pytest.mark.parametrize("path", [MODULE, MODULE / "geo_attributes.py"])
def test_by_path(tmp_path, arguments, path):
    loaded = evaluate.load(str(path), cache_dir=str(tmp_path))
    assert type(loaded) is not geo_attributes.GeoAttributes
    assert loaded.compute(**arguments)["mean_error"] == -1


def test_the_file_stands_alone(arguments):
    # as in a Space, whose folder is no package
    spec = importlib.util.spec_from_file_location("alone", MODULE / "geo_attributes.py")
    alone = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(alone)
    assert alone.GeoAttributes().compute(**arguments)["mean_error"] == -1


@pytest.mark.parametrize("order", [(gcd_metric, geo_attributes), (geo_attributes, gcd_metric)])
def test_beside_the_other_metric_in_either_order(monkeypatch, order):
    def factory(path, **kwargs):
        raise FileNotFoundError(path)

    monkeypatch.setattr(evaluate.loading, "evaluation_module_factory", factory)
    for package in order * 2:
        package._register()
    assert type(evaluate.load("gcd_metric")) is gcd_metric.GcdMetric
    assert type(evaluate.load("geo_attributes")) is geo_attributes.GeoAttributes
    with pytest.raises(FileNotFoundError, match="another"):
        evaluate.load("another")


def test_the_name():
    loaded = evaluate.load("geo_attributes")
    assert loaded.name == "geo_attributes" and type(loaded) is geo_attributes.GeoAttributes


# the contract with evaluate: the private names that this package stands on


def test_registering_twice_wraps_once():
    found = evaluate.loading.evaluation_module_factory
    geo_attributes._register()
    assert evaluate.loading.evaluation_module_factory is found


def test_evaluate_looks_its_factory_up_where_we_put_ours(monkeypatch):
    seen = []

    def factory(path, **kwargs):
        seen.append(path)
        raise FileNotFoundError(path)

    monkeypatch.setattr(evaluate.loading, "evaluation_module_factory", factory)
    with pytest.raises(FileNotFoundError):
        evaluate.load("anything")
    assert seen == ["anything"]
