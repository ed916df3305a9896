"""kind="places": the same country, region, area and city, or not."""

import math
import sys

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("shapely")
reverse_geocoder = pytest.importorskip("reverse_geocoder")

from gcd_metric import places, wilson_interval
from geo_attributes import GeoAttributes

PARIS, VERSAILLES, LYON = [48.86, 2.35], [48.80, 2.13], [45.76, 4.84]
NEW_YORK, STRASBOURG, KEHL = [40.71, -74.01], [48.574, 7.760], [48.573, 7.815]
AT_SEA = [0.0, 0.0]
LEVELS = ("country", "region", "area", "city")


def compute(predictions, references, **options):
    return GeoAttributes().compute(
        predictions=predictions, references=references, kind="places", **options
    )


def shares(result):
    return [result[f"acc_{level}"] for level in LEVELS]


@pytest.mark.parametrize("method", places.METHODS)
@pytest.mark.parametrize(
    ("guess", "expected"),
    [
        (PARIS, [1, 1, 1, 1]),
        (VERSAILLES, [1, 1, 0, 0]),
        (LYON, [1, 0, 0, 0]),
        (NEW_YORK, [0, 0, 0, 0]),
    ],
)
def test_each_level(method, guess, expected):
    result = compute([guess], [PARIS], method=method)
    assert shares(result) == expected
    assert [result[f"n_{level}"] for level in LEVELS] == [1, 1, 1, 1]
    assert result["n"] == 1 and result["n_missing"] == 0


def test_across_a_border():
    assert shares(compute([KEHL], [STRASBOURG]))[0] == 0


def test_intervals_are_wilsons():
    result = compute([PARIS, LYON, NEW_YORK, PARIS], [PARIS] * 4)
    assert result["acc_country"] == 0.75
    assert result["acc_country_ci95"] == wilson_interval(3, 4)
    assert result["acc_city_ci95"] == wilson_interval(2, 4)
    alone = compute([PARIS, LYON, NEW_YORK, PARIS], [PARIS] * 4, groups=list("abcd"))
    assert alone["acc_country_ci95"] == pytest.approx(wilson_interval(3, 4))
    assert alone["n_groups"] == 4 and alone["acc_country_n_effective"] == pytest.approx(4)


def test_groups_make_intervals_wider():
    guess = pd.DataFrame([PARIS] * 20 + [NEW_YORK] * 20, columns=["latitude", "longitude"])
    truth = pd.DataFrame([PARIS] * 40, columns=["latitude", "longitude"])
    truth["owner"] = np.repeat(list("abcdefgh"), 5)
    alone, grouped = compute(guess, truth), compute(guess, truth, groups="owner")
    assert shares(alone) == shares(grouped) == [0.5] * 4
    (low, high), (wide_low, wide_high) = alone["acc_region_ci95"], grouped["acc_region_ci95"]
    assert wide_low < low < high < wide_high
    assert grouped["acc_region_n_effective"] < 12 and grouped["n_groups"] == 8


def test_pairs_whose_true_place_has_no_name_are_left_out():
    # New York has no area among the polygons, and the sea no country
    result = compute([NEW_YORK, PARIS, AT_SEA], [NEW_YORK, PARIS, AT_SEA])
    assert [result[f"n_{level}"] for level in LEVELS] == [2, 2, 1, 2]
    assert shares(result) == [1, 1, 1, 1] and result["n"] == 3
    result = compute([AT_SEA], [NEW_YORK])  # but a prediction at sea is wrong
    assert shares(result)[:2] == [0, 0]
    assert math.isnan(result["acc_area"]) and math.isnan(result["acc_area_ci95"][0])


def test_one_city_and_two_regions_is_no_hit():
    # Mont Saint-Michel's bay: the same nearest city on both sides of a border of regions
    random = np.random.default_rng(0)
    points = random.uniform((48.3, -2.0), (49.0, -0.7), (2000, 2))
    table = places.find_places(points)
    pairs = table.reset_index().merge(table.reset_index(), on=["country", "city"])
    pair = pairs[pairs["region_x"] < pairs["region_y"]].iloc[0]
    result = compute([points[pair["index_x"]]], [points[pair["index_y"]]])
    assert shares(result) == [1, 0, 0, 0]


def test_missing_predictions_are_wrong():
    with pytest.raises(ValueError, match="missing='miss'"):
        compute([PARIS, None], [PARIS, PARIS])
    result = compute([PARIS, None], [PARIS, PARIS], missing="miss")
    assert shares(result) == [0.5] * 4
    assert result["n"] == 2 and result["n_missing"] == 1


def test_names_on_request():
    result = compute([PARIS, None], [LYON, PARIS], missing="miss", return_places=True)
    guess, truth = (pd.DataFrame(result[f"{side}_places"]) for side in ("prediction", "reference"))
    assert truth["city"].tolist() == ["Lyon", "Paris"]
    assert truth["country"].tolist() == ["FR", "FR"]
    assert guess["region"].tolist()[0] == "Île-de-France" and guess.iloc[1].isna().all()


def test_the_nearest_place_gives_the_figures_of_osv5m():
    """Names of all higher levels belong to the key, as in its file metrics/utils.py."""
    random = np.random.default_rng(1)
    known = places.read_places()[["latitude", "longitude"]].to_numpy()
    truth = known[random.integers(0, len(known), 3000)] + random.normal(0, 0.05, (3000, 2))
    guess = truth + random.normal(0, 1, (3000, 2)) * random.uniform(0, 0.5, (3000, 1))
    guess, truth = (side.clip((-90, -180), (90, 180)) for side in (guess, truth))
    fields = ("cc", "admin1", "admin2", "name")

    def keys(coordinates):
        asked = reverse_geocoder.search(list(map(tuple, coordinates.tolist())), verbose=False)
        return [[[place[name] for name in fields[: i + 1]] for i in range(4)] for place in asked]

    result = compute(guess, truth, method="nearest_place")
    pairs = list(zip(keys(guess), keys(truth), strict=True))
    for i, level in enumerate(LEVELS):
        named = [(one, other) for one, other in pairs if other[i][-1]]
        assert result[f"n_{level}"] == len(named)
        share = np.mean([one[i] == other[i] for one, other in named])
        assert result[f"acc_{level}"] == pytest.approx(share)
    assert 0.2 < result["acc_area"] < 0.9


ERRORS = {
    "at sea": ([AT_SEA], {}, "none of the 1 references is in a country.*latitude 0, longitude 0"),
    "method": ([PARIS], {"method": "nearest"}, "method must be one of 'polygons'"),
    "raster": ([PARIS], {"raster": "a.tif"}, "raster is an option for rasters, not for.*'places'"),
    "nodata": ([PARIS], {"nodata": np.array([1, 2])}, "nodata is an option for rasters"),
    "log": ([PARIS], {"log": True}, "log is an option for rasters"),
    "values": ([PARIS], {"return_values": True}, "return_values is an option for rasters"),
    "groups": ([PARIS], {"groups": ["a", "b"]}, "groups: 2 labels for 1 pairs"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_errors(kind):
    truth, options, message = ERRORS[kind]
    with pytest.raises(ValueError, match=message):
        compute([PARIS], truth, **options)


@pytest.mark.parametrize("option", [{"method": "polygons"}, {"return_places": True}])
def test_options_of_places_are_for_places(option):
    with pytest.raises(ValueError, match="is an option for places, not for kind='quantity'"):
        GeoAttributes().compute(
            predictions=[PARIS], references=[PARIS], kind="quantity", raster="a.tif", **option
        )


def test_without_the_libraries(monkeypatch):
    places._region_map.cache_clear()
    monkeypatch.setitem(sys.modules, "shapely", None)
    with pytest.raises(ImportError, match=r"needs shapely: pip install.*\[places\]"):
        compute([PARIS], [PARIS])


def test_the_bundle_for_the_hub_has_the_regions(bundled):
    code = (
        f"pair = {{'predictions': [{LYON}], 'references': [{PARIS}], 'kind': 'places'}}\n"
        "result = loaded.compute(**pair, return_places=True)\n"
        "print(result['acc_country'], result['acc_city'], *result['reference_places']['city'])"
    )
    assert bundled(code) == "1.0 0.0 Paris"
