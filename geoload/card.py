"""The card of a published repository: a data set's own text, under what the repository holds.

The header states configurations, files, columns, counts and sizes as they were written, and a
section of the text says the same for people, with what was left out and why.
"""

from __future__ import annotations

import importlib.resources
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import yaml

from geoload.features import card_features

MARK = "<!-- contents of this repository -->"
_UNFINISHED = "This upload is not finished. Publishing again sends what is missing."
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
    """

    name: str
    features: datasets.Features | None
    splits: dict[str, tuple[str, int, int, int]]
    left_out: dict[str, int] = field(default_factory=dict)

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

    def lines(self) -> list[str]:
        """Return the lines of the table in the text."""
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in self.left_out.items())
        return [
            f"| `{self.name}` | {split} | {rows:,} | {megabytes(on_disk)} | {reasons or 'none'} |"
            for split, (_, rows, _, on_disk) in self.splits.items()
        ]


def find_card(package: str) -> str:
    """Return the text of a data set's card, from the installed package or from the checkout."""
    installed = importlib.resources.files(package) / "dataset_card.md"
    if installed.is_file():
        return installed.read_text(encoding="utf-8")
    here = Path(__file__).parents[1] / "dataset_cards" / package / "README.md"
    return here.read_text(encoding="utf-8")


def split_card(text: str) -> tuple[dict[str, Any], str]:
    """Return a card's header as data, and its text."""
    match = _HEADER.match(text)
    if match is None:
        return {}, text
    header = yaml.safe_load(match[1])
    return header if isinstance(header, dict) else {}, text[match.end() :]


def render(text: str, entries: list[Entry], default: str, old: str = "", note: str = "") -> str:
    """Return the card of a repository.

    Parameters
    ----------
    text : str
        The data set's own card, with `MARK` where the contents are to stand.
    entries : list of Entry
        What was written now.
    default : str
        Configuration that is loaded when none is named, if it is there.
    old : str
        The repository's card so far: configurations in it that are not written anew stay.
    note : str
        A sentence for the head of the contents.
    """
    header, body = split_card(text)
    before, old_body = split_card(old)
    names = [entry.name for entry in entries]
    kept = _kept(before, names)
    files = [entry.files() for entry in entries] + [files for files, _ in kept.values()]
    for one in files:
        one.pop("default", None)
        if one["config_name"] == default:
            one["default"] = True
    infos = [entry.info() for entry in entries] + [info for _, info in kept.values()]
    lines = [line for entry in entries for line in entry.lines()]
    lines += [line for name in kept for line in _old_lines(old_body, name)]
    header |= {"size_categories": [_size(infos)], "configs": files, "dataset_info": infos}
    return _with_header(header, body.replace(MARK, _contents(lines, note)))


def meanwhile(text: str, entries: list[Entry], default: str, old: str = "") -> str:
    """Return the card for as long as an upload is under way: what is not whole does not load.

    Configurations that are not written anew stay as they are.
    """
    before, old_body = split_card(old)
    names = [entry.name for entry in entries]
    if kept := _kept(before, names):
        rest = {
            "configs": [f for f, _ in kept.values()],
            "dataset_info": [i for _, i in kept.values()],
        }
        return render(text, [], default, _with_header(rest, old_body), _UNFINISHED)
    header, _ = split_card(text)
    nothing = [{"split": "train", "path": "UPLOAD-NOT-FINISHED-PUBLISH-AGAIN.parquet"}]
    shown: dict[str, Any] = {
        **{name: header[name] for name in ("license", "pretty_name") if name in header},
        "configs": [{"config_name": "default", "data_files": nothing}],
    }
    return _with_header(shown, f"{_UNFINISHED}\n")


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


def _kept(header: dict[str, Any], names: list[str]) -> dict[str, tuple[dict, dict]]:
    """Return files and info of the configurations of a card that are not among `names`."""
    infos = {info.get("config_name"): info for info in _list(header, "dataset_info")}
    found = ((one.get("config_name"), one) for one in _list(header, "configs"))
    return {str(n): (one, infos[n]) for n, one in found if n in infos and n not in names}


def check_form(old: str, names: list[str], suffix: str) -> None:
    """Refuse a mixture: datasets takes one kind of file for a whole repository.

    Parameters
    ----------
    old : str
        The repository's card so far.
    names : list of str
        Configurations that are written anew.
    suffix : str
        Of their files.
    """
    kept = [files for files, _ in _kept(split_card(old)[0], names).values()]
    paths = [one["path"] for config in kept for one in config["data_files"]]
    if {path.rpartition(".")[2] for path in paths} - {suffix}:
        raise ValueError(
            "The repository holds configurations in the other format, and load_dataset reads one "
            "format in a repository: publish all anew with --configs, or into another repository."
        )


def _contents(lines: list[str], note: str) -> str:
    head = ["| configuration | split | rows | size | left out |", "|---|---|---|---|---|"]
    return "\n".join([*([note, ""] if note else []), *head, *lines])


def _old_lines(body: str, name: Any) -> list[str]:
    return [line for line in body.splitlines() if line.startswith(f"| `{name}` | ")]


def _list(header: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = header.get(key)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _size(infos: list[dict[str, Any]]) -> str:
    """Return the Hub's word for how many rows the largest configuration has."""
    most = max(sum(s["num_examples"] for s in info.get("splits", [])) for info in infos)
    return next((word for limit, word in _SIZES if most < limit), "n>1T")
