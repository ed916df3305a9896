"""What is fuzzed: for each parser a function of bytes, and the errors that it may raise.

A target returns what it read, so that it can be run twice and compared. What holds of every good
answer, and agreement with another reader where there is one, are asserted here.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import struct
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from gcd_metric.answers import KINDS, parse_answer
from gcd_metric.matching import match_ids
from gcd_metric.tables import read_coordinates
from geo_attributes.geo_attributes import Raster
from geoload import tar_index
from geoload.jpeg import PhotoError, clean, is_plain, segments
from geoload.pictures import PictureError, decode
from geoload.publishing.card import ExistingCard, render_card
from geoload.report import Findings
from geoload.tar import ShardError, members
from geoload.tar_index import TarIndex
from im2gps import photo, training
from im2gps.building.missing import Missing
from im2gps.building.recode import training_jpeg
from im2gps.flickr.api import API, Flickr, FlickrError
from im2gps.flickr.http import RequestPolicy
from im2gps.flickr.search import read_queries
from im2gps.lists.records import parse
from im2gps.packs import PackError, open_pack
from justzoomin.layout import Layout
from justzoomin.table import TableError, read_table

KEY = "0123456789abcdef0123456789abcdef"
_BLOCK = 512
_SIZE = 10**6
_PIXELS = 2**22  # of pictures that Pillow decodes for comparison
_ANSWER = 2**14  # bytes of an answer; every step is traced
_folder = Path(tempfile.mkdtemp(prefix="fuzz-"))


class Target(NamedTuple):
    """A parser: its function, its documented errors, and a repair for damaged input."""

    read: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    repair: Callable[[bytes], bytes] = bytes

    def check(self, data: bytes) -> None:
        """Read an input, and some inputs a second time.

        Raises
        ------
        AssertionError
            When an answer is wrong, differs the second time, or an error is more than a line.
        Exception
            Whatever the parser raises that it does not document.
        """
        outcome = self._outcome(data)
        if zlib.crc32(data) % 8 == 0:
            assert outcome == self._outcome(data), "another answer the second time"

    def _outcome(self, data: bytes) -> str:
        try:
            return repr(self.read(data))
        except self.errors as error:
            text = str(error)
            assert text and "\n" not in text and " object at 0x" not in text, f"message {text!r}"
            assert len(text) < 2000, f"a message of {len(text):,} characters"
            return text


TARGETS: dict[str, Target] = {}


def _target(*errors: type[Exception], repair: Callable[[bytes], bytes] = bytes) -> Any:
    def register(read: Callable[[bytes], object]) -> Callable[[bytes], object]:
        TARGETS[read.__name__.strip("_")] = Target(read, errors, repair)
        return read

    return register


def _file(data: bytes, name: str) -> str:
    path = _folder / name
    path.write_bytes(data)
    return str(path)


def _with_checksums(data: bytes) -> bytes:
    """Give each block that looks like a TAR header its right checksum."""
    blocks = [bytearray(data[at : at + _BLOCK]) for at in range(0, len(data), _BLOCK)]
    for block in blocks:
        if block[257:262] == b"ustar" and len(block) == _BLOCK:
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
    return b"".join(blocks)


class _ShortReads(io.BytesIO):
    """A file on a network disk: a read may return fewer bytes than requested."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size, 700) if size and size > 0 else size)


@_target(ShardError, repair=_with_checksums)
def tar(data: bytes) -> object:
    found = list(members(io.BytesIO(data)))
    assert found == list(members(_ShortReads(data))), "other members with short reads"
    index = TarIndex("x.tar", len(data))
    index.scan(io.BytesIO(data))
    assert list(index) == [one for one, _ in found]
    if len(data) < 20_000:  # tarfile takes hours over large extended headers
        ours = [(one.name, content) for one, content in found if one.kind == "file"]
        for (name, content), (its_name, its_content) in zip(ours, _by_tarfile(data), strict=False):
            # tarfile reads other fields of GNU tar as a prefix, and it reads a long
            # name to the end of its block, whatever its size.
            alike = its_name.endswith(name) or its_name.startswith(name)
            assert alike and its_content == content, "tarfile reads other members"
    return found


def _by_tarfile(data: bytes) -> list[tuple[str, bytes]]:
    """Return what tarfile reads, up to a header whose time or owner is no number, say."""
    read = []
    try:
        with tarfile.open(
            fileobj=io.BytesIO(data), mode="r:", errors="backslashreplace"
        ) as archive:
            for one in archive:
                # A file whose name ends in a slash is a folder for GNU tar and for us.
                if one.isreg() and not one.issparse() and not one.name.endswith("/"):
                    read.append((one.name, archive.extractfile(one).read()))
    except (tarfile.TarError, ValueError):
        pass
    return read


@_target()
def index(data: bytes) -> object:
    path = tar_index.index_path("x.tar", _folder)
    path.write_bytes(tar_index._digest(data) + data)
    found = TarIndex("x.tar", _SIZE, ["key"], _folder)
    assert all(0 <= m.offset < m.data <= m.data + m.size <= _SIZE for m in found)
    assert {m.name for m in found if m.kind == "file"} == {
        m.name for m in map(found.find, {m.name for m in found}) if m is not None
    }
    return list(found), found.complete, found.position, found.not_files()


@_target(ValueError)
def published_index(data: bytes) -> object:
    found = TarIndex.from_published(_file(data, "x.json"), "x.tar", _SIZE, "digest")
    places = [found.find(name) for name in {m.name for m in found}]
    assert all(m and 0 <= m.data <= m.data + m.size <= _SIZE for m in places)
    return list(found)


@_target(PhotoError)
def jpeg(data: bytes) -> object:
    cleaned = clean(data)
    assert clean(cleaned) == cleaned, "cleaning twice changes it again"
    if is_plain(list(segments(data))):
        Image.open(io.BytesIO(cleaned)).close()  # Pillow reads its header
    assert not photo.fields(cleaned), "comments are left"
    try:
        place = photo.coordinates(cleaned)
    except PhotoError:
        place = None
    assert place is None, "coordinates are left"
    # Of a damaged scan libjpeg makes something else where bytes follow the end of the picture.
    before = _pixels(data[: max(segment.stop for segment in segments(data))])
    assert before is None or before == _pixels(cleaned), "other pixels than before"
    return cleaned


def _pixels(data: bytes) -> object:
    """Return the picture as Pillow decodes it, or None if it is large or damaged."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            if image.width * image.height > _PIXELS:
                return None
            return image.mode, image.size, image.tobytes(), image.info.get("icc_profile")
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError):
        return None


@_target(PhotoError)
def comments(data: bytes) -> object:
    fields = photo.fields(data)
    latitude, longitude = photo.coordinates(data)
    assert abs(latitude) <= 90 and abs(longitude) <= 180
    return fields, latitude, longitude


@_target(Missing)
def photo_body(data: bytes) -> object:
    kinds = {b"\x89P": "png", b"GI": "gif"}
    picture = training_jpeg(data, kinds.get(data[:2], "jpg"))
    assert max(picture.width, picture.height) <= 1024
    with Image.open(io.BytesIO(picture.data)) as image:
        assert image.size == (picture.width, picture.height)
        image.load()
    return picture


@_target(PictureError)
def pictures(data: bytes) -> object:
    pixels = decode(data, (16, 24))
    assert pixels.shape == (16, 24, 3)
    return zlib.crc32(pixels.tobytes())


@_target()
def lists(data: bytes) -> object:
    whole = parse(data)
    # Byte order marks of joined files and form feeds may come before a block.
    found = re.finditer(rb"^(?:\xef\xbb\xbf|\f)*photo:", data, re.MULTILINE)
    begins = [block.start() for block in found]
    blocks = len(begins)
    assert len(whole.table) <= blocks, "more photos than blocks"
    assert len(whole.table) + len(whole.broken) >= blocks, "a block was lost"
    # Blocks read one by one give the same rows as blocks read by columns.
    starts = [0, *begins]
    if len(starts) < 9:
        ends = [*starts[1:], len(data)]
        alone = [parse(data[one:end]).table for one, end in zip(starts, ends, strict=True)]
        rows = [row for table in alone for row in table.to_pylist()]
        assert repr(rows) == repr(whole.table.to_pylist()), "blocks alone give other rows"
    return whole.table.to_pylist(), whole.broken, whole.stray, whole.unread


@_target(ValueError)
def layout(data: bytes) -> object:
    found = Layout.read(_file(data, "layout.yaml"))
    return found, found.project([38.9], [-77.0]).tolist()


@_target(TableError)
def table(data: bytes) -> object:
    found = read_table(_file(data, "table.csv"))
    assert all(abs(value) <= 90 for value in found.latitude)
    assert all(abs(value) <= 180 for value in found.longitude)
    text = data.decode("utf-8-sig", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))  # Python 3.10 refuses NUL
    if [row.get("image_id") for row in rows] == found.image_id:
        assert [json.loads(str(row["sequence"])) for row in rows] == found.sequence
    return [found.record(row) for row in range(len(found))]


def _coordinates(suffix: str, data: bytes) -> object:
    path = _file(data, f"x.{suffix}")
    found = read_coordinates(path, allow_missing=True)
    numbers = found[["latitude", "longitude"]].to_numpy()
    assert numbers.dtype == np.float64
    assert np.all((np.abs(numbers) <= (90, 180)) | np.isnan(numbers))
    assert all(isinstance(one, str) and one for one in found["image_id"])
    return found.to_dict("list")


for _suffix in ("csv", "tsv", "parquet", "json", "jsonl", "npz", "xlsx"):
    TARGETS[f"coordinates_{_suffix}"] = Target(partial(_coordinates, _suffix), (ValueError,))


@_target(ValueError)
def ids(data: bytes) -> object:
    one, _, other = data.decode("utf-8", "replace").partition("\n\n")
    left, right = (list(dict.fromkeys(part.splitlines())) for part in (one, other))
    found = match_ids(left, right)
    there = match_ids(right, left)
    pairs = sorted(zip(found.left.tolist(), found.right.tolist(), strict=True))
    back = sorted(zip(there.right.tolist(), there.left.tolist(), strict=True))
    assert pairs == back, "other pairs with the sides swapped"
    for side, count in ((0, len(left)), (1, len(right))):
        used = [pair[side] for pair in pairs]
        assert len(set(used)) == len(used) and all(0 <= i < count for i in used)
    return pairs


@_target()
def answers(data: bytes) -> object:
    text = data[:_ANSWER].decode("utf-8", "replace")
    start = time.process_time()
    found = parse_answer(text)
    once = time.process_time() - start
    assert found.kind in KINDS
    given = found.kind == "coordinates"
    assert given == (abs(found.latitude) <= 90 and abs(found.longitude) <= 180)
    assert given <= (found.span is not None) and bool(found.place) == (found.kind == "place")
    if found.span is not None:
        assert 0 <= found.span[0] < found.span[1] <= len(text), "not in the text"
    start = time.process_time()
    parse_answer(text * 2)
    assert time.process_time() - start < 4 * once + 0.5, "more than linear time"
    return found


@_target(ValueError)
def card(data: bytes) -> object:
    existing = ExistingCard(data.decode("utf-8", "replace"))
    entries = list(existing.entries.values())
    if existing.foreign:  # and `publish` takes nothing from it
        return entries
    text = "---\nlicense: mit\n---\n<!-- contents of this repository -->\n"
    text = render_card(text, entries, "a")
    ExistingCard(text)  # what was written can be read again
    return text, entries


class _Answer:
    """One HTTP answer: status and Retry-After in the first line of the input, then the body."""

    def __init__(self, data: bytes) -> None:
        head, _, self._body = data.partition(b"\n")
        status, _, after = head.decode("latin-1").partition(" ")
        self.status = (
            int(status) if status.isascii() and status.isdigit() and len(status) < 4 else 200
        )
        self.headers = {"Retry-After": after}
        self.content = self

    async def iter_chunked(self, size: int) -> Any:
        for at in range(0, len(self._body), size):
            yield self._body[at : at + size]

    async def __aenter__(self) -> _Answer:
        return self

    async def __aexit__(self, *error: object) -> None:
        return None


@_target(FlickrError)
def flickr(data: bytes) -> object:
    client = Flickr(API, KEY, RequestPolicy(rate=0, tries=1, backoff=0))
    client._session = type("Session", (), {"post": lambda *_, **__: _Answer(data)})()
    try:
        page = asyncio.run(client.search("rome", 0, 1, 1))
    except FlickrError as error:
        assert KEY not in str(error), "the key is in the error"
        raise
    assert KEY not in repr(page), "the key is in the answer"
    assert page.total >= 0
    return page


@_target(ValueError)
def queries(data: bytes) -> object:
    return read_queries(_file(data, "queries.txt"))


def _jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    return buffer.getvalue()


_PHOTO = _jpeg()


@_target()
def training_json(data: bytes) -> object:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in (("a.json", data), ("a.jpg", _PHOTO)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    report = Findings()
    path = _file(buffer.getvalue(), "x.tar")
    found = list(training.samples(path, lambda record: True, report))
    assert len(found) + report.counts[training.BROKEN] == 1, "neither read nor counted"
    assert all(abs(one.latitude) <= 90 and abs(one.longitude) <= 180 for one in found)
    return found, str(report)


@_target(PackError)
def pack_zip(data: bytes) -> object:
    report = Findings()
    found = []
    with open_pack(_file(data, "x.zip"), report) as photos:
        for name, read in photos:
            try:
                found.append((name, read()))
            except PackError as error:
                found.append((name, str(error).encode()))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        plain = re.compile(r"[A-Za-z0-9]\w*\.jpg", re.ASCII)
        names = Counter(
            info.filename for info in archive.infolist() if not info.external_attr >> 28
        )
    read = Counter(name for name, _ in found)
    assert all(read[name] >= count for name, count in names.items() if plain.fullmatch(name))
    return found, str(report)


@_target(ValueError)
def raster(data: bytes) -> object:
    places = np.array([[0.5, 0.5], [-0.5, 0.5], [38.9, -77.0], [90, 180], [np.nan, 0]])
    with Raster(_file(data, "x.tif")) as found:
        values, inside = found.values(places)
        slopes, _ = found.gradients(places)
    assert np.isnan(values[~inside]).all() and not inside[-1]
    return values, inside, slopes
