"""Makes the metrics' names known to `evaluate.load`, when and if `evaluate` is imported."""

from __future__ import annotations

import difflib
import importlib.util
import os
from typing import Any

import wrapt

METRICS = ("gcd_metric", "geo_attributes")
# what people may take for a metric: the data sets that gcd_metric has configurations for
_CONFIGURATIONS = ("im2gps", "justzoomin")


def register(loading: Any) -> None:
    """Let `evaluate.load` find the installed packages, from any folder.

    Parameters
    ----------
    loading : module
        `evaluate.loading`.
    """

    def find(wrapped: Any, _: Any, arguments: Any, options: Any) -> Any:
        path = str(arguments[0] if arguments else options["path"])
        if path in METRICS and importlib.util.find_spec(path):
            return loading.ImportableModule(f"{path}.{path}", "installed")
        _refuse_mistaken(path)
        return wrapped(*arguments, **options)

    wrapt.wrap_function_wrapper(loading, "evaluation_module_factory", find)


def _refuse_mistaken(path: str) -> None:
    """Name the metric that is meant at once; evaluate would ask the Hub for many seconds."""
    if os.path.exists(path) or "/" in path:
        return
    plain = path.lower().replace("-", "_")
    close = difflib.get_close_matches(plain, (*METRICS, *_CONFIGURATIONS), n=1, cutoff=0.8)
    if close:
        meant = f'"{close[0]}"' if close[0] in METRICS else f'"gcd_metric", "{close[0]}"'
        raise FileNotFoundError(f"{path!r} is no metric; did you mean evaluate.load({meant})?")


# evaluate itself is not imported here: it imports transformers and torch where they are installed
wrapt.register_post_import_hook(register, "evaluate.loading")
