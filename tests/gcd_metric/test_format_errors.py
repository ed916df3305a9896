"""Damaged and hostile files of every format give one error, in bounded memory."""

import zipfile

import numpy as np
import pytest

from tests.gcd_metric.formats import write


@pytest.fixture()
def refused(run):
    """The error of the command for a file."""
    write("truth.csv", "id,lat,lon\na,1,2\n")

    def call(name):
        error = run(name, "--references", "truth.csv", code=2)
        assert error.count("\n") == 1
        return error

    return call


BAD = {
    "deep.json": (b"[" * 100_000, "not JSON: it is nested too deeply"),
    "deep.jsonl": (b'{"id": 1, "lat": 1, "lon": 1}\n' + b'{"a":' * 100_000, "line 2 is not JSON"),
    "cut.json": (b'[{"id": "a", "lat": 1', "this is not JSON: "),
    "cut.jsonl": (b'{"id": "a", "lat": 1, "lon": 2}\n{"id": "b", "la', "line 2 is not JSON: "),
    "list.jsonl": (b'{"id": "a", "lat": 1, "lon": 2}\n["b", 1, 2]', "line 2 is not an object"),
    "twice.json": (b'{"a": [1, 2], "a": [3, 4]}', "a occurs twice in one object"),
    "number.json": (b"12", "this is not JSON: it begins with '1'"),
    "list.json": (b"[[1, 2], [3, 4]]", "expected a list of objects, an object of columns"),
    "lengths.json": (b'{"id": ["a"], "lat": [1, 2], "lon": [1]}', "id has 1, lat has 2, lon has 1"),
    "two.json": (b'{"a": [{"id": 1}], "b": [{"id": 2}]}', "rows may be in a, b"),
    "value.json": (b'{"a": [1, 2], "b": 3}', "b is neither an object nor a pair"),
    "empty.json": (b" \n", "the file is empty"),
    "none.json": (b"{}", "there are no rows"),
    "float.json": (b'[{"id": 1, "lat": ' + b"9" * 400 + b', "lon": 1}]', "beyond"),
    "digits.json": (b'[{"id": 1, "lat": ' + b"9" * 5000 + b', "lon": 1}]', "beyond"),
    "inf.json": (b'[{"id": 1, "lat": Infinity, "lon": 1}]', "beyond"),
    "one.json": (b'{"id": "a", "lat": 91, "lon": 2}', "row 1, column lat contains 91"),
    "one.jsonl": (b'{"id": "a", "x": {"lat": 91, "lon": 2}}', "column x.lat contains"),
    "no.npz": (b"PK\x03\x04", "not a zip file"),
    "no.xlsx": (b"PK\x03\x04", "not a zip file"),
    "no.npy": (b"id,lat", "the array "),
    "utf16.csv": ("id,lat,lon\na,1,2\n".encode("utf-16-le"), "this is not UTF-8 text"),
    "odd.csv": ("id,lat,lon\na,1,2\n".encode("utf-16")[:-1], "this is not UTF-8 text"),
    "p.xlsx.gz": (b"", "unpack it; of compressed files, only text is read"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_error(refused, name):
    data, said = BAD[name]
    with open(name, "wb") as file:
        file.write(data)
    error = refused(name)
    assert error.startswith(f"gcd-metric: {name}: ") and said in error


def test_archives_that_unpack_to_much_are_refused(refused, monkeypatch):
    for limited in ("binary_files", "json_files"):
        monkeypatch.setattr(f"gcd_metric.{limited}.LARGEST", 100_000)
    np.savez_compressed("p.npz", id=["a"] * 20_000, lat=np.zeros(20_000), lon=np.ones(20_000))
    assert "lat has more than 100,000 bytes" in refused("p.npz")
    with zipfile.ZipFile("p.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"x" * 200_000)
    assert "p.xlsx: more than 100,000 bytes; save it as CSV" in refused("p.xlsx")
    write("p.json.gz", "[" + " " * 200_000 + "]")
    assert "p.json.gz: more than 100,000 characters" in refused("p.json.gz")


def test_arrays_that_cannot_be_trusted_are_refused(refused):
    np.savez("p.npz", ids=np.array(["a", None], object), predictions=np.zeros((2, 2)))
    assert "ids contains Python objects, which are never loaded" in refused("p.npz")
    np.savez("p.npz", ids=np.array(["a"]), predictions=np.zeros((2, 2)))
    assert "arrays have different numbers of rows: ids has 1" in refused("p.npz")
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 2), }\n"
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 32
    with open("p.npy", "wb") as file:
        file.write(data)
    with zipfile.ZipFile("p.npz", "w") as archive:
        archive.writestr("predictions.npy", data)
    assert "is shorter than its header says" in refused("p.npy")
    assert "predictions is shorter than its header says" in refused("p.npz")
    np.save("p.npy", np.zeros((2, 2)))
    assert "there are no ids; write them, one a line, into p.txt" in refused("p.npy")
    write("p.txt", "a\nb\nc\nd\n")
    assert "2 pairs, and 4 ids in p.txt" in refused("p.npy")


def test_a_cell_far_away_in_a_sheet_takes_bounded_work(refused, monkeypatch):
    openpyxl = pytest.importorskip("openpyxl")
    workbook = openpyxl.Workbook()
    workbook.active.append(["image_id", "lat", "lon"])
    workbook.active.cell(100_000, 16_384, "far away")
    workbook.save("far.xlsx")
    monkeypatch.setattr("gcd_metric.binary_files._MOST_CELLS", 50_000)
    assert "far.xlsx: more than 50,000 cells; save it as CSV" in refused("far.xlsx")
