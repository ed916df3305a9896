"""Reads what `gcd-metric` scores: the predictions, and what they are compared with."""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.util
import shlex
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from . import groups, tables
from .columns import ROLES, find_columns
from .hub import Benchmark
from .names import listed, shortened
from .options import CONFIGURATIONS
from .readers import FORMATS, STDIN, STDIN_NAME, is_table, save_stdin
from .scoring import Excluded, Wording
from .summaries import compare_summary

WORDING = Wording(
    "choose one with --{}-column", "choose the column with --id-column", "--missing miss"
)
# prefixes of the options that choose columns
TABLES = {
    "": "predictions",
    "compare-": "predictions of --compare",
    "reference-": "references",
}
# extensions of files that are neither tables nor data sets
_OTHER_FILES = frozenset(
    [".xls", ".ods", ".feather", ".arrow", ".pkl", ".pickle", ".pt", ".h5", ".zip", ".tar"]
    + [".geojson", ".gpx", ".kml", ".md"]
)
_DATA_SET_OPTIONS = ("config", "split", "data_dir")
_ONE_FILE = (
    "give the truth with --references, or name the columns of one file with --latitude-column and "
    "--reference-latitude-column"
)
DATASET_DEFAULTS = {"justzoomin": ("metadata", "validation")}
# files by which a folder in the original layout of a data set is recognised
_LAYOUTS = {
    "im2gps": ("*_test.zip", "gps_query_imgs*"),
    "justzoomin": ("metadata/large_area_*_map.csv", "archives/streetview_images_*.tar"),
}
_TEST_SETS = ("im2gps3k", "yfcc4k", "yfcc26k", "gws15k", "osv5m")  # configurations of im2gps
# what to suggest for names that are close to these; a configuration is not a data set
_CLOSE_TO = {
    **{name: name for name in _LAYOUTS},
    **{name: f"im2gps --config {name}" for name in _TEST_SETS},
    "just_zoom_in": "justzoomin",
}


def _columns(arguments: argparse.Namespace, prefix: str) -> dict[str, str | None]:
    return {role: getattr(arguments, f"{prefix}{role}_column".replace("-", "_")) for role in ROLES}


def _advice(prefix: str) -> str:
    return f"choose one with --{prefix}{{}}-column"


def check(arguments: argparse.Namespace, files: list[tuple[str, str]]) -> None:
    """Refuse what cannot be predictions or references, before anything is read."""
    paths = [path for _, path in files]
    if [*paths, arguments.references].count(STDIN) > 1:
        raise ValueError(f"{STDIN} is standard input, which can be only one of the files")
    if arguments.references is None:
        for option in _DATA_SET_OPTIONS:
            if getattr(arguments, option) is not None:
                raise ValueError(
                    f"--{option.replace('_', '-')} is for data sets; name one with --references"
                )
    else:
        _check_references(arguments)
    for path in paths:
        _check_predictions(path)


def _check_predictions(path: str) -> None:
    if path == STDIN:
        return
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder; predictions are one file ({FORMATS})")
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file")
    if not is_table(path):
        raise ValueError(f"{path}: predictions are a {FORMATS} file")


def _check_references(arguments: argparse.Namespace) -> None:
    name = arguments.references
    if is_file(name):
        for option in _DATA_SET_OPTIONS:
            if (value := getattr(arguments, option)) is not None:
                raise ValueError(
                    f"--{option.replace('_', '-')} is for data sets, and {named(name)} is a "
                    f"file{_thresholds_hint(value)}"
                )
    elif Path(name).is_file() or (_is_named_as_a_file(name) and not Path(name).is_dir()):
        raise ValueError(f"{name}: references are a {FORMATS} file, or a data set's name")
    elif name.startswith((".", "/", "~")) and not Path(name).exists():
        raise ValueError(f"{name}: no such file or folder")
    else:
        _refuse_mistaken(name)


def _is_named_as_a_file(name: str) -> bool:
    ending = Path(name).suffix.lower()
    # owner/data.v2 may be on the Hub
    return ending in _OTHER_FILES or ("/" not in name and ending[1:].isalpha())


def _thresholds_hint(config: str | None) -> str:
    if config not in CONFIGURATIONS:
        return ""
    return f"; --metric-config {config} chooses the thresholds of that name"


def load_references(
    arguments: argparse.Namespace, chosen: dict[str, str | None], also: list[str]
) -> pd.DataFrame:
    """Read id, latitude and longitude of a data set, and the columns `also`, without its images."""
    name = arguments.references
    if _is_module(name):
        importlib.import_module(name)  # registers the builder of that name
    config, split = DATASET_DEFAULTS.get(name, (None, None))
    where = {"name": arguments.config or config, "data_dir": arguments.data_dir}
    return _load(name, where, arguments.split or split, chosen, also)


def load_benchmark(benchmark: Benchmark, also: list[str]) -> pd.DataFrame:
    """Read the truth of a benchmark on the Hub, as `load_references`."""
    where = {"name": benchmark.task.config, "revision": benchmark.commit}
    chosen: dict[str, str | None] = dict.fromkeys(ROLES)
    return _load(benchmark.repository, where, benchmark.task.split, chosen, also)


def _load(
    name: str,
    where: dict[str, Any],
    split: str | None,
    chosen: dict[str, str | None],
    also: list[str],
) -> pd.DataFrame:
    """Read columns of a data set; `where` are arguments of `load_dataset`."""
    import datasets

    try:
        split = split or _only_split(name, where)
        rows = datasets.load_dataset(name, split=split, streaming=True, **where)
        # a column of images may be named like an id, so only columns of plain values count
        features = rows.features or dict.fromkeys(next(iter(rows)), datasets.Value("null"))
        names = [key for key, kind in features.items() if isinstance(kind, datasets.Value)]
        columns = find_columns(
            names, chosen, of="references", where=name, advice=_advice("reference-")
        )
        if rows.info.builder_name == "csv":  # read ids as text, or they lose leading zeros
            converters = {"converters": {columns["id"]: str}}
            rows = datasets.load_dataset(name, split=split, streaming=True, **where, **converters)
        kept = tables.others(names, also)
        wanted = [*columns.values(), *kept]
        table = [tuple(map(row.get, wanted)) for row in rows.select_columns(wanted)]
    except Exception as error:  # a builder may raise anything; the user gets one line
        message = error if isinstance(error, ValueError) else f"--references {name}: {error}"
        hint = _thresholds_hint(where["name"]) if "BuilderConfig" in str(error) else ""
        raise ValueError(f"{message}{hint}") from error
    tidied = tables.tidy(table, columns, name, kept=kept)
    tidied.attrs["names"] = names
    return tidied


def _refuse_mistaken(name: str) -> None:
    """Refuse a name that is not of a data set, before searching the Hub."""
    path = Path(name)
    if name in _LAYOUTS:  # even if there is a folder of that name, which --data-dir would choose
        return
    if path.is_dir():
        for original, signs in _LAYOUTS.items():
            if any(any(path.glob(sign)) for sign in signs):
                raise ValueError(
                    f"{name} is a folder in the original layout: use --references {original} "
                    f"--data-dir {shlex.quote(name)}"
                )
    elif not (path.exists() or "/" in name or _is_module(name)):  # owner/im2gps may be on the Hub
        for close in difflib.get_close_matches(name.lower(), _CLOSE_TO, n=1, cutoff=0.8):
            raise ValueError(
                f"--references {name}: no such data set; did you mean {_CLOSE_TO[close]}?"
            )


def _is_module(name: str) -> bool:
    return name.isidentifier() and importlib.util.find_spec(name) is not None


def _only_split(name: str, where: dict[str, Any]) -> str:
    import datasets

    splits: list[str] = datasets.get_dataset_split_names(
        name, config_name=where["name"], data_dir=where["data_dir"]
    )
    if len(splits) == 1:
        return splits[0]
    if "test" in splits:
        return "test"
    raise ValueError(f"{name} has the splits {', '.join(splits)}; choose one with --split")


def read(
    arguments: argparse.Namespace, files: list[tuple[str, str]]
) -> tuple[list[pd.DataFrame], pd.DataFrame]:
    """Predictions, then references, which may have to be downloaded."""
    also = [arguments.groups] if arguments.groups else [*groups.COLUMNS]
    also += arguments.by
    paths = [path for _, path in files]
    with tempfile.TemporaryDirectory() as folder:
        stdin = STDIN in (*paths, arguments.references) and save_stdin(folder)

        def place(name: str) -> Path:
            return stdin if stdin and name == STDIN else Path(name)

        predictions, truth = _read_predictions(arguments, files, place, also)
        if truth is None:
            truth = read_references(arguments, place, also)
    name = named(references(arguments))
    tables.refuse_unscorable(truth, name)
    if arguments.references is not None:
        truth.attrs["notes"] += compare_summary(name, truth.attrs.get("summary", []), {})
    if arguments.missing is None and has_answers(predictions):
        predictions[0].attrs["notes"].append(
            "answers without coordinates count as wrong; --missing error refuses them"
        )
    shown = list(zip(map(named, paths), predictions, strict=True))
    tables.choose_ids(shown, (name, truth), WORDING.column.format("id"))
    return predictions, truth


def read_excluded(path: str) -> Excluded:
    """The ids in a CSV file of photos that a model may have seen."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"{path}: not a CSV file ({shortened(error)})") from None
    if "image_id" not in table:
        raise ValueError(
            f"{path}: the photos to exclude are in a column image_id; it has {listed(table)}"
        )
    return Excluded(path, table["image_id"].unique().tolist())


def _read_predictions(
    arguments: argparse.Namespace,
    files: list[tuple[str, str]],
    place: Callable[[str], Path],
    also: list[str],
) -> tuple[list[pd.DataFrame], pd.DataFrame | None]:
    """Read the predictions, and the truth if the first file contains it."""
    predictions, truth = [], None
    for index, (prefix, path) in enumerate(files):
        chosen, where = _columns(arguments, prefix), named(path)
        column = getattr(arguments, f"{prefix}answer_column".replace("-", "_"))
        answers = tables.AnswerOptions(column, arguments.answer_places)
        if index == 0 and arguments.references is None:
            options = tables.ReadOptions(where, also=also, answers=answers)
            chosen_truth = _columns(arguments, "reference-")
            table, truth = tables.read_both(place(path), chosen, chosen_truth, options, _ONE_FILE)
        else:
            table = tables.read_coordinates(
                place(path),
                *chosen.values(),
                of="predictions",
                allow_missing=True,
                advice=_advice(prefix),
                where=where,
                also=also,
                lenient=True,
                answers=answers,
            )
        missing = arguments.missing or ("miss" if has_answers([table]) else "error")
        tables.refuse_unscorable(table, where, "" if missing == "miss" else WORDING.count_missing)
        predictions.append(table)
    return predictions, truth


def read_references(
    arguments: argparse.Namespace, place: Callable[[str], Path], also: list[str]
) -> pd.DataFrame:
    """Read the truth; `place` returns the path of a file."""
    name, chosen = arguments.references, _columns(arguments, "reference-")
    if not is_file(name):
        return load_references(arguments, chosen, also)
    return tables.read_coordinates(
        place(name),
        *chosen.values(),
        of="references",
        advice=_advice("reference-"),
        where=named(name),
        also=also,
        lenient=True,
    )


# --- names --------------------------------------------------------------------------------------


def references(arguments: argparse.Namespace) -> str:
    """The file or data set that contains the truth."""
    given: str | None = arguments.references
    return str(arguments.predictions[0]) if given is None else given


def has_answers(predictions: Iterable[pd.DataFrame]) -> bool:
    """Whether coordinates were read from answers of a model as texts."""
    return any("answer" in table.attrs["columns"] for table in predictions)


def named(path: str) -> str:
    """The name of a file in messages."""
    return STDIN_NAME if path == STDIN else path


def is_file(name: str) -> bool:
    """Whether references of this name are a file, not a data set."""
    return name == STDIN or is_table(name)
