"""Street photos by index: slices of shards, rows left in place, and ranges over HTTP."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pandas as pd
import pytest
from datasets import Image, load_dataset
from datasets.distributed import split_dataset_by_node

import justzoomin
from justzoomin.cli import main
from justzoomin.sample import write_sample
from tests.support.shards import rewrite


def ids(rows) -> list[str]:
    return [row["image_id"] for row in rows]


def ids_in_table(folder: Path, name: str) -> list[str]:
    path = folder / "metadata" / f"large_area_{name}_map.csv"
    return sorted(pd.read_csv(path, dtype=str)["image_id"])


def stream(split: str = "train", **options):
    rows = load_dataset("justzoomin", split=split, streaming=True, **options)
    return rows.cast_column("image", Image(decode=False))


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """Four shards of 700 small photos."""
    folder = tmp_path_factory.mktemp("many")
    write_sample(folder, train=630, validation=70, shards=4, width=16)
    return folder


@pytest.mark.parametrize("world", [2, 32])
def test_four_shards_are_shared_evenly(many, world):
    rows = stream(data_dir=str(many))
    shares = [ids(split_dataset_by_node(rows, rank, world)) for rank in range(world)]
    assert sorted(itertools.chain(*shares)) == ids_in_table(many, "train")
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 4 * 4  # four slices a node, each at most four too many


def test_resumes_in_the_middle_of_a_slice(many):
    rows = stream(data_dir=str(many))
    expected = ids(rows)
    for stop in (1, 7, 300, 629):
        iterator = iter(rows)
        head = ids(itertools.islice(iterator, stop))
        state = json.loads(json.dumps(rows.state_dict()))
        iterator.close()
        again = stream(data_dir=str(many))
        again.load_state_dict(state)
        assert head + ids(again) == expected


def test_rows_left_in_place_equal_the_copied_ones(many, tmp_path):
    placed = justzoomin.photos("train", data_dir=str(many), cache_dir=str(tmp_path / "placed"))
    copied = load_dataset(
        "justzoomin", split="train", data_dir=str(many), cache_dir=str(tmp_path / "copied")
    )
    assert placed.features == copied.features
    assert sorted(ids(placed)) == sorted(ids(copied))
    at = {image_id: row for row, image_id in enumerate(ids(copied))}
    for row in (0, 17, -1):
        same = copied[at[placed[row]["image_id"]]]
        assert placed[row]["image"].tobytes() == same["image"].tobytes()
        assert {**placed[row], "image": 0} == {**same, "image": 0}
    photos = sum(path.stat().st_size for path in (many / "archives").iterdir())
    kept = sum(path.stat().st_size for path in (tmp_path / "placed").rglob("*.arrow"))
    assert kept < photos / 4


@pytest.mark.parametrize("split", ["train", "validation"])
def test_rows_left_in_place_have_the_order_of_the_table(many, split, cache):
    options = {"data_dir": str(many), "split": split}
    table = load_dataset("justzoomin", "metadata", cache_dir=cache, **options)
    placed = justzoomin.photos(cache_dir=cache, **options)
    assert ids(placed) == table["image_id"][:]
    streamed = load_dataset("justzoomin", in_place=True, streaming=True, **options)
    assert ids(streamed.select_columns("image_id")) == table["image_id"][:]
    two = load_dataset("justzoomin", in_place=True, num_proc=2, cache_dir=f"{cache}2", **options)
    assert ids(two) == table["image_id"][:]


def test_extracted_rows_are_left_in_place_too(zoom, tmp_path, cache):
    shutil.copytree(zoom / "metadata", tmp_path / "all" / "metadata")
    for path in (zoom / "archives").glob("streetview*.tar"):
        with tarfile.open(path) as archive:
            archive.extractall(tmp_path / "all", filter="data")
    placed = justzoomin.photos("validation", data_dir=str(tmp_path / "all"), cache_dir=cache)
    table = pd.read_csv(zoom / "metadata" / "large_area_val_map.csv", dtype=str)
    assert ids(placed) == table["image_id"].tolist()
    assert placed[0]["image"].size == (32, 24)


def test_select_shuffle_and_transform(many, cache):
    rows = justzoomin.photos("validation", data_dir=str(many), cache_dir=cache)
    assert ids(rows.select([5, 3])) == [ids(rows)[5], ids(rows)[3]]
    shuffled = rows.shuffle(seed=1)
    assert ids(shuffled) != ids(rows) and sorted(ids(shuffled)) == sorted(ids(rows))
    assert ids(rows.shuffle(seed=1)) == ids(shuffled) != ids(rows.shuffle(seed=2))
    arrays = rows.cast_column("image", Image(decode=False)).with_transform(justzoomin.Resize(6))
    assert arrays[0]["image"].shape == (6, 8, 3)


def test_a_process_without_our_import_reads_rows_left_in_place(many, tmp_path, cache):
    rows = justzoomin.photos("validation", data_dir=str(many), cache_dir=cache)
    rows.save_to_disk(tmp_path / "saved")
    code = (
        "import datasets, sys\n"
        f"rows = datasets.load_from_disk({str(tmp_path / 'saved')!r})\n"
        "print(rows[3]['image'].size, 'justzoomin' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=170, cwd=tmp_path
    )
    assert done.stdout.split() == ["(16,", "12)", "False"], done.stderr


def test_a_replaced_shard_is_read_as_it_is_now(many, tmp_path, cache):
    own = tmp_path / "own"
    shutil.copytree(many, own)
    rows = justzoomin.photos("train", data_dir=str(own), cache_dir=cache)
    before = rows[0]["image"].tobytes()
    archive = own / "archives" / "streetview_images_000.tar"
    with tarfile.open(archive) as old:
        content = [(m.name, old.extractfile(m).read()) for m in old.getmembers()]
    with tarfile.open(f"{archive}.part", "w") as new:
        for name, data in reversed(content):  # every photo at another offset
            info = tarfile.TarInfo(name)
            info.size = len(data)
            new.addfile(info, io.BytesIO(data))
    os.replace(f"{archive}.part", archive)
    assert rows[0]["image"].tobytes() == before
    archive.unlink()
    with pytest.raises(FileNotFoundError, match="streetview_images_000.tar"):
        rows[0]["image"]


def test_contradictory_options_are_refused(many, cache):
    options = {"data_dir": str(many), "in_place": True}
    with pytest.raises(ValueError, match=r"in_place=True .* justzoomin.Resize"):
        load_dataset("justzoomin", image_size=8, cache_dir=cache, **options)
    with pytest.raises(ValueError, match="in_place= is for load_dataset"):
        justzoomin.webdataset("train", **options)


def test_rows_of_the_hub_left_in_place(hub, zoom, cache):
    hub.add("someone/placed", zoom)
    with pytest.raises(ValueError, match="in_place=True leaves photos in files of this machine"):
        stream("validation", repository="someone/placed", in_place=True)
    rows = justzoomin.photos("validation", repository="someone/placed", cache_dir=cache)
    assert sorted(ids(rows)) == ids_in_table(zoom, "val")
    assert rows[0]["image"].size == (32, 24)


def sent_of_shards(hub) -> int:
    return sum(size for path, size in hub.sent.items() if path.endswith(".tar"))


def test_a_published_index_is_used_for_ranges(hub, heavy, tmp_path, capsys):
    indexed = tmp_path / "indexed"
    shutil.copytree(heavy, indexed)
    assert main(["index", str(indexed)]) == 0
    assert "streetview_images_001.json: 200 members" in capsys.readouterr().out
    hub.add("someone/indexed", indexed)
    rows = stream("validation", repository="someone/indexed")
    assert rows.num_shards == 64
    here = {row["image_id"]: row["image"]["bytes"] for row in stream("validation", data_dir=heavy)}
    there = {row["image_id"]: row["image"]["bytes"] for row in rows}
    assert there == here and len(here) == 40
    # 40 photos of 70 kB and the gaps that were not worth a request.
    assert 2_800_000 <= sent_of_shards(hub) < 10_000_000


def test_one_pass_over_http_leaves_an_index_for_the_next(hub, heavy):
    commit = hub.add("someone/unindexed", heavy)
    options = {"repository": "someone/unindexed", "revision": commit}
    rows = stream("validation", **options)
    assert rows.num_shards == 2
    first = ids(rows)
    whole = sent_of_shards(hub)
    assert whole >= 2 * 14_000_000
    hub.forget()
    rows = stream("validation", **options)
    assert rows.num_shards == 2  # the cache of this machine must not change how rows are divided
    assert ids(rows) == first
    assert sent_of_shards(hub) < whole / 2


def test_an_index_that_appears_in_between_does_not_disturb_a_resume(hub, many):
    options = {"repository": "someone/resumed", "revision": hub.add("someone/resumed", many)}
    rows = stream(**options)
    iterator = iter(rows)
    head = ids(itertools.islice(iterator, 400))  # beyond the first shard, whose index is kept
    state = rows.state_dict()
    iterator.close()
    again = stream(**options)
    again.load_state_dict(state)
    assert sorted(head + ids(again)) == ids_in_table(many, "train")


def test_a_dropped_connection_in_a_range_loses_nothing(hub, heavy, tmp_path):
    indexed = tmp_path / "dropped"
    shutil.copytree(heavy, indexed)
    assert main(["index", str(indexed)]) == 0
    hub.add("someone/drops", indexed)
    hub.drop("streetview_images_000.tar", after=500_000)
    assert sorted(ids(stream(repository="someone/drops"))) == ids_in_table(heavy, "train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index.update(filesize=1), "it describes a TAR file of 1 bytes"),
        (lambda index: index.pop("files"), "KeyError"),
        (lambda index: first(index).update(offset=2**40), "points outside of the file"),
        (lambda index: first(index).update(size=-1), "points outside of the file"),
        (lambda index: first(index).update(offset=2**70), "is not an index"),
        (lambda index: first(index).update(offset="0"), "are not whole numbers"),
        (lambda index: index.update(files=[1]), "AttributeError"),
    ],
)
def test_a_wrong_published_index_is_named(hub, zoom, tmp_path, change, message):
    wrong = tmp_path / "wrong"
    shutil.copytree(zoom, wrong)
    assert main(["index", str(wrong)]) == 0
    path = wrong / "archives" / "streetview_images_000.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    change(index)
    path.write_text(json.dumps(index), encoding="utf-8")
    commit = hub.add("someone/wrong", wrong)
    with pytest.raises(ValueError, match=r"streetview_images_000\.json is not an index") as error:
        list(stream(repository="someone/wrong", revision=commit))
    assert message in str(error.value)


@pytest.fixture
def own(zoom, tmp_path) -> Path:
    shutil.copytree(zoom, tmp_path / "own")
    return tmp_path / "own"


def test_an_index_of_a_repacked_shard_is_refused(hub, own):
    path = own / "archives" / "streetview_images_000.tar"
    assert main(["index", str(own)]) == 0
    size = path.stat().st_size
    rewrite(path, reversed)
    assert path.stat().st_size == size
    commit = hub.add("someone/repacked", own)
    with pytest.raises(ValueError, match=r"000\.json is not an index .* with another digest"):
        list(stream(repository="someone/repacked", revision=commit))


def pictures(rows) -> dict[str, bytes]:
    return {row["image_id"]: row["image"].tobytes() for row in rows}


def test_the_first_of_two_pictures_with_one_name_is_read(own, cache, capsys, caplog):
    path = own / "archives" / "streetview_images_000.tar"

    def doubled(content):
        other = next(data for name, data in content if name != content[0][0])
        return [*content, (content[0][0], other)]

    rewrite(path, doubled)
    options = {"data_dir": str(own), "cache_dir": cache}
    for split in ("train", "validation"):
        copied = load_dataset("justzoomin", split=split, **options)
        placed = justzoomin.photos(split, **options)
        assert pictures(copied) == pictures(placed)
    assert "1 repeated picture" in caplog.text
    assert main(["index", str(own)]) == 2
    assert "repeated members: 1" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("name", ["Wow!", "a::b", "a?b*", "[x] #%20"])
def test_odd_names_of_folders_and_members(own, cache, name):
    rewrite(own / "archives" / "streetview_images_000.tar",
           lambda content: [(f"./{member}", data) for member, data in content])  # fmt: skip
    odd = own.with_name(name)
    own.rename(odd)
    rows = justzoomin.photos("train", data_dir=str(odd), cache_dir=cache)
    streamed = stream(data_dir=str(odd))
    assert sorted(ids(rows)) == sorted(ids(streamed))
    bare = rows.cast_column("image", Image(decode=False)).with_transform(justzoomin.Resize(6))
    for i in range(0, len(rows), 7):
        assert rows[i]["image"].size == (32, 24) and bare[i]["image"].shape == (6, 8, 3)


def test_a_broken_picture_gives_no_row_in_place(own, cache, caplog):
    rewrite(own / "archives" / "streetview_images_000.tar",
           lambda content: [(content[0][0], b"hello"), *content[1:]])  # fmt: skip
    options = {"data_dir": str(own), "cache_dir": cache}
    count = sum(len(justzoomin.photos(split, **options)) for split in ("train", "validation"))
    assert count == 49
    assert "1 invalid or incomplete JPEG" in caplog.text


def test_rows_are_prepared_again_if_the_hub_cache_was_cleared(hub, zoom, cache, tmp_path):
    options = {"repository": "someone/cleared", "revision": hub.add("someone/cleared", zoom)}
    rows = justzoomin.photos("validation", cache_dir=cache, **options)
    raw = rows.cast_column("image", Image(decode=False))
    for archive in {row["image"]["path"].split("//", 1)[1].split("!/")[0] for row in raw}:
        archive = Path("/" + archive.lstrip("/"))
        archive.resolve().unlink()
        archive.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError, match="does not exist any more"):
        rows[0]["image"]
    rows = justzoomin.photos("validation", cache_dir=cache, **options)
    assert rows[0]["image"].size == (32, 24)


def test_photos_takes_what_load_dataset_takes_as_a_split(many, cache):
    options = {"data_dir": str(many), "cache_dir": cache}
    assert len(justzoomin.photos("train[:10]", **options)) == 10
    assert len(justzoomin.photos("train+validation", **options)) == 700
    with pytest.raises(ValueError, match="split='dev': .* has the splits train, validation"):
        justzoomin.photos("dev", **options)
    with pytest.raises(ValueError, match=r"photos\(\) decides about streaming= itself"):
        justzoomin.photos("train", streaming=True, **options)


def test_an_explicit_default_uses_the_same_cache(many, cache):
    options = {"data_dir": str(many), "split": "validation", "cache_dir": cache}
    rows = load_dataset("justzoomin", **options)
    spelled = load_dataset("justzoomin", in_place=False, strict=False, **options)
    assert rows.cache_files == spelled.cache_files


def first(index: dict) -> dict:
    return next(iter(index["files"].values()))


def test_index_of_another_folder_is_an_error(tmp_path, capsys):
    assert main(["index", str(tmp_path)]) == 2
    assert "contains no archives/streetview_images_000.tar" in capsys.readouterr().err


def test_eight_workers_on_two_nodes_resume(many, cache):
    """Every photo once an epoch, in an order given by seed and epoch, also when interrupted."""
    pytest.importorskip("torch")
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    rows = justzoomin.photos("validation", data_dir=str(many), cache_dir=cache)
    rows = rows.cast_column("image", Image(decode=False))

    def loader(epoch: int, node: int):
        order = rows.shuffle(seed=epoch).flatten_indices()
        share = split_dataset_by_node(order.to_iterable_dataset(num_shards=16), node, 2)
        return stateful.StatefulDataLoader(share, batch_size=None, num_workers=4)

    whole = {epoch: [ids(loader(epoch, node)) for node in (0, 1)] for epoch in (0, 1)}
    for epoch in (0, 1):
        assert sorted(itertools.chain(*whole[epoch])) == ids_in_table(many, "val")
    assert whole[0] != whole[1]
    stopped = loader(1, 0)
    iterator = iter(stopped)
    head = ids(itertools.islice(iterator, 13))
    state = stopped.state_dict()
    del iterator, stopped
    again = loader(1, 0)
    again.load_state_dict(state)
    assert head + ids(again) == whole[1][0]


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("world", [2, 3, 8])
def test_all_ranks_get_equal_batches(many, cache, world, drop_last):
    """The same with workers, each of which makes its own batches, as documented."""
    pytest.importorskip("torch")
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    rows = justzoomin.photos("train", data_dir=str(many), cache_dir=cache).remove_columns("image")
    rows = rows.select(range(len(rows) - 1)).shuffle(seed=5)  # 629: neither 2, 3 nor 8 divides it
    sizes, seen = [], []
    for rank in range(world):
        share = justzoomin.equal_share(rows, rank, world, drop_last).flatten_indices()
        stream = share.to_iterable_dataset(num_shards=4)
        loader = stateful.StatefulDataLoader(stream, batch_size=7, num_workers=2)
        batches = [batch["image_id"] for batch in loader]
        sizes.append([len(batch) for batch in batches])
        seen += itertools.chain(*batches)
    assert all(size == sizes[0] for size in sizes)
    assert len(seen) == (629 // world if drop_last else -(-629 // world)) * world
    twice, missing = len(seen) - len({*seen}), 629 - len({*seen})
    assert (twice, missing) == ((0, 629 % world) if drop_last else (-629 % world, 0))


def test_equal_shares_of_unequal_rows(many, cache):
    rows = justzoomin.photos("validation", data_dir=str(many), cache_dir=cache)
    with pytest.raises(TypeError, match="not a IterableDataset: give it photos"):
        justzoomin.equal_share(rows.to_iterable_dataset(), 0, 2)
    with pytest.raises(ValueError, match="rank=2: must be from 0 to 1"):
        justzoomin.equal_share(rows, 2, 2)
    assert [len(justzoomin.equal_share(rows.select([7]), rank, 2)) for rank in (0, 1)] == [1, 1]
    assert len(justzoomin.equal_share(rows.select([]), 1, 2)) == 0
