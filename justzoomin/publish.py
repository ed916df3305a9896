"""The command `justzoomin publish`: every configuration but `zoom`, which is made from others."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from gcd_metric.groups import JUSTZOOMIN
from geoload.builder import Builder
from geoload.publishing import spec
from geoload.publishing.convert import NO_JPEG, Screened, without_metadata
from geoload.publishing.croissant import Component
from geoload.publishing.publish import publish
from justzoomin.findings import WHITE
from justzoomin.justzoomin import JustZoomIn
from justzoomin.source import ATTRIBUTION
from justzoomin.splits import read_tables

STREET_ATTRIBUTION = "Street-view imagery derived from Mapillary, licensed under CC BY-SA 4.0."
_NOT_STORED = "zoom"
_PHOTOS = "streetview"
_COLUMNS = ("component", "source", "licence", "licence_link", "attribution")
_STREET = ("https://www.mapillary.com/", "CC BY-SA 4.0",
           "https://creativecommons.org/licenses/by-sa/4.0/", STREET_ATTRIBUTION)  # fmt: skip
_AERIAL = ("https://opendata.dc.gov/", "CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/",
           ATTRIBUTION)  # fmt: skip
_EVALUATION = spec.Evaluation(
    "Just Zoom In",
    "Where in Washington, D.C. was this photo taken? The value is the percentage of photos within "
    "50 m of the true place. Run it with `inspect eval geoeval/justzoomin`, or score a table of "
    "predictions with `gcd-metric --push`.",
    {"justzoomin": (_PHOTOS, "validation")},
    {"config_name": "justzoomin", "groups": JUSTZOOMIN},
)


def add_command(commands: Any) -> None:
    """Add the command to a parser's commands."""
    parser = spec.add_command(commands, run)
    parser.add_argument("--repository", help="repository on the Hub to read from")
    parser.add_argument("--revision", help="commit, branch or tag of that repository")


def run(
    data_dir: str | None = None,
    repository: str | None = None,
    revision: str | None = None,
    **settings: Any,
) -> None:
    """Publish; the arguments are the command's options."""
    where = {"data_dir": data_dir, "repository": repository, "revision": revision}
    given = {name: value for name, value in where.items() if value is not None}
    if _NOT_STORED in (settings.get("configs") or ()):
        raise ValueError(
            "zoom is not stored, because each view would be stored again for every photo. Publish "
            "streetview and views; the card shows how to make zoom from them."
        )
    configs = [c.name for c in JustZoomIn.BUILDER_CONFIGS if c.name != _NOT_STORED]
    default = JustZoomIn.DEFAULT_CONFIG_NAME

    def builder(config: str) -> JustZoomIn:
        return JustZoomIn(config_name=config, **given)

    ours = spec.PublishSpec(
        "justzoomin", configs, builder, default, screen, credits, estimate,
        evaluation=_EVALUATION, components=components,
    )  # fmt: skip
    publish(ours, spec.Settings(**settings))


def screen(row: dict[str, Any]) -> Screened:
    """Remove the metadata of a street photo; count white views."""
    if row.get("white"):
        return Screened(row, remark=WHITE.text)
    if "image_id" not in row or "image" not in row:
        return Screened(row)
    image = without_metadata(row["image"])
    return Screened(None, NO_JPEG) if image is None else Screened({**row, "image": image})


def credits(config: str) -> list[dict[str, Any]]:
    """Return the attributions that the licences of a configuration's components require."""
    what = "street-view images" if config == _PHOTOS else "metadata of street-view images"
    overhead = config in ("views", "cells", "satellite")
    line = ("aerial orthophotography", *_AERIAL) if overhead else (what, *_STREET)
    return [dict(zip(_COLUMNS, line, strict=True))]


def components(configs: Collection[str]) -> list[Component]:
    """Return the licences of these configurations."""
    lines = {line["source"]: line for config in configs for line in credits(config)}
    return [
        Component(line["licence"], line["licence_link"], line["attribution"])
        for _, line in sorted(lines.items())
    ]


def estimate(builder: Builder, split: str) -> tuple[int, int] | None:
    """Return rows and bytes of the photos of a split, from the tables and the shards' sizes."""
    if builder.config.name != _PHOTOS:
        return None
    source = builder.config.source(builder.token)
    size = sum(archive.size for archive in source.archives() if archive.level is None)
    if not size:
        return None
    rows, others = map(len, read_tables(source, split))
    return rows, size * rows // (rows + others)
