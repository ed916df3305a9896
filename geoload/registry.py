"""Makes a builder known to `load_dataset`, which refuses loading scripts since datasets 4.

This file and `builder.py` alone use names that `datasets` keeps to itself; contract tests run them
on every supported version.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import os
import re
import sys
from typing import Any

import datasets.inspect
import datasets.load

_builders: dict[str, tuple[str, bool]] = {}


def register(name: str, module: str, revisions: bool = False) -> None:
    """Make `load_dataset(name)` use the builder class defined in `module`.

    Wraps the one function through which `datasets` turns a name into a builder, in both modules
    that hold it. Neither the current folder nor the network is looked at for our names.

    Parameters
    ----------
    name : str
        What users type.
    module : str
        Importable name of the module that defines the builder class.
    revisions : bool
        Whether the builder takes `revision=`; `load_dataset` itself keeps that argument from it.
    """
    _builders[name] = (module, revisions)
    for holder in (datasets.load, datasets.inspect):
        factory = holder.dataset_module_factory
        if not hasattr(factory, "_geoload"):
            holder.dataset_module_factory = _knowing_our_names(factory)


def _knowing_our_names(factory: Any) -> Any:
    @functools.wraps(factory)
    def dataset_module_factory(path: str, *args: Any, **kwargs: Any) -> Any:
        if path not in _builders:
            _refuse_mistaken(path)
            return factory(path, *args, **kwargs)
        revision = args[0] if args else kwargs.get("revision")
        return _our_module(path, revision)

    dataset_module_factory._geoload = True  # type: ignore[attr-defined]
    return dataset_module_factory


def _refuse_mistaken(path: Any) -> None:
    """Name the data set that is meant at once; `datasets` would ask the Hub for many seconds.

    Raises
    ------
    FileNotFoundError
        For another spelling of a name of ours, or of one of its configurations.
    """
    if not isinstance(path, str) or "/" in path or os.path.exists(path):
        return
    meant: dict[str, str] = {}
    for name, (module, _) in _builders.items():
        meant[_plain(name)] = f'"{name}"'
        for config in _configs(module):
            # Not views or photos: they could be data sets of their own.
            if _plain(config).startswith(_plain(name)):
                meant.setdefault(_plain(config), f'"{name}", "{config}"')
            meant[_plain(name + config)] = f'"{name}", "{config}"'
    close = difflib.get_close_matches(_plain(path), meant, n=1, cutoff=0.85)
    if close:
        raise FileNotFoundError(
            f"{path!r} is no data set; did you mean load_dataset({meant[close[0]]})?"
        )


def _plain(name: str) -> str:
    return re.sub("[^0-9a-z]", "", name.lower())


def _configs(module: str) -> list[str]:
    """Return the configurations of the builder that a module defines."""
    found = vars(importlib.import_module(module)).values()
    builders = [b for b in found if isinstance(b, type) and b.__module__ == module]
    return [config.name for b in builders for config in getattr(b, "BUILDER_CONFIGS", [])]


def _our_module(name: str, revision: Any) -> Any:
    module, revisions = _builders[name]
    builder_kwargs = {"dataset_name": name}
    if revision is not None:
        if not revisions and revision != "main":
            raise ValueError(
                f"{name} has no revisions, so revision={str(revision)!r} means nothing: its files "
                "come from the project page or from data_dir=."
            )
        if revisions:
            builder_kwargs["revision"] = str(revision)
    # The hash, a part of the cache path, may stay empty: the configuration id that our builders
    # compute holds the version of the code and all that decides which rows there are.
    return datasets.load.DatasetModule(module, "", builder_kwargs)


def requested() -> dict[str, Any]:
    """Return `split` and `streaming` of the `load_dataset` call under way, or an empty dict.

    `load_dataset` tells a builder neither, so a split that does not exist would be refused only
    after the download. The caller's frame knows; where there is none the answer is empty and
    everything works, only later.
    """
    code = datasets.load.load_dataset.__code__
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is code:
            return {key: frame.f_locals.get(key) for key in ("split", "streaming")}
        frame = frame.f_back  # type: ignore[assignment]
    return {}
