"""`im2gps search`, with its own HTTP client, against a stand-in for Flickr on loopback."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import threading
from collections import Counter
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from im2gps.cli import main
from im2gps.flickr.http import retry_after
from tests.support.equal import assert_same_bytes
from tests.support.flickr import Flickr, photo
from tests.support.hub import Answer

KEY = "0123456789abcdef0123456789abcdef"
FIRST_DAY = 1_167_609_600  # 2007-01-01
DAY = 86_400


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("FLICKR_API_KEY", KEY)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def spread(count: int, words: str = "rome", first: int = 0, days: int = 30) -> list[dict]:
    """Photos over some days, few at first and many later."""
    return [
        photo(first + i, FIRST_DAY + int(days * DAY * (i / count) ** 0.5), words)
        for i in range(count)
    ]


def command(server: Flickr, folder: Path, *options: str, queries: str = "Rome\n") -> list[str]:
    file = folder / "queries.txt"
    file.write_text(queries, encoding="utf-8")
    return [
        "search", str(file), "-o", str(folder / "lists"), "--api", server.api, "--interval", "0",
        "--backoff", "0", "--from", "2007-01-01", "--to", "2007-01-30", *options,
    ]  # fmt: skip


def ids(path: Path) -> list[str]:
    return re.findall(r"^photo: (\d+) ", path.read_text(encoding="utf-8"), re.MULTILINE)


def everything_once(server: Flickr, path: Path) -> None:
    """Assert that a list contains each photo of the server, and none twice."""
    assert Counter(ids(path)) == Counter(photo["id"] for photo in server.photos)


def test_a_search_finds_every_photo_once(tmp_path, capsys):
    with Flickr(spread(1800), KEY) as server:
        assert main(command(server, tmp_path)) == 0
    everything_once(server, tmp_path / "lists" / "Rome.txt")
    assert "1,800 photos of 1 keyword" in capsys.readouterr().out
    asked = server.searches[-1]
    assert asked["text"] == "Rome" and asked["has_geo"] == "1" and asked["accuracy"] == "6"
    assert asked["per_page"] == "250"
    # Not many more requests than pages: the slices fit what Flickr gives at a time.
    assert len(server.searches) < 3 * 1800 / 250


def test_the_list_has_the_original_form(tmp_path):
    title = "a: title\nlatitude: 5 \0"
    photos = [
        photo(1, FIRST_DAY, title=title, views="9", latitude=41.5, longitude=-12),
        photo(3, FIRST_DAY + 5, views="7", title="Größe \ud800", originalsecret=None),
    ]
    with Flickr(photos, KEY) as server:
        assert main(command(server, tmp_path)) == 0
    stop = FIRST_DAY + 30 * DAY - 1
    assert (tmp_path / "lists" / "Rome.txt").read_bytes().decode() == (
        f"\nmintime: {FIRST_DAY} maxtime: {stop}\nnumimgs: 2\ntotal pages: 1\n"
        "visiting only 1 pages ( up to 250 images)\n"
        "photo: 1000000001 0000000001 2\nowner: 12345679@N01\ntitle: a: title latitude: 5  \n"
        "originalsecret: 0000000001\noriginalformat: jpg\no_height: 1200\no_width: 1600\n"
        f"datetaken: 2006-09-01 12:30:00\ndateupload: {FIRST_DAY}\ntags: rome\nlicense: 1\n"
        "latitude: 41.500000\nlongitude: -12\naccuracy: 7\nviews: 9\n"
        "interestingness: 1 out of 2\n\n"
        "photo: 1000000003 0000000003 4\nowner: 12345681@N03\ntitle: Größe ?\n"
        "originalsecret: \noriginalformat: \no_height: \no_width: \n"
        f"datetaken: 2006-09-01 12:30:00\ndateupload: {FIRST_DAY + 5}\ntags: rome\nlicense: 3\n"
        "latitude: 41.800300\nlongitude: 12.400300\naccuracy: 9\nviews: 7\n"
        "interestingness: 2 out of 2\n\nTotal images queried: 2\n"
    )


def test_keywords_and_exclusions_come_from_the_query_file(tmp_path, capsys):
    photos = [*spread(5), *spread(4, "rome birthday", 10), *spread(3, "rome black and white", 20),
              *spread(2, "cape town", 30), *spread(1, "town at the cape", 40)]  # fmt: skip
    queries = "# places\nRome\n\n-birthday\n-black and white\nCape Town\nrome\n../../evil/Rome\n"
    with Flickr(photos, KEY) as server:
        assert main(command(server, tmp_path, queries=queries)) == 0
    lists = {path.name: len(ids(path)) for path in (tmp_path / "lists").glob("*.txt")}
    assert lists == {"Rome.txt": 5, "Cape Town.txt": 3, "%2E.%2F..%2Fevil%2FRome.txt": 0}
    assert "1 keyword without a photo (../../evil/Rome)" in capsys.readouterr().out
    assert server.searches[0]["text"] == 'Rome -birthday -"black and white"'
    assert {p.name for p in tmp_path.iterdir()} == {"lists", "queries.txt"}


def test_a_second_with_too_many_photos_is_reported(tmp_path, capsys):
    crowded = FIRST_DAY + 10 * DAY
    photos = [*spread(600), *(photo(10_000 + i, crowded) for i in range(4_100))]
    with Flickr(photos, KEY) as server:
        assert main(command(server, tmp_path)) == 0
    found = Counter(ids(tmp_path / "lists" / "Rome.txt"))
    assert max(found.values()) == 1 and sum(found.values()) == 4_600
    assert set(found) >= {photo["id"] for photo in photos[:600]}
    printed = capsys.readouterr().out
    assert "100 photos that Flickr counts: 0 not returned, 100 after" in printed
    assert "(Rome, 2007-01-11 00:00:00: 100 of 4,1" in printed
    assert max(int(search["page"]) for search in server.searches) == 16


def test_short_pages_lose_no_photo(tmp_path):
    with Flickr(spread(1800), KEY) as server:
        server.short = lambda number, _, shown: shown[: -3 if number % 2 else None]
        assert main(command(server, tmp_path)) == 0
        everything_once(server, tmp_path / "lists" / "Rome.txt")


def test_photos_missing_from_long_searches_are_found(tmp_path, capsys):
    def hide(_, asked, shown):
        seconds = int(asked["max_upload_date"]) - int(asked["min_upload_date"])
        return shown if seconds < 10 * DAY else shown[1:-1]

    with Flickr(spread(200), KEY) as server:
        server.short = hide
        assert main(command(server, tmp_path)) == 0
        everything_once(server, tmp_path / "lists" / "Rome.txt")
    assert "not shown" not in capsys.readouterr().out


def test_photos_that_flickr_counts_but_never_shows_are_reported(tmp_path, capsys):
    with Flickr(spread(700), KEY) as server:
        ghost = server.photos[300]["id"]
        server.short = lambda _, __, shown: [photo for photo in shown if photo["id"] != ghost]
        assert main(command(server, tmp_path)) == 0
        server.photos.pop(300)
        everything_once(server, tmp_path / "lists" / "Rome.txt")
    printed = capsys.readouterr().out
    assert "without 1 photo that Flickr counts: 1 not returned" in printed
    assert re.search(
        r"1 slice with fewer photos than Flickr counts \(Rome, 2007-.* to 2007-.*: 1 of \d+\)",
        printed,
    )


@pytest.mark.parametrize("change", ["come", "go"])
def test_photos_added_or_removed_between_pages_lose_no_others(tmp_path, change):
    gone = []

    def act(_, asked):
        if asked["page"] == "2" and len(gone) < 3:
            top = max(
                (p for p in server.photos if int(asked["min_upload_date"]) <= int(p["dateupload"])
                 and int(p["dateupload"]) <= int(asked["max_upload_date"])),
                key=lambda p: int(p["views"]),
            )  # fmt: skip
            gone.append(top["id"])
            if change == "go":
                server.photos.remove(top)
            else:
                upload = int(asked["max_upload_date"])
                server.photos.append(photo(9_000 + len(gone), upload, views="9999"))

    with Flickr(spread(480), KEY) as server:
        server.before = act
        assert main(command(server, tmp_path)) == 0
        found = Counter(ids(tmp_path / "lists" / "Rome.txt"))
    assert gone
    assert set(found) - set(gone) == {p["id"] for p in server.photos} - set(gone)
    assert max(found.values()) == 1


def test_a_photo_with_a_changed_upload_day_is_listed_once(tmp_path, capsys):
    with Flickr(spread(1200), KEY) as server:
        arguments = command(server, tmp_path, "--retries", "0")
        server.before = lambda number, _: number == 6 and server.say(Answer(500))
        assert main(arguments) == 2
        first = ids(tmp_path / "lists" / "Rome.txt")[0]
        (moved,) = (photo for photo in server.photos if photo["id"] == first)
        moved["dateupload"] = str(FIRST_DAY + 29 * DAY)
        server.before = None
        assert main(arguments) == 0
        everything_once(server, tmp_path / "lists" / "Rome.txt")
    assert f"1 repeated photo, left out ({first})" in capsys.readouterr().out


def test_temporary_errors_are_retried(tmp_path, caplog):
    with Flickr(spread(900), KEY) as server:
        server.say(Answer(429, headers={"Retry-After": "0"}), times=2)
        server.say(Answer(500), times=2)
        server.say(Answer(503))
        server.refuse("105", "Service currently unavailable (Site Disabled)", times=2)
        server.refuse(10, "Sorry, the Flickr search API is not currently available.")
        server.say(None)
        server.say(Answer(200, b"<html>maintenance</html>"))
        server.say({"stat": "ok", "photos": {"total": "many"}})
        assert main(command(server, tmp_path)) == 0
        everything_once(server, tmp_path / "lists" / "Rome.txt")
    for reason in ("status 429", "status 500", "code 105: Service", "ServerDisconnected",
                   "not JSON", "without photos"):  # fmt: skip
        assert reason in caplog.text


def test_a_permanent_error_is_one_line_and_the_search_can_be_resumed(tmp_path, capsys):
    with Flickr(spread(900), KEY) as server:
        server.before = lambda number, _: number == 4 and server.say(Answer(500), 4)
        arguments = command(server, tmp_path, "--retries", "3")
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert "has not answered 4 times (status 500)" in error and "same command" in error
        before = ids(tmp_path / "lists" / "Rome.txt")
        assert 0 < len(before) < 900
        server.before = None
        assert main(arguments) == 0
        assert ids(tmp_path / "lists" / "Rome.txt")[: len(before)] == before
        everything_once(server, tmp_path / "lists" / "Rome.txt")
        asked = len(server.searches)
        whole = (tmp_path / "lists" / "Rome.txt").read_bytes()
        assert main(arguments) == 0
        assert len(server.searches) == asked
        assert_same_bytes((tmp_path / "lists" / "Rome.txt").read_bytes(), whole)


def test_a_killed_search_resumes_after_its_last_complete_slice(tmp_path):
    reached, go_on = threading.Event(), threading.Event()

    def halt(number, _):
        if number == 6:
            reached.set()
            go_on.wait(60)

    with Flickr(spread(1500), KEY) as server:
        server.before = halt
        arguments = command(server, tmp_path)
        process = subprocess.Popen([sys.executable, "-m", "im2gps", *arguments])
        assert reached.wait(60)
        process.kill()
        process.wait()
        go_on.set()
        path = tmp_path / "lists" / "Rome.txt"
        before = len(ids(path))
        assert 0 < before < 1500
        # As if it was killed while writing a slice.
        with open(path, "a", encoding="utf-8") as file:
            file.write("\nmintime: 5 maxtime: 6\nnumimgs: 2\nphoto: 1000000001 00")
        assert main(arguments) == 0
        everything_once(server, path)
        assert b"maxtime: 6\n" not in path.read_bytes()


def test_the_key_is_in_no_address_list_log_or_error(tmp_path, capfd, caplog):
    caplog.set_level("DEBUG")
    with Flickr([*spread(20), photo(99, FIRST_DAY + 9, title=f"my {KEY} title")], KEY) as server:
        server.say(None)
        server.refuse("105", f"busy, {KEY}")
        server.say(Answer(200, f"not JSON {KEY}".encode()))
        assert main(command(server, tmp_path)) == 0
        server.refuse(18, f"Illogical arguments: {KEY}")
        assert main([*command(server, tmp_path, queries="Paris\n"), "--retries", "0"]) == 2
        server.key = "another"
        assert main(command(server, tmp_path, queries="Oslo\n")) == 2
    assert main([*command(server, tmp_path, queries="Oslo\n"), "--retries", "0"]) == 2
    printed = "".join(capfd.readouterr())
    assert "code 18: Illogical" in printed and "does not accept the key" in printed
    assert "ClientConnectorError" in printed
    written = [path.read_text("utf-8") for path in (tmp_path / "lists").iterdir()]
    assert len(written) >= 4 and "my  title" in "".join(written)
    for text in (*written, *server.targets, printed, caplog.text):
        assert KEY not in text


def escaped(form: str, text: str) -> str:
    return "".join(form % ord(c) for c in text)


# The ways in which a server can write a key into an answer; each becomes a part of its JSON.
SPELLINGS = {
    "as it is": KEY,
    "upper case": KEY.upper(),
    "JSON escapes": escaped("\\u%04x", KEY),
    "JSON escapes twice": escaped("\\\\u%04x", KEY),
    "some JSON escapes": KEY[:9] + escaped("\\u%04X", KEY[9:20]) + KEY[20:],
    "percent": escaped("%%%02x", KEY),
    "percent in HTML": escaped("&#37;%02x", KEY),
    "HTML": escaped("&#%d;", KEY),
    "HTML in hexadecimal": escaped("&#x%x;", KEY),
    "with dashes": "-".join(KEY[i : i + 4] for i in range(0, 32, 4)),
    "its first half": KEY[:16],
    "its second half": KEY[16:],
    "hexadecimal": KEY.encode().hex(),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 amid others": base64.b64encode(f"key={KEY}&a=b".encode()).decode(),
}


def decoded(text: str) -> str:
    """Decode every encoding that a reader could decode, until nothing changes."""
    for _ in range(4):
        text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), unescape(unquote(text)))
    for coded in re.findall(r"[0-9A-Za-z+/]{16,}", text):
        text += base64.b64decode(coded + "=" * (-len(coded) % 4)).decode("latin-1")
    for coded in re.findall(r"(?:[0-9a-f]{2}){16,}", text):
        text += bytes.fromhex(coded).decode("latin-1")
    return text.lower().replace("-", "")


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_encoded_key_in_an_answer_is_not_printed(tmp_path, capfd, caplog, spelling):
    caplog.set_level("DEBUG")
    said = SPELLINGS[spelling]
    found = photo(7, FIRST_DAY + 9, title="TITLE", tags="TAGS", secret="SECRET", owner="OWNER")
    page = {"stat": "ok", "photos": {"total": 1, "photo": [found]}}
    text = json.dumps(page)
    for name in ("TITLE", "TAGS", "SECRET", "OWNER"):
        text = text.replace(name, f"before {said} after")
    refusal = f'{{"stat": "fail", "code": "{said}", "message": "no: {said}"}}'
    busy = f'{{"stat": "fail", "code": 105, "message": "{said}", "{said}": 1}}'
    with Flickr([], KEY) as server:
        server.say(Answer(503, busy.encode(), {"X-Key": KEY, "Set-Cookie": f"key={KEY}"}))
        server.say(Answer(200, busy.encode()))
        server.say(Answer(200, text.encode()))
        assert main([*command(server, tmp_path), "--recheck", "0"]) == 0
        server.say(Answer(200, refusal.encode()))
        assert main(command(server, tmp_path, queries="Oslo\n")) == 2
        server.say(Answer(302, b"", {"Location": f"{server.api}?api_key={said}"}))
        assert main(command(server, tmp_path, queries="Bonn\n")) == 2
    written = [path.read_text("utf-8") for path in (tmp_path / "lists").iterdir()]
    assert "photo: 1000000007 " in "".join(written) and "latitude: 41.8" in "".join(written)
    for shown in (*written, *capfd.readouterr(), caplog.text):
        assert KEY[:12] not in decoded(shown) and KEY[-12:] not in decoded(shown)


@pytest.mark.parametrize("total", ["1e999", "NaN", "-1", '"1e3"', "[1]", "null", "9" * 400,
                                   "9" * 5000, '"%s"' % ("9" * 5000), "{}"])  # fmt: skip
@pytest.mark.parametrize("shape", ['{"photos": {"total": %s, "photo": []}}', '{"photos": %s}'])
def test_an_invalid_answer_is_requested_again(tmp_path, capsys, total, shape):
    with Flickr(spread(5), KEY) as server:
        server.say(Answer(200, (shape % total).encode()))
        assert main(command(server, tmp_path)) == 0
        everything_once(server, tmp_path / "lists" / "Rome.txt")
        server.say(Answer(200, b'{"photos": ' * 100_000), 2)
        assert main([*command(server, tmp_path, queries="Oslo\n"), "--retries", "1"]) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("im2gps: Flickr has not answered 2 times")


def test_an_invalid_photo_is_counted_but_not_listed(tmp_path, capsys):
    odd = [None, 5, [], {}, {"id": None}, {"id": [1]}, {"id": "../1"}, {"id": 10**400}]
    good = photo(1, FIRST_DAY, title={"_content": "rome"}, tags=["a", {}], views=10**400)
    page = {"stat": "ok", "photos": {"total": len(odd) + 1, "photo": [*odd, good]}}
    with Flickr([], KEY) as server:
        server.say(page)
        assert main([*command(server, tmp_path), "--recheck", "0"]) == 0
    assert ids(tmp_path / "lists" / "Rome.txt") == [good["id"]]
    assert "without 8 photos that Flickr counts: 8 not" in capsys.readouterr().out


@pytest.mark.parametrize("value", [None, "", "soon", "-5", "nan", "inf", "1e9", "1_0", "٣", "5, 10",
                                   "Mon, 01 Jan 10000000000000000000000 00:00:00 GMT",
                                   "Mon, 01 Jan 10000 00:00:00 GMT"])  # fmt: skip
def test_an_invalid_retry_after_is_ignored(value):
    assert retry_after(value, 60) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), (" 7 ", 7), ("1.5", 1.5), ("9" * 5000, 60), ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
     ("Fri, 31 Dec 9999 23:59:59 GMT", 60), ("Fri, 31 Dec 9999 23:59:59 -0000", 60)],
)  # fmt: skip
def test_seconds_and_dates_of_retry_after_are_followed_up_to_a_limit(value, seconds):
    assert retry_after(value, 60) == seconds


@given(st.text())
def test_no_retry_after_is_an_error(value):
    assert retry_after(value, 60) is None or 0 <= retry_after(value, 60) <= 60


def test_an_invalid_key_is_an_error_at_once(tmp_path, capsys):
    with Flickr(spread(5), "another") as server:
        assert main(command(server, tmp_path)) == 2
        assert len(server.targets) == 1
    assert "im2gps: Flickr does not accept the key in FLICKR_API_KEY" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["", "two words of a key", "kéy-0123456789abcdef"])
def test_without_a_key_no_request_is_sent(tmp_path, capsys, monkeypatch, key):
    monkeypatch.setenv("FLICKR_API_KEY", key)
    with Flickr(spread(5), KEY) as server:
        assert main(command(server, tmp_path)) == 2
        assert not server.targets
    error = capsys.readouterr().err
    assert "FLICKR_API_KEY" in error and (not key or key not in error)


def test_the_key_is_sent_only_to_flickr(tmp_path, capsys):
    with Flickr(spread(5), KEY) as server, Flickr(spread(5), KEY) as elsewhere:
        server.say(Answer(307, headers={"Location": elsewhere.api}))
        assert main(command(server, tmp_path)) == 2
        assert not elsewhere.targets
    assert "answers with status 307" in capsys.readouterr().err
    options = command(server, tmp_path)
    for api, reason in (
        ("http://example.org/rest/", "use https"),
        ("https://example.org/?api_key=" + KEY, "plain address"),
        ("ftp://example.org/", "not an address such as"),
        ("api.flickr.com", "not an address such as"),
    ):
        options[options.index("--api") + 1] = api
        assert main(options) == 2
        error = capsys.readouterr().err
        assert reason in error and KEY not in error


def test_folders_of_other_searches_are_not_changed(tmp_path, capsys):
    lists = tmp_path / "lists"
    with Flickr([*spread(30), *spread(5, "paris", 50)], KEY) as server:
        lists.mkdir()
        (lists / "Rome.txt").write_text("photo: 1 a 1\n", encoding="utf-8")
        assert main(command(server, tmp_path)) == 2
        assert "Rome.txt exists, but was not written by" in capsys.readouterr().err
        assert (lists / "Rome.txt").read_text(encoding="utf-8") == "photo: 1 a 1\n"
        (lists / "Rome.txt").unlink()
        assert main(command(server, tmp_path)) == 0
        assert main(command(server, tmp_path, "--from", "2007-01-02")) == 2
        assert (
            "contains a search with from: 2007-01-01 00:00:00, not 2007-01-02"
            in capsys.readouterr().err
        )
        assert main(command(server, tmp_path, queries="Rome\n-birthday\n")) == 2
        assert "exclusions: none, not -birthday" in capsys.readouterr().err
        # More keywords may be added, and the days need not be repeated.
        later = command(server, tmp_path, queries="Rome\nParis\n")[:-4]
        assert main(later) == 0
        assert len(ids(lists / "Paris.txt")) == 5
        whole = (lists / "Rome.txt").read_bytes()
        (lists / "Rome.txt").write_bytes(whole.replace(b"latitude: 4", b"latitude: 5"))
        assert main(later) == 2
        assert "Rome.txt is not as this search wrote it" in capsys.readouterr().err
        (lists / "Rome.txt").write_text("short", encoding="utf-8")
        assert main(later) == 2
        assert "Rome.txt is not as this search wrote it (5 bytes" in capsys.readouterr().err
        (lists / "search.json").write_text('{"lists": 3}', encoding="utf-8")
        assert main(later) == 2
        assert "search.json is damaged" in capsys.readouterr().err


def test_two_searches_do_not_write_into_one_folder(tmp_path, capsys):
    import filelock

    with Flickr(spread(5), KEY) as server:
        (tmp_path / "lists").mkdir()
        with filelock.FileLock(tmp_path / "lists" / ".search.lock"):
            assert main(command(server, tmp_path)) == 2
        assert "another search is running" in capsys.readouterr().err
        assert not server.targets


def test_query_files_without_keywords_are_refused(tmp_path, capsys):
    with Flickr([], KEY) as server:
        assert main(command(server, tmp_path, queries="# nothing\n-birthday\n")) == 2
        assert "contains no keywords" in capsys.readouterr().err
        (tmp_path / "latin").write_bytes(b"Malm\xf6\n")
        options = command(server, tmp_path)
        assert main(["search", str(tmp_path / "latin"), *options[2:]]) == 2
        assert "not UTF-8 text" in capsys.readouterr().err
        assert main(["search", str(tmp_path / "gone"), *options[2:]]) == 2
        error = capsys.readouterr().err
        assert "gone: there is no such file" in error and "one keyword or phrase a line" in error
        assert main(command(server, tmp_path, queries="x" * 300)) == 2
        assert "too long for a file name" in capsys.readouterr().err
