"""Results on the loopback Hub: published, pushed as pull requests, and scored again."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from datasets import load_dataset
from huggingface_hub import HfApi

import im2gps.cli
import justzoomin.cli
from gcd_metric.cli import main
from gcd_metric.intake import rank
from tests.conftest import _hub
from tests.support.hub_write import OWNER, TOKEN

WORLD, TOWN, GUESSES = f"{OWNER}/lb-world", f"{OWNER}/lb-town", f"{OWNER}/lb-guesses"
GOOD, BAD = f"{OWNER}/good", f"{OWNER}/bad"
ENTRY = f".eval_results/{WORLD.replace('/', '--')}--im2gps.yaml"


@pytest.fixture(autouse=True)
def token(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def published(packs, zoom, tmp_path_factory):
    """Both miniatures on the Hub, and the rows of the first one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", TOKEN)
        to = tmp_path_factory.mktemp("published")
        words = ["publish", WORLD, "--public", "--to", to / "world", "--data-dir", packs]
        assert im2gps.cli.main([*map(str, words), "--configs", "im2gps"]) == 0
        words = ["publish", TOWN, "--public", "--to", to / "town", "--data-dir", zoom]
        assert justzoomin.cli.main([*map(str, words), "--configs", "streetview"]) == 0
        rows = load_dataset(WORLD, "im2gps", split="test").remove_columns("image")
    return rows[:]


@pytest.fixture
def called(capsys):
    """Run the command; its status, and what it prints on stdout and stderr."""

    def call(*arguments):
        capsys.readouterr()
        status = main(list(map(str, arguments)))
        printed = capsys.readouterr()
        return status, printed.out, " ".join(printed.err.split())

    return call


def guess(rows, name, far, n=None):
    """Predictions; those of every `far`-th photo are half a world away, and of photo 0 missing."""
    with open(name, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", "latitude", "longitude"])
        for number, image_id in enumerate(rows["image_id"][:n]):
            latitude, longitude = rows["latitude"][number], rows["longitude"][number]
            if number % far == 0:
                latitude, longitude = -latitude, longitude - 180 * (1 if longitude > 0 else -1)
            writer.writerow([image_id, latitude, longitude] if number else [image_id, "", ""])
    return name


def push(file, model, *more):
    words = [file, "--references", WORLD, "--missing", "miss", "--push", model]
    return [*words, "--predictions-repo", GUESSES, *more]


@pytest.fixture(scope="module")
def pushed(published, tmp_path_factory):
    """Two results on the Hub, in pull requests to their models."""
    folder = tmp_path_factory.mktemp("pushed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", TOKEN)
        for model, far in ((GOOD, 6), (BAD, 2)):
            _hub.make_model(model)
            assert main(push(guess(published, str(folder / "guess.csv"), far), model)) == 0


def test_publish_writes_what_makes_a_benchmark(hub, published):
    world = yaml.safe_load(hub.files(WORLD)["eval.yaml"])
    (task,) = world["tasks"]
    assert world["evaluation_framework"] == "inspect-ai" and world["name"] and world["description"]
    assert (task["id"], task["config"], task["split"]) == ("im2gps", "im2gps", "test")
    fields = {task["field_spec"][name] for name in ("input", "input_image", "target")}
    assert fields | {"longitude"} <= {*published, "image"}
    (town,) = yaml.safe_load(hub.files(TOWN)["eval.yaml"])["tasks"]
    assert (town["id"], town["config"], town["split"]) == ("justzoomin", "streetview", "validation")


def test_a_result_is_a_pull_request_with_the_predictions_elsewhere(hub, pushed, published):
    assert ENTRY not in hub.files(GOOD)
    ((entry),) = yaml.safe_load(hub.files(GOOD, "refs/pr/1")[ENTRY])
    assert entry["dataset"]["id"] == WORLD and entry["dataset"]["task_id"] == "im2gps"
    n = len(published["image_id"])
    right = n - 1 - (n - 1) // 6
    assert entry["value"] == round(100 * right / n, 2)
    notes = entry["notes"]
    assert f"n = {n} photos by" in notes and "photographers;" in notes
    assert "wrong at every distance: 1. With 95 % intervals: 1 km: " in notes and "[" in notes
    # the address is that of one commit, so that predictions cannot be exchanged later
    folder = f"im2gps/{GOOD.replace('/', '--')}"
    address = entry["source"]["url"]
    assert address.startswith(f"{hub.endpoint}/datasets/{GUESSES}/tree/")
    assert len(address.split("/")[-3]) == 40 and address.endswith(folder)
    files = hub.files(GUESSES)
    rows = list(csv.DictReader(io.StringIO(files[f"{folder}/predictions.csv"].decode())))
    assert [row["image_id"] for row in rows] == published["image_id"]
    assert rows[0]["latitude"] == "" and float(rows[1]["latitude"]) == published["latitude"][1]
    stated = json.loads(files[f"{folder}/submission.json"])
    assert stated["model"] == GOOD and stated["figures"]["acc@200km"] == right / n


def test_a_benchmark_is_scored_again_and_tampering_is_found(hub, pushed, called):
    status, out, err = called("leaderboard", WORLD)
    assert status == 0, err
    assert f"1. {GOOD} " in out and f"2. {BAD} †" in out
    assert "Not distinguishable from the best at 200 km" in " ".join(out.split())
    entries = yaml.safe_load(hub.files(BAD, "refs/pr/1")[ENTRY])
    hub.put(BAD, ENTRY, yaml.safe_dump([{**entries[0], "value": 99.5}]).encode(), "refs/pr/1")
    status, out, err = called("leaderboard", WORLD)
    assert status == 1
    assert f"{BAD} states 99.5 % (acc@200km), and its file gives" in err
    assert "‡" in out and out.index(GOOD) < out.index(BAD)
    status, out, _ = called("leaderboard", WORLD, "--json")
    good, bad = (run["scores"] for run in json.loads(out)["runs"])
    assert status == 1 and (good["follows"], bad["follows"]) == (True, False)
    assert good["rank"] == 1 and bad["stated_percent"] == 99.5 and 0 < bad["p_best"] <= 1
    hub.put(BAD, ENTRY, yaml.safe_dump(entries).encode(), "refs/pr/1")


def test_the_truth_is_that_of_the_commit(hub, pushed, called):
    commit = HfApi().dataset_info(WORLD).sha
    table = "im2gps/test-00000-of-00001.parquet"
    content = hub.files(WORLD)[table]
    hub.put(WORLD, table, b"")
    status, out, err = called("leaderboard", f"{WORLD}@{commit}")
    hub.put(WORLD, table, content)
    assert status == 0 and GOOD in out, err


def test_a_file_that_does_not_arrive_is_no_fault_of_its_model(hub, pushed, called):
    hub.fail("predictions.csv", 501, method="HEAD")  # the client does not try again
    status, out, err = called("leaderboard", GUESSES, "--truth", WORLD)
    assert (status, out) == (2, "") and "predictions.csv: the Hub has an error (501)" in err
    hub.fail("good/predictions.csv", 403, method="HEAD")
    status, out, err = called("leaderboard", GUESSES, "--truth", WORLD)
    assert status == 1 and BAD in out and "predictions.csv: the Hub refuses (403)" in err


@pytest.mark.parametrize("form", ["csv", "markdown", "latex"])
def test_a_leaderboard_is_printed_in_the_usual_formats(pushed, called, form):
    status, out, _ = called("leaderboard", WORLD, "--format", form)
    assert status == 0 and GOOD in out and "answered only" not in out
    assert ("like_best" if form == "csv" else "†") in out


def test_a_dry_run_shows_the_result_and_sends_nothing(hub, pushed, published, called):
    model, before = f"{OWNER}/dry", hub.commits(GUESSES)
    hub.make_model(model)
    status, out, err = called(*push(guess(published, "guess.csv", 6), model, "--dry-run"))
    assert status == 0, err
    assert f"id: {WORLD}" in out and "Would open a pull request" in out and GUESSES in out
    assert hub.commits(model) == 1 and hub.commits(GUESSES) == before


def test_a_run_over_a_part_is_refused(hub, pushed, published, called):
    few = guess(published, "few.csv", 6, n=7)
    guess(published, "guess.csv", 6)
    Path("known.csv").write_text(f"image_id\n{published['image_id'][3]}\n", encoding="utf-8")
    whole = "--push is for a run over the whole benchmark"
    cases = [
        (push(few, GOOD, "--allow-partial"), f"{whole}: leave out --allow-partial"),
        (push("guess.csv", GOOD, "--exclude", "known.csv"), f"{whole}: leave out --exclude"),
        (push("guess.csv", GOOD, "--thresholds", "5"), "leave out --metric-config, --thresholds"),
        # the truth, too, is only a part
        (["guess.csv", "--references", "part.csv", "--dataset", WORLD, "--push", GOOD,
          "--missing", "miss"],
         f"{whole}: this one is over 5 photos, and im2gps of {WORLD} has"),
        (["guess.csv", "--references", "part.csv", "--push", GOOD], "--dataset OWNER/NAME"),
    ]  # fmt: skip
    truth = pd.DataFrame(published)
    truth[2:7][["image_id", "latitude", "longitude"]].to_csv("part.csv", index=False)
    for words, error in cases:
        status, _, err = called(*words)
        assert status == 2 and error in err, err


def test_files_of_others_are_not_trusted(published, called, tmp_path):
    """A folder of submissions, most of which are broken or say something else than their file."""
    truth = pd.DataFrame(published)[["image_id", "latitude", "longitude"]]
    truth.to_csv("truth.csv", index=False)

    def submit(model, statement=None, table=truth, folder=None):
        at = tmp_path / "all" / "im2gps" / (folder or model.replace("/", "--"))
        at.mkdir(parents=True)
        table.to_csv(at / "predictions.csv", index=False)
        stated = {"model": model, "figures": {"acc@200km": 1.0}}
        text = json.dumps(stated) if statement is None else statement
        (at / "submission.json").write_text(text, encoding="utf-8")
        return at

    submit("a/honest")
    submit("a/boasting", table=truth.assign(latitude=0.0))
    submit("a/deep", "[" * 50_000)
    submit("a/long", " " * 2**17)
    submit("a/words", json.dumps({"model": "a/words", "figures": {"acc@200km": "1.0"}}))
    submit("a/other", folder="b--name")
    submit("a/huge", json.dumps({"model": "a/huge", "figures": {"acc@200km": 10**400}}))
    submit("a/list", json.dumps({"model": "a/list", "figures": "words"}))
    submit("a/colour", table=pd.concat([truth.assign(image_id="\x1b[31mred")] * 2))
    submit("a/wide", table=pd.DataFrame(columns=[*truth, *map(str, range(20_000))]))
    submit("a/out", table=truth.assign(latitude=123.0))
    (submit("a/link") / "predictions.csv").unlink()
    (tmp_path / "all" / "im2gps" / "a--link" / "predictions.csv").symlink_to("/etc/passwd")
    status, out, err = called("leaderboard", tmp_path / "all", "--truth", "truth.csv")
    assert status == 1
    assert "1. a/honest " in out and "a/boasting ‡" in out
    for model, why in {
        "boasting": "states acc@200km 1 (from the file: 0.0909091)",
        "deep": "has no model and figures",
        "long": "more than 65,536 bytes",
        "words": "acc@200km is '1.0', not a number",
        "huge": "…, not a number",
        "list": "a--list/submission.json has no model and figures",
        "colour": "duplicate id: \\x1b[31mred",
        "wide": "the first line has more than 65,536 bytes",
        "out": "beyond ±90 degrees",
        "link": "there is no file im2gps/a--link/predictions.csv",
    }.items():
        assert f"a/{model}" not in out or model == "boasting"
        assert why in err, err
    assert "is of the model a/other" in err and "root:" not in out + err and "\x1b" not in err


def test_geoeval_sends_the_result_of_a_whole_run(hub, published, zoom, tmp_path, capsys):
    pytest.importorskip("torch")
    import geoeval.cli

    model = f"{OWNER}/from-geoeval"
    hub.make_model(model)
    code = "def predict(photos):\n    return [[38.9, -77.03]] * len(photos)\n"
    (tmp_path / "model.py").write_text(code, encoding="utf-8")
    words = ["model.py:predict", "--benchmark", "justzoomin", "--data-dir", str(zoom), "-o", "run"]
    words += ["--workers", "0", "--push", model, "--dataset", TOWN]
    assert geoeval.cli.main([*words, "--limit", "5"]) == 2
    assert "leave out --limit" in capsys.readouterr().err and not (tmp_path / "run").exists()
    assert geoeval.cli.main([*words, "--predictions-repo", GUESSES]) == 0
    assert f"Opened {hub.endpoint}/{model}/discussions/1" in capsys.readouterr().out
    assert main(["leaderboard", TOWN]) == 0
    assert f"1. {model} " in (out := capsys.readouterr().out) and "50 m" in out


def test_the_page_ranks_a_repository_or_files(pushed, published):
    scored = rank(WORLD, [], None, "")
    assert [run.name for run in scored.runs] == [GOOD, BAD]
    truth = pd.DataFrame(published)
    truth.to_csv("truth.csv", index=False)
    truth.assign(latitude=0.0).to_csv("b.csv", index=False)
    Path("c.csv").write_text("image_id,latitude\n", encoding="utf-8")
    scored = rank("", ["b.csv", "truth.csv", "c.csv"], "truth.csv", "")
    assert [run.name for run in scored.runs] == ["truth", "b"]
    assert any(note.startswith("WARNING: c") for note in scored.notes)
    with pytest.raises(ValueError, match="one of the two"):
        rank(WORLD, ["b.csv"], "truth.csv", "")
    Path("own", "folder").mkdir(parents=True)  # of the server
    with pytest.raises(ValueError, match="data set own/folder: the Hub has none"):
        rank("own/folder", [], None, "")
