"""evaluate.load finds the metric: after the import and by path."""

import importlib.util
from pathlib import Path

import evaluate
import numpy as np
import pytest

pytest.importorskip("rasterio", exc_type=ImportError)

import geo_attributes
from geo_attributes.bundle import bundle

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "geo_attributes"


@pytest.fixture()
def arguments(write):
    path = write(np.arange(8, dtype=np.uint8).reshape(2, 4))
    return {"predictions": [[1, 1]], "references": [[1, 91]], "raster": path, "kind": "quantity"}


def test_from_an_empty_folder_after_the_import(offline, tmp_path, arguments):
    code = (
        "import evaluate, geo_attributes\n"
        f"print(evaluate.load('geo_attributes').compute(**{arguments!r})['mean_error'])"
    )
    done = offline.run(code, folder=tmp_path)
    assert done.out.strip() == "-1.0", done.err


@pytest.mark.parametrize("path", [MODULE, MODULE / "geo_attributes.py"])
def test_by_path(tmp_path, arguments, path):
    loaded = evaluate.load(str(path), cache_dir=str(tmp_path))
    assert type(loaded) is not geo_attributes.GeoAttributes
    assert loaded.compute(**arguments)["mean_error"] == -1


def test_the_file_stands_alone(arguments):
    # as in a Space, whose folder is not a package
    spec = importlib.util.spec_from_file_location("alone", MODULE / "geo_attributes.py")
    alone = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(alone)
    assert alone.GeoAttributes().compute(**arguments)["mean_error"] == -1


def test_the_bundle_for_the_hub_needs_no_other_package(bundled, tmp_path, arguments):
    assert bundled(f"print(loaded.compute(**{arguments!r})['mean_error'])") == "-1.0"
    with pytest.raises(FileExistsError, match="name a new folder"):
        bundle(tmp_path / "hub" / "geo_attributes")


def test_the_name():
    loaded = evaluate.load("geo_attributes")
    assert loaded.name == "geo_attributes" and type(loaded) is geo_attributes.GeoAttributes
