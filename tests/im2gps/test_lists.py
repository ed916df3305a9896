"""`im2gps lists` and the configuration `metadata`: text lists to a table to rows."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from im2gps.cli import main
from im2gps.lists import records
from im2gps.lists import table as lists
from im2gps.lists.records import KEYS, keyword
from im2gps.lists.sample import write_lists
from im2gps.photo_table import SCHEMA
from tests.support.equal import assert_same_bytes

WHOLE = {
    "photo": "231521295 0a1b2c3d4e 97",
    "owner": "12345678@N00",
    "title": "Colosseum: latitude: 5, photo: 1 2 3",
    "originalsecret": "f00d",
    "originalformat": "jpg",
    "o_height": "1200",
    "o_width": "1600",
    "datetaken": "2006-09-01 12:30:00",
    "dateupload": "1157112345",
    "tags": "rome italy colosseum",
    "license": "0",
    "latitude": "41.890400",
    "longitude": "12.492000",
    "accuracy": "16",
    "views": "10",
    "interestingness": "3 out of 250",
}
SLICE = (
    "\nmintime: 1121832000 maxtime: 1121900000\nnumimgs: 251\ntotal pages: 2\n"
    "visiting only 2 pages ( up to 500 images)\n"
)


def block(**values: str | None) -> str:
    """A block in the original form; None leaves a line out."""
    fields = WHOLE | values
    return "".join(f"{k}: {v}\n" for k, v in fields.items() if v is not None) + "\n"


def numbered(number: int, **values: str | None) -> str:
    return block(**{"photo": f"{number} 0a1b2c3d4e 97", **values})


def read(folder: Path, *texts: str | bytes, **files: str | bytes) -> list[dict]:
    """Write lists, turn them into a table and return its rows."""
    for name, text in {**{f"list{i}": text for i, text in enumerate(texts)}, **files}.items():
        data = text.encode() if isinstance(text, str) else text
        (folder / f"{name}.txt").write_bytes(data)
    assert main(["lists", str(folder), "-o", str(folder / "photos.parquet")]) == 0
    return pq.read_table(folder / "photos.parquet", columns=SCHEMA.names).to_pylist()


def report(folder: Path) -> dict:
    return json.loads((folder / "photos.report.json").read_text(encoding="utf-8"))


def test_a_block_becomes_a_row(tmp_path):
    (row,) = read(tmp_path, Rome=SLICE + block() + "Total images queried: 1\n")
    assert row == {
        "photo_id": "231521295",
        "secret": "0a1b2c3d4e",
        "server": "97",
        "owner": "12345678@N00",
        "title": "Colosseum: latitude: 5, photo: 1 2 3",
        "tags": "rome italy colosseum",
        "date_taken": "2006-09-01 12:30:00",
        "date_upload": 1157112345,
        "license": 0,
        "latitude": 41.8904,
        "longitude": 12.492,
        "accuracy": 16,
        "query": "Rome",
        "original_secret": "f00d",
        "original_format": "jpg",
        "original_width": 1600,
        "original_height": 1200,
    }
    with pq.ParquetFile(tmp_path / "photos.parquet") as table:
        assert table.schema_arrow.names == [*SCHEMA.names, "geometry", "bbox"]
        assert json.loads(table.metadata.metadata[b"im2gps"])["kept"] == 1
    assert not report(tmp_path)["report"]


def test_empty_and_missing_fields_are_null(tmp_path):
    empty = dict.fromkeys(["originalsecret", "originalformat", "o_height", "o_width"], "")
    (row, old) = read(
        tmp_path,
        numbered(1, **empty, title="", tags="")
        + numbered(2, **dict.fromkeys([*empty, "tags", "title", "views", "license"], None)),
    )
    for name in ("original_secret", "original_format", "original_width", "original_height"):
        assert row[name] is None and old[name] is None
    assert (row["title"], row["tags"], old["title"], old["tags"]) == ("", "", None, None)
    assert old["license"] is None and old["latitude"] == 41.8904


def test_lists_of_other_systems_and_scripts_are_read_alike(tmp_path):
    plain = numbered(1) + numbered(2, title="")
    variants = {
        "windows": plain.replace("\n", "\r\n"),
        "trimmed": plain.replace("title: \n", "title:\n"),
        "unended": plain.rstrip("\n"),
        "more_keys": plain.replace("accuracy:", "media: photo\naccuracy:"),
        "spaced": plain.replace("latitude: 41.890400", "latitude:  41.890400 "),
        "blanks": plain.replace("\n\n", "\n\n\n \n"),
        "progress": plain.replace("\n\n", f"\n{SLICE}\n"),
        "joined": plain.replace("\n\n", f"\n{SLICE[1:]}", 1),
        "all joined": plain.replace("\n\n", f"\n{SLICE[1:]}"),
        "marked": "\ufeff" + plain,
        "marked progress": "\ufeff" + SLICE[1:] + plain,
        "joined marked": plain.replace("\nphoto:", "\n\ufeffphoto:"),
        "printed": plain.replace("\nowner:", "\n\fowner:").replace("\nphoto:", "\n\fphoto:"),
        "utf-16": ("\ufeff" + plain).encode("utf-16-le"),
        "utf-16 of windows": ("\ufeff" + plain.replace("\n", "\r\n")).encode("utf-16-be"),
    }
    expected = read(tmp_path, plain)
    for name, text in variants.items():
        (tmp_path / name).mkdir()
        assert read(tmp_path / name, text) == expected, name
        assert not report(tmp_path / name)["report"], name


@pytest.mark.parametrize(
    "title",
    [
        "first\nsecond",
        "first\nlatitude: 5",
        "first\nnote: this",
        "first\noriginalsecret: x\ninterestingness: 9",
        "first\n\nsecond\n\nlongitude: 7\nend",
        "\n",
        "Größe\u2028東京\u0085 \x0b\x0c",
    ],
)
def test_titles_may_contain_line_breaks(tmp_path, title):
    rows = read(tmp_path, numbered(1, title=title) + numbered(2) + SLICE + numbered(3, title=title))
    assert [row["title"] for row in rows] == [title, WHOLE["title"], title]
    assert all((row["latitude"], row["original_secret"]) == (41.8904, "f00d") for row in rows)


def test_utf16_that_is_longer_in_utf8_is_read_to_its_end(tmp_path, monkeypatch):
    text = "".join(numbered(n, title="東京" * 400) for n in range(1, 40))
    assert len(text.encode("utf-16")) < len(text.encode())
    rows = read(tmp_path, text.encode("utf-16"))
    assert [row["photo_id"] for row in rows] == [str(n) for n in range(1, 40)]
    monkeypatch.setattr(lists, "_MAX_UTF_16", 1000)
    with pytest.raises(ValueError, match=r"list0\.txt is UTF-16 text .*save it as UTF-8"):
        lists.write_table([tmp_path], tmp_path / "photos.parquet")


def test_text_that_is_not_utf8_is_read_as_latin1_and_counted(tmp_path):
    text = numbered(1, title="Größe", tags="東京").encode() + numbered(2, title="Größe").encode(
        "latin-1"
    )
    rows = read(tmp_path, text)
    assert [(row["title"], row["tags"][:2]) for row in rows] == [("Größe", "東京"), ("Größe", "ro")]
    found = report(tmp_path)["report"]["not_utf8_title"]
    assert found["count"] == 1


BROKEN = {
    "no id, secret and server in the photo line": [
        {"photo": "231521295 0a1b2c3d4e"},
        {"photo": "0231521295 0a1b2c3d4e 97"},
        {"photo": "231521295 ../../secret 97"},
        {"photo": "231521295 0a1b2c3d4e 97.example.org"},
        {"photo": "231521295 0a1b2c3d4e 97 "},
        {"photo": "²31521295 0a1b2c3d4e 97"},
        {"photo": ""},
    ],
    "a photo id of over 64 bits": [{"photo": f"{2**64} 0a1b2c3d4e 97"}],
    "no owner such as 12345678@N00": [
        {"owner": x} for x in (None, "", "12345678", "1@N00/..", "１@N00")
    ],
    "no latitude within ±90": [
        {"latitude": x} for x in (None, "", "nan", "inf", "90.1", "-91", "1,5")
    ],
    "no longitude within ±180": [
        {"longitude": x} for x in (None, "-inf", "180.5", "1e400", "0x5", "12 13")
    ],
    "latitude and longitude are 0": [{"latitude": "0", "longitude": "-0.000000"}],
    "a NUL byte": [{"title": "a\0b"}, {"views": "\0"}],
    "a line of more than 65,535 bytes": [{"tags": "x" * 65_536}],
    "more than 1,048,576 bytes": [
        {"title": "x\n" * 2**19},
        {"views": "1" + "".join(f"\nkey{i:02}: {65_528 * 'x'}" for i in range(16))},
    ],
    "a misplaced line": [{"latitude": "5\nlatitude: 6"}, {"accuracy": "16\nwhat is this"}],
    "two blocks run into each other": [{"title": "cut\nowner: 1@N00\ntitle: b"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "values"), [(reason, values) for reason, many in BROKEN.items() for values in many]
)
def test_broken_blocks_are_counted_by_reason_file_and_line(tmp_path, capsys, reason, values):
    before = SLICE + numbered(1)
    rows = read(tmp_path, Rome=before + numbered(2, **values) + numbered(3, title="x\ny"))
    assert [row["photo_id"] for row in rows] == ["1", "3"]
    place = f"{tmp_path}/Rome.txt:{before.count(chr(10)) + 1}"
    assert [*report(tmp_path)["report"].values()] == [
        {"text": f"broken blocks: {reason}", "count": 1, "first": [place]}
    ]
    total = report(tmp_path)["total"]
    assert (total["records"], total["kept"], total["broken"]) == (3, 2, 1)
    assert place in capsys.readouterr().out


def test_incomplete_blocks_do_not_affect_their_neighbours(tmp_path):
    headless, tail = block(photo=None), block(photo=None, owner=None, title=None)
    cut = numbered(9)[:60]
    rows = read(
        tmp_path,
        headless + numbered(1) + headless + numbered(2) + "phto: 9 0a 1\n" + headless + cut + "\n"
        + numbered(3) + "what is this?\n" + numbered(4) + tail + cut + "\n\n" + headless
        + numbered(5) + cut,
    )  # fmt: skip
    assert [row["photo_id"] for row in rows] == ["1", "2", "3", "5"]
    found = report(tmp_path)["report"]
    assert {kind: entry["count"] for kind, entry in found.items()} == {
        "no_photo_line": 4,
        "bad_latitude": 3,
        "merged_blocks": 1,
        "stray_line": 1,
    }


def test_invalid_optional_values_are_empty_and_counted(tmp_path):
    (row,) = read(
        tmp_path,
        block(license="free", accuracy="17", dateupload="-1", o_width="0", o_height="1e3",
              datetaken="yesterday", originalsecret="../..", originalformat="php?x"),
    )  # fmt: skip
    for name in ("license", "accuracy", "date_upload", "original_width", "original_height",
                 "date_taken", "original_secret", "original_format"):  # fmt: skip
        assert row[name] is None
    assert sum(entry["count"] for entry in report(tmp_path)["report"].values()) == 8


def test_the_first_record_of_a_photo_is_kept(tmp_path):
    rows = read(
        tmp_path,
        Paris=numbered(7, title="in Paris") + numbered(8) + numbered(7, title="again"),
        Athens=numbered(7, title="in Athens"),
        Zagreb=numbered(2**64 - 1) + numbered(8) + numbered(2**64 - 1),
    )
    assert [(row["photo_id"], row["query"], row["title"][:9]) for row in rows] == [
        ("7", "Athens", "in Athens"),
        ("8", "Paris", "Colosseum"),
        (str(2**64 - 1), "Zagreb", "Colosseum"),
    ]
    assert report(tmp_path)["total"]["duplicates"] == 4
    assert report(tmp_path)["lists"][f"{tmp_path}/Paris.txt"] == {
        "records": 3, "kept": 1, "duplicates": 2, "by_excluded_photographers": 0,
        "excluded_photos": 0, "other_licenses": 0, "less_accurate": 0, "broken": 0,
    }  # fmt: skip


def test_filters_count_what_they_leave_out(tmp_path, capsys):
    (tmp_path / "a.txt").write_text(
        numbered(1, license="4", accuracy="16") + numbered(2, license="0")
        + numbered(3, license="2", accuracy="11") + numbered(4, license=None)
        + numbered(5, license="4", accuracy=None) + numbered(1, license="4"),
        encoding="utf-8",
    )  # fmt: skip
    output = tmp_path / "out" / "p.parquet"
    options = ["--licenses", "4,2", "--min-accuracy", "12"]
    assert main(["lists", str(tmp_path), "-o", str(output), *options]) == 0
    assert pq.read_table(output)["photo_id"].to_pylist() == ["1"]
    total = json.loads(output.with_suffix(".report.json").read_text("utf-8"))["total"]
    assert total == {"records": 6, "kept": 1, "duplicates": 1, "by_excluded_photographers": 0,
                     "excluded_photos": 0, "other_licenses": 2, "less_accurate": 2,
                     "broken": 0}  # fmt: skip
    assert "2 located less accurately" in capsys.readouterr().out


def test_the_test_packs_photographers_are_removed(tmp_path, packs, capsys):
    with zipfile.ZipFile(packs / "gps_query_imgs.zip") as pack:
        theirs = sorted(name.rpartition("_")[2].removesuffix(".jpg") for name in pack.namelist())
    (tmp_path / "a.txt").write_text(
        numbered(1, owner=theirs[0]) + numbered(2, owner=theirs[0]) + numbered(3, owner="7@N01")
        + numbered(4, owner="8@N01"), encoding="utf-8",
    )  # fmt: skip
    (tmp_path / "owners.csv").write_text("IMG_ID,AUTHOR\n1_2_3_7@N01.jpg,7@N01\n", "utf-8")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / f"Rome_00024_1_2_3_{theirs[0]}.jpg").touch()
    (tmp_path / "photos" / "holiday.jpg").touch()

    def left(*sources: Path) -> list[str]:
        options = [x for source in sources for x in ("--exclude-owners-of", str(source))]
        output = tmp_path / "p.parquet"
        assert main(["lists", str(tmp_path / "a.txt"), "-o", str(output), *options]) == 0
        return pq.read_table(output)["photo_id"].to_pylist()

    assert left(packs / "gps_query_imgs.zip") == ["3", "4"]
    assert "2 by 1 excluded photographer" in capsys.readouterr().out
    assert left(packs) == ["3", "4"]
    names = [name for path in packs.glob("*.zip") for name in zipfile.ZipFile(path).namelist()]
    owners = {name.rpartition("_")[2] for name in names}
    assert len(owners) > len(set(theirs))
    assert f"{len(owners)} photographers in" in capsys.readouterr().out
    assert left(tmp_path / "owners.csv") == ["1", "2", "4"]
    assert left(tmp_path / "photos", tmp_path / "owners.csv") == ["4"]
    assert "1 photo without one" in capsys.readouterr().out


def test_the_photographers_of_another_table_are_removed(tmp_path, capsys):
    write_lists(tmp_path / "tested", 300)
    tested = tmp_path / "tested.parquet"
    assert main(["lists", str(tmp_path / "tested"), "-o", str(tested)]) == 0
    theirs = set(pq.read_table(tested)["owner"].to_pylist())
    text = "".join(numbered(i, owner=owner) for i, owner in enumerate([*theirs, "7@N99"], 1))
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    output = tmp_path / "p.parquet"
    options = ["-o", str(output), "--exclude-owners-of", str(tested)]
    assert main(["lists", str(tmp_path / "a.txt"), *options]) == 0
    assert pq.read_table(output)["owner"].to_pylist() == ["7@N99"]
    assert f"{len(theirs)} photographers in" in capsys.readouterr().out


def test_owners_are_not_read_from_other_kinds_of_files(tmp_path, capsys):
    (tmp_path / "a.txt").write_text(numbered(1), encoding="utf-8")
    pq.write_table(pa.table({"author": ["7@N01"]}), tmp_path / "other.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "other.parquet").read_bytes()[:-9])
    (tmp_path / "binary").write_bytes(b"\x1f\x8b\0\xff 7@N01 \0")
    for name, message in (
        ("other.parquet", "has no column owner, but author"),
        ("cut.parquet", "cut.parquet is not a valid Parquet file"),
        ("binary", "is not plain text"),
    ):
        file = str(tmp_path / name)
        options = ["-o", str(tmp_path / "p.parquet"), "--exclude-owners-of", file]
        assert main(["lists", str(tmp_path / "a.txt"), *options]) == 2
        error = capsys.readouterr().err
        assert message in error and file in error and error.count("\n") == 1
    assert not (tmp_path / "p.parquet").exists()


def test_each_reason_is_printed_once_if_all_blocks_are_broken(tmp_path, capsys):
    text = "".join(numbered(i, latitude="91") for i in range(1, 10)) + numbered(10, owner="me")
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    assert main(["lists", str(tmp_path), "-o", str(tmp_path / "p.parquet")]) == 2
    error = capsys.readouterr().err.replace(str(tmp_path / "a.txt"), "LIST")
    assert "0 photos kept; 10 broken; 9 broken blocks: no latitude within ±90" in error
    assert error.count("no latitude") == error.count("no owner such as") == 1


def test_extensions_of_lists_ignore_case(tmp_path):
    (tmp_path / "Rome.TXT").write_text(numbered(1), encoding="utf-8")
    assert main(["lists", str(tmp_path), "-o", str(tmp_path / "p.parquet")]) == 0
    assert keyword("Rome.TXT") == keyword("Rome.txt") == "Rome"


def test_an_error_is_one_line_and_keeps_the_old_table(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text(numbered(1), encoding="utf-8")
    (tmp_path / "b.txt").write_text("nothing here\n", encoding="utf-8")
    output = tmp_path / "p.parquet"
    assert main(["lists", str(tmp_path), "-o", str(output)]) == 0
    before = output.read_bytes()
    a, b = str(tmp_path / "a.txt"), str(tmp_path / "b.txt")
    for arguments, message in (
        ([str(tmp_path / "nowhere")], "no such file or folder"),
        ([str(tmp_path / "empty")], "contains no .txt files"),
        ([b], "No photo is left: 0 records read from 1 list; 0 photos kept; 1 line outside"),
        ([a, "--licenses", "9"], "No photo is left"),
        ([a, "--min-accuracy", "17"], "from 1 to 16"),
        ([a, "--licenses", "cc-by"], "give Flickr's numbers"),
        ([a, "--exclude-owners-of", b], "names no photographers"),
        ([a, "--exclude-owners-of", str(tmp_path / "gone")], "no such test pack"),
        ([a, "-o", str(tmp_path / "p.csv")], "is a .parquet file"),
    ):
        capsys.readouterr()
        assert main(["lists", "-o", str(output), *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert_same_bytes(output.read_bytes(), before)
    assert not list(tmp_path.glob("*.part"))


def test_the_table_does_not_depend_on_pieces_or_threads(tmp_path, monkeypatch):
    truth = write_lists(tmp_path / "lists", 2_000, broken=60)
    tables = []
    for name, piece, workers in (("whole", 2**22, 1), ("cut", 9_999, 3), ("odd", 77_777, 2)):
        monkeypatch.setattr(lists, "PIECE", piece)
        result = lists.write_table(
            [tmp_path / "lists"], tmp_path / f"{name}.parquet", workers=workers
        )
        assert (result.total.records, result.total.kept) == (2_060, truth.photos)
        assert (result.total.broken, result.total.duplicates) == (60, 2_000 - truth.photos)
        tables.append((pq.read_table(tmp_path / f"{name}.parquet"), result.report.as_dict()))
    assert tables[0] == tables[1] == tables[2]


def test_records_at_the_start_of_a_piece_are_read_once(tmp_path, monkeypatch):
    text = SLICE + numbered(1) + numbered(2) + SLICE + numbered(3, latitude="x") + numbered(4)
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    place = f"{tmp_path}/a.txt:{text[: text.index('photo: 3')].count(chr(10)) + 1}"
    starts = [text.index(f"photo: {number}") for number in range(1, 5)]
    near = [start + step for start in starts for step in (-1, 0, 1)]
    for piece in {size for size in range(60, 400) if any(number % size == 0 for number in near)}:
        monkeypatch.setattr(lists, "PIECE", piece)
        result = lists.write_table([tmp_path], tmp_path / "p.parquet")
        assert (result.total.records, result.total.kept) == (4, 3), piece
        assert list(result.report.names.values()) == [[place]]


def test_ids_are_remembered_over_many_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(lists, "PIECE", 5_000)
    monkeypatch.setattr(lists.SeenIds, "LENGTH", 40)
    truth = write_lists(tmp_path / "lists", 1_500, repeated=0.4)
    result = lists.write_table([tmp_path / "lists"], tmp_path / "p.parquet")
    assert result.total.kept == truth.photos < 1_000
    found = pq.read_table(tmp_path / "p.parquet")["photo_id"].to_pylist()
    assert len(set(found)) == len(found)


line = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=20)
some_title = st.lists(
    st.one_of(line, st.sampled_from(["", "latitude: 5", "tags: x", "license", "views: 1"])),
    min_size=1, max_size=4,
).map("\n".join)  # fmt: skip


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            some_title,
            line,
            st.floats(-90, 90).filter(bool),
            st.floats(-180, 180),
            st.sampled_from(["", SLICE, "\n\n"]),
            st.sets(st.sampled_from(["originalsecret", "o_width", "views", "interestingness"])),
        ),
        max_size=6,
    ),
    st.sampled_from(["\n", "\r\n"]),
)
def test_no_title_changes_the_values_of_other_photos(photos, end):
    text = "".join(
        block(photo=f"{i} a 1", title=title, tags=tags, latitude=repr(latitude),
              longitude=repr(longitude), **dict.fromkeys(absent)) + after
        for i, (title, tags, latitude, longitude, after, absent) in enumerate(photos, 1)
    )  # fmt: skip
    parsed = records.parse(text.replace("\n", end).encode())
    assert not parsed.broken and not parsed.stray
    rows = parsed.table.to_pylist()
    assert [
        (r["photo_id"], r["title"], r["tags"], r["latitude"], r["longitude"]) for r in rows
    ] == [(str(i), *values[:4]) for i, values in enumerate(photos, 1)]


def test_written_blocks_are_read_back(tmp_path):
    text = records.write_block({**WHOLE, "title": "two\nlines\0"})
    assert text.decode() == block(title="two lines ")
    assert set(KEYS) == set(WHOLE)
