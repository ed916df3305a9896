"""The folder of a run: its settings, its score, and reports of one run or several."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gcd_metric.cli
from gcd_metric import output, report, submissions, text
from gcd_metric.names import counted
from geoeval.benchmarks import OWN
from geoload.files import atomic_write, read_json, sha256, write_json

_LIBRARIES = ("numpy", "pillow", "simplejpeg", "datasets", "torch", "transformers", "geoclip")


class Folder:
    """The folder of a run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = self.path.absolute().name
        self.predictions, self.photos = self.path / "predictions.jsonl", self.path / "photos.csv"
        self.run, self.report = self.path / "run.json", self.path / "report.html"

    def begin(self, settings: dict[str, Any], photos: bytes) -> None:
        """Write the settings and the table of photos.

        Raises ValueError if the folder contains a run with other settings, or over other photos.
        """
        settings = {**settings, "photos_sha256": hashlib.sha256(photos).hexdigest()}
        settings = json.loads(json.dumps(settings, default=str))
        if self.run.exists():
            document = self.read()
            self._refuse_others(document["settings"], settings)
            # now, because to continue the file of predictions changes its time
            exists = self.predictions.exists()
            self._end_session(document, self.predictions.stat().st_mtime if exists else 0)
            write_json(self.run, document)
        elif self.predictions.exists():
            raise ValueError(f"{self.predictions} has no {self.run.name} beside it: name another "
                             "folder")  # fmt: skip
        else:
            write_json(self.run, {"settings": settings, "sessions": []})
        with atomic_write(self.photos) as file:
            file.write(photos)

    def _refuse_others(self, there: dict[str, Any], here: dict[str, Any]) -> None:
        differences = [
            f"{name} was {there.get(name)!r} and is {here.get(name)!r}"
            for name in {**there, **here}
            if there.get(name) != here.get(name)
        ]
        if differences:
            raise ValueError(
                f"{self.path} contains a run with other settings ({'; '.join(differences)}): name "
                "another folder, or delete this one"
            )

    def start(self, command: str) -> None:
        """Note that a process starts to predict."""
        session = {"command": command, "started": time.time(), "seconds": None}
        document = self.read()
        document["sessions"].append({**session, "versions": versions(), "hardware": hardware()})
        write_json(self.run, document)

    def _end_session(self, document: dict[str, Any], now: float) -> None:
        """Set the duration of the last session. If it was killed, the last prediction ended it."""
        for session in document["sessions"][-1:]:
            if session["seconds"] is None:
                session["seconds"] = max(0.0, now - session["started"])

    def read(self) -> dict[str, Any]:
        """Return what `run.json` contains."""
        if not self.run.exists():
            raise ValueError(f"{self.path} is not the folder of a run: it has no {self.run.name}")
        return read_json(self.run)

    def finish(self, pushing: Sequence[str] = ()) -> None:
        """Complete `run.json`; score the predictions and write the report if the truth is known.

        `pushing` are the options of `gcd-metric` that send the result to the Hub.
        """
        document = self.read()
        self._end_session(document, time.time())
        seconds = sum(session["seconds"] for session in document["sessions"])
        lines = self.predictions.read_text(encoding="utf-8").splitlines()
        answers = _kinds([json.loads(line) for line in lines])
        rate = len(lines) / max(seconds, 1e-3)
        document |= {"n": len(lines), "answers": answers, "seconds": round(seconds, 3)}
        document |= {"photos_per_second": round(rate, 3)}
        document |= {"predictions_sha256": sha256(self.predictions)}
        if self.has_truth():
            document["score"] = self._score(document["settings"]["benchmark"], answers, pushing)
        if document["settings"]["zoom"]:
            from geoeval import zoom_scores

            document["zoom"] = zoom_scores.score(self.predictions, self.photos)
        write_json(self.run, document)
        kinds = ", ".join(f"{kind.replace('_', ' ')} {count:,}" for kind, count in answers.items())
        print(f"Wrote {self.predictions}: {counted(len(lines), 'photos')} ({kinds}) in "
              f"{seconds:,.1f} s, {rate:,.1f} a second")  # fmt: skip

    def has_truth(self) -> bool:
        """Return whether the places of the photos are known."""
        with self.photos.open(encoding="utf-8") as file:
            return "latitude" in file.readline()

    def _score(
        self, benchmark: str, answers: dict[str, int], pushing: Sequence[str]
    ) -> dict[str, Any]:
        argv = [*scoring([self], benchmark), *pushing]
        if answers.get("error"):
            argv += ["--missing", "miss"]
        try:
            report.require_matplotlib("a report")
            argv += ["--report", str(self.report)]
        except ImportError as error:
            print(f"geoeval: {error}", file=sys.stderr)
        scored = gcd_metric.cli.run(gcd_metric.cli.parse(argv), [self.name], benchmark)
        score: dict[str, Any] = json.loads(output.formatted(scored, output.Output("json"), {}))
        return score


def scoring(folders: Sequence[Folder], benchmark: str) -> list[str]:
    """Return the arguments of `gcd-metric` for runs over the same photos."""
    argv = [str(folder.predictions) for folder in folders]
    argv += ["--references", str(folders[0].photos)]
    return argv + ([] if benchmark == OWN else ["--benchmark", benchmark])


def check_push(folder: Folder, options: dict[str, Any]) -> list[str]:
    """Return the options of `gcd-metric` that send a result; ValueError if they cannot work.

    This is checked before the model runs, which may take hours.
    """
    words = ["--dry-run"] * options["dry_run"]
    for name in ("push", "dataset", "predictions_repo"):
        if options[name]:
            words += [f"--{name.replace('_', '-')}", options[name]]
    if not words:
        return []
    if options["limit"] or options["shard"] != (1, 1):
        raise ValueError(f"{submissions.WHOLE}: leave out --limit and --shard")
    argv = [*scoring([folder], options["benchmark"]), *words]
    submissions.find_target(gcd_metric.cli.parse(argv))
    return words


def _kinds(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Return how many answers there are of each kind."""
    kinds = Counter("error" if "error" in row else "coordinates" for row in rows
                    if "response" not in row)  # fmt: skip
    if texts := [row["response"] for row in rows if "response" in row]:
        from gcd_metric.answers import parse_answers

        kinds.update(parse_answers(texts).counts)
    return {kind: count for kind, count in kinds.items() if count}


def report_runs(runs: list[str], output: str, options: list[str]) -> None:
    """Score runs in one table and one figure; `options` are those of `gcd-metric`."""
    folders = [Folder(path) for path in runs]
    settings = [folder.read()["settings"] for folder in folders]
    for folder, one in zip(folders, settings, strict=True):
        if not folder.has_truth():
            raise ValueError(f"{folder.photos} has no coordinates: there is nothing to score")
        if one["photos_sha256"] != settings[0]["photos_sha256"]:
            over = [f"{n:,} photos of {name}" for n, name in (
                (s["n"], s["benchmark"]) for s in (settings[0], one))]  # fmt: skip
            raise ValueError(f"{folders[0].path} is a run over {over[0]}, and {folder.path} over "
                             f"{over[1]}; report them apart")  # fmt: skip
    benchmark = settings[0]["benchmark"]
    argv = [*scoring(folders, benchmark), "--missing", "miss", "--report", output, *options]
    gcd_metric.cli.run(gcd_metric.cli.parse(argv), text.names_of(runs), benchmark)


def merge(output: str, parts: Sequence[str]) -> None:
    """Join the shards of a run in a new folder, and score it."""
    folder, folders = Folder(output), [Folder(part) for part in parts]
    documents = [part.read() for part in folders]
    order = sorted(range(len(parts)), key=lambda at: documents[at]["settings"]["shard"])
    own = ("shard", "n", "photos_sha256")
    common = [{**document["settings"], **dict.fromkeys(own)} for document in documents]
    shards = [documents[at]["settings"]["shard"] for at in order]
    count = shards[0][1]
    if shards != [[number, count] for number in range(1, count + 1)]:
        found = ", ".join(f"{number}/{n}" for number, n in shards)
        raise ValueError(f"These are the shards {found}; name each of the {count:,} once")
    for part, document, settings in zip(folders, documents, common, strict=True):
        part._refuse_others(settings, common[0])
        if document.get("predictions_sha256") != sha256(part.predictions):
            raise ValueError(f"{part.path} is not finished: give its command again")
    tables = [folders[at].photos.read_bytes() for at in order]
    header, _, _ = tables[0].partition(b"\n")
    photos = header + b"\n" + b"".join(table.partition(b"\n")[2] for table in tables)
    n = sum(document["n"] for document in documents)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.begin({**common[0], "shard": [1, 1], "n": n}, photos)
    with atomic_write(folder.predictions) as file:
        file.write(b"".join(folders[at].predictions.read_bytes() for at in order))
    sessions = [session for at in order for session in documents[at]["sessions"]]
    write_json(folder.run, {**folder.read(), "sessions": sessions})
    folder.finish()


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
    found: dict[str, Any] = {"system": platform.platform(), "cores": os.cpu_count()}
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        count = torch.cuda.device_count()
        found["accelerators"] = [torch.cuda.get_device_name(at) for at in range(count)]
    return found
