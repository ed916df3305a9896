"""Opens local GeoTIFFs and mosaics of them, so that GDAL reads nothing else.

GDAL chooses a driver by the content of a file, and some drivers open what a file refers to: network
addresses, other files, even code. So this module chooses the driver, rewrites a mosaic from the few
elements that it needs, and checks the files beside a raster too.
"""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import numpy as np

from gcd_metric.names import shortened

_LARGEST_BLOCK = 256 * 2**20  # bytes; GDAL must decompress a whole block to read one cell
SETTINGS = {
    "GDAL_CACHEMAX": 64,  # MB; the default is a share of the machine's memory
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",  # so that GDAL looks only for the names below
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": "{none}",
}
_BESIDE = (".ovr", ".OVR", ".msk", ".MSK")  # GDAL opens these with any driver
# elements of a mosaic that determine its values, elements that do not, and attributes; in any case,
# because GDAL ignores case
_KEPT = re.compile(
    "VRTDataset|SRS|GeoTransform|Block[XY]Size|VRTRasterBand|MaskBand|NoDataValue|HideNoDataValue|"
    "Scale|Offset|SimpleSource|ComplexSource|SourceFilename|SourceBand|SrcRect|DstRect|NODATA|"
    "ScaleOffset|ScaleRatio|LUT|UseMaskBand",
    re.IGNORECASE,
)
_LEFT_OUT = re.compile(
    "Metadata|Description|ColorInterp|ColorTable|CategoryNames|UnitType|Histograms|OverviewList|"
    "SourceProperties",
    re.IGNORECASE,
)
_ATTRIBUTES = re.compile(
    "raster[XY]Size|dataType|band|block[XY]Size|relativeToVRT|shared|resampling|[xy]Off|[xy]Size|"
    "dataAxisToSRSAxisMapping|coordinateEpoch",
    re.IGNORECASE,
)
_DEEPEST = 5  # VRTDataset, MaskBand, VRTRasterBand, SimpleSource, SourceFilename


def library() -> Any:
    """The module rasterio; an ImportError says how to install it."""
    try:
        import pyproj  # noqa: F401
        import rasterio
        import rasterio.errors
    except ImportError:
        raise ImportError(
            "reading a raster needs rasterio and pyproj: pip install 'im2gps-justzoomin[raster]'"
        ) from None
    return rasterio


@contextlib.contextmanager
def damage_named(path: str) -> Iterator[None]:
    """Turn errors of rasterio into a ValueError that names the file."""
    errors = library().errors
    try:
        yield
    except (errors.RasterioError, errors.CRSError) as error:
        raise ValueError(
            f"{path}: this is not a readable GeoTIFF ({error!s:.200}); convert other formats with "
            "`gdal_translate IN OUT.tif`"
        ) from None


def open_raster(path: str) -> Any:
    """Open a local GeoTIFF, or a `.vrt` of several, as a rasterio.DatasetReader.

    Anything else, and a mosaic that refers to anything else, is a ValueError.
    """
    rasterio = library()
    with rasterio.Env(**SETTINGS), damage_named(path), warnings.catch_warnings():
        # Raster raises an error for this
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        if path.lower().endswith(".vrt"):
            return rasterio.open(_mosaic(_on_this_disk(path)), driver="VRT")
        return _open_tiff(_on_this_disk(path))


def _on_this_disk(path: str) -> str:
    """The absolute path, which GDAL can only interpret as a path."""
    absolute = os.path.abspath(path)
    if "://" in path or absolute.startswith("/vsi"):
        raise ValueError(f"{path}: a raster must be a local file; download it, and give its path")
    if not os.path.isfile(absolute):
        raise ValueError(f"{shortened(path)}: there is no such file")
    return absolute


def _open_tiff(path: str) -> Any:
    file = library().open(path, driver="GTiff")
    try:
        _check_tiff(file, path)
        for beside in filter(os.path.isfile, (path + ending for ending in _BESIDE)):
            with damage_named(beside):
                _open_tiff(beside).close()
    except ValueError:
        file.close()
        raise
    return file


def _check_tiff(file: Any, path: str) -> None:
    if elsewhere := file.tags(ns="OVERVIEWS").get("OVERVIEW_FILE"):
        raise ValueError(
            f"{path}: refers to another file, {elsewhere:.100}, which is not read; copy the raster "
            "with `gdal_translate IN OUT.tif`"
        )
    height, width = file.block_shapes[0]
    together = file.count if file.interleaving and file.interleaving.name == "pixel" else 1
    if height * width * together * _size_of(file.dtypes[0]) > _LARGEST_BLOCK:
        bands = f" of {together} bands" if together > 1 else ""
        raise ValueError(
            f"{path}: to read one cell, a block of {width} × {height}{bands} would have to be "
            "decompressed; rewrite it with `gdal_translate -co TILED=YES IN OUT`"
            + (", with -b for the band" if together > 1 else "")
        )


def _size_of(kind: str) -> int:
    try:
        return np.dtype(kind).itemsize
    except TypeError:  # GDAL has types that NumPy does not have, of up to 16 bytes
        return 16


# --- mosaics ------------------------------------------------------------------------------------


def _mosaic(path: str) -> str:
    """The XML of a `.vrt`, reduced to what a mosaic of GeoTIFFs needs."""
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise ValueError(f"{path}: damaged, or not a VRT: {error}") from None
    if root.tag != "VRTDataset":
        raise ValueError(f"{path}: this is not a VRT; it contains <{root.tag:.50}>")
    checked: set[str] = set()
    return ElementTree.tostring(_copy(root, path, checked), encoding="unicode")


def _copy(element: ElementTree.Element, path: str, checked: set[str], depth: int = 1) -> Any:
    # GDAL treats attributes like elements
    unknown = [name for name in element.attrib if not _ATTRIBUTES.fullmatch(name)]
    if unknown or not _KEPT.fullmatch(element.tag) or depth > _DEEPEST:
        what = f" with {unknown[0]:.50}" if unknown else ""
        raise ValueError(
            f"{path}: contains <{element.tag:.50}>{what}; a .vrt may only combine GeoTIFFs, as "
            "gdalbuildvrt does: convert it with `gdal_translate IN OUT.tif`"
        )
    copy = ElementTree.Element(element.tag, element.attrib)
    copy.text = element.text
    if element.tag.lower() == "sourcefilename":
        copy.attrib = {"relativeToVRT": "0"}
        copy.text = _source(element, path, checked)
    for child in element:
        if not _LEFT_OUT.fullmatch(child.tag):
            copy.append(_copy(child, path, checked, depth + 1))
    return copy


def _source(element: ElementTree.Element, path: str, checked: set[str]) -> str:
    name = element.text or ""
    relative = {k.lower(): v for k, v in element.attrib.items()}.get("relativetovrt", "0")
    if relative != "0":
        name = os.path.join(os.path.dirname(path), name)
    try:
        source = _on_this_disk(name)
        if source not in checked:
            with damage_named(source):
                _open_tiff(source).close()
    except ValueError as error:
        raise ValueError(f"{path}: refers to a file that is not read: {error!s:.400}") from None
    checked.add(source)
    return source
