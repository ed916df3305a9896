"""The command `publish` of both data sets: convert rows to shards, write the card, upload."""

from __future__ import annotations

import functools
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import yaml
from huggingface_hub import constants

from gcd_metric.hub import EVAL_FILE, parse_eval_file
from gcd_metric.names import counted
from geoload.files import sha256
from geoload.messages import format_bytes
from geoload.output_folder import OutputFolder
from geoload.pictures import check_size
from geoload.publishing import convert, croissant, licences
from geoload.publishing.card import (
    CardEntry,
    ExistingCard,
    card_entry,
    find_card,
    placeholder_card,
    render_card,
)
from geoload.publishing.convert import Conversion, Manifest, Split, total
from geoload.publishing.formats import FORMATS, undecoded
from geoload.publishing.photo_table import write_photo_table
from geoload.publishing.spec import PublishSpec, Settings
from geoload.publishing.upload import File, Repository

_say = functools.partial(print, flush=True)
_REPOSITORY = re.compile(r"([\w.-]+/)?[\w.-]+")
_MAX_CARD = 2**18  # characters
_SHA256 = 64  # hexadecimal digits; the digest of a small file is git's


def publish(spec: PublishSpec, settings: Settings) -> None:
    """Convert, and upload if a repository is named; errors have one message for the user."""
    if settings.repo_id is None and settings.to is None:
        raise ValueError("Name a repository, as in `publish owner/name`, or a folder with --to.")
    if settings.repo_id is not None and not _REPOSITORY.fullmatch(settings.repo_id):
        raise ValueError(f"{settings.repo_id!r} is not a repository name such as owner/name.")
    if spec.private_option and not settings.private:
        raise ValueError(f"{spec.private_option} needs a private repository: leave out --public.")
    if settings.image_size is not None:
        check_size(settings.image_size)
    run = _Run(spec, settings)
    if settings.dry_run:
        run.estimate()
    else:
        run.publish()


class _Run:
    def __init__(self, spec: PublishSpec, settings: Settings) -> None:
        self._spec, self._settings = spec, settings
        # Rows by licence, of each configuration.
        self._licences: dict[str, Counter[licences.Licence]] = {}
        # Kept, as opening a source again would repeat its log lines.
        self._builder = functools.cache(spec.builder)
        self._configs = settings.configs or spec.configs
        if settings.to is None:
            name = f"{spec.package}-{str(settings.repo_id).replace('/', '--')}"
            self._folder = Path(datasets.config.HF_DATASETS_CACHE, "publish", name)
            return
        self._folder = folder = Path(os.path.abspath(os.path.expanduser(settings.to)))
        if folder.is_dir() and any(folder.iterdir()) and not (folder / convert.WORK).is_dir():
            raise ValueError(
                f"{folder} has files that `publish` did not write: name a new folder with --to."
            )

    def publish(self) -> None:
        settings, repository = self._settings, None
        if settings.repo_id is not None:
            repository = Repository(settings.repo_id)
            repository.create(settings.private)  # checks write access before hours of work
        destination = _Destination(self._folder, repository, settings, self._spec.private_option)
        destination.refresh(self._configs)
        with OutputFolder(self._folder) as out:
            out.lock()
            found = self._open_splits()
            destination.check_splits({config: [s.name for s in found[config]] for config in found})
            entries: list[CardEntry] = []
            files: list[File] = []
            for config, splits in found.items():
                written = self._convert(config, splits, out)
                if any(manifest.shards for manifest in written.values()):
                    features, suffix = splits[0].features, settings.suffix
                    entries.append(card_entry(config, features, written, suffix, self._spec.note))
                    files += self._files(config, features, written, out)
            if not entries:
                wanted = ", ".join(self._configs)
                raise ValueError(f"There is nothing to publish of {wanted}: see above.")
            self._finish(destination, entries, files, out)

    def _open_splits(self) -> dict[str, list[Split]]:
        """Return the splits of each configuration; print which configurations are missing."""
        found, missing = {}, {}
        for config in self._configs:
            try:
                found[config] = self._splits(config)
            except (FileNotFoundError, ImportError) as error:
                if self._settings.configs:
                    raise
                missing[config] = " ".join(str(error).split())
                if isinstance(error, ImportError):
                    _say(f"{config} is left out: {missing[config]}")
        if not found:
            raise ValueError(f"there is nothing to publish: {next(iter(missing.values()), '')}")
        if missing:
            names = ", ".join(missing)
            how = "(--configs with a name prints what it needs)"
            _say(f"Not available, or not requested: {names} {how}")
        return found

    def _splits(self, config: str) -> list[Split]:
        spec, builder = self._spec, self._builder(config)
        features = builder.info.features
        kept = {n: f for n, f in features.items() if n not in spec.screening_columns}
        types = FORMATS[self._settings.form].stored(datasets.Features(kept))
        key = f"{builder.config_id} {spec.key}"
        if self._settings.image_size is not None:
            key += f" image_size={self._settings.image_size}"
        # Opened at once, because only this leaves out splits whose files are missing.
        return [
            Split(config, name, types, key, undecoded(rows, features), self._screen)
            for name, rows in builder.as_streaming_dataset().items()
        ]

    def _screen(self, row: dict[str, Any]) -> convert.Screened:
        screened, size = self._spec.screen(row), self._settings.image_size
        return screened if size is None else convert.reduced(screened, size)

    def _conversion(self, split: Split, out: OutputFolder) -> Conversion:
        return Conversion(split, out, self._settings.form, self._settings.shard_bytes)

    def _convert(self, config: str, splits: list[Split], out: OutputFolder) -> dict[str, Manifest]:
        """Write the shards of a configuration; print what they contain and what was left out."""
        written = {split.name: self._conversion(split, out).run() for split in splits}
        for reason, count in total(written, "left_out").items():
            _say(f"{config}: {counted(count, 'rows')} left out: {reason}")
        for remark, count in total(written, "remarks").items():
            _say(f"{config}: {counted(count, remark)}")
        filled = {name: manifest for name, manifest in written.items() if manifest.shards}
        for name, manifest in filled.items():
            _say(f"{config} {name} {manifest.rows:,} {format_bytes(manifest.size)}")
        if not filled:
            _say(f"{config}: no row is left to publish")
        return written

    def _files(
        self, config: str, features: datasets.Features, written: dict[str, Manifest],
        out: OutputFolder,
    ) -> list[File]:  # fmt: skip
        """Return a configuration's files; write its tables of attributions and of photos."""
        files, suffix = [], self._settings.suffix
        for split, manifest in written.items():
            names = manifest.names(split, suffix)
            for name, shard in zip(names, manifest.shards, strict=True):
                path = f"{config}/{name}"
                files.append(File(path, Path(out.folder, path), shard.size, shard.sha256))
        counts: Counter[licences.Licence] = Counter()
        lines = convert.credit_lines(out, config, list(written))
        table = convert.write_attribution(out, config, licences.counting(lines, counts))
        if table is None:
            credits = self._spec.credits(config)
            table = convert.write_attribution(out, config, credits)
            rows = sum(manifest.rows for manifest in written.values())
            counts.update({licences.licence_of(line): rows for line in credits})
        self._licences[config] = counts
        photos = write_photo_table(out, config, features, written, suffix)
        return files + [_file(path, out) for path in (table, photos) if path is not None]

    def _overview(self, to: _Destination, kept: Collection[str]) -> str:
        """Return how many rows are under which licence, as text."""
        earlier = to.read(licences.FILE)[:_MAX_CARD].decode(errors="replace")
        return licences.overview(self._licences, earlier, kept)

    def _evaluation(self, entries: list[CardEntry]) -> str:
        """Return what makes the repository a benchmark, as YAML; empty if no split is one."""
        evaluation = self._spec.evaluation
        if evaluation is None or self._settings.suffix != "parquet":  # TAR has other columns
            return ""
        document = evaluation.document({entry.name: entry.splits for entry in entries})
        if not document["tasks"]:
            return ""
        parse_eval_file(document, EVAL_FILE)
        return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))

    def _description(
        self, to: _Destination, card: str, entries: list[CardEntry], files: list[File],
        out: OutputFolder,
    ) -> str:  # fmt: skip
        """Return the description of the repository as Croissant."""
        known = {file.name: (file.size, file.sha256) for file in files}
        names = {entry.name for entry in entries}
        kept = names - {name.partition("/")[0] for name in known}
        if to.repository is None:
            paths = [f"{config}/{name}" for config in kept for name in out.names(config)]
            there = [_file(path, out) for path in paths if out.size(path) is not None]
            known |= {file.name: (file.size, file.sha256) for file in there}
        else:
            known |= {
                name: file for name, file in to.repository.files.items()
                if name.partition("/")[0] in kept and len(file[1]) == _SHA256
            }  # fmt: skip
        components = self._spec.components(names)
        document = croissant.describe(card, entries, known, components, to.url)
        return json.dumps(document, indent=1, ensure_ascii=False)

    def _finish(
        self, to: _Destination, entries: list[CardEntry], files: list[File], out: OutputFolder
    ) -> None:
        splits, default = {entry.name: entry.splits for entry in entries}, self._spec.default
        to.refresh(splits)  # others may have published there meanwhile
        to.check_splits(splits)
        text = find_card(self._spec.package)
        if to.repository is None:
            text = text.replace("hf://datasets/REPO_ID", to.name)
        text = text.replace("REPO_ID", to.name)
        entries = [*entries, *to.card.without(splits)]
        card = render_card(text, entries, default)
        if self._settings.replace:
            convert.drop_other_splits(out, splits)
        out.write("README.md", card.encode())
        texts = {
            EVAL_FILE: self._evaluation(entries),
            croissant.FILE: self._description(to, text, entries, files, out),
            licences.FILE: self._overview(to, {entry.name for entry in entries} - set(splits)),
        }
        for name, content in texts.items():
            if content:
                out.write(name, content.encode())
                files.append(_file(name, out))
        if to.repository is None:
            _say(f'Wrote {to.folder}: load_dataset("{to.folder}")')
            return
        unfinished = {file.name.partition("/")[0] for file in to.repository.missing(files)}
        placeholder = placeholder_card(text, unfinished, default, to.card)
        to.repository.send(files, card, placeholder, lambda: to.check_readers(splits))
        private = to.check_readers(splits)
        who = "you, and others who may read this private repository" if private else "everybody"
        _say(f'load_dataset("{to.name}") now gives these rows to {who}.')
        _say(f"The converted files stay in {to.folder}; you may delete them.")

    def estimate(self) -> None:
        """Print what would be published: as converted already, as estimated, or as counted now."""
        all_bytes, settings = 0, self._settings
        for split in (one for splits in self._open_splits().values() for one in splits):
            rows, size, left_out, about = self._measure(split)
            all_bytes += size
            reasons = "".join(f"; left out: {n:,} {reason}" for reason, n in left_out.items())
            shards = max(1, -(-size // settings.shard_bytes)) if rows else 0
            what = (
                f"{about}{counted(rows, 'rows')}, {format_bytes(size)}, shards: {shards}{reasons}"
            )
            _say(f"{split.config}, {split.name}: {what}")
        who = "only you can read" if settings.private else "everybody can read"
        where = f"{settings.repo_id}, which {who}" if settings.repo_id else str(self._folder)
        _say(
            f"In total, {format_bytes(all_bytes)} would go to {where}. Nothing was written or sent."
        )

    def _measure(self, split: Split) -> tuple[int, int, dict[str, int], str]:
        if self._folder.is_dir():
            with OutputFolder(self._folder) as out:
                known = self._conversion(split, out).finished()
            if known is not None:
                return known.rows, known.size, known.left_out, ""
        estimate = self._spec.estimate(self._builder(split.config), split.name)
        if estimate is not None:
            full = "" if self._settings.image_size is None else "at full size, "
            return (*estimate, {}, f"{full}about ")
        rows = size = 0
        left_out: Counter[str] = Counter()
        for screened in map(split.screen, split.rows()):
            if screened.row is None:
                left_out[screened.left_out] += 1
                continue
            rows += 1
            size += sum(len(v["bytes"]) for v in screened.row.values() if isinstance(v, dict))
        return rows, size, left_out, ""


def _file(path: str, out: OutputFolder) -> File:
    local = Path(out.folder, path)
    return File(path, local, local.stat().st_size, sha256(local))


@dataclass
class _Destination:
    """A folder, or a repository that is filled from the folder."""

    folder: Path
    repository: Repository | None
    settings: Settings
    private_option: str  # because of which the repository must be private, or ""
    card: ExistingCard = field(default_factory=ExistingCard)  # as of the last `refresh`

    @property
    def name(self) -> str:
        """The repository's name, or the folder's path: what `load_dataset` takes."""
        return str(self.folder) if self.repository is None else self.repository.repo_id

    @property
    def url(self) -> str:
        """The address of the repository; empty for a folder."""
        return f"{constants.ENDPOINT}/datasets/{self.name}" if self.repository else ""

    def refresh(self, names: Collection[str]) -> None:
        """Read the present contents; ValueError if these configurations cannot be added."""
        if self.repository is not None:
            self.repository.refresh()
        try:
            self.card = ExistingCard(self._read_card())
            if self.card.foreign:
                raise ValueError("it has a README.md that `publish` did not write")
        except ValueError as error:
            if not self.settings.replace:
                raise ValueError(
                    f"{self.name}: {error}. Repair it, name another destination, or give --replace "
                    "to write a new README.md, which drops what was published there earlier."
                ) from None
            self.card = ExistingCard()
        if any(entry.suffixes - {self.settings.suffix} for entry in self.card.without(names)):
            raise ValueError(
                "The repository has configurations in the other format, and load_dataset reads "
                "one format per repository: publish all again with --configs, or use another "
                "repository."
            )
        self.check_readers(names)

    def read(self, name: str) -> bytes:
        """Return the present content of a small file; empty if there is none."""
        if self.repository is not None:
            return self.repository.read(name)
        path = self.folder / name
        return path.read_bytes() if path.exists() else b""

    def _read_card(self) -> str:
        try:
            text = self.read("README.md").decode().replace("\r\n", "\n")
        except UnicodeDecodeError:
            raise ValueError("its README.md is not UTF-8 text") from None
        if len(text) > _MAX_CARD:
            raise ValueError(f"its README.md is longer than {_MAX_CARD:,} characters")
        return text

    def check_splits(self, splits: Mapping[str, Collection[str]]) -> None:
        """Refuse to remove splits of configurations that were published earlier."""
        published = {name: entry.splits for name, entry in self.card.entries.items()}
        gone = {name: sorted(set(published.get(name, ())) - set(splits[name])) for name in splits}
        text = "; ".join(f"{config}: {', '.join(names)}" for config, names in gone.items() if names)
        if text and not self.settings.replace:
            raise ValueError(
                f"{self.name} has splits that this run would remove ({text}). Publish them "
                "together with these (uploaded files are not sent again), or give --replace."
            )

    def check_readers(self, names: Collection[str]) -> bool:
        """Return whether the repository is private; ValueError if it should be and is not."""
        if self.repository is None:
            return False
        # Configurations that were published earlier may also require a private repository.
        marked = any(entry.notes for entry in self.card.without(names))
        private = self.repository.is_private()
        if private and marked and not self.settings.private:
            raise ValueError(
                f"{self.name} has photos that may not be redistributed: leave out --public, or "
                "publish into another repository."
            )
        if not private and (marked or self.private_option):
            without = f", or leave out {self.private_option}" if self.private_option else ""
            raise ValueError(
                f"{self.name} is public, and photos in it may not be redistributed: make it "
                f"private in its settings{without}."
            )
        if not private and self.settings.private:
            raise ValueError(
                f"{self.name} exists and is public: give --public, or make it private in its "
                "settings."
            )
        return private
