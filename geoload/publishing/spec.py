"""What a data set publishes, and the options of the command `publish`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from geoload.builder import Builder
from geoload.commands import add_subcommand
from geoload.publishing.convert import Screened
from geoload.publishing.croissant import Component
from geoload.publishing.formats import FORMATS

SHARD_BYTES = 400 * 10**6
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


@dataclass
class Evaluation:
    """What makes a repository a benchmark on the Hub, as its `eval.yaml` says."""

    name: str
    description: str
    tasks: dict[str, tuple[str, str]]  # configuration and split by the name of the inspect task
    scorer: dict[str, Any]  # arguments of `great_circle`

    def document(self, splits: dict[str, list[str]]) -> dict[str, Any]:
        """Return the content of the file for the splits of each configuration.

        The Hub requires the fields, solvers and scorers of each task. From this file alone,
        inspect-ai can only make tasks that have its own solvers and scorers, and pictures as text.
        Run our tasks by their names instead: `inspect eval geoeval/im2gps`.
        """
        fields = {"input": "image_id", "input_image": "image"}
        how = {
            "field_spec": {**fields, "target": "latitude", "metadata": ["longitude"]},
            "solvers": [{"name": "geoeval/show_photo"}, {"name": "generate"}],
            "scorers": [{"name": "gcd_metric/great_circle", "args": self.scorer}],
        }
        tasks = [
            {"id": name, "config": config, "split": split, **how}
            for name, (config, split) in self.tasks.items()
            if split in splits.get(config, ())
        ]
        head = {"name": self.name, "description": self.description}
        return {**head, "evaluation_framework": "inspect-ai", "tasks": tasks}


@dataclass
class PublishSpec:
    """What a data set publishes, and how its rows are screened."""

    package: str  # the data set's name, and the package that contains its card
    configs: list[str]  # published by default if their files are available
    builder: Callable[[str], Builder]  # given the name of a configuration
    default: str  # configuration that is loaded by default
    screen: Callable[[dict[str, Any]], Screened] = Screened  # returns what is published of a row
    # Attribution lines of a configuration whose rows have none of their own.
    credits: Callable[[str], list[dict[str, Any]]] = lambda config: []
    # Rows and bytes of a builder's split without reading the photos; None if unknown.
    estimate: Callable[[Builder, str], tuple[int, int] | None] = lambda builder, split: None
    screening_columns: tuple[str, ...] = ()  # read for `screen`, and not published
    key: str = ""  # differs whenever an option that the builder does not know changes the rows
    # The option because of which the repository must be private, and a sentence for its card.
    private_option: str = ""
    note: str = ""
    evaluation: Evaluation | None = None
    # What these configurations consist of, by licence.
    components: Callable[[Collection[str]], list[Component]] = lambda configs: []


@dataclass
class Settings:
    """The options of the command; see `add_command`."""

    repo_id: str | None = None
    to: str | None = None
    configs: list[str] | None = None
    form: str = "parquet"
    image_size: int | None = None  # shorter side of photos in pixels
    shard_bytes: int = SHARD_BYTES
    private: bool = True
    replace: bool = False
    dry_run: bool = False

    @property
    def suffix(self) -> str:
        """The extension of the files to be written, without the dot."""
        return FORMATS[self.form].suffix


def add_command(commands: Any, run: Callable[..., None]) -> argparse.ArgumentParser:
    """Add the command to a parser's commands, with the options that both data sets have."""
    # fmt: off
    text = "convert the data to a repository that loads without this package, and upload it"
    parser = add_subcommand(commands, "publish", run, text)
    parser.add_argument("repo_id", nargs="?", metavar="REPO_ID",
                        help="dataset repository on the Hub; created if it does not exist")
    parser.add_argument("--to", metavar="DIR", help="write the files to this folder; without "
                        "REPO_ID nothing is uploaded (default: a folder in the cache of datasets)")
    parser.add_argument("--data-dir", help="folder of the data set (default: download it)")
    parser.add_argument("--configs", metavar="NAMES", type=names,
                        help="configurations, separated by commas (default: all available)")
    parser.add_argument("--format", dest="form", choices=list(FORMATS), default="parquet",
                        help="Parquet files (default), or TAR files for webdataset")
    parser.add_argument("--max-shard-size", dest="shard_bytes", type=_bytes, metavar="SIZE",
                        default=SHARD_BYTES, help="largest size of a file (default: 400MB)")
    parser.add_argument("--image-size", metavar="N", type=int,
                        help="reduce photos to a shorter side of N pixels, for training "
                        "(default: publish them as they are)")
    readers = parser.add_mutually_exclusive_group()
    readers.add_argument("--private", action="store_true", default=True, dest="private",
                         help="only you can read the repository (default)")
    readers.add_argument("--public", action="store_false", dest="private",
                         help="everybody can read the repository")
    parser.add_argument("--replace", action="store_true",
                        help="remove splits that were published earlier and are not published "
                        "now, and overwrite a README.md that this command did not write")
    parser.add_argument("--dry-run", action="store_true",
                        help="only print what would be published, and its size")
    # fmt: on
    return parser


def names(text: str) -> list[str]:
    """Parse names that are separated by commas or spaces."""
    return text.replace(",", " ").split()


def _bytes(text: str) -> int:
    match = re.fullmatch(r"([0-9]+)\s*([KMG]?B?)", text.strip().upper())
    if match is None or match[2] not in _UNITS or not int(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 400MB")
    if not match[2]:
        raise argparse.ArgumentTypeError(f"{text!r} has no unit: {text}MB, or {text}B?")
    return int(match[1]) * _UNITS[match[2]]
