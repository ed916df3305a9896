"""Text answers: the forms in which coordinates are written, and which pair of several counts."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcd_metric.answers import parse_answer

# "blind": written by somebody who had not seen the parser, the others by its authors
ANSWERS = [json.loads(line) for line in Path(__file__).with_name("answers.jsonl").open("rb")]
TOWER = (48.8584, 2.2945)
SYDNEY = (-33.8568, 151.2153)

WRITTEN = {
    TOWER: [
        # numbers in prose
        "48.8584, 2.2945",
        "48.8584,2.2945",
        "(48.8584, 2.2945)",
        "[48.8584, 2.2945]",
        "(48.8584; 2.2945)",
        "48.8584 2.2945",
        "48.8584\n2.2945",
        "48.8584 / 2.2945",
        "48.8584 and 2.2945",
        "48.8584°, 2.2945°",
        "approximately **48.8584**, **2.2945**.",
        "`48.8584, 2.2945`",
        "The photo shows the Eiffel Tower (48.8584, 2.2945), seen from 300 m.",
        "48.8584, 2.2945, 35",
        "1. 48.8584, 2.2945",
        "- 48.8584, 2.2945",
        # hemispheres
        "48.8584° N, 2.2945° E",
        "48.8584 N, 2.2945 E",
        "48.8584N 2.2945E",
        "48.8584N2.2945E",
        "N 48.8584, E 2.2945",
        "N48.8584 E2.2945",
        "2.2945° E, 48.8584° N",
        "48.8584 degrees north, 2.2945 degrees east",
        "48.8584° North and 2.2945° East",
        "48.8584° north latitude, 2.2945° east longitude",
        "48.8584ºn, 2.2945ºe",
        # labels
        "Latitude: 48.8584° N, Longitude: 2.2945° E",
        "**Latitude:** approx. 48.8584\n**Longitude:** approx. 2.2945",
        "- Latitude: 48.8584\n- Longitude: 2.2945",
        "Lat: 48.8584 Lon: 2.2945",
        "lat=48.8584&lng=2.2945",
        "Lat/Long: 48.8584/2.2945",
        "Latitude, Longitude: 48.8584, 2.2945",
        "(lon, lat) = (2.2945, 48.8584)",
        "Longitude 2.2945, latitude 48.8584",
        "a latitude of 48.8584 and a longitude of 2.2945",
        "48.8584 latitude, 2.2945 longitude",
        "Latitude is roughly 48.8584; confidence 80 %; longitude is roughly 2.2945",
        "| Latitude | Longitude |\n|---|---|\n| 48.8584 | 2.2945 |",
        "<latitude>48.8584</latitude>\n<longitude>2.2945</longitude>",
        "lat,lon\n48.8584,2.2945",
        "latitude ≈ 48.8584, longitude ≈ 2.2945",
        "Latitude: 48.8584 ± 0.01, Longitude: 2.2945 ± 0.01",
        # decimal commas
        "48,8584; 2,2945",
        "48,8584 / 2,2945",
        "48,8584, 2,2945",
        "48,8584 2,2945",
        "48,8584° N, 2,2945° E",
        "Latitude : 48,8584 ; longitude : 2,2945",
        # other characters
        "48.8584°\u202fN,\u00a02.2945°\u202fE",
        "４８.８５８４，２.２９４５",
        "٤٨٫٨٥٨٤، ٢٫٢٩٤٥",
        "$48.8584^\\circ$ N, $2.2945^{\\circ}$ E",
        "48.8584&deg; N, 2.2945&deg; E",
        '"48.8584\\u00b0 N, 2.2945\\u00b0 E"',
        # other languages
        "48,8584° nördlicher Breite, 2,2945° östlicher Länge",
        "Breitengrad: 48,8584, Längengrad: 2,2945",
        "48,8584 Grad Nord und 2,2945 Grad Ost",
        "N 48,8584°, O 2,2945° (Koordinaten in Grad)",
        "La latitude est 48,8584 et la longitude est 2,2945.",
        "48,8584° de latitude nord et 2,2945° de longitude est",
        "48,8584° Nord, 2,2945° Est",
        "Latitud: 48,8584° N, Longitud: 2,2945° E",
        "48,8584 grados norte, 2,2945 grados este",
        "Latitude: 48,8584° N, Longitude: 2,2945° L",
        "48,8584 graus norte, 2,2945 graus leste",
        "Latitudine 48,8584° Nord, longitudine 2,2945° Est",
        "纬度：48.8584，经度：2.2945",
        "北纬48.8584°，东经2.2945°",
        # objects
        '{"latitude": 48.8584, "longitude": 2.2945}',
        '{"lat": "48.8584", "lng": "2.2945"}',
        '{"lat": "48,8584", "lon": "2,2945"}',
        '{"lat": "48.8584° N", "long": "2.2945° E"}',
        '{"LATITUDE": 48.8584, "LONGITUDE": 2.2945}',
        '{"predictedLat": 48.8584, "predictedLon": 2.2945}',
        '{"pred_latitude": 48.8584, "pred_longitude": 2.2945}',
        "{'lat': 48.8584, 'lon': 2.2945, 'why': \"It's Paris\", 'sure': None,}",
        "{lat: 48.8584, lon: 2.2945}",
        "{lat: 48.8584° N, lon: 2.2945° E}",
        '{"lat": 48.8584 "lon": 2.2945}',
        '{"why": "a sign says "Tour Eiffel" here", "lat": 48.8584, "lon": 2.2945}',
        '{\n  // degrees\n  "lat": 48.8584,\n  "lon": 2.2945,\n}',
        'Sure!\n```json\n{"lat": 48.8584, "lon": 2.2945}\n```\nPhotos at 40.1, -3.7 look alike.',
        '{"reasoning": "not 40.1, -3.7", "lat": 48.8584, "lon": 2.2945}',
        '{"result": {"location": {"lat": 48.8584, "lng": 2.2945}}}',
        '{"coordinates": [48.8584, 2.2945]}',
        '{"coordinates": "48.8584, 2.2945", "confidence": 0.9}',
        '{"latLng": [48.8584, 2.2945]}',
        '{"Längengrad": 2.2945, "Breitengrad": 48.8584, "Grund": "nicht 40.1, -3.7"}',
        '{"coordonnées": [48.8584, 2.2945], "raison": "pas 40.1, -3.7"}',
        '{"coordonnees": [48.8584, 2.2945], "raison": "pas 40.1, -3.7"}',
        '{"lngLat": [2.2945, 48.8584]}',
        '{"type": "Point", "coordinates": [2.2945, 48.8584]}',
        '{"latitude": {"value": 48.8584}, "longitude": {"value": 2.2945}}',
        '{"answer": "48.8584, 2.2945", "reasoning": "40.1, -3.7 would fit, too"}',
        '{"choices": [{"message": {"content": "{\\"lat\\": 48.8584, \\"lon\\": 2.2945}"}}]}',
        # links and codes
        "geo:48.8584,2.2945;u=35",
        "geo:0,0?q=48.8584,2.2945(Tower)",
        "https://www.google.com/maps/@48.8584,2.2945,17z",
        "https://www.google.com/maps?q=48.8584,2.2945",
        "[map](https://maps.google.com/maps?ll=48.8584,2.2945&z=16)",
        "https://www.google.com/maps/place/X/@48.8,2.2,17z/data=!3m1!4b1!8m2!3d48.8584!4d2.2945",
        "https://www.google.com/maps/search/?api=1&query=48.8584%2C2.2945",
        "https://www.openstreetmap.org/#map=17/48.8584/2.2945",
        "https://www.openstreetmap.org/?mlat=48.8584&mlon=2.2945#map=17/48.8/2.2",
        "POINT(2.2945 48.8584)",
        "SRID=4326;POINT (2.2945 48.8584)",
        # marked answers
        "Final answer: 48.8584, 2.2945. Other options: 40.1, -3.7",
        "It may be 40.1, -3.7. $\\boxed{48.8584, 2.2945}$",
        "<answer>48.8584, 2.2945</answer> (not 40.1, -3.7)",
        "<|begin_of_box|>48.8584, 2.2945<|end_of_box|>",
        "My best guess is 48.8584, 2.2945. Madrid would be 40.4, -3.7.",
        "First guess: 40.1, -3.7. Looking again: 48.8584, 2.2945.",
        'Final answer: 48.8584, 2.2945\nAlternative: {"lat": 40.1, "lon": -3.7}',
        '# Final answer\nStreets as near 40.1, -3.7 are so much wider than those of the photo.\n'
        '{"lat": 48.8584, "lon": 2.2945}',
        '{"lat": 40.1, "lon": -3.7} Wait. Final answer: 48.8584, 2.2945',
        'Final answer: {"lat": 48.8584, "lon": 2.2945}\nAlternative: {"lat": 40.1, "lon": -3.7}',
        "40.1, -3.7 or rather 48.8584, 2.2945",
        # reasoning
        "<think>Is it 40.1, -3.7?</think>48.8584, 2.2945",
        "Is it 40.1, -3.7?</think>48.8584, 2.2945",
        "48.8584, 2.2945 <think>or 40.1, -3.7",
        "<|channel|>analysis<|message|>40.1, 3<|end|><|channel|>final<|message|>48.8584, 2.2945",
        "◁think▷40.1, -3.7◁/think▷48.8584, 2.2945",
        # several objects
        '{"lat": 40.1, "lon": -3.7} No: {"lat": 48.8584, "lon": 2.2945}',
        '{"lat": 48.8584, "lon": 2.2945} {"lat": 40.1, "lon": -3.',
        '{"guess": {"lat": 48.8584, "lon": 2.2945}, "alternative": {"lat": 40.1, "lon": -3.7}}',
        '{"top_1": {"lat": 48.8584, "lon": 2.2945}, "top_2": {"lat": 40.1, "lon": -3.7}}',
        '{"landmark": {"lat": 40.1, "lon": -3.7}, "final": {"lat": 48.8584, "lon": 2.2945}}',
        "I can't be certain, but I would say 48.8584, 2.2945.",
    ],
    SYDNEY: [
        "-33.8568, 151.2153",
        "−33.8568, 151.2153",
        "-33.8568,151.2153",
        "33.8568° S, 151.2153° E",
        "33.8568 South, 151.2153 East",
        "S 33.8568, E 151.2153",
        "-33.8568° S, 151.2153° E",
        "Latitude: -33.8568, Longitude: 151.2153",
        '{"lat": 33.8568, "lat_dir": "S", "lon": 151.2153, "lon_dir": "E"}',
        "33,8568° südlicher Breite und 151,2153° östlicher Länge",
        "33,8568° de latitud sur y 151,2153° de longitud este",
        "33,8568° Sul, 151,2153° Leste",
        "POINT(151.2153 -33.8568)",
    ],
    (-22.9519, -43.2105): [
        "22,9519° S, 43,2105° O (latitude e longitude do Cristo)",
        "22.9519° S, 43.2105° W",
        "22,9519 sul, 43,2105 oeste",
        "22,9519° Sud, 43,2105° Ouest",
        "Latitud 22,9519° S, longitud 43,2105° O",
    ],
    (40, -90): [
        "40, -90",
        "(40, -90)",
        "40.0, -90",
        "40 N, 90 W",
        "40N 90W",
        "lat 40 lon -90",
        "Coordinates: 40, -90",
        "N40° W90°",
        "[40, -90]",
        '{"lat": 40, "lon": -90}',
    ],
    (48 + 51 / 60 + 30 / 3600, 2 + 17 / 60 + 40 / 3600): [
        "48°51'30\"N 2°17'40\"E",
        "48° 51′ 30″ N, 2° 17′ 40″ E",
        "48°51’30”N, 2°17’40”E",
        "48° 51' 30'' N, 2° 17' 40'' E",
        "N 48° 51' 30\", E 2° 17' 40\"",
        "48 51 30 N, 2 17 40 E",
        "48:51:30 N, 2:17:40 E",
        "48d51m30sN 2d17m40sE",
        '48 deg 51\' 30.00" N, 2 deg 17\' 40.00" E',
        "48 degrees 51 minutes 30 seconds north, 2 degrees 17 minutes 40 seconds east",
        "48°51.5' N, 2°17.6666666667' E",
        "N 48 51.5 E 002 17.6666666667",
        "Latitude: 48° 51' 30\"\nLongitude: 2° 17' 40\"",
        "48 Grad 51 Minuten 30 Sekunden Nord, 2 Grad 17 Minuten 40 Sekunden Ost",
        "48 degrés 51 minutes 30 secondes Nord, 2 degrés 17 minutes 40 secondes Est",
        "48 grados 51 minutos 30 segundos norte, 2 grados 17 minutos 40 segundos este",
        "48 graus 51 minutos 30 segundos norte, 2 graus 17 minutos 40 segundos leste",
        "48 gradi 51 primi 30 secondi nord, 2 gradi 17 primi 40 secondi est",
        "$48^\\circ 51' 30''$ N, $2^\\circ 17' 40''$ E",
        '{"lat": "48°51\'30\\"N", "lon": "2°17\'40\\"E"}',
        "https://www.google.com/maps/place/48%C2%B051'30.0%22N+2%C2%B017'40.0%22E",
        '{"latitude": {"degrees": 48, "minutes": 51, "seconds": 30, "direction": "N"},'
        ' "longitude": {"degrees": 2, "minutes": 17, "seconds": 40, "direction": "E"}}',
    ],
    (48.5, 2.5): ["48-49°N, 2-3°E", "between 48 and 49° N and 2 and 3° E", "48.4–48.6, 2.4–2.6"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"), [(text, place) for place, texts in WRITTEN.items() for text in texts]
)
def test_coordinates(text, expected):
    answer = parse_answer(text)
    assert answer.kind == "coordinates"
    assert (answer.latitude, answer.longitude) == pytest.approx(expected, abs=1e-6)
    start, end = answer.span
    assert 0 <= start < end <= len(text)


@pytest.mark.parametrize("case", ANSWERS, ids=[case["id"] for case in ANSWERS])
def test_whole_answers(case):
    answer = parse_answer(case["text"])
    assert answer.kind == case["kind"], case["why"]
    if answer.kind == "coordinates":
        expected = case["latitude"], case["longitude"]
        assert (answer.latitude, answer.longitude) == pytest.approx(expected, abs=1e-5)


def test_plus_code():
    answer = parse_answer("The plus code is 8FW4V75V+8Q.")
    assert (answer.latitude, answer.longitude) == pytest.approx((48.8583, 2.2944), abs=1e-4)


def test_values_that_are_no_text():
    for value in ({"lat": 1.5, "lon": -2.5}, [1.5, -2.5], b"1.5, -2.5", {"gps": [1.5, -2.5]}):
        answer = parse_answer(value)
        assert (answer.latitude, answer.longitude) == (1.5, -2.5)


def test_span_is_where_the_coordinates_stand():
    text = "<think>40.1, -3.7</think>\nIt is 48.8584° N, 2.2945° E."
    start, end = parse_answer(text).span
    assert text[start:end] == "48.8584° N, 2.2945° E"
    text = "x" * 10 + '{"lat": 48.8584, "lon": 2.2945}'
    start, end = parse_answer(text).span
    assert "48.8584" in text[start:end]


@pytest.mark.parametrize(
    ("text", "expected", "note"),
    [
        ("33.86° N, -151.2° W", (33.86, -151.2), None),
        ("-33.86° N, 151.2° E", (-33.86, 151.2), "contradicts the sign"),
        ("40.7° N, -74.0° E", (40.7, -74.0), "contradicts the sign"),
        ("151.2, -33.9", (-33.9, 151.2), "swapped"),
        ("[151.2, -33.9]", (-33.9, 151.2), "swapped"),
        ("Musina-22.3, 30.0", (22.3, 30.0), "right behind a word"),
        ("Latitude: 2.3° E, Longitude: 48.9° N", (48.9, 2.3), "swapped"),
        ("48-49° N, 2-3° E", (48.5, 2.5), "range"),
        ('{"lat": 1.5, "lon": 2.5, "why": "cut o', (1.5, 2.5), "cut off"),
        (
            '[{"guesses": [{"lat": 1.5, "lon": 2.5}, {"lat": 3.5, "lon": 4.5}]}]',
            (1.5, 2.5),
            "list of candidates: the first",
        ),
        (
            '{"guesses": [{"lat": 1.5, "lon": 2.5, "confidence": 0.1},'
            ' {"lat": 3.5, "lon": 4.5, "confidence": 0.8}]}',
            (3.5, 4.5),
            "most confident",
        ),
        ("<think>well, 48.85, 2.29", None, "never closed"),
        ("I cannot tell. Give me coordinates, e.g. 40.7128, -74.0060.", None, "example"),
        ("45.4° N, 12.3° O", None, "O is east in German"),
        ("Koordinaten: 52.5° N, 13.4° O", (52.5, 13.4), "as east"),
        ("Coordenadas: 40,4° N, 3,7° O", (40.4, -3.7), "as west"),
    ],
)
def test_assumptions_are_noted(text, expected, note):
    answer = parse_answer(text)
    if expected is None:
        assert answer.kind != "coordinates" and math.isnan(answer.latitude)
    else:
        assert (answer.latitude, answer.longitude) == pytest.approx(expected)
    said = "; ".join(answer.notes)
    assert (note in said) if note else not said


# --- any coordinates, in any form ----------------------------------------------------------------

LANGUAGES = {
    "en": ("north", "south", "east", "west", " degrees "),
    "de": ("Nord", "Süd", "Ost", "West", " Grad "),
    "fr": ("Nord", "Sud", "Est", "Ouest", " degrés "),
    "es": ("norte", "sur", "este", "oeste", " grados "),
    "pt": ("norte", "sul", "leste", "oeste", " graus "),
    "it": ("nord", "sud", "est", "ovest", " gradi "),
}
LETTERS = ("N", "S", "E", "W", "°")


def _sided(latitude, longitude, write, words):
    north, south, east, west, mark = words
    one = f"{write(abs(latitude), mark)} {south if latitude < 0 else north}"
    return f"{one}, {write(abs(longitude), mark)} {west if longitude < 0 else east}"


def _decimal(value, mark):
    return f"{value:.6f}{mark}".strip()


def _comma(value, mark):
    return _decimal(value, mark).replace(".", ",")


def _dms(value, mark):
    whole = round(value * 3600, 3)
    degrees, rest = divmod(whole, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{degrees:.0f}{mark.rstrip()}{minutes:.0f}'{seconds:.3f}\""


def _quoted(latitude, longitude):
    return json.dumps({"latitude": f"{latitude:.6f}", "longitude": f"{longitude:.6f}"})


FORMS = [
    *(
        lambda a, o, write=write, words=words: _sided(a, o, write, words)
        for write in (_decimal, _comma, _dms)
        for words in (LETTERS, *LANGUAGES.values())
    ),
    lambda a, o: f"{a:.6f}, {o:.6f}",
    lambda a, o: f"({a:.6f}; {o:.6f})",
    lambda a, o: f"{a:.6f}, {o:.6f}".replace(".", ","),
    lambda a, o: f"Latitude: {a:.6f}\nLongitude: {o:.6f}",
    lambda a, o: json.dumps({"lat": round(a, 6), "lon": round(o, 6)}),
    lambda a, o: repr({"lng": round(o, 6), "lat": round(a, 6)}),
    _quoted,
    lambda a, o: f"geo:{a:.6f},{o:.6f}",
    lambda a, o: f"https://www.openstreetmap.org/#map=12/{a:.6f}/{o:.6f}",
    lambda a, o: f"POINT({o:.6f} {a:.6f})",
    lambda a, o: f"I think it is {a:.6f}, {o:.6f}. The photo was taken in 2019, at 12:30.",
]


@given(
    st.floats(-89.99, 89.99),
    st.floats(-179.99, 179.99),
    st.sampled_from(FORMS),
    st.sampled_from(["{}", "Answer: {}", "**{}**", "<think>1.5, 2.5</think>\n{}\n", "Well. {}"]),
)
def test_what_is_written_is_read(latitude, longitude, form, around):
    text = around.replace("{}", form(latitude, longitude))
    answer = parse_answer(text)
    assert answer.kind == "coordinates", text
    assert answer.latitude == pytest.approx(latitude, abs=1e-6), text
    assert answer.longitude == pytest.approx(longitude, abs=1e-6), text
