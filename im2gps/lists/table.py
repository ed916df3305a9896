"""The command `im2gps lists`: from Flickr text lists to one Parquet table of photos.

Threads read the files in pieces (Arrow and numpy work without Python's lock), and the rows are
written in order, so that the table does not depend on the number of threads. Memory grows only by 8
bytes for each photo: its id, by which repeated photos are recognized.
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gcd_metric.names import counted
from geoload.commands import add_subcommand
from geoload.files import atomic_write, files_below, printable, write_json
from geoload.geoparquet import FLOATS, place_schema, with_geometry
from geoload.messages import format_bytes, progress_bar
from geoload.parquet import parquet_writer
from geoload.processes import ahead, core_count
from geoload.report import Findings, Kind
from im2gps import exclusions
from im2gps.exclusions import Exclusions, read_exclusions
from im2gps.lists.columns import photo_ids
from im2gps.lists.owners import read_owners
from im2gps.lists.records import MAX_BLOCK, Parsed, keyword, parse
from im2gps.photo_table import SCHEMA

# With larger pieces, memory goes back to the system after each, and getting it again takes longer.
PIECE = 2 * 2**20
ROW_GROUP = 65_536
_TAIL = 2**16  # bytes after a piece in which the next block nearly always starts
_START = b"\nphoto:"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MAX_UTF_16 = 2**28
# Columns with few different values.
_DICTIONARIES = ["server", "owner", "license", "accuracy", "query", "original_format"]


@dataclass
class Counts:
    """How many records were read, kept, and left out; `records` is the sum of the others."""

    records: int = 0
    kept: int = 0
    duplicates: int = 0
    by_excluded_photographers: int = 0
    excluded_photos: int = 0
    other_licenses: int = 0
    less_accurate: int = 0
    broken: int = 0


@dataclass
class Result:
    """The result of `write_table`.

    Attributes
    ----------
    lists : dict of str to Counts
        The counts of each list, by its path; `total` is their sum.
    photographers : int
        How many of the excluded photographers had photos in the lists.
    report : Findings
        Broken blocks by reason and other findings, with the first places of each.
    """

    lists: dict[str, Counts]
    photographers: int = 0
    report: Findings = field(default_factory=Findings)

    @property
    def total(self) -> Counts:
        """The counts of all lists together."""
        return Counts(*map(sum, zip(*map(astuple, self.lists.values()), strict=True)))

    def summary(self) -> list[str]:
        """Return a line for each kind of record that there was, and for each finding."""
        total, excluded = self.total, counted(self.photographers, "excluded photographers")
        left_out = {
            "repeating an earlier photo": total.duplicates,
            f"by {excluded}": total.by_excluded_photographers,
            "excluded by their ids": total.excluded_photos,
            "under other licences": total.other_licenses,
            "located less accurately": total.less_accurate,
            "broken": total.broken,
        }
        return [
            f"{counted(total.records, 'records')} read from {counted(len(self.lists), 'lists')}",
            f"{counted(total.kept, 'photos')} kept",
            *(f"{count:,} {kind}" for kind, count in left_out.items() if count),
            *map(self.report.line, self.report.counts),
        ]


@dataclass(frozen=True)
class Wanted:
    """The criteria for photos in the table.

    Attributes
    ----------
    licenses : collection of int, optional
        Flickr's licence numbers; None takes all photos, also those without a licence.
    min_accuracy : int, optional
        Flickr's accuracy, from 1 (world) to 16 (street); None takes all photos.
    excluded : Exclusions
        Photos to leave out, and photographers of whom all photos are left out.
    """

    licenses: Collection[int] | None = None
    min_accuracy: int | None = None
    excluded: Exclusions = Exclusions()


def write_table(
    lists: Sequence[str | Path],
    output: str | Path,
    wanted: Wanted = Wanted(),
    workers: int | None = None,
) -> Result:
    """Write the photos of Flickr lists into one Parquet file, each once, and a report beside it.

    If a photo has several wanted records, the first is kept. Lists are read in the given order, and
    those of a folder in the order of their names.

    Parameters
    ----------
    lists : sequence of paths
        Text files, or folders with `.txt` files at any depth.
    output : path
        The `.parquet` file. The report has the same name with the suffix `.report.json`.
    wanted : Wanted
    workers : int, optional
        Threads that read; by default one for each core.

    Raises
    ------
    ValueError
        If no photo is left, or the output is not a `.parquet` file.
    FileNotFoundError
        If there is no list.
    """
    output = Path(output)
    if output.suffix != ".parquet":
        raise ValueError(f"{output}: the table is a .parquet file, such as photos.parquet.")
    files = find_lists(lists)
    result = Result({printable(str(file)): Counts() for file in files})
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(output) as file:
        _write(read_lists(files, result, wanted, workers), file, result)
        if not result.total.kept:
            raise ValueError(f"No photo is left: {'; '.join(result.summary())}.")
    report = {
        "total": asdict(result.total),
        "wanted": {
            "licenses": None if wanted.licenses is None else sorted(wanted.licenses),
            "min_accuracy": wanted.min_accuracy,
            "excluded_photos": len(wanted.excluded.photos),
            "excluded_photographers": len(wanted.excluded.owners),
            "of_them_in_the_lists": result.photographers,
        },
        "lists": {name: asdict(counts) for name, counts in result.lists.items()},
        "report": result.report.as_dict(),
    }
    write_json(output.with_suffix(".report.json"), report)
    return result


def find_lists(paths: Sequence[str | Path]) -> list[Path]:
    """Return the text files at some paths, each once, in the order in which they are read."""
    found: dict[str, Path] = {}
    for path in map(Path, paths):
        if path.is_dir():
            files = [p for p in files_below(path) if p.suffix.lower() == ".txt"]
            if not files:
                raise FileNotFoundError(f"{path} contains no .txt files, as Flickr lists are.")
        elif path.is_file():
            files = [path]
        else:
            raise FileNotFoundError(f"{path}: there is no such file or folder.")
        for file in files:
            found.setdefault(os.path.realpath(file), file)
    return list(found.values())


def read_lists(
    files: Sequence[Path], result: Result, wanted: Wanted = Wanted(), workers: int | None = None
) -> Iterator[pa.Table]:
    """Yield the wanted rows of lists, each photo once, and fill in the result."""
    rows_of = _Filter(wanted, result)
    with progress_bar("Flickr lists", sum(file.stat().st_size for file in files)) as bar:
        workers = workers or core_count()
        for piece in ahead(_read_piece, _spans(files), workers, most=workers):
            yield rows_of(piece)
            bar.update(piece.size)


def _write(tables: Iterable[pa.Table], output: BinaryIO, result: Result) -> None:
    """Write the rows of all lists, and what the result says of them."""
    # Rows stay in the order of the lists, because `im2gps build` packs consecutive rows.
    schema = place_schema(SCHEMA)
    options = {"use_dictionary": _DICTIONARIES, "use_byte_stream_split": FLOATS}
    with parquet_writer(output, schema, **options) as writer:
        waiting = [SCHEMA.empty_table()]
        for table in tables:
            waiting.append(table)
            if sum(map(len, waiting)) >= ROW_GROUP:
                waiting = _write_group(writer, waiting)
        _write_group(writer, waiting)
        for name, counts in result.lists.items():
            if not counts.records:
                result.report.add(Kind("empty_list", "lists without a photo"), name)
        writer.add_key_value_metadata({"im2gps": json.dumps(asdict(result.total))})


def _write_group(writer: pq.ParquetWriter, waiting: list[pa.Table]) -> list[pa.Table]:
    table = pa.concat_tables(waiting)
    if len(table):
        writer.write_table(with_geometry(table), row_group_size=len(table))
    return [SCHEMA.empty_table()]


class _Piece(NamedTuple):
    """The result of reading one piece of a file.

    `breaks` counts the line breaks of the piece, `before` those before the parsed text.
    """

    file: Path
    size: int
    breaks: int
    before: int
    parsed: Parsed


def _spans(files: Sequence[Path]) -> Iterator[tuple[Path, int, int]]:
    """Yield the first byte and the end of each piece; a UTF-16 file, which is recoded, is one."""
    for file in files:
        size = step = file.stat().st_size
        with open(file, "rb") as source:
            if source.read(2) not in _UTF_16:
                step = PIECE
            elif size > _MAX_UTF_16:
                raise ValueError(f"{file} is UTF-16 text of {size:,} bytes: save it as UTF-8.")
        for start in range(0, size, step):
            yield file, start, min(start + step, size)


def _read_piece(span: tuple[Path, int, int]) -> _Piece:
    """Read the blocks whose `photo:` lines start within a piece, and the lines after the last.

    The next block is searched for in up to `MAX_BLOCK` bytes after the piece.
    """
    file, start, stop = span
    back = 1 if start else 0  # the line break before the piece
    length = back + stop - start
    with open(file, "rb") as source:
        source.seek(start - back)
        data = source.read(length + _TAIL)
        if data.find(_START, length - 1) < 0:
            data += source.read(MAX_BLOCK - _TAIL)
    if not start and data.startswith(_UTF_16):
        data = data.decode("utf-16", "replace").encode("utf-8", "replace")
        length = len(data)
    begin = data.find(_START, 0, length + len(_START) - 2) + 1 if start else 0
    end = data.find(_START, length - 1) + 1 or len(data)
    if start and not begin:
        begin = end = length
    before = data.count(b"\n", back, begin)
    parsed = parse(memoryview(data)[begin:end])
    # The text ends with the last block that starts in the piece.
    breaks = before + parsed.lines - data.count(b"\n", length, end)
    return _Piece(file, stop - start, breaks, before, parsed)


class _Filter:
    """Returns the wanted rows of each piece, every photo once, and counts the others."""

    def __init__(self, wanted: Wanted, result: Result) -> None:
        self._result = result
        self._filters: list[tuple[str, Callable[[pa.Table], pa.Array]]] = []
        if wanted.excluded.owners:
            self._excluded = pa.array(sorted(wanted.excluded.owners), pa.string())
            self._filters.append(("by_excluded_photographers", self._not_excluded))
        if wanted.excluded.photos:
            photos = pa.array(sorted(wanted.excluded.photos), pa.string())
            self._filters.append(
                ("excluded_photos", lambda rows: pc.invert(pc.is_in(rows["photo_id"], photos)))
            )
        if wanted.licenses is not None:
            codes = pa.array(sorted(wanted.licenses), pa.int8())
            self._filters.append(("other_licenses", lambda rows: pc.is_in(rows["license"], codes)))
        if wanted.min_accuracy is not None:
            least = wanted.min_accuracy
            self._filters.append(
                ("less_accurate", lambda rows: pc.greater_equal(rows["accuracy"], least))
            )
        self._filters.append(("duplicates", self._new))
        self._seen = SeenIds()
        self._found: set[str] = set()
        self._file: Path | None = None
        self._breaks = 0

    def __call__(self, piece: _Piece) -> pa.Table:
        name, rows = printable(str(piece.file)), piece.parsed.table
        self._report(piece, name)
        counts = self._result.lists[name]
        counts.records += len(rows) + len(piece.parsed.broken)
        counts.broken += len(piece.parsed.broken)
        for kind, mask in self._filters:
            before = len(rows)
            rows = rows.filter(mask(rows))
            setattr(counts, kind, getattr(counts, kind) + before - len(rows))
        counts.kept += len(rows)
        query = pa.repeat(pa.scalar(keyword(piece.file.name)), len(rows))
        return rows.append_column("query", query).select(SCHEMA.names)

    def _not_excluded(self, rows: pa.Table) -> pa.Array:
        excluded = pc.is_in(rows["owner"], self._excluded)
        self._found.update(pc.unique(rows["owner"].filter(excluded)).to_pylist())
        self._result.photographers = len(self._found)
        return pc.invert(excluded)

    def _new(self, rows: pa.Table) -> pa.Array:
        ids = photo_ids(rows["photo_id"].combine_chunks())
        return pa.array(self._seen.add(ids.to_numpy(zero_copy_only=False)))

    def _report(self, piece: _Piece, name: str) -> None:
        """Report what is wrong by file and line, counted from 1."""
        if piece.file != self._file:
            self._file, self._breaks = piece.file, 0
        line = self._breaks + piece.before + 1
        self._breaks += piece.breaks
        report = self._result.report
        for number, reason in piece.parsed.broken:
            report.add(Kind(reason, f"broken blocks: {reason.text}"), f"{name}:{line + number}")
        for number in piece.parsed.stray:
            report.add(Kind("stray_line", "lines outside of blocks"), f"{name}:{line + number}")
        for kind, count in (+piece.parsed.unread).items():
            report.add_many(kind, count, [] if name in report.names[kind] else [name])


class SeenIds:
    """A set of photo ids that takes 8 bytes for each, in sorted arrays of about `LENGTH` ids.

    The last arrays are shorter. A short array is merged with the one before it only if that is less
    than four times as long, so that each id is copied only a few times.
    """

    LENGTH = 2**22

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def add(self, ids: np.ndarray) -> np.ndarray:
        """Add ids; return for each whether it is new."""
        unique, place = np.unique(ids, return_index=True)
        new = np.ones(len(unique), bool)
        for run in self._runs:
            new &= run.take(np.searchsorted(run, unique), mode="clip") != unique
        added = unique[new]
        while len(added) and self._runs and len(self._runs[-1]) < min(4 * len(added), self.LENGTH):
            # numpy's stable sort merges two sorted runs.
            added = np.sort(np.concatenate([self._runs.pop(), added]), kind="stable")
        if len(added):
            self._runs.append(added)
        first = np.zeros(len(ids), bool)
        first[place[new]] = True
        return first


def add_command(commands: Any) -> None:
    """Add `im2gps lists` to the command line."""
    text = "convert Flickr text lists to one Parquet table of photos"
    add = add_subcommand(commands, "lists", _run, text).add_argument
    add("lists", nargs="+", metavar="LISTS", help="text files, or folders of text files")
    text = "output file (default: photos.parquet); a report is written next to it"
    add("-o", "--output", default="photos.parquet", metavar="TABLE", help=text)
    add("--licenses", metavar="1,2,4", help="Flickr's licence numbers to keep (default: all)")
    text = (
        "keep only photos with at least this accuracy of the coordinates: 1 world, 3 country, 6 "
        "region, 11 city, 16 street"
    )
    add("--min-accuracy", type=int, metavar="N", help=text)
    text = (
        "leave out all photos by the photographers of a test set: its ZIP file, a folder of ZIP "
        "files or photos, a table that this command wrote, or a text file with owner ids; can be "
        "repeated"
    )
    add("--exclude-owners-of", action="append", default=[], metavar="PACK", help=text)
    add("--exclude", metavar="FILE", help=exclusions.HELP)
    add("--workers", type=int, metavar="N", help="number of threads (default: one per core)")


def _run(
    lists: list[str], output: str, licenses: str | None, min_accuracy: int | None,
    exclude_owners_of: list[str], exclude: str | None, workers: int | None,
) -> None:  # fmt: skip
    photos, excluded = read_exclusions(exclude) if exclude else Exclusions()
    for source in exclude_owners_of:
        owners, unnamed = read_owners(source)
        excluded |= owners
        more = f", {counted(unnamed, 'photos')} without one" if unnamed else ""
        print(f"{counted(len(owners), 'photographers')} in {source}{more}")
    if min_accuracy is not None and not 1 <= min_accuracy <= 16:
        raise ValueError(f"--min-accuracy {min_accuracy}: Flickr's accuracy goes from 1 to 16.")
    wanted = Wanted(_licence_numbers(licenses), min_accuracy, Exclusions(photos, excluded))
    result = write_table(lists, output, wanted, workers)
    print("\n  ".join(result.summary()))
    print(f"Wrote {output} ({format_bytes(os.path.getsize(output))}) and "
          f"{Path(output).with_suffix('.report.json')}")  # fmt: skip


def _licence_numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        numbers = sorted({int(code) for code in text.split(",")})
    except ValueError:
        numbers = [-1]
    if not all(0 <= number <= 127 for number in numbers):
        raise ValueError(f"--licenses {text}: give Flickr's numbers, such as 1,2,4.")
    return numbers
