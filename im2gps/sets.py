"""The published sets of photos: their files, their numbers, and how to get them."""

from __future__ import annotations

from typing import NamedTuple

OWN = "photos"  # the configuration for photos of the user's own
# Of the tables of GeoEstimation (Müller-Budack et al., ECCV 2018): the photographer, classes of
# Places365 and its groups of 3 and 16, and probabilities of an indoor, natural and urban scene.
TRUTH_COLUMNS = (
    "AUTHOR", "S3_Label", "S16_Label", "S365_Label", "Prob_indoor", "Prob_natural", "Prob_urban",
)  # fmt: skip


class PhotoSet(NamedTuple):
    """A published set. Sets with a table are fetched by hand; `how` says from where."""

    description: str
    archive: str = ""  # name of the ZIP file with the photos
    photos: int = 0  # in the ZIP file; 0 if it varies
    table: str = ""  # usual name of the CSV with the coordinates; empty if they are in the photos
    rows: int = 0  # of that table
    how: str = ""
    # Photos that may not be distributed: without them, rows have no image.
    coordinates_only: bool = False


SETS = {
    "im2gps": PhotoSet("The test set of the CVPR 2008 paper.", "gps_query_imgs.zip", 237),
    "random_2k": PhotoSet("Random geotagged photos, unfiltered.", "2k_random_test.zip", 2000),
    "geo_uniform": PhotoSet("Photos spread evenly over the land.", "geo_uniform_test.zip", 955),
    "human": PhotoSet(
        "The photos of the study with human observers.", "human_geolocation_test.zip", 64
    ),
    "im2gps3k": PhotoSet(
        "Im2GPS3k (ICCV 2017): photos and a table, fetched by hand.",
        "im2gps3ktest.zip", 3000, "im2gps3k_places365.csv", 2997,
        "the README of github.com/lugiavn/revisiting-im2gps links the photos",
    ),
    "yfcc4k": PhotoSet(
        "YFCC4k (ICCV 2017): photos and a table, fetched by hand.",
        "yfcc4k.zip", 4536, "yfcc4k_places365.csv", 4536,
        "the README of github.com/lugiavn/revisiting-im2gps links the photos, and the repository "
        "Jia-py/G3-checkpoint on the Hub is said to have the table",
    ),
    "yfcc26k": PhotoSet(
        "YFCC26k (ECCV 2018): photos and a table, fetched by hand.",
        "yfcc25600.zip", 25_600, "yfcc25600_places365.csv", 25_600,
        "the table's authors published yfcc25600_urls.csv with the photos' addresses on Flickr and "
        "withdrew their repository later; some photos are gone",
    ),
    "gws15k": PhotoSet(
        "GWS15k (CVPR 2023): coordinates of Street View photos, which are not distributed.",
        "gws15k.zip", 14_955, "gws15k.csv", 14_955,
        "github.com/dshatwell23/gtloc has the table as metadata/gws15k.csv; put Street View photos "
        "that you have fetched into a folder gws15k beside it, named as in the table (gsv_0.jpg)",
        coordinates_only=True,
    ),
    OWN: PhotoSet(
        "Any folder or ZIP of photos with a table of coordinates beside it.", table="*.csv"
    ),
}  # fmt: skip


def fetch_by_hand(name: str) -> str:
    """Return what to do about a set whose files cannot be downloaded."""
    if name == OWN:
        return (
            'load_dataset("im2gps", "photos") needs data_dir=: a folder with photos (or one ZIP of '
            "them) and a CSV with columns such as image_id, latitude, longitude."
        )
    known = SETS[name]
    photos = "" if known.coordinates_only else f"{known.archive} and "
    return (
        f"{name} is fetched by hand: put {photos}its table, {known.table}, into a folder and give "
        f"it as data_dir=. Where to get them: {known.how}."
    )
