"""Errors for bad input, which lose none of the rows added before."""

import http.server
import math
import shutil
import sys
import threading
from pathlib import Path

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
    "latitude": ([90.1, 0], r"row 1 has a latitude beyond 90.*\(90.1, 0.0\); bad rows: 1 of 3"),
    "longitude": ([0, -180.1], r"row 1 has a longitude beyond.*bad rows: 1 of 3"),
    "infinite": ([math.inf, 0], r"row 1 is infinite.*inf"),
    "text": (["north", "2.35"], r"row 1 contains 'north', which is not a number"),
    "truth value": ([True, 0], r"row 1 contains True"),
    "three values": ([1, 2, 3], r"row 1 is not a pair.*3 values"),
    "one number": (1.5, r"row 1 is not a pair.*1.5"),
    "no names": ({"x": 1, "y": 2}, r"row 1: found no single pair of .*'x'"),
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
    with pytest.raises(ValueError, match="row 2 .*bad rows: 1 of 3.*swapped columns"):
        compute(world, predictions=[pair[::-1] for pair in GOOD])


SHAPES = {
    "lengths": (GOOD, GOOD[:2], "predictions has 3 rows, references has 2"),
    "flat": (np.array(GOOD[0]), GOOD, r"predictions: expected shape \(n, 2\).*got \(2,\)"),
    "transposed": (np.array(GOOD).T, GOOD, r"got \(2, 3\)"),
    "empty": ([], [], "empty: there is nothing to score"),
    "text": ("48.86,2.35", GOOD, "predictions: expected pairs.*got text"),
    "a number": (3, GOOD, "got 3"),
    "one side": (GOOD, None, "references: none were given"),
    "other columns": ({"x": [1], "y": [2]}, GOOD, "no single pair of 'latitude' and 'longitude'"),
    "columns": ({"lat": [1, 2], "lon": [2]}, GOOD, "2 latitudes and 1 longitudes"),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_shapes(world, kind):
    predictions, references, message = SHAPES[kind]
    with pytest.raises(ValueError, match=message):
        compute(world, predictions, references)


OPTIONS = {
    "no kind": (
        {"kind": None},
        "kind must be one of 'classes', 'quantity', 'gradient', 'places', not None",
    ),
    "kind": ({"kind": "slope"}, "not 'slope'"),
    "missing": ({"missing": "ignore"}, "missing must be one of 'error', 'miss'"),
    "classes": ({"classes": {1: "a"}}, "are for kind='classes', not for 'quantity'"),
    "log": ({"kind": "classes", "log": True}, "log is for kind='quantity'"),
    "list": ({"kind": "classes", "classes": ["a", "b"]}, "a list of names goes with threshold="),
    "codes": ({"kind": "classes", "classes": {"water": 1}}, "the codes of classes must be"),
    "order": ({"kind": "classes", "threshold": [5, 3]}, "finite and ascending, not .5, 3."),
    "nothing": ({"kind": "classes", "threshold": []}, "finite and ascending"),
    "text": ({"kind": "classes", "threshold": "high"}, "threshold must be a number"),
    "names": (
        {"kind": "classes", "threshold": 5, "classes": ["a"]},
        "give 2 names of classes, one more than thresholds",
    ),
    "same names": (
        {"kind": "classes", "threshold": 5, "classes": ["a", "a"]},
        "the same name",
    ),
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


def test_fractions_are_not_codes(world):
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
        (
            text_file(tmp_path),
            "map.tif: this is not a readable GeoTIFF .*gdal_translate IN",
        ),
        (big_block(tmp_path), "a block of 16384 × 16384 .*-co TILED=YES"),
        (write(np.ones((2, 2), np.uint8), crs=None), "is not georeferenced.*rio edit-info"),
        (write(np.ones((2, 2), np.complex64)), "contains complex64, not plain numbers"),
        (cut(tmp_path, write), "cut.tif: damaged at row"),
        (None, "raster is the path of the map"),
    ):
        with pytest.raises(ValueError, match=message):
            compute(path)
    assert not [w for w in recwarn if "NotGeoreferenced" in str(w.category)]


def test_missing_rasterio_is_an_error_with_advice(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ImportError, match=r"pip install 'im2gps-justzoomin\[raster\]'"):
        compute(world)


def test_one_process():
    with pytest.raises(ValueError, match="one process"):
        GeoAttributes(num_process=2, process_id=0, experiment_id="a")


# --- rasters that would read something else, or lie nowhere -------------------------------------


def vrt(source="", band="", more="", srs="EPSG:4326"):
    """A mosaic of one source with an element that must be refused."""
    return (
        f'<VRTDataset rasterXSize="4" rasterYSize="2"><SRS>{srs}</SRS>'
        f"<GeoTransform>-180, 90, 0, 90, 0, -90</GeoTransform>{more}"
        f'<VRTRasterBand dataType="Byte" band="1"{band}><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{source}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )


def refused_mosaics(tiff, address):
    inner = vrt(address).replace("<", "&lt;")
    whole = vrt(tiff)
    return {
        "address": vrt(address),
        "vsicurl": vrt(f"/vsicurl/{address}"),
        "streaming": vrt(f"/vsicurl_streaming/{address}"),
        "in a zip": vrt(f"/vsizip//vsicurl/{address}"),
        "service": vrt(f"WCS:{address}"),
        "absolute": vrt(f"/vsicurl/{address}").replace('VRT="1"', 'VRT="0"'),
        "xml as a name": vrt(inner),
        "a mosaic of a mosaic": vrt("inner.vrt"),
        "a mosaic by content": vrt("inner.tif"),
        "nothing": vrt("nowhere.tif"),
        "raw": vrt(tiff, ' subClass="VRTRawRasterBand"'),
        "lower case": vrt(address).replace("SourceFilename", "sourcefilename"),
        "attribute": whole.replace("<SimpleSource>", f'<SimpleSource SourceFilename="{address}">'),
        "code": vrt(
            tiff,
            ' subClass="VRTDerivedRasterBand"',
            "<PixelFunctionLanguage>Python</PixelFunctionLanguage>",
        ),
        "warped": whole.replace("<VRTDataset", '<VRTDataset subClass="VRTWarpedDataset"', 1),
        "filtered": whole.replace("SimpleSource", "KernelFilteredSource"),
        "options": whole.replace("<SourceBand>", "<OpenOptions/><SourceBand>"),
        "overview": whole.replace(
            "</VRTRasterBand>",
            f"<Overview><SourceFilename>{address}</SourceFilename></Overview></VRTRasterBand>",
        ),
        "deep": "<VRTDataset>" + "<MaskBand>" * 3000 + "</MaskBand>" * 3000 + "</VRTDataset>",
        "cut": whole[:100],
        "other": "<GDAL_WMS/>",
    }


@pytest.fixture()
def host():
    """A web server on loopback: its address, and the list of its requests."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/map.tif", asked
        server.shutdown()


ASK = """
import sys
from geo_attributes import GeoAttributes
for path in sys.argv[1:]:
    try:
        GeoAttributes().compute(
            predictions=[[0, 0]], references=[[0, 0]], raster=path, kind="quantity"
        )
        print("read")
    except ValueError as error:
        print("refused", error)
"""


def ask(python, folder, paths):
    """The result for each raster, from another process: GDAL keeps the interpreter's lock."""
    return python("-c", ASK, *paths, cwd=folder).splitlines()


def test_a_mosaic_may_read_only_local_geotiffs(write, python, tmp_path, host):
    address, asked = host
    tiff = shutil.copy(write(np.ones((2, 4), np.uint8)), tmp_path / "a.tif").name
    paths = []
    for name, text in refused_mosaics(tiff, address).items():
        paths.append(tmp_path / f"{name}.vrt")
        paths[-1].write_text(text)
    for name in ("inner.vrt", "inner.tif"):
        (tmp_path / name).write_text(vrt(f"/vsicurl/{address}"))
    good = tmp_path / "good.vrt"
    good.write_text(vrt(tiff))
    *refused, read = ask(python, tmp_path, [*paths, good])
    for path, line in zip(paths, refused, strict=True):
        assert line.startswith("refused ") and str(path) in line and len(line) < 900, line
    assert read == "read"
    assert not asked


def test_files_named_in_or_beside_a_raster_are_not_read(write, python, tmp_path, host):
    address, asked = host
    names = ("inside", "beside", "mask", "overview", "mask of an overview")
    paths = {
        name: str(shutil.copy(write(np.ones((2, 4), np.uint8)), tmp_path / f"{name}.tif"))
        for name in names
    }
    with rasterio.open(paths["inside"], "r+") as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=address)
    Path(paths["beside"] + ".aux.xml").write_text(
        '<PAMDataset><Metadata domain="OVERVIEWS">'
        f'<MDI key="OVERVIEW_FILE">/vsicurl/{address}</MDI></Metadata></PAMDataset>'
    )
    Path(paths["mask"] + ".msk").write_text(vrt(address))
    Path(paths["overview"] + ".ovr").write_text(vrt(address))
    shutil.copy(paths["mask"], paths["mask of an overview"] + ".ovr")
    Path(paths["mask of an overview"] + ".ovr.msk").write_text(vrt(address))
    mosaic = tmp_path / "mosaic.vrt"
    mosaic.write_text(vrt("inside.tif"))
    for line in ask(python, tmp_path, [*paths.values(), mosaic]):
        assert line.startswith("refused ") and "gdal_translate" in line
    assert not asked


def test_an_address_is_refused_as_a_raster(host):
    address, asked = host
    for path in (address, f"/vsicurl/{address}", f"zip+{address}!a.tif", "file:///a.tif"):
        with pytest.raises(ValueError, match="must be a local file; download it"):
            compute(path)
    for path in ("WMS:a?b=1", "GTIFF_DIR:1:a.tif", "a\0b.tif"):
        with pytest.raises(ValueError, match="there is no such file"):
            compute(path)
    for path in (3, ["a.tif"], object()):
        with pytest.raises(ValueError, match="raster is the path of a file, not"):
            compute(path)
    assert not asked


INFINITE = float("inf")
TRANSFORMS = {
    "no height": (0.1, 0, 0, 0, 0, 5),
    "no area": (0.1, 0.1, 0, 0.1, 0.1, 10),
    "not a number": (math.nan, 0, 0, 0, -0.1, 10),
    "infinite": (INFINITE, 0, 0, 0, -0.1, 10),
    "infinitely far": (0.1, 0, INFINITE, 0, -0.1, 10),
    "tiny": (1e-320, 0, 0, 0, -1e-320, 10),
    "huge": (1e300, 0, 0, 0, -1e300, 10),
    "far away": (0.1, 0, 1e6, 0, -0.1, 10),
    "huge shear": (0.1, 1e200, 0, 0, -0.1, 10),
}


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_a_transform_without_cells_on_the_earth(write, kind):
    path = write(np.ones((4, 4), np.uint8), transform=rasterio.Affine(*TRANSFORMS[kind]))
    with pytest.raises(ValueError, match=r"places no cells on the earth|is not georeferenced"):
        compute(path)


@pytest.mark.parametrize(
    "crs", ["EPSG:5703", "EPSG:4978", 'LOCAL_CS["x",UNIT["m",1]]', "+proj=longlat +R=1737400"]
)
def test_an_unusable_reference_system(write, crs):
    path = write(np.ones((4, 4), np.uint8), crs=crs, west=0, north=4, cell=1)
    with pytest.raises(ValueError, match=r"coordinate reference system .*(neither|Moon).* --crs"):
        compute(path)


@pytest.mark.parametrize("scales", [(0.0, 0.0), (math.nan, 0.0), (1.0, math.inf)])
def test_an_invalid_scale(write, scales):
    path = write(np.ones((4, 4), np.uint8), scales=((scales[0],), (scales[1],)))
    with pytest.raises(ValueError, match="declares a scale of .*make no values"):
        compute(path)
    assert compute(path, kind="classes")["n"] == 3  # codes are not scaled


def test_large_blocks_are_refused_before_decompression(tmp_path):
    path = tmp_path / "bands.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=512, height=512, count=1100, dtype="uint8",
        crs="EPSG:4326", transform=rasterio.Affine(0.1, 0, 0, 0, -0.1, 80), tiled=True,
        blockxsize=512, blockysize=512, interleave="pixel", SPARSE_OK=True,
    ):  # fmt: skip
        pass
    with pytest.raises(ValueError, match="a block of 512 × 512 of 1100 bands .*with -b"):
        compute(path)
    mosaic = tmp_path / "bands.vrt"
    mosaic.write_text(vrt("bands.tif"))
    with pytest.raises(ValueError, match="of 1100 bands"):
        compute(mosaic)


def test_messages_stay_short(world):
    many = [str(number) for number in range(100_000)]
    for options in (
        {"kind": "x" * 100_000},
        {"band": many},
        {"nodata": many[:1] + ["x"] + many},
        {"kind": "classes", "threshold": 5, "classes": many},
        {"kind": "classes", "threshold": list(range(9)), "classes": ["a"] * 10},
        {"kind": "classes", "classes": many},
        {"kind": "classes", "threshold": many[::-1]},
    ):
        with pytest.raises(ValueError) as caught:
            compute(world, **options)
        assert len(str(caught.value)) < 400, options


@pytest.mark.parametrize(
    "options",
    [{"kind": "classes", "classes": 5, "threshold": 1}, {"nodata": 10**400}],
    ids=["classes", "nodata"],
)
def test_options_of_the_wrong_kind_are_value_errors(world, options):
    with pytest.raises(ValueError, match="names|nodata must be a number"):
        compute(world, **options)


def test_a_long_path_is_shortened_in_the_error():
    with pytest.raises(ValueError, match="there is no such file") as error:
        compute("x" * 5000)
    assert len(str(error.value)) < 300
