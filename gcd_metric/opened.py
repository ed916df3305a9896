"""What every reader of a format returns, and how text is decoded and decompressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

Row = tuple[Any, ...]
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
LARGEST = 2**28  # bytes or characters of what has to be in memory as a whole, after decompression
NOT_UTF_8 = "this is not UTF-8 text; save it as a UTF-8 CSV"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # the byte order marks; text without one is not recognised


@dataclass
class Opened:
    """A table of which the header was read.

    `read` takes names of columns, the first three of which are those of id, latitude and longitude,
    and yields their cells, row by row.
    """

    names: list[str]
    read: Callable[[list[str]], Iterator[Row]]
    notes: list[str] = field(default_factory=list)  # what was assumed, and how to choose otherwise
    # pairs of columns with coordinates, by which rows of data are known; by default those read
    pairs: list[tuple[str, str]] = field(default_factory=list)
    # lines after the data that are no rows of it, as texts; complete when all rows were read
    summary: list[list[str]] = field(default_factory=list)

    def places(self, columns: list[str]) -> list[tuple[int, int]]:
        """Where the pairs of coordinates are in a row; one column of texts is no pair."""
        pairs = self.pairs or [(columns[1], columns[2])]
        at = self.names.index
        return [(at(one), at(other)) for one, other in pairs if one != other]


def suffix_of(path: str | Path) -> str:
    """The extension in lower case, without that of a compression."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def open_text(path: Path) -> TextIO:
    """Open text, which may be compressed, in UTF-8 or in UTF-16 with a byte order mark."""
    with _open_binary(path) as file:
        start = file.read(4096)
    is_utf_16 = start.startswith(_UTF_16)
    if b"\0" in start and not is_utf_16:
        raise UnicodeError(NOT_UTF_8)
    encoding = "utf-16" if is_utf_16 else "utf-8-sig"
    return TextIOWrapper(_open_binary(path), encoding=encoding, newline="")


def _open_binary(path: Path) -> Any:
    ending = path.suffix.lower()
    if ending == ".zst":
        import pyarrow

        return pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd")
    opener: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}.get(ending, open)
    return opener(path, "rb")


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Turn what damaged text raises into a ValueError that names the file."""
    try:
        yield
    except UnicodeError:
        raise ValueError(f"{where}: {NOT_UTF_8}") from None
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{where}: {one_line(error)}") from None


def one_line(error: BaseException) -> str:
    """The message of an error without line breaks, or its name if there is none."""
    return " ".join(str(error).split()) or type(error).__name__
