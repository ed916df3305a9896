"""The card of a published repository: a data set's own text, under what the repository holds.

The header states configurations, files, columns, counts and sizes as they were written, and a
section of the text says the same for people, with what was left out and why.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import yaml

from geoload import plain_yaml
from geoload.publishing.features import card_features

MARK = "<!-- contents of this repository -->"
_END = "<!-- end of contents -->"
_UNFINISHED_NAME = "default"
_UNFINISHED = "This upload is not finished. Publishing again sends what is missing."
_TAR = (
    "The files are TAR archives of samples, for `webdataset` or `load_dataset`. Their columns are "
    "`jpg` (the picture, called `image` or `view` below), `json` (a dict of the other fields), "
    "`__key__` and `__url__` (the archive). The key is the image id without its ending, with `_` "
    "for all but letters, digits, `@` and `-`; where rows have no id, it is their number in the "
    "archive."
)
# What differs by the form of the files: for TAR archives it stands in a comment.
_BY_FORM = re.compile(r"<!-- parquet -->\n(.*?)<!-- tar\n(.*?)-->\n", re.DOTALL)
_HEADER = re.compile(r"\A---\r?\n(.*?\n)---\r?\n", re.DOTALL)
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
          (10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"))  # fmt: skip


@dataclass
class Entry:
    """What a repository holds of one configuration.

    Attributes
    ----------
    name : str
    features : datasets.Features, optional
        None where the files' form decides what the columns are (TAR).
    splits : dict
        For each split: pattern of its files, rows, bytes of the rows, bytes of the files.
    left_out : dict of str to int
        Rows that were not published, by reason.
    remarks : dict of str to int
        Rows that were published all the same, by what is to be said of them.
    note : str
        A sentence for the head of the contents, which stays as long as the configuration does.
    """

    name: str
    features: datasets.Features | None
    splits: dict[str, tuple[str, int, int, int]]
    left_out: dict[str, int] = field(default_factory=dict)
    remarks: dict[str, int] = field(default_factory=dict)
    note: str = ""

    def info(self) -> dict[str, Any]:
        """Return the entry of `dataset_info`."""
        columns = {} if self.features is None else {"features": card_features(self.features)}
        splits = [
            {"name": name, "num_bytes": size, "num_examples": rows}
            for name, (_, rows, size, _) in self.splits.items()
        ]
        return {
            "config_name": self.name,
            **columns,
            "splits": splits,
            "download_size": sum(on_disk for *_, on_disk in self.splits.values()),
            "dataset_size": sum(size for _, _, size, _ in self.splits.values()),
        }

    def files(self) -> dict[str, Any]:
        """Return the entry of `configs`."""
        paths = [{"split": n, "path": pattern} for n, (pattern, *_) in self.splits.items()]
        return {"config_name": self.name, "data_files": paths}

    def notes(self) -> list[str]:
        """Return the note as it stands in the text, if there is one: with the name."""
        return [f"{self.note} (`{self.name}`)"] if self.note else []

    def lines(self) -> list[str]:
        """Return the lines of the table in the text."""
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in self.left_out.items())
        remarks = "".join(f"; {count:,} {what}" for what, count in self.remarks.items())
        last = f"{reasons or 'none'}{remarks}"
        return [
            f"| `{self.name}` | {split} | {rows:,} | {megabytes(on_disk)} | {last} |"
            for split, (_, rows, _, on_disk) in self.splits.items()
        ]


def find_card(package: str) -> str:
    """Return the text of a data set's card, from the installed package or from the checkout."""
    installed = importlib.resources.files(package) / "dataset_card.md"
    if installed.is_file():
        return installed.read_text(encoding="utf-8")
    here = Path(__file__).parents[2] / "dataset_cards" / package / "README.md"
    return here.read_text(encoding="utf-8")


def split_card(text: str) -> tuple[dict[str, Any], str]:
    """Return a card's header as data, and its text.

    Raises
    ------
    ValueError
        When the header is no YAML, or no mapping.
    """
    match = _HEADER.match(text)
    if match is None:
        return {}, text
    try:
        header = plain_yaml.load(match[1])
    except ValueError as error:
        raise ValueError(f"the header of its README.md is no YAML ({error})") from None
    if not isinstance(header, dict):
        raise ValueError("the header of its README.md is no YAML mapping")
    return header, text[match.end() :]


class Old:
    """A repository's card as it was found.

    Parameters
    ----------
    text : str
        Empty where there is none.

    Raises
    ------
    ValueError
        When its header is damaged: what the repository holds cannot be told.
    """

    def __init__(self, text: str = "") -> None:
        header, body = split_card(text)
        _, mark, rest = body.partition(MARK)
        section, end, _ = rest.partition(_END)
        self.foreign = bool(text.strip()) and not (mark and end)
        self._lines = [] if self.foreign else section.splitlines()
        # What has no name is for the Hub the configuration `default`, which is none of ours.
        named = [
            (one.get("config_name", _UNFINISHED_NAME), one) for one in _list(header, "configs")
        ]
        self._files = {str(name): {**one, "config_name": str(name)} for name, one in named}
        self._infos = {str(one.get("config_name")): one for one in _list(header, "dataset_info")}
        self._files.pop(_UNFINISHED_NAME, None)
        if not self.foreign:
            _check_infos(self._infos)

    def names(self, but: Collection[str] = ()) -> list[str]:
        """Return the names of its configurations, some left aside."""
        return [name for name in self._files if name not in but]

    def splits(self, name: str) -> list[str]:
        """Return the names of a configuration's splits; of one that is not there, none."""
        return [split for split, _ in _data_files(self._files.get(name, {}))]

    def suffixes(self, names: Collection[str]) -> set[str]:
        """Return the endings of some configurations' files."""
        paths = [path for name in names for _, path in _data_files(self._files[name])]
        return {path.rpartition(".")[2] for path in paths}

    def files(self, name: str) -> dict[str, Any]:
        """Return a configuration's entry of `configs`."""
        return {key: value for key, value in self._files[name].items() if key != "default"}

    def info(self, name: str) -> list[dict[str, Any]]:
        """Return a configuration's entry of `dataset_info`, if there is one."""
        return [self._infos[name]] if name in self._infos else []

    def lines(self, name: str) -> list[str]:
        """Return a configuration's lines of the table."""
        return [line for line in self._lines if line.startswith(f"| `{name}` |")]

    def notes(self, name: str) -> list[str]:
        """Return a configuration's notes."""
        return [line for line in self._lines if line.endswith(f"(`{name}`)")]


def render(text: str, entries: list[Entry], default: str, old: Old) -> str:
    """Return the card of a repository.

    Parameters
    ----------
    text : str
        The data set's own card, with `MARK` where the contents are to stand.
    entries : list of Entry
        What was written now.
    default : str
        Configuration that is loaded when none is named, if it is there.
    old : Old
        The repository's card so far: configurations in it that are not written anew stay.
    """
    return _rendered(text, entries, default, old, old.names(but=[e.name for e in entries]), [])


def meanwhile(text: str, unfinished: Collection[str], default: str, old: Old) -> str:
    """Return the card for as long as an upload is under way: what is not whole does not load.

    Configurations that lack no file stay as they are.
    """
    if kept := old.names(but=unfinished):
        return _rendered(text, [], default, old, kept, [_UNFINISHED])
    header, _ = split_card(text)
    nothing = [{"split": "train", "path": "UPLOAD-NOT-FINISHED-PUBLISH-AGAIN.parquet"}]
    shown: dict[str, Any] = {
        **{name: header[name] for name in ("license", "pretty_name") if name in header},
        "configs": [{"config_name": _UNFINISHED_NAME, "data_files": nothing}],
    }
    return _with_header(shown, "\n".join([MARK, _UNFINISHED, _END, ""]))


def _rendered(
    text: str, entries: list[Entry], default: str, old: Old, kept: list[str], notes: list[str]
) -> str:
    header, body = split_card(text)
    files = [entry.files() for entry in entries] + [old.files(name) for name in kept]
    for one in files:
        if one["config_name"] == default:
            one["default"] = True
    infos = [entry.info() for entry in entries] + [i for name in kept for i in old.info(name)]
    lines = [line for entry in entries for line in entry.lines()]
    lines += [line for name in kept for line in old.lines(name)]
    notes = notes + [note for entry in entries for note in entry.notes()]
    notes += [note for name in kept for note in old.notes(name)]
    if infos:
        header["size_categories"] = [_size(infos)]
    header |= {"configs": files, "dataset_info": infos}
    tar = any(path.endswith(".tar") for one in files for _, path in _data_files(one))
    body = _BY_FORM.sub(r"\2" if tar else r"\1", body)
    return _with_header(header, body.replace(MARK, _contents(lines, notes + [_TAR] * tar)))


def megabytes(size: int) -> str:
    """Say how large something is."""
    unit, name = next(
        u for u in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if size >= u[0] or u[0] < 1e6
    )
    return f"{size / unit:,.1f} {name}"


def _with_header(header: dict[str, Any], body: str) -> str:
    # Never sorted: datasets reads the first key of a column as its type.
    top = yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{top}---\n{body}"


def check_form(old: Old, names: Collection[str], suffix: str) -> None:
    """Refuse a mixture: datasets takes one kind of file for a whole repository.

    Parameters
    ----------
    old : Old
        The repository's card so far.
    names : collection of str
        Configurations that are written anew.
    suffix : str
        Of their files.
    """
    if old.suffixes(old.names(but=names)) - {suffix}:
        raise ValueError(
            "The repository holds configurations in the other format, and load_dataset reads one "
            "format in a repository: publish all anew with --configs, or into another repository."
        )


def _contents(lines: list[str], notes: list[str]) -> str:
    head = ["| configuration | split | rows | size | left out |", "|---|---|---|---|---|"]
    paragraphs = [part for note in notes for part in (note, "")]
    return "\n".join([MARK, "", *paragraphs, *head, *lines, "", _END])


def _data_files(config: dict[str, Any]) -> list[tuple[str, str]]:
    """Return split and pattern of a configuration's files, as `Entry.files` states them."""
    files = _list(config, "data_files")
    return [(str(one.get("split")), str(one.get("path"))) for one in files]


def _list(header: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = header.get(key)
    value = [value] if isinstance(value, dict) else value
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _check_infos(infos: dict[str, dict[str, Any]]) -> None:
    for name, info in infos.items():
        rows = [split.get("num_examples") for split in _list(info, "splits")]
        if not all(isinstance(count, int) for count in rows):
            raise ValueError(f"its README.md does not say how many rows {name} has")


def _size(infos: list[dict[str, Any]]) -> str:
    """Return the Hub's word for how many rows the largest configuration has."""
    most = max(sum(s["num_examples"] for s in _list(info, "splits")) for info in infos)
    return next((word for limit, word in _SIZES if most < limit), "n>1T")
