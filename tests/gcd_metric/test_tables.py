"""Tables: columns by usual names, ids as text, errors that name the cell, and joins by id."""

import decimal
import random
import re
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from gcd_metric.matching import match_ids, why_none_match
from gcd_metric.tables import read_coordinates

OWNER = "19355699@N00"
PARTS = f"104123223_7410c654ba_19_{OWNER}"


@pytest.fixture()
def table(tmp_path):
    def write(text, name="table.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def paired(match):
    return list(zip(match.left.tolist(), match.right.tolist(), strict=True))


@pytest.mark.parametrize(
    "header",
    [
        "image_id,latitude,longitude",
        "IMG_ID,LAT,LON",
        "\ufeffid,lat,lng",
        "filename,pred_lat,pred_lng",
        "photo_id, Latitude ,Long",
        "key,predicted_latitude,predicted_longitude",
    ],
)
def test_usual_names(table, header):
    found = read_coordinates(table(f"{header}\na,1.5,-2\n"))
    assert list(found.columns) == ["image_id", "latitude", "longitude"]
    assert found.to_dict("records") == [{"image_id": "a", "latitude": 1.5, "longitude": -2.0}]


def test_a_ground_truth_file_of_the_field(table):
    text = "IMG_ID,AUTHOR,LAT,LON,TITLE\n" + f'{PARTS}.jpg,x,41.89,12.49,"a, b"\n'
    assert read_coordinates(table(text))["image_id"].tolist() == [f"{PARTS}.jpg"]


def test_columns_in_another_order_and_quoted_lists(table):
    text = 'sequence,longitude,image_id,latitude\n"[7, 6, 6, 5]",-76.9,4449826985073821,38.9\n'
    row = read_coordinates(table(text)).iloc[0]
    assert (row.image_id, row.latitude, row.longitude) == ("4449826985073821", 38.9, -76.9)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_ids_stay_text(tmp_path, suffix):
    ids = ["4449826985073821", "00012", "1e5", "NA", "None", "0x1f", "1_000"]
    frame = pd.DataFrame({"id": ids, "lat": 1.0, "lon": 2.0})
    path = tmp_path / f"t.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    assert read_coordinates(path)["image_id"].tolist() == ids


def test_numbers_as_ids_in_parquet_keep_their_digits(tmp_path):
    path = tmp_path / "t.parquet"
    ids = [4449826985073821, 2**62 + 1]
    pd.DataFrame({"id": ids, "lat": 1.0, "lon": 2.0}).to_parquet(path)
    assert read_coordinates(path)["image_id"].tolist() == [str(i) for i in ids]


@pytest.mark.parametrize("bad", [2.0**60, 1.5])
def test_floats_without_all_digits_are_not_ids(tmp_path, bad):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"id": [3.0, bad], "lat": 1.0, "lon": 2.0}).to_parquet(path)
    with pytest.raises(ValueError, match="row 2, column id.*text"):
        read_coordinates(path)


CELLS = {
    "word": ("north", "row 2, column lat .*'north'.*not a number"),
    "empty": ("", "row 2, column lat .*empty"),
    "nan": ("nan", "row 2, column lat .*empty"),
    "beyond": ("91", "row 2, column lat contains 91, beyond ±90"),
    "infinite": ("inf", "row 2, column lat "),
}


@pytest.mark.parametrize("kind", CELLS)
def test_a_bad_cell_is_named(table, kind):
    cell, message = CELLS[kind]
    path = table(f"id,lat,lon\na,1,2\nb,{cell},2\n")
    with pytest.raises(ValueError, match=rf"table\.csv: {message}"):
        read_coordinates(path)


def test_an_empty_cell_may_be_a_missing_prediction(table):
    path = table("id,lat,lon\na,1,2\nb,,\nc,None,nan\n")
    found = read_coordinates(path, allow_missing=True)
    assert found["latitude"].isna().tolist() == [False, True, True]


def test_swapped_columns(table):
    with pytest.raises(ValueError, match="row 1, column lat.*swapped"):
        read_coordinates(table("id,lat,lon\na,139.7,35.7\n"))


FILES = {
    "nothing": ("", "empty"),
    "no rows": ("id,lat,lon\n", "no rows"),
    "no latitude": (
        "id,lon\na,1\n",
        r"no column for the latitude among \['id', 'lon'\]; rename.* latitude",
    ),
    "two ids": (
        "id,image_id,lat,lon\na,b,1,2\n",
        "several columns fit the id: id, image_id; rename",
    ),
    "long row": ("id,lat,lon\na,1,2,3\nb,1,2\n", "fields"),
    "later long row": (
        "id,lat,lon\na,1,2\nb,1,2\nc,1,2,3\n",
        r"row 3 has more fields than the header \(4 and 3\)",
    ),
    "no header": (
        "a.jpg,-33.16,151.2\nb.jpg,1.5,2.5\n",
        "does not look like a header",
    ),
    "no id": ("id,lat,lon\na,1,2\n ,1,2\n", r"row 2, column id \(id\) is empty"),
}


@pytest.mark.parametrize("kind", FILES)
def test_bad_files(table, kind):
    text, message = FILES[kind]
    with pytest.raises(ValueError, match=rf"table\.csv: .*{message}"):
        read_coordinates(table(text))


def test_files_that_are_not_what_they_say(tmp_path, table):
    with pytest.raises(ValueError, match="no such file"):
        read_coordinates(tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match="t.parquet: "):
        read_coordinates(table("id,lat,lon\n", "t.parquet"))
    binary = tmp_path / "b.csv"
    binary.write_bytes(b"id,lat,lon\n\xff\xfe,1,2\n")
    with pytest.raises(ValueError, match="b.csv: "):
        read_coordinates(binary)


@pytest.mark.parametrize(
    "content",
    [
        "id,lat,lon\na,1,2\n".encode("utf-16-le"),
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    ],
    ids=["no mark", "picture"],
)
def test_text_that_is_not_utf_8(tmp_path, content):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"t\.csv: .*; save it as a UTF-8 CSV$"):
        read_coordinates(path)


def test_a_column_is_named_once(table):
    with pytest.raises(ValueError, match=r"row 1, column latitude contains 'abc'"):
        read_coordinates(table("id,latitude,y\na,abc,2\n"), longitude_column="y")
    with pytest.raises(ValueError, match=r"row 1, column y \(longitude\) contains 'abc'"):
        read_coordinates(table("id,latitude,y\na,1,abc\n"), longitude_column="y")


def test_chosen_columns(table):
    path = table("id,name,y,x\na,b,1,2\n")
    found = read_coordinates(path, id_column="name", latitude_column="y", longitude_column="x")
    assert found["image_id"].tolist() == ["b"]
    with pytest.raises(ValueError, match="no column 'z'"):
        read_coordinates(path, "name", "z", "x")


@pytest.mark.parametrize(
    "nothing",
    ["#N/A", "-nan", r"\N", "-", "Unknown", "NULL", "n.a.", "#NUM!", "--", "?", "\u2014", " NaN "],
)
def test_texts_for_missing_values(table, nothing):
    path = table(f"id,lat,lon\na,1,2\nb,{nothing},{nothing}\n")
    assert read_coordinates(path, allow_missing=True)["latitude"].isna().tolist() == [False, True]
    with pytest.raises(ValueError, match="row 2, column lat .* is empty"):
        read_coordinates(path)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("\u22122.5", -2.5),
        ("\u20132.5", -2.5),
        ("\uff0d2.5", -2.5),
        ("\uff12\uff0e\uff15", 2.5),
        ("\xa02.5\u2009", 2.5),
        ("2.5\xb0", 2.5),
        ("\u22122.5 \xb0", -2.5),
        ("2.5e-1", 0.25),
    ],
)
def test_numbers_as_they_are_typeset(table, cell, value):
    found = read_coordinates(table(f"id,lat,lon\na,1,{cell}\n"))
    assert found["longitude"].tolist() == [value]


@pytest.mark.parametrize(
    "cell", ["1_000", "0x10", "2 5", "2-5", "4,8,6", "2.5N", "True", "9" * 5000]
)
def test_ambiguous_numbers_are_refused(table, cell):
    with pytest.raises(ValueError, match="row 1, column lat") as caught:
        read_coordinates(table(f'id,lat,lon\na,"{cell}",2\n'))
    assert len(str(caught.value)) < 400


def test_longitudes_from_0_to_360(table):
    found = read_coordinates(table("id,lat,lon\na,40.7,286\nb,1,180\nc,2,2.4\nd,3,360\n"))
    assert found["longitude"].tolist() == [-74, 180, 2.4, 0]
    assert "longitudes run from 0 to 360" in found.attrs["notes"][0]
    assert not read_coordinates(table("id,lat,lon\na,1,180\n")).attrs["notes"]
    for other in ("-1", "361"):
        with pytest.raises(ValueError, match="row 1, column lon .*beyond ±180"):
            read_coordinates(table(f"id,lat,lon\na,40.7,286\nb,1,{other}\n"))


def test_columns_that_were_read_are_named(table):
    found = read_coordinates(table("LON,id,LAT\n1,a,2\n"))
    assert found.attrs["columns"] == {"id": "id", "latitude": "LAT", "longitude": "LON"}


# rows that do not fit their header


def test_reading_in_threads_loses_no_check(table):
    good = table("id,lat,lon\n" + "a,1,2\n" * 3000, "good.csv")
    bad = table("id,lat,lon\n" + "a,1,5,2,5\n" * 3000, "bad.csv")

    def fault(path):
        try:
            read_coordinates(path)
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        faults = list(pool.map(fault, [good, bad] * 20))
    assert faults[::2] == [None] * 20
    assert all("row 1 has more fields than the header" in said for said in faults[1::2])


def test_a_trailing_separator_is_not_a_field(table):
    assert len(read_coordinates(table("id,lat,lon\na,1.5,2,\n\n \nb,3.0,4,,\nc,5,6\n"))) == 3
    assert len(read_coordinates(table("id;lat;lon\na;1;2;\n", "t.csv"))) == 1


@pytest.mark.parametrize("header", ["id,lat,lon,note,comment", "id,lat,lon,", "id,lat,lon,,"])
@pytest.mark.parametrize("end", ["", ",", ",,"])
def test_decimal_commas_before_empty_columns_are_not_coordinates(table, header, end):
    row = "a,22,95,31,61" + ("," * max(header.count(",") - 4, 1) + end if "note" in header else end)
    with pytest.raises(ValueError, match="row 1 has more fields than the header .*decimal commas"):
        read_coordinates(table(f"{header}\n{row}\n"))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("cell", ["-48,86", "\u221248,86", "-48,86\xb0", "-48,86 \xb0"])
def test_decimal_commas_as_they_are_typeset(table, separator, cell):
    rows = ["id", "lat", "lon"], ["a", f'"{cell}"', '"2,35"']
    found = read_coordinates(table("\n".join(map(separator.join, rows))))
    assert found.to_numpy().tolist() == [["a", -48.86, 2.35]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('id,lat,lon,title\na,1,2,x\nb,3,4,"y\nc,5,6,z\n', "row 2 cannot be read: a quotation"),
        ('id,lat,lon,title\na,1,2,"y\n' + "c,5,6,z\n" * 50_000, "row 1 cannot be read: a quot"),
        ('id,lat,lon,title\na,1,2,"y\n' + "c,5,6,z\n" * 1_300_000, "row 1 cannot be read: a quot"),
        ('id,"lat,lon\na,1,2\n', "the header cannot be read: a quotation mark is never closed"),
        ("id,lat,lon\na,1," + "2" * 10_000_000, "row 1 cannot be read: a line of more than 10,0"),
        ("x" * 10_000_000, "the header cannot be read: a line of more than 10,000,000 characters"),
    ],
)
def test_an_endless_line_or_quotation_is_one_error(table, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_coordinates(table(text))
    assert len(str(caught.value)) < 300


def test_a_cell_may_contain_a_picture(table):
    assert len(read_coordinates(table(f"id,lat,lon,thumbnail\na,1,2,{'Q' * 300_000}\n"))) == 1


def test_quotation_marks_within_a_title(table):
    found = read_coordinates(table('id,title,lat,lon\na,"Sunset" in "Rome",1,2\nb,5" disk,3,4\n'))
    assert found["latitude"].tolist() == [1, 3]


def steps(call):
    """The number of Python function calls, a deterministic measure of work."""
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return count


def test_many_columns_take_linear_work(table):
    def read(width):
        names = ",".join(f"column_{index}" for index in range(width))
        path = table(f"id,lat,lon,{names}\n" + f"a,1,2,{',' * (width - 1)}\n" * 20)
        return steps(lambda: read_coordinates(path))

    read(10)  # what is imported on first use
    assert read(20_000) < 2.2 * read(10_000)
    assert read(20_000) < 100 * 20_000


def test_many_ambiguous_ids_take_linear_work():
    def match(count):
        left = [f"{folder}/{index}.jpg" for folder in "xy" for index in range(count)]
        right = [f"{folder}/{index}.jpeg" for folder in "vw" for index in range(count)]
        found = []
        work = steps(lambda: found.append(match_ids(left, right)))
        assert len(found[0].ambiguous) == count
        return work

    assert match(4000) < 2.2 * match(2000)


# Parquet


def test_a_damaged_parquet_file_is_one_error(tmp_path):
    path = tmp_path / "damaged.parquet"
    ids = [f"{random.Random(index).random()}" for index in range(2000)]
    pa_table = pa.table({"id": ids, "lat": [1.0] * 2000, "lon": [2.0] * 2000})
    parquet.write_table(pa_table, path, compression="snappy", use_dictionary=False)
    data = path.read_bytes()
    for place in range(100, len(data) - 1000, 977):
        path.write_bytes(data[:place] + b"\xff" * 200 + data[place + 200 :])
        try:
            read_coordinates(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"damaged\.parquet: "):
        read_coordinates(path)


IDS = {
    "binary": (pa.array([b"a.jpg", "é.jpg".encode()]), ["a.jpg", "é.jpg"]),
    "dictionary": (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
    "fixed binary": (pa.array([b"ab", b"cd"], pa.binary(2)), ["ab", "cd"]),
    "decimal": (pa.array([decimal.Decimal(12), decimal.Decimal(7)]), ["12", "7"]),
    "time": (
        pa.array([0, 10**6], pa.timestamp("us")),
        ["1970-01-01 00:00:00", "1970-01-01 00:00:01"],
    ),
    "bytes": (
        pa.array([b"a", b"\xff\xfe"]),
        r"row 2, column id contains b'\\xff\\xfe' as an id, which",
    ),
    "list": (pa.array([["a"], ["b"]]), r"row 1, column id contains \['a'\] as an id"),
    "struct": (pa.array([{"a": 1}, {"a": 2}]), "row 1, column id contains {'a': 1} as an id"),
    "null": (pa.array(["a", None]), r"row 2, column id \(id\) is empty"),
}


@pytest.mark.parametrize("kind", IDS)
def test_types_of_ids_in_parquet(tmp_path, kind):
    ids, expected = IDS[kind]
    parquet.write_table(pa.table({"id": ids, "lat": [1, 2], "lon": [3, 4]}), tmp_path / "t.parquet")
    if isinstance(expected, list):
        assert read_coordinates(tmp_path / "t.parquet")["image_id"].tolist() == expected
    else:
        with pytest.raises(ValueError, match=expected):
            read_coordinates(tmp_path / "t.parquet")


PLACES = {
    "decimal": (pa.array([decimal.Decimal("1.5"), None]), [1.5]),
    "half": (pa.array([np.float16(1.5), None], pa.float16()), [1.5]),
    "text": (pa.array(["1.5", "unknown"]), [1.5]),
    "bytes": (pa.array([b"1.5", None]), [1.5]),
    "bool": (pa.array([True, False]), "column lat .*contains true and false"),
    "list": (pa.array([[1.5], [2.5]]), r"row 1, column lat .*contains \[1.5\], not a number"),
    "time": (pa.array([0, 1], pa.timestamp("us")), "row 1, column lat .*not a number"),
}


@pytest.mark.parametrize("kind", PLACES)
def test_types_of_coordinates_in_parquet(tmp_path, kind):
    latitude, expected = PLACES[kind]
    rows = pa.table({"id": ["a", "b"], "lat": latitude, "lon": [3, 4]})
    parquet.write_table(rows, tmp_path / "t.parquet")
    if isinstance(expected, list):
        found = read_coordinates(tmp_path / "t.parquet", allow_missing=True)
        assert found["latitude"].dropna().tolist() == expected
    else:
        with pytest.raises(ValueError, match=expected):
            read_coordinates(tmp_path / "t.parquet", allow_missing=True)


# joining


def test_accents_match_however_they_are_encoded():
    names = ["Zürich.jpg", "photos/Québec.JPG", "Åland", "plain"]
    left = [unicodedata.normalize("NFD", name) for name in names]
    assert paired(match_ids(left, names)) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert paired(match_ids(names, [*left[:3], "x"])) == [(0, 0), (1, 1), (2, 2)]
    both = match_ids([names[0], left[0]], [names[0]])
    assert paired(both) == [(0, 0)] and both.unmatched_left.tolist() == [1]


def test_a_message_about_ids_stays_short():
    ids = [f"{index}" * 50 for index in range(3000)]
    with pytest.raises(ValueError, match="3,000 duplicate ids: .*… and 2,990 more$") as caught:
        match_ids(ids * 2, [])
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("left", [PARTS, f"Rome_00024_{PARTS}", f"New_York_City_00001_{PARTS}"])
@pytest.mark.parametrize("right", [PARTS, f"Rome_00024_{PARTS}"])
@pytest.mark.parametrize("extension", ["", ".jpg", ".JPEG"])
@pytest.mark.parametrize("folder", ["", "images/", "C:\\photos\\"])
def test_forms_of_one_name(left, right, extension, folder):
    for pair in ((folder + left + extension, right), (right, folder + left + extension)):
        match = match_ids([pair[0]], [pair[1]])
        assert paired(match) == [(0, 0)] and not match.ambiguous


@pytest.mark.parametrize(
    ("left", "right"), [("1", "01"), ("a", "A"), ("a.png", "a"), ("Rome_00024_x", "x")]
)
def test_other_names_stay_apart(left, right):
    match = match_ids([left], [right])
    assert not len(match.left)
    assert match.unmatched_left.tolist() == match.unmatched_right.tolist() == [0]


def test_an_exact_match_wins():
    left, right = [f"Rome_00024_{PARTS}", PARTS], [PARTS, f"Rome_00024_{PARTS}"]
    assert paired(match_ids(left, right)) == [(1, 0), (0, 1)]
    match = match_ids(["a.jpg", "a"], ["a"])
    assert paired(match) == [(1, 0)] and match.unmatched_left.tolist() == [0]


def test_two_references_of_one_key_are_reported():
    right = [f"Rome_00024_{PARTS}", f"Paris_00001_{PARTS}"]
    match = match_ids([PARTS], right)
    assert match.ambiguous == [([PARTS], right)]
    assert not len(match.left) and match.unmatched_right.tolist() == [0, 1]


def test_two_predictions_of_one_key_are_reported():
    match = match_ids(["x/a.jpg", "y/a.jpg"], ["a.jpg"])
    assert match.ambiguous == [(["x/a.jpg", "y/a.jpg"], ["a.jpg"])] and not len(match.left)
    # a looser key does not choose either
    one, several = ["a.jpg"], ["x/a.jpg", "/a.jpg", "a.JPG"]
    assert not len(match_ids(one, several).left) and not len(match_ids(several, one).left)


@pytest.mark.parametrize("side", ["left", "right"])
def test_duplicates_are_named(side):
    with pytest.raises(ValueError, match=f"{side}: 1 duplicate id: a"):
        match_ids(["a", "a"] if side == "left" else ["b"], ["a", "a"] if side == "right" else ["b"])


names = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, unique=True
)


@given(names, names)
def test_every_id_is_matched_once_or_listed(left, right):
    match = match_ids(left, right)
    for side, matched, unmatched in (
        (left, match.left, match.unmatched_left),
        (right, match.right, match.unmatched_right),
    ):
        assert sorted([*matched.tolist(), *unmatched.tolist()]) == list(range(len(side)))
    exact = {(left.index(text), right.index(text)) for text in set(left) & set(right)}
    assert exact <= set(paired(match))


@given(names.flatmap(lambda ids: st.tuples(st.just(ids), st.permutations(ids))))
def test_the_order_does_not_matter(lists):
    left, right = lists
    match = match_ids(left, right)
    assert [left[i] for i in match.left] == [right[i] for i in match.right] == right


# tables as spreadsheets write them


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_other_separators(table, separator, name):
    rows = ["id,lat,lon,note", "a,48.5,-2.25,x", "b,1,2,"]
    found = read_coordinates(table("\n".join(row.replace(",", separator) for row in rows), name))
    assert found.to_numpy().tolist() == [["a", 48.5, -2.25], ["b", 1, 2]]


def test_decimal_commas_between_semicolons(table):
    found = read_coordinates(table("id;lat;lon\n1,5;48,86;-2,35\nb;1;2\n"))
    assert found.to_numpy().tolist() == [["1,5", 48.86, -2.35], ["b", 1, 2]]


def test_decimal_commas_between_commas_are_named(table):
    with pytest.raises(ValueError, match="row 1 has more fields than the header .*decimal commas"):
        read_coordinates(table("id,lat,lon\na,48,86,2,35\n"))


@pytest.mark.parametrize("spoilt", ["2.64898E+15", "2,64898e+15", "2648982474449282.0"])
def test_ids_that_a_spreadsheet_rounded(table, spoilt):
    with pytest.raises(ValueError, match="row 2, column id .*rounded by a spreadsheet.*as text"):
        read_coordinates(table(f'id,lat,lon\na,1,2\n"{spoilt}",1,2\n'))


def test_the_caller_chooses_the_advice(table):
    path = table("id,lon\na,1\n")
    with pytest.raises(ValueError, match="; try latitude$"):
        read_coordinates(path, advice="try {}")


@pytest.mark.parametrize(
    ("left", "right", "cause"),
    [
        (["x", "photos/a.png"], ["a.jpg"], "extensions differ: 1 would .*photos/a.png and a.jpg"),
        (["a.webp"], ["a"], "extensions differ"),
        (["12.0"], ["12"], "data frame"),
    ],
)
def test_why_no_id_matches(left, right, cause):
    assert not len(match_ids(left, right).left)
    assert re.search(cause, why_none_match(left, right))


def test_why_no_id_matches_is_not_guessed():
    assert why_none_match(["a.png"], ["b.png", "c"]) is None
