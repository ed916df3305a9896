"""Opens a table in any of the formats that are read, and standard input."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from .binary_files import open_npy, open_npz, open_parquet, open_xlsx
from .csv_files import open_csv
from .json_files import LINES, open_json
from .opened import COMPRESSED, Opened, naming, open_text, suffix_of

STDIN = "-"
STDIN_NAME = "standard input"
_JSON = (".json", *LINES)
_TEXT = (".csv", ".tsv", ".txt", *_JSON)


def _open_log(path: Path, where: str) -> Opened:
    from .inspect_scorer import open_log  # imports inspect-ai, which takes seconds

    return open_log(path, where)


_BINARY: dict[str, Callable[[Path, str], Opened]] = {
    ".parquet": open_parquet,
    ".npz": open_npz,
    ".npy": open_npy,
    ".xlsx": open_xlsx,
    ".eval": _open_log,
}
FORMATS = ".csv, .tsv, .json, .jsonl, .parquet, .npz, .npy, .xlsx or .eval"
# the first bytes of formats that are not text
_MAGIC = {
    b"PAR1": ".parquet",
    b"\x93NUMPY": ".npy",
    b"PK": "",  # .npz or .xlsx
    b"\x1f\x8b": ".gz",
    b"BZh": ".bz2",
    b"\xfd7zXZ": ".xz",
    b"\x28\xb5\x2f\xfd": ".zst",
}


def is_table(path: str | Path) -> bool:
    """Whether files of this extension are read."""
    return suffix_of(path) in (*_TEXT, *_BINARY)


def open_table(path: Path, where: str, summary: bool = False) -> Opened:
    """Open a file by its extension, and text by its content too; errors call it `where`.

    `summary` is as for `open_csv`.
    """
    ending = suffix_of(path)
    if ending in _BINARY:
        if path.suffix.lower() in COMPRESSED:
            raise ValueError(f"{where}: unpack it; of compressed files, only text is read")
        return _BINARY[ending](path, where)
    with naming(where), open_text(path) as file:
        start = file.read(4096).lstrip()[:1]
    if ending not in (".csv", ".tsv") and start in ("{", "["):
        return open_json(path, where)
    if ending in _JSON and start:
        raise ValueError(f"{where}: this is not JSON: it begins with {start!r}")
    return open_csv(path, where, summary)


def save_stdin(folder: str | Path) -> Path:
    """Save standard input to a file, because tables are read more than once; returns its path."""
    path = Path(folder, "stdin.txt")
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    with path.open("rb") as file:
        start = file.read(8)
    for magic, ending in _MAGIC.items():
        if start.startswith(magic):
            if ending in COMPRESSED:
                return path.rename(path.with_name(f"stdin.txt{ending}"))
            raise ValueError(
                f"{STDIN_NAME}: this is a binary file; give its name, because only text is read "
                "from standard input"
            )
    return path
