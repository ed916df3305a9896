"""Registers the metrics with `evaluate.load` when `evaluate` is imported."""

from __future__ import annotations

import difflib
import importlib.util
import os
from typing import Any

import wrapt

METRICS = ("gcd_metric", "geo_attributes")
# data sets that users may mistake for metrics; gcd_metric has configurations for them
_CONFIGURATIONS = ("im2gps", "justzoomin")


def register(loading: Any) -> None:
    """Let `evaluate.load` find the installed packages; `loading` is `evaluate.loading`."""

    def find(wrapped: Any, _: Any, arguments: Any, options: Any) -> Any:
        path = str(arguments[0] if arguments else options["path"])
        if path in METRICS and importlib.util.find_spec(path):
            return loading.ImportableModule(f"{path}.{path}", "installed")
        _refuse_mistaken(path)
        return wrapped(*arguments, **options)

    wrapt.wrap_function_wrapper(loading, "evaluation_module_factory", find)


def _refuse_mistaken(path: str) -> None:
    """Suggest a metric for a similar name, before evaluate searches the Hub for many seconds."""
    if os.path.exists(path) or "/" in path:
        return
    plain = path.lower().replace("-", "_")
    close = difflib.get_close_matches(plain, (*METRICS, *_CONFIGURATIONS), n=1, cutoff=0.8)
    if close:
        meant = f'"{close[0]}"' if close[0] in METRICS else f'"gcd_metric", "{close[0]}"'
        raise FileNotFoundError(f"{path!r} is not a metric; did you mean evaluate.load({meant})?")


# evaluate is not imported here, because it imports transformers and torch if they are installed
wrapt.register_post_import_hook(register, "evaluate.loading")
