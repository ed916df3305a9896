"""What the page says: sentences and small tables as HTML. Everything from data is escaped here."""

from __future__ import annotations

import html
from collections.abc import Sequence

from catalogue import Collection

from justzoomin.preview import ATTRIBUTION

INTRO = """
# Where was this photo taken?

Two benchmarks ask a model just that: **Im2GPS**, photos from all over the world, and **Just Zoom
In**, street photos of Washington, D.C., to be found by zooming into aerial imagery. Play ten rounds
and get the figures that a model would get; look at the photos; follow a zoom.
"""
ABOUT = """
Everything on this page is computed here: distances are great circles on a sphere and figures those
of the metric `gcd_metric`, with 95 % Wilson intervals; GeoScore is 5,000 for a perfect guess, and
falls by a factor of e every 1,492.7 km. Maps are plain: latitude and longitude as they are, coasts
from Natural Earth (public domain), no tile server. Nothing about a visitor is kept.
"""
_CREDITS = {
    "im2gps": "Photos: Im2GPS (Hays and Efros, CVPR 2008), each with the licence that its "
    "photographer chose on Flickr.",
    "justzoomin": ATTRIBUTION,
}


def credit(collection: Collection) -> str:
    """Whose photos and imagery these are, or that they are synthetic."""
    line = _CREDITS[collection.name]
    if collection.synthetic:
        line = f"SYNTHETIC: painted by a program. Of the real data: {line}"
    return remark(line)


def remark(*lines: str) -> str:
    """Small print, a paragraph a line."""
    return "".join(f'<p class="remark">{html.escape(line)}</p>' for line in lines)


def done(text: str) -> str:
    """A line that says what happened or what to do."""
    return f'<p class="done">{html.escape(text)}</p>'


def failed(error: BaseException | str) -> str:
    """A line that says what is wrong."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    return f'<p class="error" role="alert">{html.escape(" ".join(text.split())[:600])}</p>'


def record(entries: Sequence[tuple[str, str]]) -> str:
    """Names and values, one below the other."""
    rows = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>'
        for name, value in entries
    )
    return f'<table class="record">{rows}</table>'


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """A wide table of text, with each interval below its figure, which a phone has room for."""
    first = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in headers)
    body = "".join(
        "<tr>"
        + "".join(f"<td>{html.escape(cell.replace(' [', chr(10) + '['))}</td>" for cell in row)
        + "</tr>"
        for row in rows
    )
    # reached by Tab, so that a wide one can be scrolled without a mouse
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{html.escape(caption, True)}">'
        f"<table><tr>{first}</tr>{body}</table></div>"
    )


def place(latitude: float, longitude: float) -> str:
    """`48.85660, 2.35220`."""
    return f"{latitude:.5f}, {longitude:.5f}"
