"""Base classes of both builders: the cache key, checked options, and a report of findings."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import importlib.util
import inspect
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets
import datasets.exceptions
import numpy as np
import pyarrow as pa

from geoload.files import CACHE_ADVICE, explain_disk_errors, is_disk_error, write_json
from geoload.registry import requested
from geoload.report import Findings
from geoload.tables import PREPARED, STREAMED, Row, Stream, tables

_log = logging.getLogger(__name__)


@dataclass
class Config(datasets.BuilderConfig):  # type: ignore[misc]
    """A configuration whose cache folder depends on the files that it reads."""

    strict: bool = False

    # Increase it if the same files give other rows although no module of ROW_MODULES changed.
    ROWS_VERSION: ClassVar[int] = 1
    # Modules that make rows, also those of geoload: a change in one invalidates cached rows.
    ROW_MODULES: ClassVar[tuple[str, ...]] = ()

    def source_key(self) -> Any:
        """Return plain data that changes when the files do: signatures of files, or a commit."""
        raise NotImplementedError

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Any = None) -> str:
        """Return a name of the cache folder that depends on options, files and ROW_MODULES."""
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        options = {
            name: value
            for name, value in config_kwargs.items()
            if name != "data_dir" and value is not None and value != usual.get(name)
        }
        code = _code_digest(self.ROW_MODULES)
        key = json.dumps([self.source_key(), self.ROWS_VERSION, code], default=str)
        digest = hashlib.sha256(key.encode()).hexdigest()[:16]
        return str(super().create_config_id({**options, "source": digest}, custom_features))


def row_modules(**packages: str) -> tuple[str, ...]:
    """Return module names for `ROW_MODULES`: `row_modules(geoload="tar files", …)`."""
    return tuple(f"{name}.{part}" for name, parts in packages.items() for part in parts.split())


@functools.lru_cache
def _code_digest(modules: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for module in modules:
        # Found without being imported, because some need optional libraries.
        spec = importlib.util.find_spec(module)
        assert spec is not None and spec.origin is not None
        digest.update(Path(spec.origin).read_bytes())
    return digest.hexdigest()


class Builder(datasets.ArrowBasedBuilder):  # type: ignore[misc]
    """A builder that reports what it left out, in the log and in `report.json` beside the rows.

    A generator saves what it found with `save_findings`; `combine_findings` combines that when all
    splits are prepared, and may raise before anything enters the cache.
    """

    # Takes the gen_kwargs of a split, with `findings`, and yields rows, each with a key.
    _generate_examples: Callable[..., Iterator[Row]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._refuse_unknown_options(kwargs)
        with explain_disk_errors(
            kwargs.get("cache_dir") or datasets.config.HF_DATASETS_CACHE, CACHE_ADVICE
        ):
            super().__init__(*args, **kwargs)
        self.check_split(requested().get("split"))

    def split_names(self) -> list[str]:
        """Return the splits of the chosen configuration."""
        raise NotImplementedError

    def takes_data_files(self, options: dict[str, Any]) -> bool:
        """Return whether data_files= can be used with the other options."""
        return False

    def check_split(self, split: Any) -> None:
        """Raise ValueError for a split that does not exist, before anything is downloaded."""
        for one in split if isinstance(split, (list, tuple)) else [split]:
            if not isinstance(one, (str, datasets.NamedSplit)):
                continue
            for part in re.sub(r"\[[^]]*\]", "", str(one)).split("+"):
                if part.strip() not in [*self.split_names(), "all"]:
                    names = self.split_names()
                    raise ValueError(
                        f"split={str(one)!r}: configuration {self.config.name!r} of {self.name} "
                        f"has the split{'s' * (len(names) > 1)} {', '.join(names)}."
                    )

    def as_streaming_dataset(self, split: Any = None, **kwargs: Any) -> Any:
        """See `datasets.DatasetBuilder`; an unknown split is refused first."""
        self.check_split(split)
        return super().as_streaming_dataset(split=split, **kwargs)

    def as_dataset(self, split: Any = None, **kwargs: Any) -> Any:
        """See `datasets.DatasetBuilder`; an unknown split is refused first."""
        self.check_split(split)
        return super().as_dataset(split=split, **kwargs)

    def _as_dataset(self, split: Any = datasets.Split.TRAIN, in_memory: bool = False) -> Any:
        # `datasets` would raise for a split without rows.
        found = self.info.splits and self.info.splits.get(re.sub(r"\[[^]]*\]$", "", str(split)))
        if found and not found.num_examples:
            nothing: dict[str, list[Any]] = {name: [] for name in self.info.features or ()}
            return datasets.Dataset.from_dict(nothing, self.info.features, split=found.name)
        return super()._as_dataset(split=split, in_memory=in_memory)

    def _refuse_unknown_options(self, options: dict[str, Any]) -> None:
        own = {field.name: field.type for field in dataclasses.fields(self.BUILDER_CONFIG_CLASS)}
        others = inspect.signature(datasets.DatasetBuilder.__init__).parameters
        for name, value in options.items():
            if name not in own and name not in others:
                close = difflib.get_close_matches(name, own, 1)
                hint = f" Did you mean {close[0]}=?" if close else ""
                raise ValueError(
                    f"There is no option {name}=.{hint} See help({type(self).__name__})."
                )
            # The text "no" would count as true. Annotations may be text.
            flag = own.get(name) in (bool, "bool")
            if flag and value is not None and not isinstance(value, bool):
                raise ValueError(f"{name}={value!r}: must be True or False.")
            if name == "data_files" and value is not None and not self.takes_data_files(options):
                raise ValueError(
                    "data_files= cannot be used here, because the files of the data set belong "
                    "together. Give their folder as data_dir=."
                )

    def save_findings(
        self, folder: str | None, name: str, report: Findings, found: np.ndarray | None = None
    ) -> None:
        """Save what a pass over one part (`name`: "train-…") found, until all parts are read.

        `folder` comes from `findings_folder`; `found` are the numbers of the rows found.
        """
        if folder is None:
            return
        base = os.path.join(folder, name)
        write_json(f"{base}.json", report.as_dict())
        if found is not None:
            np.save(f"{base}.npy", found, allow_pickle=False)

    def combine_findings(self, split: str, findings: Findings, found: list[np.ndarray]) -> Findings:
        """Return the findings of a whole split, from those of its parts and the rows found."""
        return findings

    def findings_folder(self, dl_manager: Any) -> str | None:
        """Return the folder for `save_findings` in the unfinished cache entry, None if streaming.

        Generators get it as an argument because they may run in other processes.
        """
        if dl_manager.is_streaming or "://" in self._output_dir:
            return None
        folder = os.path.join(self._output_dir, "findings")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        return folder

    def gives_tables(self) -> bool:
        """Return whether the rows are read as Arrow tables, by `_generate_tables`."""
        return False

    def _generate_tables(self, **arguments: Any) -> Iterator[tuple[str, pa.Table]]:
        limits = STREAMED if arguments["findings"] is None else PREPARED
        rows = self._generate_examples(**arguments)
        return tables(rows, self.info.features, limits)

    def _get_examples_iterable_for_split(self, split_generator: Any) -> Any:
        if self.gives_tables():
            return super()._get_examples_iterable_for_split(split_generator)
        arguments, features = split_generator.gen_kwargs, self.info.features
        return Stream(self._generate_examples, self._generate_tables, arguments, features)

    def _prepare_split_single(self, *args: Any, **kwargs: Any) -> Any:
        # With num_proc this runs in another process, which does not send the cause of an error.
        try:
            yield from super()._prepare_split_single(*args, **kwargs)
        except datasets.exceptions.DatasetGenerationError as error:
            if isinstance(error.__cause__, (ValueError, OSError)):
                raise error.__cause__ from None
            raise

    def _save_infos(self) -> None:
        """Do nothing. With `save_infos=True`, datasets 3 would write a README.md into our code."""

    def download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        """See `datasets.DatasetBuilder`; a full or read-only disk is explained in one line."""
        with explain_disk_errors(self._cache_dir_root, CACHE_ADVICE):
            try:
                super().download_and_prepare(*args, **kwargs)
            except OSError as error:
                # `datasets` treats every OSError as a data file that cannot be found.
                if is_disk_error(error.__context__ or error):
                    raise (error.__context__ or error) from None
                raise

    def _download_and_prepare(self, dl_manager: Any, verification_mode: Any, **kwargs: Any) -> None:
        super()._download_and_prepare(dl_manager, verification_mode, **kwargs)
        folder = os.path.join(self._output_dir, "findings")
        if not os.path.isdir(folder):
            return
        reports = {split: self._load_findings(folder, split) for split in self.info.splits}
        shutil.rmtree(folder)
        data = {split: report.as_dict() for split, report in reports.items()}
        write_json(os.path.join(self._output_dir, "report.json"), data)
        for split, report in reports.items():
            report.raise_or_log(f"{self.name}, split {split}", self.config.strict, _log)

    def _load_findings(self, folder: str, split: str) -> Findings:
        findings, found = Findings(), []
        for file in sorted(Path(folder).glob(f"{split}-*.json")):
            findings.merge(Findings.from_dict(json.loads(file.read_text(encoding="utf-8"))))
            rows = file.with_suffix(".npy")
            if rows.exists():
                found.append(np.load(rows, allow_pickle=False))
        return self.combine_findings(split, findings, found)
