"""Coordinates from JPEG comments, and bytes without metadata."""

from __future__ import annotations

import io
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from geoload.jpeg import PhotoError, clean, segments
from im2gps.photo import coordinates, usable
from im2gps.sample import with_comments

LATITUDES = st.floats(-90, 90)
LONGITUDES = st.floats(-180, 180)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def jpeg(mode: str = "RGB", **options) -> bytes:
    rng = np.random.default_rng(3)
    channels = {"RGB": 3, "L": 1, "CMYK": 4}[mode]
    pixels = rng.integers(0, 255, (40, 56, channels), np.uint8).squeeze()
    buffer = io.BytesIO()
    Image.fromarray(pixels, mode if mode == "CMYK" else None).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def exif(latitude: float | None = None, longitude: float = 0, orientation: int = 1) -> bytes:
    fields = Image.Exif()
    fields[0x0112] = orientation
    fields[0x010F] = "A Camera"
    if latitude is not None:
        gps = fields.get_ifd(0x8825)
        gps[1], gps[2] = ("S" if latitude < 0 else "N"), (abs(latitude), 0.0, 0.0)
        gps[3], gps[4] = ("W" if longitude < 0 else "E"), (abs(longitude), 0.0, 0.0)
    return fields.tobytes()


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@settings(max_examples=100, deadline=None)
@given(LATITUDES, LONGITUDES, st.randoms())
def test_reads_fields_by_key_in_any_order(latitude, longitude, random):
    assume(latitude or longitude)
    fields = [
        f"latitude: {latitude!r}",
        f"longitude: {longitude!r}",
        "title: latitude: 1.0",
        "tags: latitude: 2 longitude: 3",
        "owner: 1@N00",
    ]
    random.shuffle(fields)
    data = with_comments(jpeg(), [f.encode() for f in fields])
    assert coordinates(data) == (latitude, longitude)


@pytest.mark.parametrize(
    "fields",
    [
        [b"latitude: 41.89\0", b"longitude: 12.5\0\0"],
        [b"title: caf\xe9 \xfc\xdf", b"latitude:41.89", b"longitude:  12.5  "],
        ["title: Кафе".encode(), b"Latitude: 41.89\n", b"LONGITUDE: 12.5\r\n"],
        [b"tags: " + b"x" * 65527, b"latitude: 41.89", b"longitude: 12.5"],
        [b"latitude: 41.89" + b"\0" * 65518, b"longitude: 12.5"],
        [b"", b"title:", b"latitude: 41.89", b"longitude: 12.5", b"no colon"],
        [b"latitude: 41.890", b"latitude: 41.89", b"longitude: 1.25e1"],
        ["\ufefflatitude: 41.89".encode(), b"longitude: +12.5"],
        ["\ufefflatitude: 41.89\0".encode("utf-16-le"), "longitude: 12.5".encode("utf-16")],
        ["\ufefflatitude: 41.89".encode("utf-16-be"), b"longitude: 12.5"],
    ],
    ids=[
        "NUL-ended",
        "Latin-1",
        "UTF-8",
        "maximal",
        "NUL-filled",
        "odd fields",
        "twice the same",
        "byte order mark",
        "UTF-16",
        "UTF-16 big-endian",
    ],
)
def test_reads_fields_however_they_are_written(fields):
    assert coordinates(with_comments(jpeg(), fields)) == (41.89, 12.5)


def test_reads_the_minus_sign_of_unicode():
    data = with_comments(jpeg(), ["latitude: \u22121.5".encode(), b"longitude: -.5"])
    assert coordinates(data) == (-1.5, -0.5)


@pytest.mark.parametrize("text", ["1_0", "\u0661", "0x1", "1,5", "nan", "inf", "- 1", "1e", ""])
def test_refuses_fields_that_are_not_plain_decimals(text):
    data = with_comments(jpeg(), [f"latitude: {text}".encode(), b"longitude: 2"])
    with pytest.raises(PhotoError, match="its comment field latitude has .*, not a number"):
        coordinates(data)


def test_reads_comments_between_the_scans_of_a_progressive_jpeg():
    data = jpeg(progressive=True, quality=90)
    scan = data.rfind(b"\xff\xda")
    comment = with_comments(b"\xff\xd8", [b"latitude: 1.5", b"longitude: 2.5"])[2:]
    assert coordinates(data[:scan] + comment + data[scan:]) == (1.5, 2.5)
    assert b"latitude" not in clean(data[:scan] + comment + data[scan:])


def test_falls_back_to_exif():
    assert coordinates(jpeg(exif=exif(-33.5, 151.25))) == (-33.5, 151.25)
    both = with_comments(jpeg(exif=exif(1, 1)), [b"latitude: 41.89", b"longitude: 12.5"])
    assert coordinates(both) == (41.89, 12.5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"GIF89a", "not a JPEG"),
        (jpeg(), "no coordinates"),
        (jpeg(exif=exif()), "no coordinates"),
        (with_comments(jpeg(), [b"title: latitude: 1.0 longitude: 2.0"]), "no coordinates"),
        (with_comments(jpeg(), [b"latitude: 1.0"]), "only the latitude"),
        (with_comments(jpeg(), [b"latitude: north", b"longitude: 2"]), "'north', not a number"),
        (with_comments(jpeg(), [b"latitude: nan", b"longitude: 2"]), "'nan', not a number"),
        (with_comments(jpeg(), [b"latitude: 91", b"longitude: 2"]), "not on the globe"),
        (
            with_comments(jpeg(), [b"latitude: 1", b"latitude: 2", b"longitude: 2"]),
            "occurs twice",
        ),
        (with_comments(jpeg(), [b"latitude: 1", b"longitude: 2"])[:-300], "cut"),
        (with_comments(jpeg(), [b"latitude: 1", b"longitude: 2"])[:60], "cut or broken"),
    ],
)
def test_says_what_is_wrong_with_a_photo(data, message):
    with pytest.raises(PhotoError, match=message):
        coordinates(data)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_clean_keeps_the_picture_and_removes_metadata(mode, progressive):
    options = {"icc_profile": PROFILE, "exif": exif(41.89, 12.5, orientation=6)}
    data = jpeg(mode, progressive=progressive, **options)
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0 41.890400")
    iptc = segment(0xED, b"Photoshop 3.0\0 Rome 41.890400")
    data = data[:2] + xmp + iptc + data[2:] + b"trailer latitude: 41.890400"
    data = with_comments(data, [b"latitude: 41.890400", b"longitude: 12.492000", b"title: Rome"])

    cleaned = clean(data)

    assert coordinates(data) == (41.8904, 12.492)
    for secret in (b"41.89", b"12.49", b"itude", b"Rome", b"A Camera", b"xap", b"trailer"):
        assert secret not in cleaned
    image = Image.open(io.BytesIO(cleaned))
    assert image.info["icc_profile"] == PROFILE
    assert dict(image.getexif()) == {0x0112: 6}
    assert np.array_equal(pixels(cleaned), pixels(data))
    with pytest.raises(PhotoError, match="no coordinates"):
        coordinates(cleaned)
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize(
    "carrier", [0xC8, 0xDC, 0xE0, 0xE5, 0xED, 0xEE, 0xF7, 0xFD, 0x02], ids=lambda m: f"{m:02X}"
)
def test_clean_keeps_no_text_in_headers(carrier):
    secret = b" latitude: 41.8904 longitude: 12.492"
    head = {0xE0: b"JFIF\0\1\1\0\0\1\0\1\0\0", 0xEE: b"Adobe\0\x64\0\0\0\0\1"}.get(carrier, b"")
    data = jpeg()
    data = data[:2] + segment(carrier, head + secret) + data[2:]
    assert secret not in clean(data)


@pytest.mark.parametrize("reference", ["S", b"S", b"S\0", "s"])
def test_the_hemisphere_counts_however_it_is_written(reference):
    fields = Image.Exif()
    gps = fields.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = reference, (33.0, 0.0, 0.0), "W", (70.0, 0.0, 0.0)
    assert coordinates(jpeg(exif=fields.tobytes())) == (-33, -70)


def test_without_a_hemisphere_there_are_no_coordinates():
    fields = Image.Exif()
    gps = fields.get_ifd(0x8825)
    gps[2], gps[4] = (33.0, 0.0, 0.0), (70.0, 0.0, 0.0)
    with pytest.raises(PhotoError, match="no coordinates"):
        coordinates(jpeg(exif=fields.tobytes()))


@pytest.mark.parametrize("payload", [b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\0\0\0\x08\xff"])
def test_damaged_exif_is_ignored(payload):
    data = with_comments(jpeg(), [b"latitude: 1", b"longitude: 2"])
    data = data[:2] + segment(0xE1, payload) + data[2:]
    assert coordinates(data) == (1, 2)
    assert b"Exif" not in clean(data)


BYTE, ASCII, SHORT, RATIONAL, UNDEFINED, SIGNED, DOUBLE = 1, 2, 3, 5, 7, 10, 12
Entry = tuple[int, int, bytes]


def directory(order: str, entries: dict[int, Entry], place: int) -> bytes:
    """A TIFF directory at a place: entries are (type, count, bytes) by tag."""
    head, values = struct.pack(order + "H", len(entries)), b""
    behind = place + 2 + 12 * len(entries) + 4
    for tag, (kind, count, data) in entries.items():
        inline = data.ljust(4, b"\0")
        if len(data) > 4:
            inline = struct.pack(order + "I", behind + len(values))
            values += data
        head += struct.pack(order + "HHI", tag, kind, count) + inline
    return head + bytes(4) + values


def with_gps(entries: dict[int, Entry], order: str = ">") -> bytes:
    """A JPEG whose EXIF contains these fields on where it was taken."""
    head = {">": b"MM\0*", "<": b"II*\0"}[order] + struct.pack(order + "I", 8)
    pointer = directory(order, {0x8825: (4, 1, struct.pack(order + "I", 26))}, 8)
    data = b"Exif\0\0" + head + pointer + directory(order, entries, 26)
    return jpeg()[:2] + segment(0xE1, data) + jpeg()[2:]


def rationals(*pairs: tuple[int, int], kind: int = RATIONAL, order: str = ">") -> Entry:
    code = order + ("2i" if kind == SIGNED else "2I")
    return kind, len(pairs), b"".join(struct.pack(code, *pair) for pair in pairs)


def letters(text: str | bytes) -> Entry:
    data = text if isinstance(text, bytes) else text.encode() + b"\0"
    return ASCII, len(data), data


def at(latitude: Entry, north: str | bytes = "N", **more: Entry) -> dict[int, Entry]:
    """Fields of a latitude, and of the longitude 12 degrees west."""
    fields = {1: letters(north), 2: latitude, 3: letters("W"), 4: rationals((12, 1))}
    return {**fields, **{int(tag[1:]): entry for tag, entry in more.items()}}


DMS = ((33, 1), (51, 1), (30, 1))


@pytest.mark.parametrize(
    ("latitude", "degrees"),
    [
        (rationals(*DMS), 33.858333333333334),
        (rationals((-33, 1), (-51, 1), (-30, 1), kind=SIGNED), 33.858333333333334),
        (rationals((33, -1), (51, 1), (30, 1), kind=SIGNED), 33.858333333333334),
        (rationals(*DMS, kind=SIGNED), 33.858333333333334),
        (rationals((338583, 10_000)), 33.8583),
        (rationals((-338583, 10_000), kind=SIGNED), 33.8583),
        (rationals((33, 1), (515, 10)), 33.858333333333334),
        (rationals((33, 1), (515, 10), (0, 0)), 33.858333333333334),
        (rationals((33, 1), (51, 1), (60, 1)), 33 + 52 / 60),
        ((DOUBLE, 1, struct.pack(">d", 33.5)), 33.5),
        ((SHORT, 3, struct.pack(">3H", 33, 51, 30)), 33.858333333333334),
        ((ASCII, 8, b"33.8583\0"), 33.8583),
        ((UNDEFINED, 8, b"33 51 30"), 33.858333333333334),
        ((BYTE, 9, b"33:51:30\0"), 33.858333333333334),
    ],
)
@pytest.mark.parametrize("letter", ["N", "S"])
def test_reads_latitudes_in_every_exif_form(latitude, degrees, letter):
    expected = pytest.approx((degrees if letter == "N" else -degrees, -12), abs=1e-12)
    assert coordinates(with_gps(at(latitude, letter))) == expected


@pytest.mark.parametrize(
    "latitude",
    [
        rationals(), rationals((0, 0), (0, 0), (0, 0)), rationals((33, 0)),
        rationals((33, 1), (51, 0), (30, 1)), rationals((33, 1), (61, 1), (0, 1)),
        rationals((33, 1), (0, 1), (3000, 1)), rationals(*DMS, (0, 1)),
        (DOUBLE, 1, struct.pack(">d", float("nan"))), (DOUBLE, 1, struct.pack(">d", float("inf"))),
        (ASCII, 6, b"north\0"), (ASCII, 4, b"nan\0"), (ASCII, 5, b"33,5\0"), (ASCII, 1, b"\0"),
        (RATIONAL, 2**32 - 1, bytes(8)), (99, 1, bytes(4)), (RATIONAL, 3, b"\xff\xff\xff\xf0"),
    ],
)  # fmt: skip
def test_an_invalid_latitude_gives_no_coordinates(latitude):
    with pytest.raises(PhotoError, match="no coordinates"):
        coordinates(with_gps(at(latitude)))


@pytest.mark.parametrize("north", ["", "X", "E", "NS", b"\0\0", "?"])
def test_an_invalid_hemisphere_gives_no_coordinates(north):
    with pytest.raises(PhotoError, match="no coordinates"):
        coordinates(with_gps(at(rationals(*DMS), north)))


@pytest.mark.parametrize("south", ["S", "s", b"S", b"S\0\0\0", " S", "South", "SOUTH\0x"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_hemispheres_are_letters_or_words(south, order):
    fields = at(rationals(*DMS, order=order), south, t4=rationals((12, 1), order=order))
    assert coordinates(with_gps(fields, order)) == pytest.approx((-33.858333333333334, -12))


def test_zero_coordinates_are_missing_ones():
    nowhere = at(rationals((0, 1), (0, 1), (0, 1)), t4=rationals((0, 1), (0, 1), (0, 1)))
    with pytest.raises(PhotoError, match="no coordinates, or only 0, 0"):
        coordinates(with_gps(nowhere))
    comments = [b"latitude: 0", b"longitude: -0.0"]
    with pytest.raises(PhotoError, match="no coordinates, or only 0, 0"):
        coordinates(with_comments(jpeg(), comments))
    somewhere = with_gps(at(rationals(*DMS)))
    assert coordinates(with_comments(somewhere, comments)) == pytest.approx((33.858333333, -12))
    assert coordinates(with_gps(at(rationals((0, 1))))) == (0, -12)  # on the equator


@pytest.mark.parametrize(("status", "there"), [("A", True), ("V", False), ("v", False)])
def test_a_void_status_gives_no_coordinates(status, there):
    data = with_gps(at(rationals((33, 1)), t9=letters(status)))
    if there:
        assert coordinates(data) == (33, -12)
    else:
        with pytest.raises(PhotoError, match="no coordinates"):
            coordinates(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120), st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_any_exif_gives_coordinates_or_none(data, head):
    data = jpeg()[:2] + segment(0xE1, b"Exif\0\0" + head + data) + jpeg()[2:]
    with pytest.raises(PhotoError, match="no coordinates"):
        coordinates(data)
    assert pixels(clean(data)).shape[2] == 3


def upright_size(data: bytes) -> tuple[int, int]:
    return ImageOps.exif_transpose(Image.open(io.BytesIO(data))).size


def long_exif(order: str = "012") -> bytes:
    """A JPEG of 56 x 40, to be turned, with a GPS field, and an EXIF of three segments."""
    fields = Image.Exif()
    gps = fields.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = "S", (33.0, 30.0, 0.0), "W", (70.0, 0.0, 0.0)
    fields[0x010E], fields[0x0112] = "x" * 150_000, 6
    tiff = fields.tobytes()[6:]
    parts = [tiff[i : i + 65_000] for i in range(0, len(tiff), 65_000)]
    exif = [segment(0xE1, b"Exif\0\0" + parts[int(i)]) for i in order]
    return jpeg()[:2] + b"".join(exif) + jpeg()[2:]


@pytest.mark.parametrize("order", ["012", "01", "0", "02", "102"])
def test_exif_in_several_segments_is_read(order):
    handed_out = clean(long_exif(order))
    assert upright_size(handed_out) == (40, 56)
    assert len(handed_out) < 10_000
    if order in ("012", "102"):
        assert upright_size(long_exif("012")) == (40, 56)  # as Pillow shows it


def test_coordinates_behind_a_long_field_are_read():
    assert coordinates(long_exif()) == (-33.5, -70)
    for part in ("0", "12", "20", "10", "21"):
        with pytest.raises(PhotoError, match="no coordinates"):
            coordinates(long_exif(part))


XMP = "http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><rdf:Description {}</x:xmpmeta>"


@pytest.mark.parametrize(
    "field",
    ["tiff:Orientation='6'/>", 'tiff:Make="C" tiff:Orientation = "6" />',
     "><tiff:Orientation>6</tiff:Orientation>", "><tiff:Orientation>\n 6 </tiff:Orientation>"],
)  # fmt: skip
def test_an_orientation_in_xmp_is_kept_without_the_xmp(field):
    xmp = segment(0xE1, XMP.format(field).encode())
    handed_out = clean(jpeg()[:2] + xmp + jpeg()[2:])
    assert upright_size(handed_out) == (40, 56) and b"xmp" not in handed_out
    upright = jpeg(exif=exif(orientation=1))  # EXIF counts before XMP, as in Pillow
    assert upright_size(clean(upright[:2] + xmp + upright[2:])) == (56, 40)


@pytest.mark.parametrize("junk", [b"hello", b"\0" * 3, b"\xff\0", b"\xff" * 5, b"\xff\xd0\xff\x01"])
def test_bytes_between_segments_are_skipped_and_removed(junk):
    data = jpeg(exif=exif(1.5, 2.5))
    for part in list(segments(data))[:-2]:
        odd = data[: part.stop] + junk + data[part.stop :]
        assert coordinates(odd) == (1.5, 2.5)
        assert clean(odd) == clean(data)


@pytest.mark.parametrize("flood", [b"\xff\xd0", b"\xff\x01", b"\xff", b"\xff\0", b"\0", b"junk"])
def test_many_markers_take_little_memory(flood):
    data = jpeg()
    odd = data[:2] + flood * (2**22 // len(flood)) + data[2:]
    tracemalloc.start()
    assert clean(odd) == clean(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("marker", [0xFE, 0xE1, 0xE2, 0xDB, 0xC4, 0xDD])
def test_too_many_segments_are_refused(marker):
    data = jpeg()
    odd = data[:2] + segment(marker, b"") * 10**6 + data[2:]
    tracemalloc.start()
    for call in (clean, coordinates, usable):
        with pytest.raises(PhotoError, match="more than 10,000 segments"):
            call(odd)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


def test_too_many_scans_are_refused():
    data = jpeg(progressive=True)
    scan = data.rfind(b"\xff\xda")
    assert clean(data)
    with pytest.raises(PhotoError, match="more than 100 scans"):
        clean(data[:scan] + data[scan:-2] * 200 + data[-2:])


def test_many_long_exif_fields_take_little_memory():
    """Fields of 60 kB each in overlapping places, of which Pillow would read 300 MB."""
    entries = {tag: (UNDEFINED, 60_000, b"") for tag in range(0x9000, 0x9000 + 5000)}
    tiff = b"MM\0*" + struct.pack(">I", 8) + directory(">", entries, 8)
    bare = clean(jpeg())
    bare = bare[:2] + bare[20:]  # without JFIF, so that Pillow looks for the density in the EXIF
    data = bare[:2] + segment(0xE1, b"Exif\0\0" + tiff) + bare[2:]
    tracemalloc.start()
    usable(data)
    with pytest.raises(PhotoError, match="no coordinates"):
        coordinates(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_gives_one_kind_of_error(data):
    photo = bytearray(with_comments(jpeg(exif=exif(1, 2)), [b"latitude: 1", b"longitude: 2"]))
    for position in data.draw(st.lists(st.integers(0, 400), min_size=1, max_size=5)):
        photo[position] = data.draw(st.integers(0, 255))
    photo = photo[: data.draw(st.integers(0, len(photo)))]
    try:
        coordinates(bytes(photo))
        cleaned = clean(bytes(photo))
    except PhotoError:
        return
    assert b"itude: " not in cleaned


def outcome(read, data: bytes) -> bytes | str:
    try:
        return read(data)
    except PhotoError as error:
        return str(error)


def by_pillow(data: bytes) -> bytes:
    """What `usable` returns, with a header that Pillow reads."""
    bare = clean(data)
    try:
        Image.open(io.BytesIO(bare)).close()
    except (OSError, Image.DecompressionBombError) as error:
        raise PhotoError(f"Pillow cannot read it ({type(error).__name__})") from error
    return bare


PHOTOS = [
    jpeg("RGB", icc_profile=PROFILE), jpeg("L", progressive=True), jpeg("CMYK"),
    jpeg("RGB", exif=exif(1, 2, orientation=6)), jpeg("RGB", qtables=[[300] * 64]),
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_every_header_counts_as_pillow_says(data):
    photo = data.draw(st.sampled_from(PHOTOS))
    parts = [bytearray(photo[part.start : part.stop]) for part in segments(photo)]
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(parts) - 1))
        part, way = parts[at], data.draw(st.sampled_from(["bytes", "cut", "twice", "away"]))
        if way == "bytes" and len(part) > 4:
            place = data.draw(st.integers(1, min(len(part), 24) - 1))
            part[place] = data.draw(st.sampled_from([0, 1, 3, 4, 8, 16, 0xC3, 0xDB, 255]))
        elif way == "cut" and len(part) > 4:
            rest = data.draw(st.integers(0, min(len(part) - 4, 200)))
            parts[at] = bytearray(segment(part[1], bytes(part[4 : 4 + rest])))
        elif way == "twice":
            parts.insert(at, part)
        elif len(parts) > 1:
            del parts[at]
    damaged = photo[:2] + b"".join(parts)
    assert outcome(usable, damaged) == outcome(by_pillow, damaged)


COMPONENTS = b"\1\x22\0\2\x11\1\3\x11\1"


@pytest.mark.parametrize(
    ("marker", "payload"),
    [
        (0xC0, b"\x08\0\x28\0\x38\3" + COMPONENTS), (0xC0, b"\x08\0\0\0\x38\3" + COMPONENTS),
        (0xC0, b"\x08\0\x28\0\0\3" + COMPONENTS), (0xC0, b"\x0c\0\x28\0\x38\3" + COMPONENTS),
        (0xC0, b"\x08\0\x28\0\x38\3" + COMPONENTS[:4]), (0xC0, b"\x08\0\x28\0\x38\2"),
        (0xC0, b"\x08\0\x28\0\x38\2" + COMPONENTS), (0xC0, b"\x08\0\x28\0\x38\2" + bytes(6)),
        (0xC0, b"\x08\0\x28"), (0xC0, b""), (0xDB, bytes(64)), (0xDB, b"\x10" + bytes(64)),
        (0xDB, bytes(129)), (0xDB, b"\x10" + bytes(129)), (0xDB, b""), (0xC4, b""), (0xDD, b""),
        (0xE2, b"ICC_PROFILE\0"), (0xE2, b"ICC_PROFILE\0\1"), (0xE2, b"ICC_PROFILE\0\1\2"),
        (0xC3, b""), (0xC9, b""), (0xCC, b""), (0xE0, b"JFIF\0"), (0xEE, b"Adobe"), (0xEE, b""),
    ],
)  # fmt: skip
def test_odd_headers_count_as_pillow_says(marker, payload):
    data = jpeg()
    same = [part for part in segments(data) if part.marker == marker]
    start, stop = (same[0].start, same[0].stop) if same else (2, 2)
    odd = data[:start] + segment(marker, payload) + data[stop:]
    assert outcome(usable, odd) == outcome(by_pillow, odd)


@pytest.mark.parametrize("limit", [None, 56 * 40, 56 * 40 - 1, 56 * 40 // 2 - 1])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_large_pictures_count_as_pillow_says(monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert outcome(usable, jpeg()) == outcome(by_pillow, jpeg())


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([2**14, 2**14 + 2**16, 2**14 + 2**17]), st.integers(-6, 3),
    st.sampled_from([b"\0", b"a\xff\0", b"\xff\0", b"\xff\xff\0", b"ab\xff\xd3"]),
    st.integers(0, 2),
)  # fmt: skip
def test_the_end_of_a_long_scan_is_found(block, more, filling, padding):
    data = jpeg()
    scan = data.index(b"\xff\xda") + 14
    coded = (filling * block)[: block + more] + b"\0" + b"\xff" * padding
    odd = data[:scan] + coded + segment(0xFE, b"latitude: 1") + data[-2:]
    *_, before, comment, _ = segments(odd)
    assert (comment.marker, comment.start, before.stop) == (0xFE, *[scan + len(coded)] * 2)
    assert clean(odd) == data[:scan] + coded + data[-2:]


def test_a_photo_without_metadata_is_not_copied():
    bare = clean(jpeg(exif=exif(1, 2)))
    assert clean(bare) is bare and usable(bare) is bare
    assert clean(bare + b"more") == bare
