"""Bad input: what the error says, and that it comes before anything is lost."""

import math
import sys

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio", exc_type=ImportError)

from geo_attributes import GeoAttributes

GOOD = [[48.86, 2.35], [40.71, -74.01], [35.68, 139.69]]


@pytest.fixture(scope="module")
def world(write):
    return write(np.arange(18 * 36, dtype=np.int32).reshape(18, 36) / 7)


def compute(raster, predictions=GOOD, references=GOOD, kind="quantity", **options):
    return GeoAttributes().compute(
        predictions=predictions, references=references, raster=raster, kind=kind, **options
    )


def replaced(row, by):
    return [by if index == row else pair for index, pair in enumerate(GOOD)]


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("thresholds", "did you mean threshold="),
        ("return_value", "did you mean return_values="),
        ("zzz", "there are predictions, references, raster, .*, return_values"),
    ],
)
def test_an_option_that_is_misspelt(world, option, hint):
    with pytest.raises(TypeError, match=f"no option '{option}'; {hint}"):
        compute(world, **{option: 1})


ROWS = {
    "latitude": ([90.1, 0], r"row 1 is beyond ±90.*\(90.1, 0.0\); 1 of 3 rows are bad$"),
    "longitude": ([0, -180.1], r"row 1 is beyond.*1 of 3 rows"),
    "infinite": ([math.inf, 0], r"row 1 is beyond.*inf"),
    "text": (["48.86", "2.35"], r"row 1 holds '48.86', which is not a number"),
    "truth value": ([True, 0], r"row 1 holds True"),
    "three values": ([1, 2, 3], r"row 1 is not a pair.*\[1, 2, 3\]"),
    "one number": (1.5, r"row 1 is not a pair.*1.5"),
    "no names": ({"x": 1, "y": 2}, r"row 1: found no 'latitude' and 'longitude' among \['x'"),
}


@pytest.mark.parametrize("side", ["predictions", "references"])
@pytest.mark.parametrize("kind", ROWS)
def test_the_first_bad_row_is_named(world, side, kind):
    row, message = ROWS[kind]
    with pytest.raises(ValueError, match=f"^{side}.*{message}"):
        compute(world, **{side: replaced(1, row)})
    metric = GeoAttributes()
    with pytest.raises(ValueError, match=f"^{side}.*{message}"):
        metric.add_batch(**{"predictions": GOOD, "references": GOOD, side: replaced(1, row)})


def test_missing_rows(world):
    with pytest.raises(ValueError, match=r"predictions: row 2 is missing.*1 of 3.*missing='miss'"):
        compute(world, predictions=replaced(2, None))
    for missing in ("error", "miss"):
        with pytest.raises(ValueError, match="references: row 2 is missing.*ground truth"):
            compute(world, references=replaced(2, [math.nan, 0]), missing=missing)


def test_swapped_columns(world):
    with pytest.raises(ValueError, match="row 2 .*1 of 3 rows are bad; .* look swapped"):
        compute(world, predictions=[pair[::-1] for pair in GOOD])


SHAPES = {
    "lengths": (GOOD, GOOD[:2], "predictions has 3 rows, references has 2"),
    "flat": (np.array(GOOD[0]), GOOD, r"predictions: expected shape \(n, 2\).*got \(2,\)"),
    "transposed": (np.array(GOOD).T, GOOD, r"got \(2, 3\)"),
    "empty": ([], [], "empty: there is nothing to score"),
    "text": ("48.86,2.35", GOOD, "predictions: expected pairs.*got '48.86,2.35'"),
    "a number": (3, GOOD, "got 3"),
    "one side": (GOOD, None, "references: expected pairs .*got None"),
    "other columns": ({"x": [1], "y": [2]}, GOOD, "no 'latitude' and 'longitude'"),
    "columns": ({"lat": [1, 2], "lon": [2]}, GOOD, "2 latitudes and 1 longitudes"),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_shapes(world, kind):
    predictions, references, message = SHAPES[kind]
    with pytest.raises(ValueError, match=message):
        compute(world, predictions, references)


OPTIONS = {
    "no kind": ({"kind": None}, "kind must be one of 'classes', 'quantity', 'gradient', not None"),
    "kind": ({"kind": "slope"}, "not 'slope'"),
    "missing": ({"missing": "ignore"}, "missing must be one of 'error', 'miss'"),
    "classes": ({"classes": {1: "a"}}, "belong to kind='classes', not to 'quantity'"),
    "log": ({"kind": "classes", "log": True}, "log belongs to kind='quantity'"),
    "list": ({"kind": "classes", "classes": ["a", "b"]}, "a list of names goes with threshold="),
    "codes": ({"kind": "classes", "classes": {"water": 1}}, "the codes of classes must be"),
    "order": ({"kind": "classes", "threshold": [5, 3]}, "finite and ascending, not .5, 3."),
    "nothing": ({"kind": "classes", "threshold": []}, "finite and ascending"),
    "text": ({"kind": "classes", "threshold": "high"}, "threshold must be a number"),
    "names": (
        {"kind": "classes", "threshold": 5, "classes": ["a"]},
        "1 thresholds part 2 classes: give as many names",
    ),
    "same names": ({"kind": "classes", "threshold": 5, "classes": ["a", "a"]}, "have one name"),
    "band": ({"band": 2}, "band must be 1 to 1, not 2"),
    "band text": ({"band": "red"}, "band must be 1 to 1, not 'red'"),
    "nodata": ({"nodata": "none"}, "nodata must be a number"),
    "fill": ({"fill_value": "zero"}, "fill_value must be a number"),
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_options(world, kind):
    options, message = OPTIONS[kind]
    with pytest.raises(ValueError, match=message):
        compute(world, **options)


def test_fractions_are_no_codes(world):
    for classes in (None, {1: "a"}):
        with pytest.raises(ValueError, match=r"like a quantity.*threshold=.*kind='quantity'"):
            compute(world, kind="classes", classes=classes)


def test_codes_without_a_name_are_named(write):
    path = write(np.array([[1, 2, 3, 4]], np.uint8))
    places = [[0, -135], [0, -45], [0, 45], [0, 135]]
    with pytest.raises(ValueError, match=r"no name for code 3, 4, found at 4 places"):
        compute(path, places, places, "classes", classes={1: "a", 2: "b"})
    result = compute(path, places, places, "classes", classes={1: "a", 2: "b"}, nodata=[3, 4])
    assert (result["n"], result["n_references_nodata"]) == (2, 2)


def test_a_logarithm_of_negative_values(write):
    path = write(np.array([[1, -200]], np.int16))
    with pytest.raises(ValueError, match="0 or more, and there is -200; .*nodata="):
        compute(path, log=True)


def test_no_reference_on_the_raster(write):
    path = write(np.full((2, 2), 9, np.uint8), west=100, north=-10, cell=1, nodata=9)
    message = "none of the 3 references has a value there: 3 are outside of the raster .100 to 102"
    with pytest.raises(ValueError, match=message):
        compute(path)
    with pytest.raises(ValueError, match="0 are outside.*2 in cells without one"):
        compute(path, [[-11, 101]] * 2, [[-11, 101]] * 2)


def big_block(tmp_path):
    path = tmp_path / "block.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=16_384, height=16_384, count=1, dtype="float32",
        crs="EPSG:4326", transform=rasterio.Affine(0.01, 0, 0, 0, -0.01, 80), tiled=True,
        blockxsize=16_384, blockysize=16_384, SPARSE_OK=True,
    ):  # fmt: skip
        pass
    return path


def text_file(tmp_path):
    path = tmp_path / "map.tif"
    path.write_text('<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>')
    return path


def cut(tmp_path, write):
    path = write(np.random.default_rng(0).random((64, 64)))
    shorter = tmp_path / "cut.tif"
    with open(path, "rb") as whole:
        shorter.write_bytes(whole.read()[:2000])
    return shorter


def test_files_that_cannot_be_used(write, tmp_path, recwarn):
    for path, message in (
        (tmp_path / "nowhere.tif", "nowhere.tif: there is no such file"),
        (tmp_path, "there is no such file"),
        (text_file(tmp_path), "map.tif: this is no GTiff file .*gdal_translate IN OUT.tif"),
        (big_block(tmp_path), "a block of 16384 × 16384 .*-co TILED=YES"),
        (write(np.ones((2, 2), np.uint8), crs=None), "does not say where it lies.*rio edit-info"),
        (write(np.ones((2, 2), np.complex64)), "holds complex64, not plain numbers"),
        (cut(tmp_path, write), "cut.tif: damaged at row"),
        (None, "raster is the path of the map"),
    ):
        with pytest.raises(ValueError, match=message):
            compute(path)
    assert not [w for w in recwarn if "NotGeoreferenced" in str(w.category)]


def test_without_rasterio_it_says_how_to_get_it(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ImportError, match=r"pip install 'im2gps-justzoomin\[raster\]'"):
        compute(world)


def test_one_process():
    with pytest.raises(ValueError, match="one process"):
        GeoAttributes(num_process=2, process_id=0, experiment_id="a")
