"""Publishing into an existing repository removes and reveals nothing without being told to."""

from __future__ import annotations

import html
import io
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from datasets import load_dataset
from PIL import Image as Pillow

import geoload.publishing.upload
import im2gps.cli
import justzoomin.cli
from gcd_metric.yaml_files import split_card
from im2gps.sample import with_comments
from tests.support.forked import COMMAND, Forks, needs_fork
from tests.support.hub import Answer, Incoming, Loopback
from tests.support.hub_write import OWNER, TOKEN
from tests.support.shards import jpeg, pair, write_shard

PACKS = {"im2gps": "gps_query_imgs.zip", "human": "human_geolocation_test.zip"}
FREE, RESERVED = 4, 0
EVERYBODY_TRAINS = ["--validation-fraction", "0"]


@pytest.fixture(autouse=True)
def token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def write_pack(path: Path, photos: int = 3) -> None:
    """A test pack; the licence of the last photo forbids redistribution."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(photos):
            licence = FREE if number < photos - 1 else RESERVED
            lines = [b"latitude: 1", b"longitude: 2", b"license: %d" % licence]
            archive.writestr(f"{number}_a_1_{number}@N00.jpg", with_comments(jpeg(number), lines))


@pytest.fixture
def data(tmp_path) -> Path:
    """One training photo and two test packs."""
    folder = tmp_path / "data"
    record = {"latitude": 1, "longitude": 2, "license": FREE, "owner": "9@N00"}
    write_shard(folder / "im2gps-00000.tar", pair("9_a_1_9@N00", record, jpeg(9)))
    for archive in PACKS.values():
        write_pack(folder / archive)
    return folder


@pytest.fixture
def publish(data, tmp_path, request):
    """Runs the command on that data with a new folder and repository."""

    def run(*options: object, to: str = "out") -> int:
        where = ["--data-dir", data, "--to", tmp_path / to]
        where += EVERYBODY_TRAINS if any(data.glob("*.tar")) else []
        return im2gps.cli.main(["publish", *map(str, (repository(request), *where, *options))])

    return run


def repository(request) -> str:
    return f"{OWNER}/" + re.sub("[^a-z0-9]+", "-", request.node.name[5:]).strip("-")[:60]


@pytest.fixture
def there(hub, request):
    """Returns the Parquet files and the card of the repository."""

    def look() -> tuple[set[str], str]:
        files = hub.files(repository(request))
        names = {
            name.partition("-")[0] for name in files if name.endswith(".parquet") and "-of-" in name
        }
        return names, files.get("README.md", b"").decode()

    return look


def contents(card: str) -> list[str]:
    """Configurations and splits of a card's table, in order."""
    section = card.partition("<!-- contents")[2].partition("<!-- end of contents")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    return [f"{row[1].strip().strip('`')}/{row[2].strip()}" for row in rows]


def test_splits_are_removed_only_on_request(publish, there, capsys):
    assert publish() == 0
    assert there()[0] == {"im2gps/train", "im2gps/test", "human/test"}

    assert publish("--splits", "train,validation") == 2
    said = capsys.readouterr()
    assert "would remove (im2gps: test)" in said.err and "--replace" in said.err
    assert "Not available, or not requested: random_2k, geo_uniform, human" in said.out
    assert there()[0] == {"im2gps/train", "im2gps/test", "human/test"}

    assert publish("--splits", "train,validation", "--replace") == 0
    names, card = there()
    assert names == {"im2gps/train", "human/test"}
    assert contents(card) == ["im2gps/train", "human/test"]


def test_names_may_have_spaces_and_sizes_need_a_unit(publish, there, capsys):
    assert publish("--configs", "im2gps, human", "--splits", "train test") == 0
    assert there()[0] == {"im2gps/train", "im2gps/test", "human/test"}
    with pytest.raises(SystemExit):
        publish("--max-shard-size", "400")
    assert "400MB, or 400B?" in capsys.readouterr().err


def test_a_missing_folder_is_named_once(tmp_path, capsys):
    arguments = ["publish", "--to", str(tmp_path / "x"), "--data-dir", str(tmp_path / "nope")]
    assert im2gps.cli.main(arguments) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.count("\n") == 1 and "nothing to publish" in said.err


def test_missing_shards_remove_no_split(publish, there, data, capsys):
    assert publish() == 0
    (data / "im2gps-00000.tar").unlink()
    assert publish() == 2
    assert "would remove (im2gps: train)" in capsys.readouterr().err
    assert "im2gps/train" in there()[0]


def test_splits_of_a_folder_are_kept(publish, data, tmp_path, capsys):
    arguments = ["publish", "--to", str(tmp_path / "x"), "--data-dir", str(data), *EVERYBODY_TRAINS]
    assert im2gps.cli.main(arguments) == 0
    assert im2gps.cli.main([*arguments, "--splits", "test"]) == 2
    assert "would remove (im2gps: train)" in capsys.readouterr().err
    assert im2gps.cli.main([*arguments, "--splits", "test", "--replace"]) == 0
    assert not list((tmp_path / "x" / "im2gps").glob("train-*"))
    assert list(load_dataset(str(tmp_path / "x"))) == ["test"]


def test_publishing_again_sends_and_commits_nothing(publish, hub, there, request):
    for config in ("im2gps", "human", "human"):
        assert publish("--configs", config) == 0
    card = there()[1]
    assert sorted(contents(card)) == ["human/test", "im2gps/test", "im2gps/train"]
    commits = hub.commits(repository(request))
    assert publish("--configs", "human") == 0
    assert hub.commits(repository(request)) == commits and there()[1] == card


def test_restricted_photos_stay_marked(publish, hub, there, request, capsys):
    assert publish("--configs", "im2gps", "--include-unlicensed") == 0
    assert publish("--configs", "human") == 0
    card = there()[1]
    assert "must stay private. (`im2gps`)" in card and "(`human`)" not in card

    assert publish("--configs", "human", "--public") == 2
    assert "leave out --public" in capsys.readouterr().err
    hub.open_up(repository(request))
    assert publish("--configs", "human", "--public") == 2
    assert "is public, and photos in it may not be redistributed" in capsys.readouterr().err

    hub.forget()
    assert publish("--configs", "im2gps", "--public") == 0
    assert "must stay private" not in there()[1]


def test_nothing_is_sent_to_a_repository_that_became_public(hub, data, tmp_path):
    name = f"{OWNER}/opened"
    hub.forget()
    hold = hub.hold(after=100, goes_on=True)
    command = [sys.executable, "-m", "im2gps", "publish", name, "--data-dir", str(data), "--to",
               str(tmp_path / "out"), "--include-unlicensed", "--configs", "human"]  # fmt: skip
    client = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert hold.reached.wait(120)
    hub.open_up(name)
    hold.released.set()
    _, said = client.communicate(timeout=120)
    assert client.returncode == 2 and "is public, and photos in it" in said
    assert list(hub.files(name)) == [".gitattributes"]


def test_concurrent_publications_are_kept(publish, hub, there, data, tmp_path, request):
    hub.forget()
    hold = hub.hold(after=100, goes_on=True)
    command = [sys.executable, "-m", "im2gps", "publish", repository(request), "--data-dir",
               str(data), "--to", str(tmp_path / "first"), "--configs", "im2gps",
               *EVERYBODY_TRAINS]  # fmt: skip
    client = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert hold.reached.wait(120)
    hub.put(repository(request), "notes.txt", b"by hand")
    hold.released.set()
    _, said = client.communicate(timeout=120)
    assert client.returncode == 2 and "somebody else changed the repository" in said
    assert publish("--configs", "human", to="second") == 0
    assert im2gps.cli.main(command[3:]) == 0
    assert sorted(contents(there()[1])) == ["human/test", "im2gps/test", "im2gps/train"]


def test_a_failed_upload_hides_no_complete_configuration(publish, hub, there, monkeypatch, capsys):
    monkeypatch.setattr(geoload.publishing.upload, "COMMIT_FILES", 1)
    assert publish("--configs", "human") == 0
    hub.skip_then_fail("/commit/main", 1, 500)
    assert publish() == 2
    card = there()[1]
    assert "not finished" in card and contents(card) == ["human/test"]
    assert publish("--configs", "im2gps") == 0
    card = there()[1]
    assert sorted(contents(card)) == ["human/test", "im2gps/test", "im2gps/train"]
    assert "not finished" not in card


@pytest.mark.parametrize(
    "header",
    [
        "",
        "---\nconfigs:\n- config_name: mine\n  data_files: mine/*.parquet\n---\n",
        "---\ndataset_info:\n  features: []\n---\n",
    ],
    ids=["text", "configs", "info"],
)
def test_a_foreign_card_is_replaced_only_on_request(publish, hub, there, request, capsys, header):
    assert publish("--configs", "human") == 0
    hub.put(repository(request), "README.md", f"{header}# Mine\n".encode())
    assert publish("--configs", "human") == 2
    assert "README.md that `publish` did not write" in capsys.readouterr().err
    assert there()[1].endswith("# Mine\n")
    assert publish("--configs", "human", "--replace") == 0
    assert [c["config_name"] for c in split_card(there()[1])[0]["configs"]] == ["human"]


BROKEN_HEADERS = {
    "cut": b"configs: [\n",
    "tab": b"configs:\n\t- config_name: human\n",
    "list": b"- 1\n",
    "text": b"configs\n",
    "bomb": b"a: &a [x, x]\nb: &b [*a, *a]\nconfigs: [config_name: *b]\n",
    "date": b"date: 2024-99-99\n",
    "digits": b"size: " + b"9" * 5000 + b"\n",
    "deep": b"configs: " + b"[" * 5000 + b"\n",
    "object": b"configs: !!python/object:os.system {}\n",
    "rows": b"dataset_info:\n- config_name: human\n  splits:\n  - num_examples: many\n",
    "large": b"text: " + b"x" * 2**19 + b"\n",
    "latin-1": "pretty_name: caf\xe9\n".encode("latin-1"),
}


@pytest.mark.parametrize("where", ["folder", "repository"])
@pytest.mark.parametrize("kind", BROKEN_HEADERS)
def test_a_damaged_card_is_an_error_with_advice(data, hub, tmp_path, capsys, kind, where):
    name = f"{OWNER}/damaged-{kind}" if where == "repository" else str(tmp_path / "out")
    options = ["--data-dir", data, "--to", tmp_path / "out", "--configs", "human"]
    command = ["publish", *map(str, ([name] if where == "repository" else []) + options)]
    assert im2gps.cli.main(command) == 0
    card = tmp_path / "out" / "README.md"
    text = card.read_bytes().partition(b"\n---\n")[2]
    broken = b"---\n" + BROKEN_HEADERS[kind] + b"---\n" + text
    hub.put(name, "README.md", broken) if where == "repository" else card.write_bytes(broken)
    capsys.readouterr()
    assert im2gps.cli.main(command) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith(f"im2gps: {name}: ") and "README.md" in said[-1]
    assert "--replace" in said[-1] and len(said[-1]) < 500 + len(name)
    found = hub.files(name)["README.md"] if where == "repository" else card.read_bytes()
    assert found == broken
    assert im2gps.cli.main([*command, "--replace"]) == 0
    assert split_card(card.read_text(encoding="utf-8"))[0]["configs"]


def test_the_token_is_in_no_output_log_or_file(publish, tmp_path, caplog, capfd):
    caplog.set_level("DEBUG")
    assert publish() == 0 and publish() == 0
    shown = [caplog.text.encode(), *(text.encode() for text in capfd.readouterr())]
    shown += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(shown) > 10 and not any(TOKEN.encode() in text for text in shown)


class Echo(Loopback):
    """Refuses every request, with the received token in the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.form = ""
        self.tokens: list[str] = []

    def route(self, request: Incoming) -> Answer:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.tokens.append(token)
        message = "no: " + "".join(self.form.format(c, ord(c)) for c in token)
        return Answer(400, message.encode(), {"X-Error-Message": message})


@pytest.fixture(scope="module")
def echo() -> Iterator[tuple[Echo, Forks]]:
    """Such a server, and an interpreter for which it is the Hub."""
    with Echo() as server:
        environment = {"HF_ENDPOINT": server.endpoint, "HF_TOKEN": TOKEN}
        with Forks(["datasets", "aiohttp"], environment) as forks:
            yield server, forks


@needs_fork
@pytest.mark.parametrize("form", ["{0}", "%{1:02x}", "&#{1};"])
def test_a_token_that_the_hub_sends_back_is_not_shown(echo, data, tmp_path, form):
    server, forks = echo
    server.form = form
    commands = [
        ["im2gps", "publish", "tester/x", "--data-dir", data, "--to", tmp_path / "out"],
        ["justzoomin", "extract", tmp_path / "extracted"],
    ]
    for command in commands:
        server.tokens.clear()
        done = forks.run(COMMAND, *map(str, command), folder=tmp_path)
        assert done.code == 2 and TOKEN in server.tokens
        said = html.unescape(unquote(done.out + done.err))
        assert TOKEN not in said and "Traceback" not in said


def test_a_lost_attribution_is_written_again(publish, tmp_path, capsys):
    assert publish() == 0
    table = tmp_path / "out" / "im2gps" / "attribution.csv"
    before = table.read_text()
    (credits,) = (tmp_path / "out" / ".publish" / "im2gps" / "train").glob("*.credits")
    credits.unlink()
    assert publish() == 0
    assert table.read_text() == before


def test_lone_surrogates_in_a_title_are_replaced(data, publish, tmp_path):
    text = b'{"latitude": 1, "longitude": 2, "license": 4, "title": "cut \\ud83d"}'
    write_shard(data / "im2gps-00000.tar", pair("9_a_1_9@N00", text, jpeg(9)))
    assert publish("--configs", "im2gps") == 0
    assert "cut ?" in (tmp_path / "out" / "im2gps" / "attribution.csv").read_text()


def test_street_photos_are_published_without_their_metadata(zoom, tmp_path):
    exif = Pillow.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (38.0, 54.0, 0.0), 3: "W", 4: (77.0, 0.0, 0.0)})
    folder = tmp_path / "town"
    (folder / "archives").mkdir(parents=True)
    (folder / "metadata").symlink_to(zoom / "metadata")
    names = []
    for path in sorted((zoom / "archives").glob("streetview*")):
        with tarfile.open(path) as old, tarfile.open(folder / "archives" / path.name, "w") as new:
            for member in old:
                buffer = io.BytesIO()
                Pillow.new("RGB", (16, 16)).save(buffer, "JPEG", exif=exif)
                member.size = buffer.tell()
                buffer.seek(0)
                new.addfile(member, buffer)
                names.append(member.name)
    arguments = ["--to", str(tmp_path / "out"), "--data-dir", str(folder)]
    assert justzoomin.cli.main(["publish", *arguments, "--configs", "streetview"]) == 0
    rows = load_dataset(str(tmp_path / "out"))
    assert sum(map(len, rows.values())) == len(names) > 0
    assert not any(row["image"].getexif() for split in rows.values() for row in split)


def test_an_empty_split_is_counted_on_the_card(publish, there, data):
    write_pack(data / PACKS["im2gps"], photos=1)
    assert publish("--configs", "im2gps") == 0
    assert contents(there()[1]) == ["im2gps/train"]
    assert "| 1 all rights reserved |" in there()[1]
