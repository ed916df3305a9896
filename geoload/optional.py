"""Libraries that not every user needs: one line that says what to install where one is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def needed_for(what: str, extra: str) -> Iterator[None]:
    """Import optional libraries in this context.

    Parameters
    ----------
    what : str
        What needs them, as the beginning of a sentence: "A preview".
    extra : str
        The extra of this distribution that installs them.

    Raises
    ------
    ImportError
        With what to install, where a library is missing or does not start.
    """
    try:
        yield
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name
        reason = str(error.name).partition(".")[0] if missing else f"what does not start ({error})"
        raise ImportError(
            f"{what} needs {reason}: pip install 'im2gps-justzoomin[{extra}]'", name=error.name
        ) from error
