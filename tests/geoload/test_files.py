"""Files of web servers, many of which do not support ranges, or only in part."""

from __future__ import annotations

import gzip
import io
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoload.files import is_clutter, read_exactly
from geoload.remote import open_binary
from geoload.tar import Member
from geoload.tar_reader import read_members

DATA = bytes(range(256)) * 400
GZIPPED = gzip.compress(DATA)


class Odd(ThreadingHTTPServer):
    """Serves DATA in an odd way: each way is a method of the handler."""

    def __init__(self, way: str) -> None:
        self.way, self.asked = way, 0
        super().__init__(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{self.server_port}/x.tar"

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Odd

    def do_GET(self) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        self.server.asked += 1
        if found is None:
            self.whole() if self.server.way != "gzip" else self.gzip(0, 0)
        else:
            getattr(self, self.server.way)(int(found[1]), min(int(found[2]) + 1, len(DATA)))

    do_HEAD = do_GET

    def log_message(self, *arguments: object) -> None:
        pass

    def send(self, status: int, body: bytes, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def part(self, start: int, end: int, total: object = len(DATA), **headers: object) -> None:
        said = f"bytes {start}-{end - 1}/{total}"
        self.send(206, DATA[start:end], Content_Range=said, Content_Length=end - start, **headers)

    def whole(self, *_: int) -> None:
        self.send(200, DATA, Content_Length=len(DATA))

    def whole_of_no_length(self, *_: int) -> None:
        self.send(200, DATA)

    def refuse_400(self, *_: int) -> None:
        self.send(400, b"")

    def refuse_403(self, *_: int) -> None:
        self.send(403, b"")

    def refuse_405(self, *_: int) -> None:
        self.send(405, b"")

    def refuse_501(self, *_: int) -> None:
        self.send(501, b"")

    def loop(self, *_: int) -> None:
        self.send(302, b"", Location="/x.tar", Content_Length=0)

    def to_no_web_address(self, *_: int) -> None:
        self.send(302, b"", Location="ftp://127.0.0.1/x.tar", Content_Length=0)

    def refuse_later(self, start: int, end: int) -> None:
        self.part(start, end) if start == 0 else self.send(403, b"")

    def gzip(self, *_: int) -> None:
        self.send(200, GZIPPED, Content_Encoding="gzip", Content_Length=len(GZIPPED))

    def gzipped_part(self, start: int, end: int) -> None:
        said = f"bytes {start}-{end - 1}/{len(GZIPPED)}"
        body = GZIPPED[start:end]
        self.send(206, body, Content_Range=said, Content_Encoding="gzip", Content_Length=len(body))

    def less(self, start: int, end: int) -> None:
        self.part(start, min(end, start + 1000))

    def of_no_total(self, start: int, end: int) -> None:
        self.part(start, end, "*")

    def without_content_range(self, start: int, end: int) -> None:
        self.send(206, DATA[start:end], Content_Length=end - start)

    def broken_off_once(self, start: int, end: int) -> None:
        if self.server.asked != 2:
            self.part(start, end)
            return
        said = f"bytes {start}-{end - 1}/{len(DATA)}"
        self.send(206, DATA[start : end - 10], Content_Range=said)

    def other(self, start: int, end: int) -> None:
        self.part(start, end) if start == 0 else self.part(start - 1, end - 1)

    def more(self, start: int, end: int) -> None:
        self.part(start, end + (start > 0))

    def grown(self, start: int, end: int) -> None:
        self.part(start, end, len(DATA) + (start > 0))

    def forgotten(self, start: int, end: int) -> None:
        self.part(start, end) if start == 0 else self.whole()

    def gzipped_later(self, start: int, end: int) -> None:
        self.part(start, end) if start == 0 else self.gzip()


RIGHT = ["part", "whole", "whole_of_no_length", "gzip", "gzipped_part", "less", "of_no_total",
         "without_content_range", "broken_off_once", "refuse_400", "refuse_403", "refuse_405",
         "refuse_501"]  # fmt: skip
WRONG = ["other", "more", "grown", "forgotten", "gzipped_later"]


@pytest.mark.parametrize("way", RIGHT)
def test_every_server_gives_the_right_bytes(way):
    with Odd(way) as url:
        with open_binary(url, read_ahead=False) as file:
            for start, size in ((50_000, 3000), (0, 10), (len(DATA) - 5, 5), (1, 40_000)):
                file.seek(start)
                assert read_exactly(file.read, size) == DATA[start : start + size]
        with open_binary(url) as file:
            assert file.seek(0, 2) == len(DATA)
            file.seek(0)
            assert file.read() == DATA
        wanted = [Member("a", 0, 7, 9, "file"), Member("b", 0, 99_000, 100, "file")]
        assert list(read_members(url, wanted)) == [DATA[7:16], DATA[99_000:99_100]]


@pytest.mark.parametrize("way", WRONG)
def test_a_wrong_byte_range_is_an_error(way):
    with Odd(way) as url, open_binary(url, read_ahead=False) as file:
        assert read_exactly(file.read, 10) == DATA[:10]
        file.seek(50_000)
        with pytest.raises(OSError, match=r"x\.tar: bytes 50,000 to 50,009 .*the server sent"):
            file.read(10)


@pytest.mark.parametrize(("way", "asked"), [("loop", 11), ("to_no_web_address", 1)])
def test_a_bad_redirect_is_an_error_without_retries(way, asked):
    server = Odd(way)
    with server as url:
        with pytest.raises(OSError, match=r"x\.tar(: | redirects to)") as caught:
            open_binary(url)
        assert type(caught.value) is OSError and server.asked <= asked


def test_a_refused_read_is_an_error_without_retries():
    server = Odd("refuse_later")
    with server as url, open_binary(url, read_ahead=False) as file:
        file.seek(50_000)
        with pytest.raises(OSError, match=r"x\.tar: .*status 403") as caught:
            file.read(10)
        assert type(caught.value) is OSError and server.asked == 2


def test_a_server_without_ranges_sends_the_file_once():
    server = Odd("whole")
    with server as url, open_binary(url) as file:
        for _ in range(3):
            file.seek(50_000)
            assert file.read(10) == DATA[50_000:50_010]
        assert server.asked == 1


@given(st.binary(max_size=300), st.integers(1, 50), st.integers(0, 400))
def test_read_exactly_reads_all_bytes_or_to_the_end(data, most, size):
    file = io.BytesIO(data)
    assert read_exactly(lambda rest: file.read(min(rest, most)), size) == data[:size]


def test_a_read_of_too_many_bytes_is_an_error():
    with pytest.raises(OSError, match="300 bytes were received instead of 100"):
        read_exactly(lambda rest: bytes(300), 100)


@pytest.mark.parametrize(
    ("name", "clutter"),
    [
        ("._a.jpg", True), ("photos/._a.jpg", True), ("__MACOSX/a.jpg", True), ("__MACOSX", True),
        ("x/.DS_Store", True), ("Thumbs.db", True), ("x/thumbs.db", True), ("desktop.ini", True),
        ("PaxHeaders.12/a", True), ("x/PaxHeader/a", True), ("x/@eaDir/a.jpg", True),
        ("a.jpg", False), ("x._a.jpg", False), (".hidden.jpg", False), ("_a.jpg", False),
        ("./photos/a.jpg", False), ("../a.jpg", False), ("my__MACOSX/a.jpg", False),
        ("", False), ("Paxton/a.jpg", False), ("other.db", False), ("@home.jpg", False),
    ],
)  # fmt: skip
def test_files_of_operating_systems_are_recognised_by_name(name, clutter):
    assert is_clutter(name) is clutter
