"""The command `im2gps lists`: Flickr text lists to one Parquet table of photos.

One pass over the files in pieces, read by threads (Arrow and numpy work outside Python's lock) and
written in order, so that the table does not depend on how many there are. What grows with the
lists are the 8 bytes of each photo's id, by which a photo that comes again is known.
"""

from __future__ import annotations

import codecs
import json
import os
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from geoload.files import files_below, printable
from geoload.report import Report, write_json
from geoload.workers import core_count
from geoload.writing import whole_file
from im2gps.lists.columns import photo_ids
from im2gps.lists.owners import read_owners
from im2gps.lists.records import MAX_BLOCK, Parsed, keyword, parse
from im2gps.photo_table import SCHEMA

PIECE = 4 * 2**20
ROW_GROUP = 65_536
_START = b"\nphoto:"
_BOM = "\ufeff".encode()
# Some editors put a byte order mark at the start of a file, and joined files have it in the middle.
# Form feeds come from printing.
_MARKS = re.compile(rb"^(?:%b|\f)+(?=[a-z_ ]+:)" % _BOM, re.MULTILINE)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MAX_UTF_16 = 2**28
_BROKEN = "broken blocks: "
# Few different values; dictionaries of the other columns would only grow and be given up.
_DICTIONARIES = ["server", "owner", "license", "accuracy", "query", "original_format"]


@dataclass
class Counts:
    """What became of the blocks of some lists; all but `kept` are not in the table.

    `records` is the sum of the others.
    """

    records: int = 0
    kept: int = 0
    duplicates: int = 0
    by_excluded_photographers: int = 0
    other_licenses: int = 0
    less_accurate: int = 0
    broken: int = 0

    def add(self, other: Counts) -> None:
        """Add another's counts to these."""
        for name, count in asdict(other).items():
            setattr(self, name, getattr(self, name) + count)


@dataclass
class Result:
    """What `write_table` did.

    Attributes
    ----------
    total : Counts
    lists : dict of str to Counts
        The same for each list, by its path.
    photographers : int
        How many of the excluded photographers had photos in the lists.
    report : Report
        Broken blocks by reason, and whatever else was odd, with the first places of each.
    """

    total: Counts = field(default_factory=Counts)
    lists: dict[str, Counts] = field(default_factory=dict)
    photographers: int = 0
    report: Report = field(default_factory=Report)


@dataclass(frozen=True)
class Wanted:
    """Which photos go into the table.

    Attributes
    ----------
    licenses : collection of int, optional
        Flickr's numbers of the licences; None takes all, and photos without one.
    min_accuracy : int, optional
        Flickr's accuracy, from 1 (the world) to 16 (a street); None takes all.
    excluded : collection of str
        Ids of photographers whose photos are left out.
    """

    licenses: Collection[int] | None = None
    min_accuracy: int | None = None
    excluded: Collection[str] = ()


def write_table(
    lists: Sequence[str | Path],
    output: str | Path,
    wanted: Wanted = Wanted(),
    workers: int | None = None,
) -> Result:
    """Read Flickr lists into one Parquet file, each photo once, and a report beside it.

    A photo that comes again is left out: the first wanted record of an id stays, where lists come
    in the given order, those of a folder in the order of their names, and records as they stand.

    Parameters
    ----------
    lists : sequence of paths
        Text files, or folders with `.txt` files at any depth.
    output : path
        The `.parquet` file. The report's name ends in `.report.json` instead.
    wanted : Wanted
    workers : int, optional
        Threads that read; one for each core unless given.

    Raises
    ------
    ValueError
        When no photo is left, or the output is no `.parquet` file.
    FileNotFoundError
        When there is no list.
    """
    output = Path(output)
    if output.suffix != ".parquet":
        raise ValueError(f"{output}: the table is a .parquet file, such as photos.parquet.")
    files = find_lists(lists)
    result = Result(lists={printable(str(file)): Counts() for file in files})
    output.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(output) as file:
        _write(files, file, wanted, workers or core_count(), result)
        if not result.total.kept:
            raise ValueError(f"No photo is left: {'; '.join(_briefly(result))}.")
    write_json(output.with_suffix(".report.json"), as_dict(result, wanted))
    return result


def find_lists(paths: Sequence[str | Path]) -> list[Path]:
    """Return the text files meant by some paths, each once, in the order in which they are read.

    Raises
    ------
    FileNotFoundError
        When there is nothing at a path, or no `.txt` file in a folder.
    """
    found: dict[str, Path] = {}
    for path in map(Path, paths):
        if path.is_dir():
            files = [p for p in files_below(path) if p.suffix.lower() == ".txt"]
            if not files:
                raise FileNotFoundError(f"{path} holds no .txt files: those are the Flickr lists.")
        elif path.is_file():
            files = [path]
        else:
            raise FileNotFoundError(f"{path}: there is no such file or folder.")
        for file in files:
            found.setdefault(os.path.realpath(file), file)
    return list(found.values())


class SeenIds:
    """Photo ids that have been met, 8 bytes each.

    Sorted arrays of up to `LENGTH` ids: new ones go into the last of them, so that little is moved.
    """

    LENGTH = 2**20

    def __init__(self) -> None:
        self._runs = [np.array([], np.uint64)]

    def add(self, ids: np.ndarray) -> np.ndarray:
        """Add ids; tells of each whether this is the first time."""
        unique, place = np.unique(ids, return_index=True)
        new = np.ones(len(unique), bool)
        for run in self._runs:
            at = np.searchsorted(run, unique)
            inside = at < len(run)
            new[inside] &= run[at[inside]] != unique[inside]
        if len(self._runs[-1]) >= self.LENGTH:
            self._runs.append(np.array([], np.uint64))
        # The stable sort of numpy merges two runs that are sorted already.
        self._runs[-1] = np.sort(np.concatenate([self._runs[-1], unique[new]]), kind="stable")
        first = np.zeros(len(ids), bool)
        first[place[new]] = True
        return first


class _Piece(NamedTuple):
    """What one stretch of a file gave.

    `breaks` counts the stretch's line breaks, `before` those that come before the parsed text.
    """

    file: Path
    size: int
    breaks: int
    before: int
    parsed: Parsed


def _read_piece(file: Path, start: int, stop: int) -> _Piece:
    """Read the blocks whose `photo:` lines start within a stretch, and what follows the last.

    Where the next one starts is looked for up to `MAX_BLOCK` bytes behind the stretch.
    """
    back = 1 if start else 0  # the line break before
    with open(file, "rb") as source:
        source.seek(start - back)
        data = source.read(back + stop - start + MAX_BLOCK)
    length = back + stop - start
    if not start and data.startswith(_UTF_16):
        data = data.decode("utf-16", "replace").encode("utf-8", "replace")
        length = len(data)
    begin = data.find(_START, 0, length + len(_START) - 2) + 1
    end = data.find(_START, length - 1) + 1 or len(data)
    if start and not begin:
        begin = end = length
    elif not start:
        begin = 0
    breaks, before = data.count(b"\n", back, length), data.count(b"\n", back, begin)
    text = data[begin:end]
    if _BOM in text or b"\f" in text:
        text = _MARKS.sub(b"", text)
    return _Piece(file, stop - start, breaks, before, parse(text))


def _piece_size(file: Path, size: int) -> int:
    """Return how many bytes of a list are read at once: all of UTF-16, which is recoded whole.

    Raises
    ------
    ValueError
        When a list is UTF-16 and too large for that.
    """
    with open(file, "rb") as source:
        if source.read(2) not in _UTF_16:
            return PIECE
    if size > _MAX_UTF_16:
        raise ValueError(f"{file} is UTF-16 text of {size:,} bytes: save it as UTF-8.")
    return size


def _pieces(files: Sequence[Path], workers: int) -> Iterator[_Piece]:
    """Read files by pieces, a few at a time, and give them in their order."""
    stretches = (
        (file, start, min(start + step, size))
        for file in files
        for size in [file.stat().st_size]
        for step in [_piece_size(file, size)]
        for start in range(0, size, step)
    )
    with ThreadPoolExecutor(workers) as threads:
        ahead: deque = deque()
        try:
            for stretch in stretches:
                ahead.append(threads.submit(_read_piece, *stretch))
                if len(ahead) > workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _write(
    files: Sequence[Path], output: BinaryIO, wanted: Wanted, workers: int, result: Result
) -> None:
    """Write the wanted rows of all lists, and fill in the counts."""
    sieve = _Sieve(wanted, result)
    total = sum(file.stat().st_size for file in files)
    writer = pq.ParquetWriter(output, SCHEMA, compression="zstd", use_dictionary=_DICTIONARIES)
    with writer, tqdm(total=total, desc="Flickr lists", unit="B", unit_scale=True, delay=2) as bar:
        waiting: list[pa.Table] = []
        for piece in _pieces(files, workers):
            waiting.append(sieve.pass_through(piece))
            bar.update(piece.size)
            if sum(map(len, waiting)) >= ROW_GROUP:
                _write_group(writer, waiting)
        _write_group(writer, waiting)
        result.photographers = len(sieve.removed)
        for name, counts in result.lists.items():
            result.total.add(counts)
            if not counts.records:
                result.report.add("lists without a photo", name)
        writer.add_key_value_metadata({"im2gps": json.dumps(as_dict(result, wanted)["total"])})


def _write_group(writer: pq.ParquetWriter, waiting: list[pa.Table]) -> None:
    table = pa.concat_tables([SCHEMA.empty_table(), *waiting])
    if len(table):
        writer.write_table(table, row_group_size=len(table))
    waiting.clear()


class _Sieve:
    """Lets wanted rows through, each photo once, and counts the others."""

    def __init__(self, wanted: Wanted, result: Result) -> None:
        self._result = result
        self._filters: list[tuple[str, Callable[[pa.Table], pa.Array]]] = []
        if wanted.excluded:
            self._excluded = pa.array(sorted(wanted.excluded), pa.string())
            self._filters.append(("by_excluded_photographers", self._by_others))
        if wanted.licenses is not None:
            codes = pa.array(sorted(wanted.licenses), pa.int8())
            self._filters.append(("other_licenses", lambda rows: pc.is_in(rows["license"], codes)))
        if wanted.min_accuracy is not None:
            low = wanted.min_accuracy
            self._filters.append(
                ("less_accurate", lambda rows: pc.greater_equal(rows["accuracy"], low))
            )
        self._filters.append(("duplicates", self._first_times))
        self._seen = SeenIds()
        self._file: Path | None = None
        self._breaks = 0
        self.removed: set[str] = set()

    def pass_through(self, piece: _Piece) -> pa.Table:
        """Return the rows of a piece that go into the table."""
        name, rows = printable(str(piece.file)), piece.parsed.table
        self._report(piece, name)
        counts = self._result.lists[name]
        counts.records += len(rows) + len(piece.parsed.broken)
        counts.broken += len(piece.parsed.broken)
        for kind, passes in self._filters:
            before = len(rows)
            rows = rows.filter(passes(rows))
            setattr(counts, kind, getattr(counts, kind) + before - len(rows))
        counts.kept += len(rows)
        query = pa.repeat(pa.scalar(keyword(piece.file.name)), len(rows))
        return rows.append_column("query", query).select(SCHEMA.names)

    def _by_others(self, rows: pa.Table) -> pa.Array:
        theirs = pc.is_in(rows["owner"], self._excluded)
        self.removed.update(pc.unique(rows["owner"].filter(theirs)).to_pylist())
        return pc.invert(theirs)

    def _first_times(self, rows: pa.Table) -> pa.Array:
        ids = photo_ids(rows["photo_id"].combine_chunks())
        return pa.array(self._seen.add(ids.to_numpy(zero_copy_only=False)))

    def _report(self, piece: _Piece, name: str) -> None:
        """Name what is odd by file and line; lines are counted from 1."""
        if piece.file != self._file:
            self._file, self._breaks = piece.file, 0
        line = self._breaks + piece.before + 1
        self._breaks += piece.breaks
        report = self._result.report
        for number, reason in piece.parsed.broken:
            report.add(f"{_BROKEN}{reason}", f"{name}:{line + number}")
        for number in piece.parsed.stray:
            report.add("lines that belong to no block", f"{name}:{line + number}")
        for kind, count in (+piece.parsed.unread).items():
            report.add_many(kind, count, [] if name in report.names[kind] else [name])


def as_dict(result: Result, wanted: Wanted) -> dict[str, Any]:
    """Return the report as plain data for a JSON file."""
    return {
        "total": asdict(result.total),
        "wanted": {
            "licenses": None if wanted.licenses is None else sorted(wanted.licenses),
            "min_accuracy": wanted.min_accuracy,
            "excluded_photographers": len(wanted.excluded),
            "of_them_in_the_lists": result.photographers,
        },
        "lists": {name: asdict(counts) for name, counts in result.lists.items()},
        "report": result.report.as_dict(),
    }


def summary(result: Result) -> list[str]:
    """Say what became of the blocks, a line for each kind that there was."""
    return [
        _read(result),
        f"{result.total.kept:,} photos kept",
        *(f"{count:,} {kind}" for kind, count in _left_out(result).items()),
        *map(result.report.line, result.report.counts),
    ]


def _briefly(result: Result) -> list[str]:
    """Say the same in one line: each reason once, with its count and its first place."""
    counts = result.report.counts
    reasons = {
        kind: f"{count:,} {kind.removeprefix(_BROKEN)} "
        f"({result.report.names[kind][0]}{', …' if count > 1 else ''})"
        for kind, count in counts.most_common()
    }
    broken = ", ".join(text for kind, text in reasons.items() if kind.startswith(_BROKEN))
    return [
        _read(result),
        *(
            f"{count:,} {kind}" + (f": {broken}" if kind == "broken" else "")
            for kind, count in _left_out(result).items()
        ),
        *(text for kind, text in reasons.items() if not kind.startswith(_BROKEN)),
    ]


def _read(result: Result) -> str:
    return f"{result.total.records:,} records read from {len(result.lists):,} lists"


def _left_out(result: Result) -> dict[str, int]:
    total = result.total
    others = {
        "duplicates of a photo that came before": total.duplicates,
        f"by {result.photographers:,} excluded photographers": total.by_excluded_photographers,
        "under other licences": total.other_licenses,
        "located less accurately": total.less_accurate,
        "broken": total.broken,
    }
    return {kind: count for kind, count in others.items() if count}


def add_command(commands: Any) -> None:
    """Add `im2gps lists` to the command line."""
    parser = commands.add_parser(
        "lists", help="turn Flickr text lists into one Parquet table of photos"
    )
    parser.add_argument("lists", nargs="+", metavar="LISTS", help="text files, or folders of them")
    parser.add_argument(
        "-o",
        "--output",
        default="photos.parquet",
        metavar="TABLE",
        help="default: photos.parquet; a report is written beside it",
    )
    parser.add_argument(
        "--licenses", metavar="1,2,4", help="Flickr's numbers of the licences to keep; default: all"
    )
    parser.add_argument(
        "--min-accuracy",
        type=int,
        metavar="N",
        help="keep photos located at least so accurately: 1 the world, 3 a "
        "country, 6 a region, 11 a city, 16 a street",
    )
    parser.add_argument(
        "--exclude-owners-of",
        action="append",
        default=[],
        metavar="PACK",
        help="leave out all photos of a test set's photographers: its ZIP, a "
        "folder of ZIPs or photos, a table of this command, or a text file "
        "with owner ids; may be repeated",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="threads (default: the cores)")
    parser.set_defaults(run=_run)


def _run(
    lists: list[str], output: str, licenses: str | None, min_accuracy: int | None,
    exclude_owners_of: list[str], workers: int | None,
) -> None:  # fmt: skip
    excluded: set[str] = set()
    for source in exclude_owners_of:
        owners, nameless = read_owners(source)
        excluded |= owners
        odd = f", {nameless} photos name none" if nameless else ""
        print(f"{len(owners):,} photographers in {source}{odd}")
    if min_accuracy is not None and not 1 <= min_accuracy <= 16:
        raise ValueError(f"--min-accuracy {min_accuracy}: Flickr's accuracy goes from 1 to 16.")
    wanted = Wanted(_codes(licenses), min_accuracy, excluded)
    result = write_table(lists, output, wanted, workers)
    print("\n  ".join(summary(result)))
    print(f"Wrote {output} ({os.path.getsize(output) / 1e6:,.1f} MB) and "
          f"{Path(output).with_suffix('.report.json')}")  # fmt: skip


def _codes(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        codes = sorted({int(code) for code in text.split(",")})
    except ValueError:
        codes = [-1]
    if not all(0 <= code <= 127 for code in codes):
        raise ValueError(f"--licenses {text}: give Flickr's numbers, such as 1,2,4.")
    return codes
