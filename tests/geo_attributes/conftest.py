"""Fixtures: small GeoTIFFs, a way to run a new process, and the bundle for the Hub."""

import numpy as np
import pytest

from geo_attributes.bundle import bundle
from tests.support.process import python  # noqa: F401


@pytest.fixture(scope="session")
def write(tmp_path_factory):
    """Writes an array as a GeoTIFF; degrees from the north-west corner unless told otherwise."""
    rasterio = pytest.importorskip("rasterio", exc_type=ImportError)
    folder = tmp_path_factory.mktemp("rasters")
    count = 0

    def make(array, west=-180.0, north=90.0, cell=None, *, crs="EPSG:4326", transform=None, **more):
        nonlocal count
        count += 1
        array = np.asarray(array)
        bands = array if array.ndim == 3 else array[None]
        height, width = bands.shape[1:]
        cell = cell or 360 / width
        profile = {
            "driver": "GTiff",
            "width": width,
            "height": height,
            "count": len(bands),
            "dtype": bands.dtype,
            "crs": crs,
            "transform": transform or rasterio.Affine(cell, 0, west, 0, -cell, north),
        }
        scales = more.pop("scales", None)
        path = str(folder / f"{count}.tif")
        with rasterio.open(path, "w", **profile | more) as file:
            file.write(bands)
            if scales:
                file.scales, file.offsets = scales
        return path

    return make


@pytest.fixture()
def bundled(offline, tmp_path):
    """Runs code with the bundle in hub/geo_attributes as `loaded`, without our packages."""
    folder, elsewhere = tmp_path / "hub" / "geo_attributes", tmp_path / "elsewhere"
    bundle(folder)
    elsewhere.mkdir()
    start = (
        "import sys\n"
        "for name in ('gcd_metric', 'geo_attributes', 'geoload', 'im2gps', 'justzoomin'):\n"
        "    sys.modules[name] = None\n"
        "import evaluate\n"
        f"loaded = evaluate.load({str(folder)!r})\n"
    )

    def run(code):
        done = offline.run(start + code, folder=elsewhere)
        assert done.code == 0, done.err
        return done.out.strip()

    return run
