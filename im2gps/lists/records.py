"""The text form of the Flickr lists: blocks of `key: value` lines, and progress lines between.

A block starts with its `photo:` line and has its keys in the order of `KEYS`. Some may be missing,
and unknown keys may be between them. A title with line breaks extends to the next key.

Blocks are read by columns: the bytes of many blocks become Arrow arrays, without a Python object
for each value. Blocks with another layout than their neighbours are read one by one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from geoload.files import printable
from geoload.report import Kind
from im2gps.lists.columns import to_columns

KEYS = (
    "photo", "owner", "title", "originalsecret", "originalformat", "o_height", "o_width",
    "datetaken", "dateupload", "tags", "license", "latitude", "longitude", "accuracy", "views",
    "interestingness",
)  # fmt: skip
MAX_LINE = 65_535
MAX_BLOCK = 2**20
_READ = KEYS[: KEYS.index("views")]
_RANK = {key.encode(): rank for rank, key in enumerate(KEYS)}
_TITLE = KEYS.index("title")
_PHOTO_LINE = b"photo:"
_KEY = re.compile(rb"([0-9A-Za-z_]+):")
_PROGRESS = re.compile(
    rb"\s*|(numimgs|total pages|mintime|Total images queried):.*|visiting only .*", re.DOTALL
)
# Not allowed in file names: a leading dot, and characters that are special on some system.
_UNSAFE = re.compile(r"^\.|[/\\:*?\"<>|%\0-\x1f\x7f]|[. ]$")
_CONTROL = re.compile(r"[\0-\x1f\x7f]")
_MERGED = Kind("merged_blocks", "two blocks run into each other")
_BOM = "\ufeff".encode()
# Byte order marks at the start of a file, or inside it where files were joined, and the form feeds
# of printed lists.
_MARKS = re.compile(rb"^(?:%b|\f)+(?=[a-z_ ]+:)" % _BOM, re.MULTILINE)
_MAX_LAYOUTS = 4  # that are read by columns; one program writes all blocks of a list alike


class BlockError(ValueError):
    """A block from which no photo can be read, with the reason."""


@dataclass
class Parsed:
    """The result of reading text, with lines counted from 0.

    Attributes
    ----------
    table : pyarrow.Table
        The columns of `SCHEMA` except `query`, with a row for each valid block, in their order.
    broken : list of (int, Kind)
        First line of each broken block, and the reason.
    stray : list of int
        Lines outside the blocks that are not progress lines.
    unread : Counter
        Number of optional values that could not be read, by kind.
    lines : int
        Number of lines of the text.
    """

    table: pa.Table
    broken: list[tuple[int, Kind]]
    stray: list[int]
    unread: Counter[Kind]
    lines: int


def parse(data: bytes | memoryview) -> Parsed:
    """Read text that starts at the start of a line and ends at the end of a block."""
    text = _Text(data)
    initials = text.bytes[text.starts]
    if np.any((initials == _BOM[0]) | (initials == ord("\f"))):
        text = _Text(_MARKS.sub(b"", data))
        initials = text.bytes[text.starts]
    maybe = np.flatnonzero(initials == _PHOTO_LINE[0])
    first = maybe[text.begin_with(maybe, _PHOTO_LINE)]
    spans = np.column_stack([first, np.append(first[1:], len(text))[: len(first)]])
    reader = _BlockReader(text)
    reader.between(0, int(first[0]) if len(first) else len(text))
    odd = text.odd_lines()
    simple = np.searchsorted(odd, spans[:, 0]) == np.searchsorted(odd, spans[:, 1])
    simple &= text.size(spans[:, 0], spans[:, 1]) <= MAX_BLOCK
    left = np.flatnonzero(simple)
    groups = []
    for _ in range(_MAX_LAYOUTS):
        some = spans[left[:: len(left) // 8 + 1]].tolist()
        layout = next(filter(None, (_layout(text, *span) for span in some)), None)
        if layout is None:
            break
        fits = _fit(text, spans[left], layout)
        groups.append((left[fits], _fields(text, first[left[fits]], layout)))
        left = left[~fits]
    groups.append(reader.blocks(np.sort(np.append(left, np.flatnonzero(~simple))), spans))
    rows = np.concatenate([rows for rows, _ in groups])
    fields = {key: pa.concat_arrays([group[key] for _, group in groups]) for key in _READ}
    if np.any(rows[1:] < rows[:-1]):
        order = np.argsort(rows)
        rows, fields = rows[order], {k: v.take(pa.array(order)) for k, v in fields.items()}
    table, invalid, unread = to_columns(fields)
    reader.broken += [(int(first[rows[i]]), reason) for i, reason in invalid.items()]
    return Parsed(table, sorted(reader.broken), sorted(reader.stray), unread, len(text))


def write_block(values: Mapping[str, Any]) -> bytes:
    """Return a block with values by key; line breaks inside a value become spaces."""
    lines = [f"{key}: {_CONTROL.sub(' ', str(values.get(key, '')))}\n" for key in KEYS]
    return "".join([*lines, "\n"]).encode("utf-8", "replace")


def list_name(word: str) -> str:
    """Return the file name of a keyword's list, with unsafe characters escaped.

    Raises ValueError if it would be longer than file systems allow.
    """
    name = _UNSAFE.sub(lambda found: "".join(f"%{b:02X}" for b in found[0].encode()), word) + ".txt"
    if len(name.encode()) > 240:
        raise ValueError(f"the keyword {word[:40]!r}… is too long for a file name")
    return name


def keyword(name: str) -> str:
    """Return the keyword of a list from its file name."""
    return unquote(printable(name[:-4] if name.lower().endswith(".txt") else name))


class _Text:
    """A text by its lines: the first byte and the end of each, by number."""

    def __init__(self, data: bytes | memoryview) -> None:
        end = b"\n" if data and data[-1:] != b"\n" else b""
        size = len(data) + len(end)
        # The eight bytes from each byte on as one number: comparing such numbers finds the keys.
        self.data = b"".join([data, end, bytes(8)])
        self.words: np.ndarray = np.ndarray((size + 1,), "<u8", self.data, strides=(1,))
        self.bytes = np.frombuffer(self.data, np.uint8)
        self._bounds = np.append(0, np.flatnonzero(self.bytes[:size] == ord("\n")) + 1)
        self.starts = self._bounds[:-1]
        self.ends = self._bounds[1:] - 1
        if b"\r" in self.data:
            self.ends -= (self.bytes[self.ends - 1] == ord("\r")) & (self.ends > self.starts)

    def __len__(self) -> int:
        return len(self.starts)

    def line(self, number: int) -> bytes:
        return self.data[self.starts[number] : self.ends[number]]

    def lines(self, start: int, stop: int) -> list[bytes]:
        return [self.line(number) for number in range(start, stop)]

    def size(self, start: Any, stop: Any) -> Any:
        """Return the numbers of bytes from lines `start` up to lines `stop`."""
        return self._bounds[stop] - self._bounds[start]

    def odd_lines(self) -> np.ndarray:
        """Return the numbers of lines that are too long or contain a NUL."""
        long = np.flatnonzero(self.ends - self.starts > MAX_LINE)
        zeros = np.array([], np.int64)
        if self.data.find(b"\0", 0, len(self.words) - 1) >= 0:
            zeros = np.flatnonzero(self.bytes[: len(self.words) - 1] == 0)
        return np.union1d(long, np.searchsorted(self.starts, zeros, side="right") - 1)

    def begin_with(self, lines: np.ndarray, prefix: bytes) -> np.ndarray:
        """Return which lines begin with a prefix."""
        starts = self.starts[lines]
        found = np.ones(len(lines), bool)
        for offset in {*range(0, len(prefix) - 7, 8), max(len(prefix) - 8, 0)}:
            part = prefix[offset : offset + 8]
            mask = np.uint64((1 << 8 * len(part)) - 1)
            words = self.words[np.minimum(starts + offset, len(self.words) - 1)]
            found &= (words & mask) == np.uint64(int.from_bytes(part, "little"))
        return found

    def values(self, lines: np.ndarray, skip: int) -> pa.Array:
        """Return the text of lines after the first `skip` bytes and one space."""
        if not len(lines):
            return pa.array([], pa.binary())
        starts = self.starts[lines] + skip
        starts += self.bytes[starts] == ord(" ")
        # Wanted values alternate with the text between them; `take` copies only the values.
        offsets = np.empty(2 * len(lines), np.int32)
        offsets[::2], offsets[1::2] = starts, self.ends[lines]
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self.data)]
        both = pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers, null_count=0)
        return both.take(pa.array(np.arange(0, len(offsets), 2, dtype=np.int32)))


def _layout(text: _Text, first: int, stop: int) -> list[bytes] | None:
    """Return the prefixes of a block's lines, or None if it cannot be read by columns."""
    keys = []
    for line in text.lines(first, min(stop, first + 2 * len(KEYS))):
        if not line:
            break
        keys.append(_key(line))
    ranks = [_RANK.get(key, -1) for key in keys]
    known = [rank for rank in ranks if rank >= 0]
    after_title = [*ranks, -1][ranks.index(_TITLE) + 1] if _TITLE in ranks else 0
    # An unknown key after the title may be the title's second line.
    if b"" in keys or known != sorted(set(known)) or after_title < 0:
        return None
    return [key + b":" for key in keys]


def _fit(text: _Text, spans: np.ndarray, layout: list[bytes]) -> np.ndarray:
    """Return which blocks have exactly the lines of a layout and then only progress lines."""
    after, stop = spans[:, 0] + len(layout), spans[:, 1]
    fits = after <= stop
    for number, prefix in enumerate(layout):
        fits &= text.begin_with(np.minimum(spans[:, 0] + number, len(text) - 1), prefix)
    last = np.minimum(after, len(text) - 1)
    one_blank = (stop - after == 1) & (text.starts[last] == text.ends[last])
    for i in np.flatnonzero(fits & ~one_blank).tolist():
        fits[i] = all(map(_PROGRESS.fullmatch, text.lines(after[i], stop[i])))
    return fits


def _fields(text: _Text, first: np.ndarray, layout: list[bytes]) -> dict[str, pa.Array]:
    """Return the values of blocks of one layout, by key."""
    fields = {key: pa.nulls(len(first), pa.binary()) for key in _READ}
    for number, prefix in enumerate(layout):
        key = prefix[:-1].decode("latin-1")
        if key in fields:
            fields[key] = text.values(first + number, len(prefix))
    return fields


class _BlockReader:
    """Reads blocks one by one, and checks the lines between blocks."""

    def __init__(self, text: _Text) -> None:
        self.text = text
        self.broken: list[tuple[int, Kind]] = []
        self.stray: list[int] = []

    def blocks(self, rows: np.ndarray, spans: np.ndarray) -> tuple[np.ndarray, dict[str, pa.Array]]:
        """Read some blocks; return the numbers of the valid ones, and their values by key."""
        valid, found = [], []
        for row, (first, stop) in zip(rows.tolist(), spans[rows].tolist(), strict=True):
            lines = self.text.lines(first, stop)
            size = len(lines)
            try:
                size = _block_size(lines)
                if self.text.size(first, first + size) > MAX_BLOCK:
                    raise BlockError(Kind("block_too_long", f"more than {MAX_BLOCK:,} bytes"))
                found.append(_read_block(lines[:size]))
                valid.append(row)
            except BlockError as error:
                self.broken.append((first, error.args[0]))
            self.between(first + size, stop)
        fields = {k: pa.array([f.get(k.encode()) for f in found], pa.binary()) for k in _READ}
        return np.array(valid, np.int64), fields

    def between(self, start: int, stop: int) -> None:
        """Check that lines are progress lines; others are stray, or a block without photo line."""
        run: list[int] = []
        for number in range(start, stop + 1):
            line = self.text.line(number) if number < stop else b""
            if line.strip():
                run += [] if _PROGRESS.fullmatch(line) else [number]
                continue
            if any(_key(self.text.line(other)) in _RANK for other in run):
                self.broken.append((run[0], Kind("no_photo_line", "no photo line")))
            else:
                self.stray += run
            run = []


def _block_size(lines: list[bytes]) -> int:
    """Return how many of the lines from one `photo:` line to the next belong to its block.

    An empty line or a progress line ends it, unless keys follow, but no owner: then the title
    continues there. Raises BlockError if those keys could also be the rest of another block.
    """
    blank = next((i for i, line in enumerate(lines) if not line.strip()), len(lines))
    while _PROGRESS.fullmatch(lines[blank - 1]):
        blank -= 1
    end = len(lines)
    while end > blank and _PROGRESS.fullmatch(lines[end - 1]):
        end -= 1
    after = {_RANK.get(_key(line), -1) for line in lines[blank:end]}
    if max(after, default=-1) <= _TITLE or min(after - {-1}) <= _TITLE:
        return blank
    if {b"latitude", b"longitude"} <= set(map(_key, lines[:blank])):
        raise BlockError(_MERGED)
    return end


def _read_block(lines: list[bytes]) -> dict[bytes, bytes]:
    """Return the values of one block by key."""
    if any(b"\0" in line for line in lines):
        raise BlockError(Kind("nul_byte", "a NUL byte"))
    if any(len(line) > MAX_LINE for line in lines):
        raise BlockError(Kind("line_too_long", f"a line of more than {MAX_LINE:,} bytes"))
    title = next((i for i, line in enumerate(lines) if _key(line) == b"title"), 0)
    fields: dict[bytes, bytes] = {}
    # From the end: the lines between the title and the first key after it belong to the title.
    start, last, misplaced = len(lines), len(KEYS), []
    for number in range(len(lines) - 1, title, -1):
        key = _key(lines[number])
        rank = _RANK.get(key, -1)
        if _TITLE < rank < last:
            start, last = number, rank
            fields[key] = _value(lines[number])
        elif rank >= 0 or not key:
            misplaced.append(number)
    head, more = (lines[1:title], lines[title + 1 : start]) if title else (lines[1:start], [])
    if any(number > start for number in misplaced) or not all(map(_key, head)):
        raise BlockError(Kind("misplaced_line", "a misplaced line"))
    if any(_RANK.get(_key(line), len(KEYS)) <= _TITLE for line in more) or any(
        line.strip() and _PROGRESS.fullmatch(line) for line in more
    ):
        raise BlockError(_MERGED)
    fields |= {key: _value(line) for line in head if (key := _key(line)) in _RANK}
    if title:
        fields[b"title"] = b"\n".join([_value(lines[title]), *more])
    return fields | {b"photo": _value(lines[0])}


def _key(line: bytes) -> bytes:
    """Return the text before the colon; empty if it cannot be a key."""
    match = _KEY.match(line)
    return match[1] if match else b""


def _value(line: bytes) -> bytes:
    return line.partition(b":")[2].removeprefix(b" ")
