"""Opens GeoTIFFs, and mosaics of them, so that GDAL reads files of this disk and nothing else.

GDAL chooses a driver by what a file contains, and several drivers open what the file names:
addresses on the network, files of any kind, code. So the driver is given here, a mosaic is written
again from the few elements that it needs, and files beside a raster are checked as it is.
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

_LARGEST_BLOCK = 256 * 2**20  # bytes; GDAL must unpack a whole block to read one cell
SETTINGS = {
    "GDAL_CACHEMAX": 64,  # MB; by itself GDAL takes a share of the machine's memory
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",  # so that only the names below are looked for
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": "{none}",
}
_BESIDE = (".ovr", ".OVR", ".msk", ".MSK")  # which GDAL opens with any driver
# elements of a mosaic that decide its values, those that do not, and attributes; names in any case,
# as GDAL compares them
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
    """The module rasterio; ImportError says how to get it."""
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
    """Turn what rasterio raises into a ValueError that names the file."""
    errors = library().errors
    try:
        yield
    except (errors.RasterioError, errors.CRSError) as error:
        raise ValueError(
            f"{path}: this is no GTiff file that can be read ({error!s:.200}); from another format "
            "`gdal_translate IN OUT.tif` makes one"
        ) from None


def open_raster(path: str) -> Any:
    """Open a GeoTIFF of this disk, or a `.vrt` of several.

    Parameters
    ----------
    path : str

    Returns
    -------
    rasterio.DatasetReader

    Raises
    ------
    ImportError
        If rasterio is not installed.
    ValueError
        For anything else than a GeoTIFF, or a mosaic that names anything else.
    """
    rasterio = library()
    with rasterio.Env(**SETTINGS), damage_named(path), warnings.catch_warnings():
        # whoever opens it says it, and what to do
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        if path.lower().endswith(".vrt"):
            return rasterio.open(_mosaic(_on_this_disk(path)), driver="VRT")
        return _open_tiff(_on_this_disk(path))


def _on_this_disk(path: str) -> str:
    """The absolute path, which GDAL can take for nothing but a path."""
    absolute = os.path.abspath(path)
    if "://" in path or absolute.startswith("/vsi"):
        raise ValueError(f"{path}: a raster is read from this disk; download it, and give its path")
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
            f"{path}: to read one cell a block of {width} × {height}{bands} would have to be "
            "unpacked; rewrite it with `gdal_translate -co TILED=YES IN OUT`"
            + (", with -b for the band" if together > 1 else "")
        )


def _size_of(kind: str) -> int:
    try:
        return np.dtype(kind).itemsize
    except TypeError:  # GDAL has kinds that NumPy has not, up to 16 bytes
        return 16


# --- mosaics ------------------------------------------------------------------------------------


def _mosaic(path: str) -> str:
    """The XML of a `.vrt`, written again with what a mosaic of GeoTIFFs needs."""
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise ValueError(f"{path}: damaged, or no VRT: {error}") from None
    if root.tag != "VRTDataset":
        raise ValueError(f"{path}: this is no VRT; it holds <{root.tag:.50}>")
    checked: set[str] = set()
    return ElementTree.tostring(_copy(root, path, checked), encoding="unicode")


def _copy(element: ElementTree.Element, path: str, checked: set[str], depth: int = 1) -> Any:
    # to GDAL an attribute is the same as an element
    unknown = [name for name in element.attrib if not _ATTRIBUTES.fullmatch(name)]
    if unknown or not _KEPT.fullmatch(element.tag) or depth > _DEEPEST:
        what = f" with {unknown[0]:.50}" if unknown else ""
        raise ValueError(
            f"{path}: holds <{element.tag:.50}>{what}; a .vrt may only put GeoTIFFs together, as "
            "gdalbuildvrt does: make one file of it with `gdal_translate IN OUT.tif`"
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
        raise ValueError(f"{path}: names a file that is not read: {error!s:.400}") from None
    checked.add(source)
    return source
