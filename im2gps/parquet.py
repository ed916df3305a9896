"""Reading Parquet tables that may be damaged."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pyarrow as pa


@contextlib.contextmanager
def reading(path: str | os.PathLike) -> Iterator[None]:
    """Turn whatever a damaged Parquet file makes pyarrow raise into one error that names the file.

    Raises
    ------
    ValueError
        When the file, or a page of it, cannot be read.
    OSError
        When there is no such file, or the system does not let it be read.
    """
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        said = " ".join(str(error).split()).rstrip(".")
        raise ValueError(f"{path} is no whole Parquet file ({said}). Get it again.") from error
