"""The small files beside the TARs: tables, the tiles' layout, the covered-by-satellite table."""

from __future__ import annotations

import os

from huggingface_hub import try_to_load_from_cache

from geoload.hub import download_small
from justzoomin.selection import Selection
from justzoomin.sources import TABLES, Folder, Hub

LAYOUT = "satellite/layout.yaml"
# Parquet first: it knows its columns' types.
COVERED = tuple(f"streetview/metadata_satellite_covered.{kind}" for kind in ("parquet", "csv"))


def side_files(source: Hub | Folder, selection: Selection) -> dict[str, str]:
    """Return the small files of a selection: where they lie, by their path in the layout.

    Those of the Hub are downloaded into its cache. The split tables belong to the photos; without
    these they come along where they are at hand.

    Raises
    ------
    FileNotFoundError
        When a table, or the layout of tiles that are wanted, is not there.
    """
    found = {}
    for split, name in TABLES.items():
        if selection.photos or isinstance(source, Hub) or _has_table(source, name):
            found[f"metadata/{name}"] = source.table(split)
    if selection.levels:
        found[LAYOUT] = layout_file(source)
    if selection.photos:
        found.update({name: file for name in COVERED if (file := covered_file(source, name))})
    return found


def _has_table(source: Folder, name: str) -> bool:
    return os.path.isfile(
        os.path.join(source.metadata_dir or os.path.join(source.folder, "metadata"), name)
    )


def layout_file(source: Hub | Folder) -> str:
    """Return the path of `layout.yaml`; raises FileNotFoundError where there is none."""
    if isinstance(source, Hub):
        return download_small(source.repository, source.commit, LAYOUT, source.token)
    path = os.path.join(source.folder, LAYOUT)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"{source.folder} holds no {LAYOUT}, which says how the tiles lie. Get it with `hf "
            f"download pcvlab/justzoomin --repo-type dataset --local-dir {source.folder} --include "
            f"{LAYOUT}`."
        )
    return path


def cached(source: Hub, name: str) -> str | None:
    """Return the path of a file that is in the Hub's cache, or None."""
    kept = try_to_load_from_cache(
        source.repository, name, revision=source.commit, repo_type="dataset"
    )
    return kept if isinstance(kept, str) else None


def covered_file(source: Hub | Folder, name: str) -> str | None:
    """Return the path of one form of the covered-by-satellite table, or None."""
    kept = cached(source, name) if isinstance(source, Hub) else None
    return source.optional(name) if kept is None else kept
