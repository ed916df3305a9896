"""The folder of a run: its settings, its score, and reports of one run or several."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gcd_metric.cli
from gcd_metric import output, report, text
from gcd_metric.names import counted
from geoeval.benchmarks import OWN
from geoload.files import read_json, sha256, write_json

PREDICTIONS, TRUTH, RUN, REPORT = "predictions.jsonl", "truth.csv", "run.json", "report.html"
_LIBRARIES = ("numpy", "pillow", "simplejpeg", "datasets", "torch", "transformers", "geoclip")


class Folder:
    """The folder of a run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.predictions, self.truth = self.path / PREDICTIONS, self.path / TRUTH
        self.run, self.report = self.path / RUN, self.path / REPORT

    def begin(self, settings: dict[str, Any], command: str) -> None:
        """Note that a process begins, or continues, a run with these settings.

        Raises ValueError if the run in this folder has other settings.
        """
        settings = json.loads(json.dumps(settings, default=str))
        document: dict[str, Any] = {"settings": settings, "sessions": []}
        if self.run.exists():
            document = self.read()
            _refuse_others(self.path, document["settings"], settings)
            self._end_session(document)
        elif self.predictions.exists():
            raise ValueError(f"{self.path} has {PREDICTIONS} but no {RUN}; name another folder")
        document["sessions"].append(
            {
                "command": command,
                "started": time.time(),
                "seconds": None,
                "versions": versions(),
                "hardware": hardware(),
            }
        )
        write_json(self.run, document)

    def read(self) -> dict[str, Any]:
        """Return what `run.json` contains."""
        if not self.run.exists():
            raise ValueError(f"{self.path} is not the folder of a run: it has no {RUN}")
        return read_json(self.run)

    def _end_session(self, document: dict[str, Any]) -> None:
        """Set the time of a session that was killed: until its last predictions."""
        for session in document["sessions"][-1:]:
            if session["seconds"] is None:
                last = self.predictions.stat().st_mtime if self.predictions.exists() else 0
                session["seconds"] = max(0.0, last - session["started"])

    def finish(self) -> None:
        """Score the predictions if the truth is known; write `run.json` and the report."""
        document = self.read()
        session = document["sessions"][-1]
        if session["seconds"] is None:
            session["seconds"] = time.time() - session["started"]
        seconds = sum(one["seconds"] for one in document["sessions"])
        lines = self.predictions.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        errors = sum("error" in row for row in rows)
        document |= {
            "n": len(rows),
            "errors": errors,
            "answers": _kinds(rows),
            "seconds": round(seconds, 3),
            "photos_per_second": round(len(rows) / seconds, 3) if seconds else None,
            "predictions_sha256": sha256(self.predictions),
        }
        if self.truth.exists():
            document["score"] = self._score(document["settings"]["benchmark"], errors)
        if document["settings"]["zoom"]:
            zoom_scores = importlib.import_module("geoeval.zoom_scores")
            document["zoom"] = zoom_scores.score(self)
        write_json(self.run, document)
        rate = f"{document['photos_per_second']:,.1f} a second"
        print(f"{counted(len(rows), 'photos')}, {counted(errors, 'errors')}, {seconds:,.1f} s "
              f"({rate}): {self.path}")  # fmt: skip

    def _score(self, benchmark: str, errors: int) -> dict[str, Any]:
        argv = _scoring([self], benchmark)
        if errors:
            argv += ["--missing", "miss"]
        try:
            report.require_matplotlib("a report")
            argv += ["--report", str(self.report)]
        except ImportError as error:
            print(f"geoeval: {error}", file=sys.stderr)
        scored = gcd_metric.cli.run(gcd_metric.cli.parse(argv), [self.path.name], benchmark)
        score: dict[str, Any] = json.loads(output.formatted(scored, output.Output("json"), {}))
        return score


def _scoring(folders: Sequence[Folder], benchmark: str) -> list[str]:
    """Arguments of `gcd-metric` for runs over the same photos."""
    argv = [str(folder.predictions) for folder in folders]
    argv += ["--references", str(folders[0].truth)]
    return argv + ([] if benchmark == OWN else ["--benchmark", benchmark])


def _refuse_others(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    differences = [
        f"{name} {old.get(name)!r} there, {new.get(name)!r} here"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]
    if differences:
        raise ValueError(
            f"{path} contains a run with other settings ({'; '.join(differences)}): name another "
            "folder, or delete this one"
        )


def _kinds(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How many answers there are of each kind."""
    texts = [row["response"] for row in rows if "response" in row]
    kinds = {
        "error": sum("error" in row for row in rows),
        "coordinates": sum("latitude" in row for row in rows),
    }
    if texts:
        from gcd_metric.answers import parse_answers

        kinds.update(parse_answers(texts).counts)
    return {kind: count for kind, count in kinds.items() if count}


def report_runs(argv: Sequence[str]) -> None:
    """Score several runs in one table and one figure; `argv` are folders and options."""
    arguments = gcd_metric.cli.parse(argv)
    folders = [Folder(path) for path in arguments.predictions]
    settings = [folder.read()["settings"] for folder in folders]
    for folder, other in zip(folders, settings, strict=True):
        if not folder.truth.exists():
            raise ValueError(f"{folder.path} has no {TRUTH}: there is nothing to score")
        if other["photos"] != settings[0]["photos"]:
            raise ValueError(
                f"{folders[0].path} is a run over {settings[0]['n']:,} photos of "
                f"{settings[0]['benchmark']}, {folder.path} over {other['n']:,} of "
                f"{other['benchmark']}: report them apart"
            )
    benchmark = settings[0]["benchmark"]
    chosen = gcd_metric.cli.parse(_scoring(folders, benchmark))
    arguments.predictions, arguments.references = chosen.predictions, chosen.references
    arguments.benchmark = arguments.benchmark or chosen.benchmark
    arguments.missing = arguments.missing or "miss"
    arguments.report = arguments.report or "geoeval-report.html"
    names = text.names_of([str(folder.path) for folder in folders])
    gcd_metric.cli.run(arguments, names, benchmark)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide the answers."""
    found = {"python": platform.python_version()}
    for name in ("im2gps-justzoomin", *_LIBRARIES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Return the kind of machine, and its accelerators."""
    found: dict[str, Any] = {"machine": platform.machine(), "system": platform.platform()}
    found["cores"] = os.cpu_count()
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        count = torch.cuda.device_count()
        found["accelerators"] = [torch.cuda.get_device_name(at) for at in range(count)]
    return found
