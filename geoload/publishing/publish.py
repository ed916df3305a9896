"""The command `publish` of both data sets: convert rows to shards, write the card, upload."""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from pathlib import Path

import datasets

from geoload.files import sha256
from geoload.messages import format_bytes
from geoload.output_folder import OutputFolder
from geoload.publishing.card import (
    CardEntry,
    card_entry,
    find_card,
    placeholder_card,
    render_card,
)
from geoload.publishing.convert import (
    WORK,
    Conversion,
    Manifest,
    Split,
    credit_lines,
    drop_other_splits,
    total,
    write_attribution,
)
from geoload.publishing.destination import Destination
from geoload.publishing.formats import undecoded
from geoload.publishing.spec import PublishSpec, Settings
from geoload.publishing.upload import File, Repository

_say = functools.partial(print, flush=True)
_REPOSITORY = re.compile(r"([\w.-]+/)?[\w.-]+")


def publish(spec: PublishSpec, settings: Settings) -> None:
    """Convert, and upload where a repository is named.

    Raises
    ------
    ValueError, OSError
        With one message for the user.
    """
    _check(spec, settings)
    folder = _folder(spec, settings)
    if settings.dry_run:
        _dry_run(spec, settings, folder)
        return
    repository = None
    if settings.repo_id is not None:
        repository = Repository(settings.repo_id)
        repository.create(settings.private)  # before hours of work: is writing allowed?
    destination = Destination(folder, repository, settings, spec.private_option)
    destination.refresh(settings.configs or spec.configs)
    with OutputFolder(folder) as out:
        out.lock()
        entries, files = _convert(spec, settings, destination, out)
        if not entries:
            wanted = ", ".join(settings.configs or spec.configs)
            raise ValueError(f"There is nothing to publish of {wanted}: see above.")
        _finish(spec, settings, destination, out, entries, files)


def _check(spec: PublishSpec, settings: Settings) -> None:
    if settings.repo_id is None and settings.to is None:
        raise ValueError("Name a repository, as in `publish owner/name`, or a folder with --to.")
    if settings.repo_id is not None and not _REPOSITORY.fullmatch(settings.repo_id):
        raise ValueError(f"{settings.repo_id!r} is not a repository name such as owner/name.")
    if spec.private_option and not settings.private:
        raise ValueError(f"{spec.private_option} needs a private repository: leave out --public.")


def _folder(spec: PublishSpec, settings: Settings) -> Path:
    if settings.to is None:
        name = str(settings.repo_id).replace("/", "--")
        return Path(datasets.config.HF_DATASETS_CACHE, "publish", f"{spec.package}-{name}")
    folder = Path(os.path.abspath(os.path.expanduser(settings.to)))
    if folder.is_dir() and any(folder.iterdir()) and not (folder / WORK).is_dir():
        raise ValueError(
            f"{folder} holds files that `publish` did not write: name a new folder with --to."
        )
    return folder


def _open_splits(spec: PublishSpec, settings: Settings) -> dict[str, list[Split]]:
    """Return the splits of each configuration; print which configurations are missing."""
    found, missing = {}, {}
    for config in settings.configs or spec.configs:
        try:
            found[config] = _splits(spec, config)
        except (FileNotFoundError, ImportError) as error:
            if settings.configs:
                raise
            missing[config] = " ".join(str(error).split())
            if isinstance(error, ImportError):
                _say(f"{config} is left out: {missing[config]}")
    if not found:
        raise ValueError(f"there is nothing to publish: {next(iter(missing.values()), '')}")
    if missing:
        names = ", ".join(missing)
        _say(f"Not there, or not asked for: {names} (--configs with a name prints what it needs)")
    return found


def _splits(spec: PublishSpec, config: str) -> list[Split]:
    builder = spec.builder(config)
    features = builder.info.features
    kept = {n: f for n, f in features.items() if n not in spec.screening_columns}
    key = f"{builder.config_id} {spec.key}"
    # All splits at once: one whose files are missing is not among them, though it has a name.
    return [
        Split(config, name, datasets.Features(kept), key, undecoded(rows, features), spec.screen)
        for name, rows in builder.as_streaming_dataset().items()
    ]


def _convert(
    spec: PublishSpec, settings: Settings, destination: Destination, out: OutputFolder
) -> tuple[list[CardEntry], list[File]]:
    entries: list[CardEntry] = []
    files: list[File] = []
    found = _open_splits(spec, settings)
    destination.check_splits({name: [s.name for s in splits] for name, splits in found.items()})
    for config, splits in found.items():
        written = {
            split.name: Conversion(split, out, settings.form, settings.shard_bytes).run()
            for split in splits
        }
        for reason, count in total(written, "left_out").items():
            _say(f"{config}: {count:,} rows left out: {reason}")
        for remark, count in total(written, "remarks").items():
            _say(f"{config}: {count:,} {remark}")
        entry = card_entry(config, splits[0].features, written, settings.suffix, spec.note)
        written = {name: manifest for name, manifest in written.items() if manifest.shards}
        if not written:
            _say(f"{config}: no row is left to publish")
            continue
        entries.append(entry)
        for name, manifest in written.items():
            _say(f"{config} {name} {manifest.rows:,} {format_bytes(manifest.size)}")
        files += _files(spec, settings, out, config, written)
    return entries, files


def _files(
    spec: PublishSpec,
    settings: Settings,
    out: OutputFolder,
    config: str,
    written: dict[str, Manifest],
) -> list[File]:
    """Return a configuration's files; write its attribution table."""
    files = []
    for split, manifest in written.items():
        names = manifest.names(split, settings.suffix)
        for name, shard in zip(names, manifest.shards, strict=True):
            path = f"{config}/{name}"
            files.append(File(path, Path(out.folder, path), shard.size, shard.sha256))
    table = write_attribution(out, config, credit_lines(out, config, list(written)))
    table = table or write_attribution(out, config, spec.credits(config))
    if table is not None:
        local = Path(out.folder, table)
        files.append(File(table, local, local.stat().st_size, sha256(local)))
    return files


def _finish(
    spec: PublishSpec,
    settings: Settings,
    destination: Destination,
    out: OutputFolder,
    entries: list[CardEntry],
    files: list[File],
) -> None:
    """Write the card, and upload."""
    splits = {entry.name: entry.splits for entry in entries}
    destination.refresh(splits)  # others may have published there in the meantime
    destination.check_splits(splits)
    text = find_card(spec.package).replace("REPO_ID", destination.name)
    existing, repository = destination.card, destination.repository
    card = render_card(text, [*entries, *existing.without(splits)], spec.default)
    if settings.replace:
        drop_other_splits(out, splits)
    out.write("README.md", card.encode())
    if repository is None:
        _say(f'Wrote {destination.folder}: load_dataset("{destination.folder}")')
        return
    unfinished = {file.name.partition("/")[0] for file in repository.missing(files)}
    placeholder = placeholder_card(text, unfinished, spec.default, existing)
    repository.send(files, card, placeholder, lambda: destination.check_readers(splits))
    who = "you, and others who may read this private repository"
    who = who if destination.check_readers(splits) else "everybody"
    _say(f'load_dataset("{destination.name}") now gives these rows to {who}.')
    _say(f"The converted files stay in {destination.folder}; you may delete them.")


def _dry_run(spec: PublishSpec, settings: Settings, folder: Path) -> None:
    """Print what would be published: as converted already, as estimated, or as counted now."""
    total = 0
    for splits in _open_splits(spec, settings).values():
        for split in splits:
            rows, size, left_out, about = _measure(spec, settings, split, folder)
            total += size
            reasons = "".join(f"; left out: {n:,} {reason}" for reason, n in left_out.items())
            shards = max(1, -(-size // settings.shard_bytes)) if rows else 0
            line = f"{about}{rows:,} rows, {format_bytes(size)}, shards: {shards}{reasons}"
            _say(f"{split.config}, {split.name}: {line}")
    who = "nobody but you can read" if settings.private else "everybody can read"
    where = f"{settings.repo_id}, which {who}" if settings.repo_id else str(folder)
    _say(f"In all {format_bytes(total)} would go to {where}. Nothing was written or sent.")


def _measure(
    spec: PublishSpec, settings: Settings, split: Split, folder: Path
) -> tuple[int, int, dict[str, int], str]:
    if folder.is_dir():
        with OutputFolder(folder) as out:
            known = Conversion(split, out, settings.form, settings.shard_bytes).finished()
        if known is not None:
            return known.rows, known.size, known.left_out, ""
    estimate = spec.estimate(spec.builder(split.config), split.name)
    if estimate is not None:
        return (*estimate, {}, "about ")
    rows = size = 0
    left_out: Counter[str] = Counter()
    for screened in map(split.screen, split.rows()):
        if screened.row is None:
            left_out[screened.left_out] += 1
            continue
        rows += 1
        size += sum(len(v["bytes"]) for v in screened.row.values() if isinstance(v, dict))
    return rows, size, left_out, ""
