"""Cells, values and gradients of rasters of any projection, order and size."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

rasterio = pytest.importorskip("rasterio", exc_type=ImportError)
pyproj = pytest.importorskip("pyproj")
from rasterio.transform import Affine

from geo_attributes import Raster

GEODESIC = pyproj.Geod(ellps="WGS84")


def values(path, places, **options):
    with Raster(path, **options) as raster:
        found, inside = raster.values(np.array(places, float))
    assert np.isnan(found[~inside]).all()
    return found.tolist()


def same(found, expected):
    return np.array_equal(np.array(found, float), np.array(expected, float), equal_nan=True)


# --- the nearest cell ---------------------------------------------------------------------------

sizes = st.integers(1, 9)
shares = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20)


def from_origin(west, north, width, height):
    return Affine(width, 0, west, 0, -height, north)


def rotated(degrees, x, y, width, height):
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return Affine(width * cosine, width * sine, x, height * sine, -height * cosine, y)


def at(transform, steps):
    """Coordinates of places given in cells."""
    a, b, c, d, e, f = transform[:6]
    return a * steps[:, 0] + b * steps[:, 1] + c, d * steps[:, 0] + e * steps[:, 1] + f


@pytest.fixture(scope="module")
def grids(write):
    """Rasters whose cells contain their own index, by the direction of rows and columns."""
    turned = rotated(30, 10, 50, 0.5, 0.25)
    made = {}
    for name, transform, crs in (
        ("north up", from_origin(10, 50, 0.5, 0.25), "EPSG:4326"),
        ("south up", Affine(0.5, 0, 10, 0, 0.25, 40), "EPSG:4326"),
        ("east to west", Affine(-0.5, 0, 20, 0, -0.25, 50), "EPSG:4326"),
        ("rotated", turned, "EPSG:4326"),
        ("metres", from_origin(400_000, 5_400_000, 900, 1300), "EPSG:32631"),
        ("rotated metres", rotated(-70, 4e5, 5.4e6, 900, 900), "EPSG:32631"),
    ):
        array = np.arange(7 * 9, dtype=np.int32).reshape(7, 9)
        made[name] = write(array, transform=transform, crs=crs), transform, crs
    return made


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["north up", "south up", "east to west", "rotated"]), shares)
def test_the_cell_is_the_one_whose_centre_is_nearest(grids, name, shares):
    path, transform, _ = grids[name]
    steps = np.array(shares) * (9, 7)
    x, y = at(transform, steps)
    found = values(path, np.column_stack([y, x]))
    # the centres of all cells, and each place, in cells: the raster's own measure of near
    centres = np.stack(np.meshgrid(np.arange(9) + 0.5, np.arange(7) + 0.5), axis=-1).reshape(-1, 2)
    for value, step in zip(found, steps, strict=True):
        off = np.abs(centres - step).max(axis=1)
        assert off[int(value)] <= off.min() + 1e-5


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["metres", "rotated metres"]), shares)
def test_places_are_reprojected(grids, name, shares):
    path, transform, crs = grids[name]
    steps = 0.5 + np.floor(np.array(shares) * (8.99, 6.99)) + (np.array(shares) - 0.5) * 0.9
    to_degrees = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    longitude, latitude = to_degrees.transform(*at(transform, steps))
    expected = np.floor(steps[:, 1]) * 9 + np.floor(steps[:, 0])
    assert values(path, np.column_stack([latitude, longitude])) == expected.tolist()


def test_the_edges_of_a_global_raster_are_inside(write):
    path = write(np.arange(8, dtype=np.int16).reshape(2, 4))  # cells of 90 degrees
    corners = [(90, -180), (90, 179.9), (-90, -180), (-90, 179.9), (0, 0), (90, 180), (-90, 180)]
    assert values(path, corners) == [0, 3, 4, 7, 6, 0, 4]


@pytest.mark.parametrize("west", [-180, 0, -30, 180, -190])
def test_longitudes_wrap_around(write, west):
    path = write(np.arange(36, dtype=np.int16)[None], west=west, north=5, cell=10)
    longitude = np.array([-179, -1, 0.5, 91, 179])
    expected = ((longitude - west) % 360) // 10
    assert values(path, np.column_stack([np.zeros(5), longitude])) == expected.tolist()


def test_a_region_across_the_antimeridian(write):
    path = write(np.arange(4, dtype=np.int16)[None], west=170, north=5, cell=10)  # to 210
    places = [(0, 171), (0, 179), (0, -179), (0, -151), (0, -149), (0, 169), (0, 170), (0, -150)]
    assert same(values(path, places), [0, 0, 1, 3, np.nan, np.nan, 0, 3])


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:32631", "EPSG:3035", "EPSG:3413"])
def test_places_outside_a_projection_are_outside(write, crs):
    path = write(np.ones((2, 2), np.uint8), transform=from_origin(4e5, 5e6, 9, 9), crs=crs)
    places = [(90, 0), (-90, 0), (0, 180), (-89.9, -177), (np.nan, 0)]
    assert np.isnan(values(path, places)).all()


FAR = [(0, 179), (90, 0), (-90, 0), (0, 90), (1.35, 103.82), (-33.9, 151.2), (0, -90)]
PROJECTIONS = [
    "+proj=geos +h=35785831 +lon_0=0",
    "+proj=ortho +lat_0=0 +lon_0=0",
    "+proj=gnom +lat_0=0 +lon_0=0",
    "+proj=laea +lat_0=0 +lon_0=0",
    "+proj=lcc +lat_1=33 +lat_2=45 +lon_0=0",
    "+proj=cass +lon_0=0",
    "+proj=poly +lon_0=0",
    "+proj=utm +zone=31 +approx",
    "EPSG:3857",
]


@pytest.mark.parametrize("crs", PROJECTIONS)
@pytest.mark.parametrize("far", FAR)
def test_one_place_without_projection_does_not_affect_others(write, crs, far):
    cells = np.ones((100, 100), np.uint8)
    path = write(cells, transform=from_origin(-1e6, 1e6, 2e4, 2e4), crs=crs)
    found = values(path, [far, (1, 1), far])
    assert found[1] == 1 and np.isnan(found[0]) and np.isnan(found[2])


@pytest.mark.parametrize(
    ("crs", "west", "north", "here"),
    [
        ("EPSG:2056", 2_480_000, 1_300_000, (46.9, 7.4)),  # the Swiss grid: New Zealand
        ("EPSG:23700", 400_000, 370_000, (47.2, 19.5)),  # the Hungarian one
        ("EPSG:27200", 2_000_000, 6_800_000, (-41, 175)),  # New Zealand's: the north
    ],
)
def test_far_places_projected_onto_near_ones_are_outside(write, crs, west, north, here):
    path = write(
        np.ones((140, 140), np.uint8), transform=from_origin(west, north, 1e4, 1e4), crs=crs
    )
    latitude, longitude = np.mgrid[-89:90:0.5, -180:180:0.5].reshape(2, -1)
    with Raster(path) as raster:
        inside = raster.values(np.column_stack([latitude, longitude]))[1]
        assert raster.values(np.array([here], float))[1].all()
    assert inside.sum() > 50
    _, _, metres = GEODESIC.inv(
        np.full(inside.sum(), here[1]), np.full(inside.sum(), here[0]),
        longitude[inside], latitude[inside],
    )  # fmt: skip
    assert metres.max() < 2_000_000


def test_longitudes_in_gradians_wrap_at_400(write):
    cells = np.arange(40, dtype=np.uint8)[None].repeat(20, axis=0)
    path = write(cells, west=-200, north=100, cell=10, crs="EPSG:4807")  # of France, from Paris
    longitude = np.array([-177, -100, -1, 0, 2.3, 3, 100, 179.0])
    expected = np.floor(((longitude - 2.33722917) / 0.9 + 200) % 400 / 10)
    assert values(path, np.column_stack([np.full(8, 10.0), longitude])) == expected.tolist()


# --- values -------------------------------------------------------------------------------------

PLACES = [(45, -135), (45, -45), (45, 45), (45, 135)]  # one in each column of four


def test_nodata_is_no_value(write):
    row = np.array([[1.5, -9999, np.nan, np.inf]], np.float32)
    path = write(row, nodata=-9999, cell=90)
    assert same(values(path, PLACES), [1.5, np.nan, np.nan, np.nan])
    assert values(path, PLACES, fill_value=7) == [1.5, 7, 7, 7]


def test_undeclared_nodata_can_be_named(write):
    row = np.array([[0.1, 2, -1, -3]], np.float32)
    assert same(values(write(row, cell=90), PLACES, nodata=[0.1, -1]), [np.nan, 2, np.nan, -3])
    codes = np.array([[0, 255, 5, 241]], np.uint8)
    assert same(values(write(codes, cell=90), PLACES, nodata=255), [0, np.nan, 5, 241])
    assert values(write(codes, cell=90), PLACES, nodata=-9999) == [0, 255, 5, 241]


def test_a_mask_is_applied(write):
    path = write(np.array([[1, 2, 3, 4]], np.uint8), cell=90)
    with rasterio.open(path, "r+") as file:
        file.write_mask(np.array([[255, 0, 255, 0]], np.uint8))
    assert same(values(path, PLACES), [1, np.nan, 3, np.nan])


def test_bands_scales_and_offsets(write):
    bands = np.array([[[1, 2, 3, 4]], [[10, 20, 30, 40]]], np.int16)
    path = write(bands, cell=90, scales=((1, 0.5), (0, 100)), nodata=30)
    assert values(path, PLACES, band=1) == [1, 2, 3, 4]
    assert same(values(path, PLACES, band=2), [105, 110, np.nan, 120])
    assert same(values(path, PLACES, band=2, scaled=False), [10, 20, np.nan, 40])


@pytest.mark.parametrize("layout", [{"tiled": True, "blockxsize": 16, "blockysize": 32}, {}])
@pytest.mark.parametrize("compress", ["deflate", "none"])
def test_the_order_of_the_file_does_not_matter(write, layout, compress):
    random = np.random.default_rng(0)
    array = random.integers(0, 10**6, (90, 180)).astype(np.int32)
    path = write(array, compress=compress, **layout)
    places = np.column_stack([random.uniform(-90, 90, 2000), random.uniform(-180, 180, 2000)])
    rows = np.minimum((90 - places[:, 0]) // 2, 89).astype(int)
    columns = ((places[:, 1] + 180) // 2).astype(int)
    assert values(path, places) == array[rows, columns].tolist()


def test_a_mosaic(write, tmp_path):
    west, east = (
        write(np.full((4, 4), value, np.uint8), west=10 * value, north=2, cell=1)
        for value in (0, 1)
    )
    sources = "".join(
        f'<SimpleSource><SourceFilename relativeToVRT="0">{path}</SourceFilename>'
        f'<SourceBand>1</SourceBand><SrcRect xOff="0" yOff="0" xSize="4" ySize="4"/>'
        f'<DstRect xOff="{offset}" yOff="0" xSize="4" ySize="4"/></SimpleSource>'
        for path, offset in ((west, 0), (east, 10))
    )
    mosaic = tmp_path / "all.vrt"
    mosaic.write_text(
        '<VRTDataset rasterXSize="14" rasterYSize="4"><SRS>EPSG:4326</SRS>'
        "<GeoTransform>0, 1, 0, 2, 0, -1</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><NoDataValue>9</NoDataValue>'
        f"{sources}</VRTRasterBand></VRTDataset>"
    )
    assert same(values(mosaic, [(0, 1), (0, 11), (0, 5)]), [0, 1, np.nan])


# --- gradients ----------------------------------------------------------------------------------


def gradients(path, places, **options):
    with Raster(path, **options) as raster:
        return raster.gradients(np.array(places, float))[0]


@pytest.mark.parametrize("latitude", [0, 60, -85])
@pytest.mark.parametrize("towards", ["east", "north"])
def test_the_gradient_of_a_plane(write, latitude, towards):
    cell = 1 / 1200
    steps = np.arange(9) * 10.0
    array = np.tile(steps, (9, 1)) if towards == "east" else np.tile(steps[::-1, None], (1, 9))
    north = latitude + 4.5 * cell
    path = write(array.astype(np.float32), west=7, north=north, cell=cell)
    found = gradients(path, [(latitude, 7 + 4.5 * cell)])
    across = (latitude, 7 + cell) if towards == "east" else (latitude + cell, 7)
    length = GEODESIC.inv(7, latitude, across[1], across[0])[2]
    assert found == pytest.approx([10 / length], rel=1e-5)


def test_gradients_use_distances_on_the_ground(write):
    array = np.tile(np.arange(9) * 30.0, (9, 1)).astype(np.float32)
    crs = pyproj.Transformer.from_crs(4326, 3857, always_xy=True)
    x, y = crs.transform(10, 60)
    path = write(array, transform=from_origin(x - 135, y + 135, 30, 30), crs="EPSG:3857")
    # at 60 degrees Web Mercator's 30 m are about 15
    longitude = crs.transform(x + 30, y, direction="INVERSE")[0]
    length = GEODESIC.inv(10, 60, longitude, 60)[2]
    assert length == pytest.approx(15, rel=0.01)
    assert gradients(path, [(60, 10)]) == pytest.approx([30 / length], rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-80, 80))
def test_gradients_agree_with_horn(write, seed, latitude):
    terrain = np.random.default_rng(seed).uniform(0, 3000, (5, 6)).astype(np.float32)
    cell = 0.01
    path = write(terrain, west=20, north=latitude, cell=cell)
    rows, columns = np.mgrid[1:4, 1:5].reshape(2, -1)
    y, x = latitude - (rows + 0.5) * cell, 20 + (columns + 0.5) * cell
    expected = []
    for r, c, here in zip(rows, columns, y, strict=True):
        z = terrain[r - 1 : r + 2, c - 1 : c + 2].astype(float)
        east = (z[:, 2] - z[:, 0]) @ [1, 2, 1] / 8
        south = (z[2] - z[0]) @ [1, 2, 1] / 8
        across = GEODESIC.inv(0, here, cell, here)[2]
        along = GEODESIC.inv(0, here - cell / 2, 0, here + cell / 2)[2]
        expected.append(np.hypot(east / across, south / along))
    assert gradients(path, np.column_stack([y, x])) == pytest.approx(expected, rel=1e-5)


def test_there_is_no_gradient_beside_a_gap_or_at_the_edge(write):
    terrain = np.zeros((6, 6), np.float32)
    terrain[1, 1] = -1
    path = write(terrain, west=0, north=6, cell=1, nodata=-1)
    places = [(6 - r - 0.5, c + 0.5) for r in range(6) for c in range(6)]
    found = gradients(path, places).reshape(6, 6)
    expected = np.full((6, 6), np.nan)
    expected[1:5, 3:5] = expected[3:5, 1:5] = 0
    assert same(found, expected)
    filled = gradients(path, places, fill_value=0).reshape(6, 6)
    assert (filled[1:5, 1:5] == 0).all() and np.isnan(filled[0]).all()


def test_gradients_continue_across_the_antimeridian(write):
    terrain = np.tile(np.arange(36.0) * 1000, (18, 1)).astype(np.float32)
    path = write(terrain)
    found = gradients(path, [(5, -175), (5, 175), (5, 5)])
    # from 35,000 down to 0 and up to 1,000 m, where elsewhere it rises by 2,000
    assert found[0] == pytest.approx(found[2] * 17, rel=1e-5)
    assert found[1] == pytest.approx(found[2] * 17, rel=1e-5)


def test_large_tiles_are_crossed(write):
    random = np.random.default_rng(0)
    terrain = random.uniform(0, 1000, (64, 64)).astype(np.float32)
    layouts = ({"tiled": True, "blockxsize": 16, "blockysize": 16}, {})
    paths = [write(terrain, west=0, north=32, cell=0.5, **layout) for layout in layouts]
    places = random.uniform(0, 32, (500, 2))
    first, second = (gradients(path, places) for path in paths)
    assert same(first, second) and np.isfinite(first).mean() > 0.8


# --- size ---------------------------------------------------------------------------------------

BIG = """
import resource, sys
import numpy as np
from geo_attributes import GeoAttributes
metric = GeoAttributes()
random = np.random.default_rng(0)
places = np.column_stack([random.uniform(-89, 89, 5000), random.uniform(-180, 180, 5000)])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for raster in sys.argv[1:]:
    for kind in ("quantity", "gradient"):
        result = metric.compute(predictions=places, references=places[::-1], raster=raster,
                                kind=kind)
        print(result["n"], result["mean_absolute_error"])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is in kilobytes on Linux")
def test_a_global_raster_is_never_read_completely(python, tmp_path):
    """43,200 × 21,600 cells of float32, in tiles and in rows: 3.7 GB if the whole band is read."""
    profile = {
        "driver": "GTiff",
        "width": 43_200,
        "height": 21_600,
        "count": 1,
        "dtype": "float32",
        "crs": "EPSG:4326",
        "transform": from_origin(-180, 90, 1 / 120, 1 / 120),
        "SPARSE_OK": True,
    }
    tiles, rows = tmp_path / "tiles.tif", tmp_path / "rows.tif"
    for path, layout in ((tiles, {"tiled": True, "blockxsize": 512, "blockysize": 512}),
                         (rows, {})):  # fmt: skip
        with rasterio.open(path, "w", **profile | layout):
            pass
        assert path.stat().st_size < 2**20
    *found, peak = python("-c", BIG, tiles, rows, cwd=tmp_path).splitlines()
    assert found == ["5000 0.0"] * 4
    assert int(peak) < 300
