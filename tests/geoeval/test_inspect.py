"""`inspect eval geoeval/im2gps`, with a model on a loopback server and the real openai client."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

inspect_ai = pytest.importorskip("inspect_ai")
pytest.importorskip("openai")

from inspect_ai.log import read_eval_log
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from PIL import Image, ImageOps

from gcd_metric.cli import main
from gcd_metric.figures import flattened
from geoeval.benchmarks import open_benchmark
from geoeval.inspect_tasks import im2gps, justzoomin, photos
from geoload.models.prompts import PROMPTS
from im2gps.sample import write_sample
from tests.support.chat import PATH, REFUSAL, Chat

REPLIES = [
    '```json\n{"latitude": 48.8584, "longitude": 2.2945}\n```',
    {"message": {"refusal": REFUSAL}},
    {"finish_reason": "content_filter"},
    "It looks like Lisbon, Portugal.",
    "<think>Perhaps 1.0, 2.0</think> Latitude: 41.9° N, longitude: 12.5° E",
    "",
]


def evaluate(task, server, folder, **options):
    (log,) = inspect_ai.eval(
        task,
        model="openai-api/loopback/vision",
        model_base_url=f"{server.endpoint}/v1",
        model_args={"api_key": "none"},
        log_dir=str(folder),
        display="none",
        max_samples=1,
        **options,
    )
    return log


def figures(log, status="success"):
    assert log.status == status, log.error
    return {name: one.value for name, one in log.results.scores[0].metrics.items()}


def test_refusals_errors_and_answers_through_the_openai_client(packs, tmp_path, capsys):
    with Chat(REPLIES) as server:
        server.fail(PATH, 500, method="POST")
        log = evaluate(im2gps(str(packs)), server, tmp_path, limit=6)
    benchmark = open_benchmark("im2gps", str(packs))
    assert {sample.id for sample in log.samples} == set(benchmark.ids[:6])
    assert server.prompts == [PROMPTS["plain"]] * 6
    found = figures(log)
    kinds = {key.removeprefix("n_"): value for key, value in found.items() if key[:2] == "n_"}
    wanted = {"coordinates": 2, "refusal": 1, "error": 1, "place": 1, "no_answer": 1, "missing": 4}
    assert wanted.items() <= kinds.items() and kinds["groups"] < 6  # photographers
    assert main([log.location.removeprefix("file://"), "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    scores = {key: value for key, value in flattened(run["scores"]).items() if value is not None}
    assert {key: found[key] for key in scores} == pytest.approx(scores, rel=1e-12)
    # the same figures from the texts and the table of the benchmark
    truth, texts = tmp_path / "truth.csv", tmp_path / "texts.jsonl"
    rows = zip(benchmark.ids[:6], benchmark.truth, strict=False)
    truth.write_text("\n".join(["id,lat,lon", *(f"{name},{a!r},{b!r}" for name, (a, b) in rows)]))
    lines = [{"id": one.id, "response": one.output.completion} for one in log.samples]
    texts.write_text("\n".join(map(json.dumps, lines)))
    assert main([str(texts), "--references", str(truth), "--json"]) == 0
    (again,) = json.loads(capsys.readouterr().out)["runs"]
    assert again["scores"] == run["scores"]


def test_photos_are_sent_upright_without_metadata_and_are_not_kept_in_the_log(packs, tmp_path):
    with Chat(["1, 2"] * 12) as server:
        log = evaluate(im2gps(str(packs), image_size=16), server, tmp_path)
    assert len(server.photos) == 12
    stored = open_benchmark("im2gps", str(packs)).photos
    for sent, row in zip(server.photos, stored, strict=True):
        assert sent.format == "JPEG" and sent.mode == "RGB" and not sent.getexif()
        assert not {"comment", "exif", "icc_profile", "xmp"} & set(sent.info)
        assert min(sent.size) == 16
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(row["image"]["bytes"])))
        assert (sent.width > sent.height) == (upright.width > upright.height)
    assert "base64" not in str(read_eval_log(log.location).samples[0].messages)


def test_a_photo_whose_request_fails_is_wrong_and_the_log_says_error(packs, tmp_path, capsys):
    with Chat(["1, 2", 400, "3, 4"]) as server:
        log = evaluate(im2gps(str(packs)), server, tmp_path, limit=3)
    found = figures(log, "error")
    assert (found["n"], found["n_missing"]) == (3, 1)
    assert main([log.location.removeprefix("file://")]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "coordinates 2, error 1" in said and "the evaluation ended with error" in said


def test_photos_of_ones_own_and_a_prompt_of_ones_own(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        exif = Image.Exif()
        exif.get_ifd(0x8825)[1] = "N"  # a GPS tag
        Image.new("RGB", (60, 40), (number * 90, 90, 90)).save(folder / f"{number}.jpg", exif=exif)
    with pytest.raises(ValueError, match="-T coordinates=FILE"):
        photos(str(folder))
    table = tmp_path / "table.csv"
    table.write_text("image_id,latitude,longitude\n0.jpg,1e-5,2.5\n1.jpg,3,4\n2.jpg,5,6\n")
    task = photos(str(folder), str(table), prompt="Which place is this?")
    assert [sample.target for sample in task.dataset] == ["0.00001, 2.5", "3.0, 4.0", "5.0, 6.0"]
    with Chat(["0.00001, 2.5", "3, 4", "5, 7"]) as server:
        log = evaluate(task, server, tmp_path)
    assert server.prompts == ["Which place is this?"] * 3
    assert all("exif" not in photo.info for photo in server.photos)
    assert figures(log)["acc@1km"] == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="'plane' is none of plain, jay2025, liu2024, song2025"):
        photos(str(folder), str(table), prompt="plane")


def test_just_zoom_in_is_scored_in_metres_with_cells_as_groups(zoom, tmp_path):
    texts = [f"{place[0]}, {place[1]}" for place in open_benchmark("justzoomin", str(zoom)).truth]
    outputs = [ModelOutput.from_content("mockllm/model", text) for text in texts]
    for output in outputs:
        output.usage = ModelUsage()  # otherwise inspect-ai downloads a tokenizer
    (log,) = inspect_ai.eval(
        justzoomin(str(zoom), prompt="liu2024"),
        model=get_model("mockllm/model", custom_outputs=outputs),
        log_dir=str(tmp_path),
        display="none",
        max_samples=1,
    )
    found = figures(log)
    assert (found["acc@40m"], found["n"], found["n_missing"]) == (1, 10, 0)
    assert found["n_groups"] <= 10 and found["median_m"] == pytest.approx(0, abs=1e-6)


def test_the_command_finds_the_task_from_any_folder(packs, tmp_path):
    write_sample(tmp_path / "packs", {"im2gps": 3}, width=32)
    with Chat(["1, 2"] * 2) as server:
        command = [str(Path(sys.executable).with_name("inspect")), "eval", "geoeval/im2gps"]
        command += ["--model", "openai-api/loopback/vision", "-T", "data_dir=packs"]
        command += ["-T", "prompt=song2025", "--limit", "2", "--display", "none"]
        environment = {
            **os.environ,
            "LOOPBACK_BASE_URL": f"{server.endpoint}/v1",
            "LOOPBACK_API_KEY": "none",
        }
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=150)
    assert server.prompts == [PROMPTS["song2025"]] * 2
    (path,) = (tmp_path / "logs").glob("*.eval")
    log = read_eval_log(str(path))
    assert (log.status, log.eval.task) == ("success", "geoeval/im2gps")
    assert figures(log)["n"] == 2
