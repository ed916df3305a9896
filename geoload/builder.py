"""What both builders share: a cache key that cannot go stale, and a report of what was left out.

Which files and how they are read is each data set's own affair.
"""

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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets
import datasets.exceptions
import numpy as np

import geoload
from geoload.files import CACHE_ADVICE, explain_disk_errors, is_disk_error, write_json
from geoload.registry import requested
from geoload.report import Findings

_log = logging.getLogger(__name__)


@dataclass
class Config(datasets.BuilderConfig):
    """A configuration whose cache folder depends on the very files that it reads."""

    strict: bool = False

    # Packages, besides this one, whose code decides the rows.
    PACKAGES: ClassVar[tuple[str, ...]] = ()

    def source_key(self) -> Any:
        """Return plain data that differs whenever the rows could: file signatures or a commit."""
        raise NotImplementedError

    def create_config_id(self, config_kwargs: dict, custom_features: Any = None) -> str:
        """Name the cache folder by the options, the source's state and our code's version."""
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        options = {
            name: value
            for name, value in config_kwargs.items()
            if name != "data_dir" and value is not None and value != usual.get(name)
        }
        key = [self.source_key(), code_version(*self.PACKAGES)]
        digest = hashlib.sha256(json.dumps(key, default=str).encode()).hexdigest()[:16]
        return super().create_config_id({**options, "source": digest}, custom_features)


@functools.lru_cache
def code_version(*packages: str) -> str:
    """Return our version and a digest of our code: other code never gets this code's rows."""
    digest = hashlib.sha256()
    for package in ("geoload", *packages):
        # Found and not imported: not every package is needed to load rows.
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.origin is not None
        folder = Path(spec.origin).parent
        for file in sorted(folder.rglob("*.py")):
            digest.update(file.read_bytes())
    return f"{geoload.__version__}-{digest.hexdigest()[:16]}"


class Builder(datasets.GeneratorBasedBuilder):
    """A builder that reports what it left out, in the log and in `report.json` by the rows.

    A generator leaves its findings with `self.save_findings`; when every split is prepared
    they are put together by `self.conclude`, which may raise before anything enters the cache.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._refuse_unknown_options(kwargs)
        with explain_disk_errors(
            kwargs.get("cache_dir") or datasets.config.HF_DATASETS_CACHE, CACHE_ADVICE
        ):
            super().__init__(*args, **kwargs)
        self.check_split(requested().get("split"))

    def split_names(self) -> list[str]:
        """Return the splits of the configuration at hand."""
        raise NotImplementedError

    def takes_data_files(self, options: dict[str, Any]) -> bool:
        """Tell whether data_files= means anything beside the other options."""
        return False

    def check_split(self, split: Any) -> None:
        """Refuse a split that does not exist, before anything is downloaded for it."""
        for one in split if isinstance(split, (list, tuple)) else [split]:
            if not isinstance(one, (str, datasets.NamedSplit)):
                continue
            for part in re.sub(r"\[[^]]*\]", "", str(one)).split("+"):
                if part.strip() not in [*self.split_names(), "all"]:
                    raise ValueError(
                        f"split={str(one)!r}: configuration {self.config.name!r} of {self.name} "
                        f"has {_listed(self.split_names(), 'the split')}."
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
        # A split without rows, for which `datasets` would raise, whatever else is there.
        found = self.info.splits and self.info.splits.get(re.sub(r"\[[^]]*\]$", "", str(split)))
        if found and not found.num_examples:
            nothing: dict[str, list] = {name: [] for name in self.info.features or ()}
            return datasets.Dataset.from_dict(nothing, self.info.features, split=found.name)
        return super()._as_dataset(split=split, in_memory=in_memory)

    def _refuse_unknown_options(self, options: dict[str, Any]) -> None:
        fields = dataclasses.fields(self.BUILDER_CONFIG_CLASS)
        own = [field.name for field in fields]
        # "no" would count as true. The types of annotations put off are text.
        flags = {field.name for field in fields if field.type in (bool, "bool")}
        known = [*own, *inspect.signature(datasets.DatasetBuilder.__init__).parameters]
        for name, value in options.items():
            if name not in known:
                close = difflib.get_close_matches(name, own, 1)
                hint = f" Did you mean {close[0]}=?" if close else ""
                raise ValueError(
                    f"There is no option {name}=.{hint} See help({type(self).__name__})."
                )
            if name in flags and value is not None and not isinstance(value, bool):
                raise ValueError(f"{name}={value!r}: must be True or False.")
            if name == "data_files" and value is not None and not self.takes_data_files(options):
                raise ValueError(
                    "data_files= is not used here: the files of these data sets belong together. "
                    "Name their folder with data_dir=."
                )

    def save_findings(
        self, folder: str | None, name: str, report: Findings, found: np.ndarray | None = None
    ) -> None:
        """Keep what one part's pass found, until all parts are through.

        `folder` is None while streaming: then nobody sees all parts, and the log is all.
        """
        if folder is None:
            return
        base = os.path.join(folder, name)
        write_json(f"{base}.json", report.as_dict())
        if found is not None:
            np.save(f"{base}.npy", found, allow_pickle=False)

    def combine_findings(self, split: str, findings: Findings, found: list[np.ndarray]) -> Findings:
        """Return the report of a whole split from its parts' findings."""
        return findings

    def findings_folder(self, dl_manager: Any) -> str | None:
        """Return the folder for `save_findings`: in the unfinished cache entry, if there is one.

        It goes to the generators as an argument, because they may run in other processes.
        """
        if dl_manager.is_streaming or "://" in self._output_dir:
            return None
        folder = os.path.join(self._output_dir, "findings")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        return folder

    def gives_tables(self) -> bool:
        """Tell whether the rows come as Arrow tables, from `_generate_tables`, not one by one.

        A table takes `datasets` no longer than a row does.
        """
        return False

    def _generate_tables(self, **arguments: Any) -> Iterator[tuple[Any, Any]]:
        raise NotImplementedError

    def _prepare_split(self, *args: Any, **kwargs: Any) -> None:
        if not self.gives_tables():
            return super()._prepare_split(*args, **kwargs)
        kwargs.pop("check_duplicate_keys", None)
        datasets.ArrowBasedBuilder._prepare_split(self, *args, **kwargs)

    def _get_examples_iterable_for_split(self, split_generator: Any) -> Any:
        if not self.gives_tables():
            return super()._get_examples_iterable_for_split(split_generator)
        return datasets.ArrowBasedBuilder._get_examples_iterable_for_split(self, split_generator)

    def _prepare_split_single(self, *args: Any, **kwargs: Any) -> Any:
        # Here, because with num_proc this runs in another process, from which no cause comes back.
        prepare = super()._prepare_split_single
        if self.gives_tables():
            prepare = functools.partial(datasets.ArrowBasedBuilder._prepare_split_single, self)
        try:
            yield from prepare(*args, **kwargs)
        except datasets.exceptions.DatasetGenerationError as error:
            if isinstance(error.__cause__, (ValueError, OSError)):
                raise error.__cause__ from None
            raise

    def _save_infos(self) -> None:
        """Write no README.md into our package, as datasets 3 would with `save_infos=True`."""

    def download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        """See `datasets.DatasetBuilder`; a full or read-only disk is said in one line."""
        with explain_disk_errors(self._cache_dir_root, CACHE_ADVICE):
            try:
                super().download_and_prepare(*args, **kwargs)
            except OSError as error:
                # `datasets` takes every OSError for a data file that cannot be found.
                if is_disk_error(error.__context__ or error):
                    raise (error.__context__ or error) from None
                raise

    def _download_and_prepare(self, dl_manager: Any, verification_mode: Any, **kwargs: Any) -> None:
        super()._download_and_prepare(dl_manager, verification_mode, **kwargs)
        folder = os.path.join(self._output_dir, "findings")
        if not os.path.isdir(folder):
            return
        reports = {split: self._put_together(folder, split) for split in self.info.splits}
        shutil.rmtree(folder)
        data = {split: report.as_dict() for split, report in reports.items()}
        write_json(os.path.join(self._output_dir, "report.json"), data)
        for split, report in reports.items():
            report.raise_or_log(f"{self.name}, split {split}", self.config.strict, _log)

    def _put_together(self, folder: str, split: str) -> Findings:
        findings = Findings()
        found = []
        for file in sorted(Path(folder).glob(f"{split}-*.json")):
            findings.merge(Findings.from_dict(json.loads(file.read_text(encoding="utf-8"))))
            rows = file.with_suffix(".npy")
            if rows.exists():
                found.append(np.load(rows, allow_pickle=False))
        return self.combine_findings(split, findings, found)


def _listed(names: list[str], what: str) -> str:
    return f"{what}{'s' if len(names) > 1 else ''} {', '.join(names)}"
