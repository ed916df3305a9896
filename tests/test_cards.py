"""The Hub cards: the Hub accepts their headers, which agree with the builders."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import datasets
import pytest
import yaml
from datasets.info import DatasetInfosDict
from datasets.utils import resources
from huggingface_hub import DatasetCard

import gcd_metric
from geoload.publishing.card import CONTENTS, find_card
from im2gps import Im2GPS, metadata
from im2gps.licences import LICENCES
from im2gps.sets import SETS
from justzoomin import JustZoomIn, zoom
from justzoomin.publish import STREET_ATTRIBUTION
from justzoomin.sample_tiles import write_tiles
from justzoomin.source import ATTRIBUTION, REPOSITORY

ROOT = Path(__file__).parents[1]
BUILDERS = {"im2gps": Im2GPS, "justzoomin": JustZoomIn}
# Of the identifiers at https://huggingface.co/docs/hub/repositories-licenses.
HUB_LICENCES = {"other", "cc-by-4.0", "cc-by-sa-4.0"}
# Of huggingface.js, packages/tasks/src/pipelines.ts.
HUB_TASKS = {"other", "image-to-image", "image-feature-extraction", "robotics"}


@pytest.fixture(params=list(BUILDERS))
def package(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def town(zoom, tmp_path_factory) -> Path:
    """The miniature of Just Zoom In with a few overhead tiles."""
    folder = tmp_path_factory.mktemp("town")
    shutil.copytree(zoom, folder, dirs_exist_ok=True)
    write_tiles(folder, levels=[-9])
    return folder


@pytest.fixture
def card(package) -> DatasetCard:
    path = ROOT / "dataset_cards" / package / "README.md"
    return DatasetCard(path.read_text(encoding="utf-8"))


def builder(package: str, config: str, packs: Path, town: Path):
    folder = packs if package == "im2gps" else town
    return BUILDERS[package](config_name=config, data_dir=str(folder))


def table(text: str, first: str) -> list[list[str]]:
    """The cells of the table whose header begins with a word."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def test_the_hub_accepts_the_header(card):
    data = card.data.to_dict()
    sizes = json.loads((Path(resources.__path__[0]) / "size_categories.json").read_text())
    assert data["license"] in HUB_LICENCES and data["pretty_name"]
    assert data["license"] != "other" or (data["license_name"] and data["license_link"])
    assert data["task_categories"] and set(data["task_categories"]) <= HUB_TASKS
    assert len(data["size_categories"]) == 1 and data["size_categories"][0] in sizes
    assert all(isinstance(tag, str) for tag in data["tags"]) and data["language"] == ["en"]
    names = [one["config_name"] for one in data["configs"]]
    assert [one["config_name"] for one in data["dataset_info"]] == names
    assert [one["config_name"] for one in data["configs"] if one.get("default")] == names[:1]


def test_datasets_reads_the_columns_and_they_are_the_builders(package, card, packs, town, caplog):
    stated = DatasetInfosDict.from_dataset_card_data(card.data)
    assert stated and "Ignoring" not in caplog.text
    for config, info in stated.items():
        features = builder(package, config, packs, town).info.features
        assert info.features.arrow_schema == features.arrow_schema, config
        pictures = [[n for n, f in one.items() if isinstance(f, datasets.Image)]
                    for one in (info.features, features)]  # fmt: skip
        assert pictures[0] == pictures[1] == card_pictures(card, config)


def card_pictures(card: DatasetCard, config: str) -> list[str]:
    infos = {info["config_name"]: info for info in card.data.to_dict()["dataset_info"]}
    return [c["name"] for c in infos[config]["features"] if c.get("dtype") == "image"]


def test_splits_and_defaults_are_the_builders(package, card, packs, town):
    configs = card.data.to_dict()["configs"]
    assert configs[0]["config_name"] == BUILDERS[package].DEFAULT_CONFIG_NAME
    for one in configs:
        name = one["config_name"]
        splits = [files["split"] for files in one["data_files"]]
        assert splits == builder(package, name, packs, town).split_names()
        assert [files["path"] for files in one["data_files"]] == [
            f"{name}/{split}-*.parquet" for split in splits
        ]


def test_every_configuration_is_named(package, card):
    for config in BUILDERS[package].BUILDER_CONFIGS:
        assert f"`{config.name}`" in card.text, config.name


def test_fields_in_the_text_are_the_columns(package, card, packs, zoom):
    stated: dict[str, dict[str, str]] = {}
    for row in table(card.text, "field" if package == "im2gps" else "configuration"):
        names = ["im2gps"] if package == "im2gps" else re.findall(r"\w+", row[0])
        field, kind = row[-3:-1]
        for name in names:
            stated.setdefault(name, {})[field] = kind
    for info in card.data.to_dict()["dataset_info"][: 1 if package == "im2gps" else None]:
        kinds = {
            c["name"]: f"list of {c['list']}" if "list" in c else c["dtype"]
            for c in info["features"]
        }
        assert stated.pop(info["config_name"]) == kinds
    assert not stated


def test_columns_of_the_lists_are_those_of_the_table():
    text = find_card("im2gps")
    paragraph = text[text.index("The columns of `metadata`") :].partition("\n\n")[0]
    assert re.findall("`([a-z_]+)`", paragraph)[1:] == list(metadata.features())


def test_counts_agree_with_builders_and_literature(package, card):
    header = {
        (info["config_name"], split["name"]): split["num_examples"]
        for info in card.data.to_dict()["dataset_info"]
        for split in info.get("splits", [])
    }
    text = card.text[card.text.index("plits\n") :]
    counts = {(row[0], row[1]): row[2] for row in table(text, "configuration")}
    assert {key: f"{count:,}" for key, count in header.items()}.items() <= counts.items()
    if package == "im2gps":
        published = {name: s.photos for name, s in SETS.items() if not s.table}
        three = f"{SETS['im2gps3k'].photos:,}"
        assert header == {(name, "test"): count for name, count in published.items()}
        assert f"`im2gps3k`: {three} photos, of which 2,997" in card.text
        assert "6,472,304" in card.text and "0.0435" in card.text
        return
    views = sum(len(zoom.cells(depth)) for depth in range(zoom.DEPTH))
    assert counts["views", "train"] == f"{views:,}"
    assert counts["cells", "train"] == f"{len(zoom.cells(zoom.DEPTH)):,}"
    with open(Path(gcd_metric.__file__).parent / "published_results.csv", encoding="utf-8") as file:
        known = {row["n"] for row in csv.DictReader(file) if row["benchmark"] == "justzoomin"}
    assert {counts[c, "validation"].replace(",", "") for c in ("streetview", "metadata")} == known
    assert counts["streetview", "train"] == counts["metadata", "train"] == "about 279,000"


def test_licences_and_attributions_agree_with_the_code(package, card):
    if package == "justzoomin":
        for sentence in (STREET_ATTRIBUTION, ATTRIBUTION):
            assert sentence in card.text
        assert card.data.license == "cc-by-sa-4.0" and REPOSITORY in card.text
        return
    rows = {row[0]: row[1:] for row in table(card.text, "number")}
    assert rows.pop("none, or another") == ["unknown", "no"]
    assert {int(number) for number in rows} == set(LICENCES)
    for number, (name, published) in rows.items():
        licence = LICENCES[int(number)]
        assert name.lower() == licence.name.lower()
        assert (published == "yes") is licence.redistributable


def test_citations_agree_with_the_builders(package, card, packs, zoom):
    made = builder(package, BUILDERS[package].DEFAULT_CONFIG_NAME, packs, zoom)
    for line in made.info.citation.splitlines():
        assert line.rstrip(",") in card.text
    assert card.text.count(CONTENTS) == 1 and "REPO_ID" in card.text
    assert "More Information Needed" not in card.text
    for heading in ("Tasks", "Structure", "Creation", "Considerations", "Licensing information",
                    "Loading", "Credits"):  # fmt: skip
        assert f"\n## {heading}\n" in card.text
    assert "\n### Responsible use\n" in card.text


def test_the_citation_file_names_the_papers_of_the_cards():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    titles = {paper["title"] for paper in yaml.safe_load(text)["references"]}
    for package in BUILDERS:
        cited = re.search(r"\n  title\s+= \{(.*)\},", find_card(package))
        assert cited and re.sub("[{}]", "", cited[1]) in titles
    # not in the extra [test], because it needs a version of jsonschema before 4
    cffconvert = pytest.importorskip("cffconvert")
    cffconvert.Citation(text).validate()


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The files that a wheel of the checkout installs."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def test_the_cards_are_in_the_wheel(installed):
    code = (
        "import geoload.publishing.card as c; print(c.__file__); print(c.find_card('{}'), end='')"
    )
    for package in BUILDERS:
        command = [sys.executable, "-c", code.format(package)]
        done = subprocess.run(command, cwd=installed, capture_output=True, text=True, check=True)
        where, _, text = done.stdout.partition("\n")
        assert where.startswith(str(installed)) and text == find_card(package)
