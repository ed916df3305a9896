"""Register a builder with `load_dataset`, which refuses loading scripts since datasets 4.

Contract tests check the private names of `datasets` that this module and `builder.py` use.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import os
import re
import sys
from typing import Any

import wrapt

_builders: dict[str, str] = {}


def register(name: str, module: str) -> None:
    """Make `load_dataset(name)` use the builder class that the module named `module` defines.

    This wraps the one function that turns a name into a builder, in both modules of `datasets` that
    contain it. It does so when they are imported, because importing `datasets` takes a second, and
    some commands do not need it. The builder gets `revision=`, which `load_dataset` would not pass
    on.
    """
    if not _builders:
        for holder in ("datasets.load", "datasets.inspect"):
            wrapt.register_post_import_hook(_wrap, holder)
    _builders[name] = module


def _wrap(holder: Any) -> None:
    factory = holder.dataset_module_factory
    if not hasattr(factory, "_geoload"):
        holder.dataset_module_factory = _wrapped(factory)


def _wrapped(factory: Any) -> Any:
    @functools.wraps(factory)
    def dataset_module_factory(path: str, *args: Any, **kwargs: Any) -> Any:
        if path not in _builders:
            _refuse_misspelt(path)
            return factory(path, *args, **kwargs)
        revision = args[0] if args else kwargs.get("revision")
        builder_kwargs = {"dataset_name": path}
        if revision is not None:
            builder_kwargs["revision"] = str(revision)
        # The hash, a part of the cache path, can be empty because the configuration id that our
        # builders compute depends on everything that decides the rows.
        return sys.modules["datasets.load"].DatasetModule(_builders[path], "", builder_kwargs)

    dataset_module_factory._geoload = True  # type: ignore[attr-defined]
    return dataset_module_factory


def _refuse_misspelt(path: Any) -> None:
    """Raise FileNotFoundError for a misspelt name; `datasets` would search the Hub for seconds."""
    if not isinstance(path, str) or "/" in path or os.path.exists(path):
        return
    meant: dict[str, str] = {}
    for name, module in _builders.items():
        meant[_plain(name)] = f'"{name}"'
        found = vars(importlib.import_module(module)).values()
        builders = [b for b in found if isinstance(b, type) and b.__module__ == module]
        for config in (c.name for b in builders for c in getattr(b, "BUILDER_CONFIGS", [])):
            # Not names such as views or photos, which could be data sets of their own.
            if _plain(config).startswith(_plain(name)):
                meant.setdefault(_plain(config), f'"{name}", "{config}"')
            meant[_plain(name + config)] = f'"{name}", "{config}"'
    close = difflib.get_close_matches(_plain(path), meant, n=1, cutoff=0.85)
    if close:
        raise FileNotFoundError(
            f"{path!r} is not a data set; did you mean load_dataset({meant[close[0]]})?"
        )


def _plain(name: str) -> str:
    return re.sub("[^0-9a-z]", "", name.lower())


def requested() -> dict[str, Any]:
    """Return `split` and `streaming` of the `load_dataset` call in progress, or an empty dict.

    `load_dataset` does not pass them on, so they are read from its frame; without them a split that
    does not exist is refused only after the download.
    """
    code = sys.modules["datasets.load"].load_dataset.__code__
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is code:
            return {key: frame.f_locals.get(key) for key in ("split", "streaming")}
        frame = frame.f_back  # type: ignore[assignment]
    return {}
