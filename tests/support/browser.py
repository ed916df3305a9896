"""A headless Chromium, and a Space in a process of its own: for tests that do as a visitor would.

A test module, or the conftest of its folder, imports the fixtures `chromium` and `visit`.
Without Chromium, Playwright or what else it names such a test is skipped, unless REQUIRE_BROWSER
is set: then it fails, so that a green run cannot hide that no page was opened.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, Queue
from typing import Any
from urllib.parse import urlsplit

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
    "user_agent": "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Mobile Safari/537.36",
}
WIDE = {"viewport": {"width": 1280, "height": 900}}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_START_SECONDS = 120


def find_chromium() -> str | None:
    """The browser's path: that of the variable CHROMIUM, or the first usual name on the PATH."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def need_browser(*modules: str) -> None:
    """Skip the calling test, or fail it where REQUIRE_BROWSER is set, if something is missing."""
    missing = [name for name in ("playwright", *modules) if find_spec(name) is None]
    missing += [] if find_chromium() else ["Chromium (or the variable CHROMIUM)"]
    if not missing:
        return
    message = f"no browser test without {' and '.join(missing)}"
    if os.environ.get("REQUIRE_BROWSER"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="module")  # each importing module has its own, and two at once do not work
def chromium() -> Iterator[Any]:
    """A browser with an empty profile."""
    need_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture()
def visit(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages as `visit(url, **options of a context)`: `WIDE`, `PHONE`, `color_scheme="dark"`.

    Whatever a page asks of any host but loopback is refused, and the test fails at its end, as it
    does for an error that a page's own scripts raise.
    """
    strays: list[str] = []
    faults: list[str] = []
    contexts = []

    def guard(route: Any) -> None:
        if _leaves(route.request.url):
            strays.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    def open_page(url: str, **options: Any) -> Any:
        context = chromium.new_context(**{**WIDE, **options})
        contexts.append(context)
        context.route("**/*", guard)
        context.set_default_timeout(60_000)  # milliseconds; a busy machine is slow, not wrong
        page = context.new_page()
        page.on("websocket", lambda socket: strays.extend([socket.url] * _leaves(socket.url)))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not strays, f"the page asked the outside world: {strays}"
    assert not faults, f"the page's scripts failed: {faults}"


def check_accessibility(page: Any) -> None:
    """Fail if axe-core finds a fault of accessibility in a page."""
    from axe_playwright_python.sync_playwright import Axe

    # gradio shows "Loading..." outside of all landmarks until the page is complete
    page.locator("p.loading").first.wait_for(state="detached")
    faults = Axe().run(page).response["violations"]
    assert not faults, [
        (one["id"], [node["html"][:200] for node in one["nodes"]]) for one in faults
    ]


def _leaves(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in ("data", "blob", "about") and parts.hostname not in _LOOPBACK


class Space:
    """A Space as the Hub runs it: a copy of its folder alone, `python app.py`, and its address.

    Parameters
    ----------
    folder : Path
        The Space's folder in the checkout.
    environment : dict, optional
        Variables for the process. The checkout is on no path that they hold.

    The interpreter is this one, or that of SPACE_PYTHON: an environment with nothing but the
    Space's requirements (`make space-check`).
    """

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self._made = tempfile.TemporaryDirectory(prefix="space-")
        # no name of a package, since the Hub knows none
        self.folder = Path(self._made.name, "home", "app")
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(folder, self.folder, ignore=ignored)
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.environment = {
            **inherited,
            "PYTHONUNBUFFERED": "1",
            "GRADIO_TEMP_DIR": str(Path(self._made.name, "uploads")),
            **(environment or {}),
        }
        self.python = os.environ.get("SPACE_PYTHON") or sys.executable
        self.lines: list[str] = []
        self.url = ""

    def __enter__(self) -> Space:
        self._process = subprocess.Popen(
            [self.python, "app.py"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        found: Queue[str] = Queue()
        self._reader = threading.Thread(target=self._read, args=(found,), daemon=True)
        self._reader.start()
        try:
            self.url = found.get(timeout=_START_SECONDS)
        except Empty:
            self.url = ""
        if not self.url:
            self.__exit__()
            raise AssertionError("the Space did not start:\n" + "".join(self.lines))
        return self

    def _read(self, found: Queue[str]) -> None:
        """Keep what the process prints; hand over the address, or nothing when it ends."""
        for line in self._process.stdout or ():
            self.lines.append(line)
            address = re.search(r"https?://127\.0\.0\.1:\d+", line)
            if address:
                found.put(address[0])
        found.put("")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=10)
        self._made.cleanup()
