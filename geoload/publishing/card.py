"""The card (README.md) of a published repository: its YAML header and its text.

Both state configurations, splits, row counts and sizes; the text also says what was left out.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
from huggingface_hub import DatasetCardData

from gcd_metric.names import counted
from gcd_metric.yaml_files import split_card
from geoload.messages import format_bytes
from geoload.publishing.convert import Manifest, total
from geoload.publishing.formats import LISTS

CONTENTS = "<!-- contents of this repository -->"
_END = "<!-- end of contents -->"
_DEFAULT = "default"  # what the Hub calls a configuration without a name; ours all have one
_UNFINISHED = "This upload is not finished. Run the same command again to send what is missing."
_TAR = (
    "The files are TAR archives of samples, for `webdataset` or `load_dataset`. Their columns are "
    "`jpg` (the picture, called `image` or `view` below), `json` (a dict of the other fields), "
    "`__key__` and `__url__` (the archive). The key is the image id without its extension; "
    "characters other than letters, digits, `@` and `-` are replaced by `_`. The key of a row "
    "without an id is its number in the archive."
)
# Paragraphs that differ by format; those for TAR archives are in a comment.
_BY_FORMAT = re.compile(r"<!-- parquet -->\n(.*?)<!-- tar\n(.*?)-->\n", re.DOTALL)
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
          (10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"))  # fmt: skip


@dataclass
class CardEntry:
    """What a card says about one configuration."""

    files: dict[str, Any]  # `configs` of the header
    info: dict[str, Any] | None  # `dataset_info` of the header
    lines: list[str] = field(default_factory=list)  # of the table
    notes: list[str] = field(default_factory=list)  # above it, as long as the configuration stays

    @property
    def name(self) -> str:
        """The configuration's name."""
        return str(self.files["config_name"])

    @property
    def patterns(self) -> dict[str, str]:
        """The pattern of the files of each split."""
        found = _dicts(self.files, "data_files")
        return {str(one.get("split")): str(one.get("path")) for one in found}

    @property
    def splits(self) -> list[str]:
        """The names of its splits."""
        return list(self.patterns)

    @property
    def suffixes(self) -> set[str]:
        """The extensions of its files, without the dot."""
        return {path.rpartition(".")[2] for path in self.patterns.values()}

    @property
    def columns(self) -> dict[str, dict[str, Any]]:
        """The types of its columns, as the header states them."""
        return {str(one.get("name")): one for one in _dicts(self.info or {}, "features")}


def card_entry(
    name: str, features: datasets.Features, written: dict[str, Manifest], suffix: str, note: str
) -> CardEntry:
    """Describe a configuration from the manifests of its splits."""
    left_out = [f"{n:,} {what}" for what, n in total(written, "left_out").items()]
    remarks = [counted(n, what) for what, n in total(written, "remarks").items()]
    last = "; ".join([*(left_out or ["none"]), *remarks])
    paths, splits, lines = [], [], []
    for split, manifest in written.items():
        if count := len(manifest.shards):
            paths.append({"split": split, "path": f"{name}/{split}-*-of-{count:05d}.{suffix}"})
            rows, size = manifest.rows, manifest.bytes
            splits.append({"name": split, "num_bytes": size, "num_examples": rows})
            packed = format_bytes(manifest.size)
            lines.append(f"| `{name}` | {split} | {rows:,} | {packed} | {last} |")
    info: dict[str, Any] = {"config_name": name}
    if suffix != "tar":  # the columns of a TAR file follow from its format
        types = features.to_dict().items()
        info["features"] = [{"name": column, **_stated(column, kind)} for column, kind in types]
    info["splits"] = splits
    info["download_size"] = sum(manifest.size for manifest in written.values())
    info["dataset_size"] = sum(manifest.bytes for manifest in written.values())
    notes = [f"{note} (`{name}`)"] if note else []
    return CardEntry({"config_name": name, "data_files": paths}, info, lines, notes)


class ExistingCard:
    """The card of a repository; ValueError if it is damaged, so its contents are unknown."""

    def __init__(self, text: str = "") -> None:
        header, body = split_card(text)
        _, start, rest = body.partition(CONTENTS)
        section, end, _ = rest.partition(_END)
        # Whether another program wrote it.
        self.foreign = bool(text.strip()) and not (start and end)
        lines = [] if self.foreign else section.splitlines()
        infos = {str(one.get("config_name")): one for one in _dicts(header, "dataset_info")}
        for name, info in ({} if self.foreign else infos).items():
            if not all(isinstance(s.get("num_examples"), int) for s in _dicts(info, "splits")):
                raise ValueError(f"its README.md does not say how many rows {name} has")
        self.entries: dict[str, CardEntry] = {}
        for one in _dicts(header, "configs"):
            files = {key: value for key, value in one.items() if key != "default"}
            name = files["config_name"] = str(one.get("config_name", _DEFAULT))
            if name != _DEFAULT:
                table = [line for line in lines if line.startswith(f"| `{name}` |")]
                notes = [line for line in lines if line.endswith(f"(`{name}`)")]
                self.entries[name] = CardEntry(files, infos.get(name), table, notes)

    def without(self, names: Collection[str]) -> list[CardEntry]:
        """Return the entries of all configurations but some."""
        return [entry for name, entry in self.entries.items() if name not in names]


def find_card(package: str) -> str:
    """Return the text of a data set's card, from the installed package or from the checkout."""
    installed = importlib.resources.files(package) / "dataset_card.md"
    if installed.is_file():
        return installed.read_text(encoding="utf-8")
    here = Path(__file__).parents[2] / "dataset_cards" / package / "README.md"
    return here.read_text(encoding="utf-8")


def render_card(
    text: str, entries: Iterable[CardEntry], default: str, notes: Iterable[str] = ()
) -> str:
    """Return a data set's card with the contents of a repository in the place of `CONTENTS`."""
    header, body = split_card(text)
    entries = list(entries)
    infos = [entry.info for entry in entries if entry.info is not None]
    rows = [sum(split["num_examples"] for split in _dicts(info, "splits")) for info in infos]
    if rows:  # the Hub's category for the largest configuration
        category = next((word for limit, word in _SIZES if max(rows) < limit), "n>1T")
        header["size_categories"] = [category]
    header["configs"] = [
        {**entry.files, "default": True} if entry.name == default else entry.files
        for entry in entries
    ]
    header["dataset_info"] = infos
    tar = any("tar" in entry.suffixes for entry in entries)
    above = [*notes, *(note for entry in entries for note in entry.notes), *[_TAR] * tar]
    table = ["| configuration | split | rows | size | left out |", "|---|---|---|---|---|"]
    table += [line for entry in entries for line in entry.lines]
    paragraphs = [part for note in above for part in (note, "")]
    body = _BY_FORMAT.sub(r"\2" if tar else r"\1", body)
    contents = "\n".join([CONTENTS, "", *paragraphs, *table, "", _END])
    return _with_header(header, body.replace(CONTENTS, contents))


def placeholder_card(
    text: str, unfinished: Collection[str], default: str, existing: ExistingCard
) -> str:
    """Return the card during an upload, with which no unfinished configuration can be loaded."""
    if kept := existing.without(unfinished):
        return render_card(text, kept, default, [_UNFINISHED])
    header, _ = split_card(text)
    shown: dict[str, Any] = {k: header[k] for k in ("license", "pretty_name") if k in header}
    nothing = [{"split": "train", "path": "UPLOAD-NOT-FINISHED-PUBLISH-AGAIN.parquet"}]
    shown["configs"] = [{"config_name": _DEFAULT, "data_files": nothing}]
    return _with_header(shown, "\n".join([CONTENTS, _UNFINISHED, _END, ""]))


def _with_header(header: dict[str, Any], body: str) -> str:
    return f"---\n{DatasetCardData(**header).to_yaml()}\n---\n{body}"


def _stated(name: str, column: dict[str, Any]) -> dict[str, Any]:
    """Return a column's type as `dataset_info` states it."""
    kind = column.get("_type")
    if kind is None:
        return {"struct": [{"name": inner, **_stated(inner, of)} for inner, of in column.items()]}
    if kind == "Value":
        return {"dtype": column["dtype"]}
    if kind == "Image":
        return {"dtype": "image"}
    if kind in LISTS and column["feature"]["_type"] == "Value":
        return {"list": column["feature"]["dtype"]}
    raise ValueError(f"column {name} is a {kind}, which the card cannot list")


def _dicts(header: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = header.get(key)
    value = [value] if isinstance(value, dict) else value
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
