"""A plain file server on loopback, like the web server of a university department."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from .hub import Answer, Content, Incoming, Loopback


class Static(Loopback):
    """Serves the files below a folder as they are at the time of each request.

    With ``ranges=False`` it says that it knows no ranges, and sends whole files whatever is asked.
    """

    def __init__(self, folder: Path, ranges: bool = True) -> None:
        super().__init__()
        self.folder = Path(folder).resolve(strict=True)
        self.ranges = ranges

    def url(self, path: str) -> str:
        """The address of a file, given by its path in the folder."""
        return f"{self.endpoint}/{quote(path)}"

    def route(self, request: Incoming) -> Answer | Content:
        name = request.path.lstrip("/")
        if request.method not in ("GET", "HEAD"):
            return Answer(405, headers={"Allow": "GET, HEAD"})
        source = self._inside(name)
        if source is None:
            return Answer(404, b"Not Found\n", {"Content-Type": "text/plain"})
        stat = source.stat()
        etag = f'"{stat.st_size:x}-{stat.st_mtime_ns // 1000:x}"'
        modified = stat.st_mtime
        return Content(name, source, stat.st_size, etag, modified=modified, ranges=self.ranges)

    def _inside(self, name: str) -> Path | None:
        try:
            source = (self.folder / name).resolve(strict=True)
        except (OSError, ValueError):  # missing, or not a path at all (a NUL in it)
            return None
        return source if source.is_file() and source.is_relative_to(self.folder) else None
