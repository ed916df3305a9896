"""A limit on the size of files, which gives an error like that of a full disk."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def small_files_only(size: int) -> Iterator[None]:
    """Limit the size of files, in bytes."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # bytecode would be cut short, here and in the processes that this one starts
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    variable = os.environ.get("PYTHONDONTWRITEBYTECODE")
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sys.dont_write_bytecode = bytecode
        if variable is None:
            del os.environ["PYTHONDONTWRITEBYTECODE"]
        else:
            os.environ["PYTHONDONTWRITEBYTECODE"] = variable
