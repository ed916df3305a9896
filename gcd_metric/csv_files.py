"""Reads CSV and TSV files, which may be compressed."""

from __future__ import annotations

import csv
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TextIO

from .columns import ROLES
from .coordinates import with_point
from .opened import Opened, Row, naming, open_text, suffix_of
from .summaries import Record, leave_out

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_SEPARATOR_LINE = re.compile(r"sep=.")  # which Excel reads as the choice of a separator
_LONGEST_LINE = 10_000_000  # characters
_END = "\x1e the end \x1e"
# this limit is for all readers of the process, so it is never lowered
csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_LINE))


def is_csv(path: str | Path) -> bool:
    """Whether the extension is that of a CSV or TSV, which may be compressed."""
    return suffix_of(path) in _SEPARATORS


def open_csv(path: Path, where: str, summary: bool = False) -> Opened:
    """Open a CSV or TSV with a header, which may be compressed; errors call it `where`.

    Decimal commas in coordinates become points where they do not separate columns. With `summary`,
    lines after the data that summarise it are left out and collected. Opening and reading raise a
    ValueError for text that is not CSV.
    """
    usual = _SEPARATORS.get(suffix_of(path), ",")
    headers = {usual: _header(path, where, usual)}
    if len(headers[usual]) < len(ROLES):  # too few for an id and coordinates
        headers = {separator: _header(path, where, separator) for separator in ",;\t"}
    separator = max(headers, key=lambda it: (len(headers[it]), it == usual))
    names = headers[separator]

    def read(columns: list[str]) -> Iterator[Row]:
        places = [names.index(name) for name in columns]
        pick = itemgetter(*places)
        named = max(at for at, name in enumerate(names, 1) if name.strip())
        records: Iterator[Record] = _records(path, where, separator)
        next(records)
        if summary:
            records = leave_out(records, opened, columns, where)
        for number, _, row in records:
            cells = pick(row + [""] * (len(names) - len(row)))
            extra = len(row) > len(names) or any(cell.strip() for cell in row[named:])
            # a further field is harmless after 48.86, but 48,86,2,35 would be read as 48 and 86
            shifted = extra and separator == "," and _without_fraction(cells[1:3])
            if shifted or any(cell.strip() for cell in row[len(names) :]):
                raise ValueError(
                    f"{where}: row {number} has more fields than the header ({len(row):,} and "
                    f"{named:,}); put quotation marks around cells with a separator, and "
                    "separate columns by semicolons if numbers have decimal commas"
                )
            yield (cells[0], *map(with_point, cells[1:3]), *cells[3:])

    opened = Opened(names, read)
    return opened


def _without_fraction(cells: Row) -> bool:
    """Whether there are numbers, but none with a decimal point."""
    return any(map(str.strip, cells)) and not any(re.search(r"\.\d|\d\.", it) for it in cells)


def _header(path: Path, where: str, separator: str) -> list[str]:
    with closing(_records(path, where, separator)) as records:
        return next(records).cells


def _records(path: Path, where: str, separator: str) -> Generator[Record, None, None]:
    """The header (number 0) and the rows of a CSV, without blank lines."""
    count, after_blank = 0, False
    try:
        with naming(where), open_text(path) as file:
            # a marker as the last line: it is part of a cell if a quotation mark was not closed
            for record in csv.reader(chain(_lines(file), [_END]), delimiter=separator):
                if record == [_END]:
                    break
                if record and record[-1].endswith(_END):
                    raise csv.Error("a quotation mark is never closed")
                if not count and _SEPARATOR_LINE.fullmatch(separator.join(record)):
                    continue
                if len(record) < 2 and not "".join(record).strip():
                    after_blank = True
                    continue
                yield Record(count, after_blank, record)
                count, after_blank = count + 1, False
    except csv.Error as error:
        cause = "a quotation mark is never closed" if "field limit" in str(error) else error
        at = f"row {count}" if count else "the header"
        raise ValueError(f"{where}: {at} cannot be read: {cause}") from None
    if not count:
        raise ValueError(f"{where}: the file is empty")


def _lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise csv.Error(f"a line of more than {_LONGEST_LINE:,} characters")
        yield line
