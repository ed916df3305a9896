"""Paint landscapes that show where and when they were taken, for the miniature.

A person or a small model can learn to place them. The height of the sun, clouds, snow and the
colours of leaves follow from latitude, date and hour; the colours of earth, walls and roofs, the
kinds of houses and trees and the words on the sign from the region; mountains and the sea from what
is near. The world is a caricature: results on it say nothing about a method.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from geoload.synthetic import finish

_LEAST_SIGN = 72  # pixels; on a narrower picture a script cannot be told

Colour = tuple[float, float, float]


class Region(NamedTuple):
    """A part of the world around a point, and what it looks like."""

    latitude: float
    longitude: float
    earth: str
    wall: str
    roof: str
    house: str
    tree: str
    script: str  # a key of _SCRIPTS, or a word for "street" in Latin letters
    dry: float


_REGIONS = [
    Region(42, -76, "#705c46", "#9e543e", "#464246", "tower", "round", "MAIN ST", 0.2),
    Region(51, -122, "#544c3e", "#96704c", "#3e5448", "gable", "conifer", "AVENUE", 0),
    Region(36, -117, "#ce9e68", "#e8d0aa", "#ba845c", "box", "cactus", "BLVD", 0.9),
    Region(19, -98, "#aa704a", "#f0bc3e", "#be4660", "box", "cactus", "CALLE", 0.6),
    Region(4, -74, "#86543a", "#46a0be", "#ac583a", "gable", "palm", "CARRERA", 0.2),
    Region(-12, -76, "#c4ac88", "#d694b0", "#96745c", "box", "palm", "JIRON", 0.9),
    Region(-23, -44, "#b85236", "#eed856", "#3a7e60", "box", "palm", "RUA", 0.1),
    Region(-34, -63, "#948252", "#78acd6", "#5c6076", "tower", "cypress", "AVENIDA", 0.2),
    Region(53, -4, "#545446", "#965c4a", "#56545c", "gable", "round", "HIGH ST", 0),
    Region(49, 3, "#7c704e", "#e2cea0", "#5c6884", "tower", "round", "RUE", 0),
    Region(52, 12, "#685c44", "#cebeaa", "#963e34", "gable", "round", "STRASSE", 0),
    Region(39, -6, "#be9a68", "#f6e8c8", "#c46e3e", "gable", "cypress", "PLAZA", 0.6),
    Region(42, 12, "#a68e60", "#de9660", "#bc5436", "gable", "cypress", "VIA", 0.4),
    Region(39, 23, "#bca686", "#f8f8f8", "#3468be", "dome", "cypress", "greek", 0.5),
    Region(60, 16, "#5c544e", "#a8302c", "#3a383c", "gable", "conifer", "GATAN", 0.1),
    Region(64, -20, "#38363a", "#e2e6e8", "#b22e3a", "gable", "heath", "GATA", 0),
    Region(56, 40, "#4c423a", "#eccc78", "#3c8c6e", "onion", "conifer", "cyrillic", 0.2),
    Region(29, 36, "#debe86", "#e0cca4", "#5c9e96", "dome", "palm", "arabic", 1),
    Region(41, 31, "#a8886e", "#cec4ce", "#788696", "dome", "round", "CADDESI", 0.3),
    Region(7, 3, "#b25c34", "#986042", "#c4a45c", "hut", "palm", "ROAD", 0.2),
    Region(-1, 37, "#c4743e", "#b07650", "#9e844c", "hut", "acacia", "BARABARA", 0.6),
    Region(-30, 24, "#be9258", "#f6f0e2", "#605042", "gable", "acacia", "WEG", 0.5),
    Region(24, 76, "#b08a5c", "#eea896", "#e2d6c4", "dome", "acacia", "devanagari", 0.5),
    Region(14, 101, "#96543c", "#d6b05c", "#c84c28", "pagoda", "palm", "thai", 0),
    Region(-3, 105, "#7c4638", "#aac896", "#8c3e2e", "hut", "palm", "JALAN", 0),
    Region(32, 114, "#ba9e60", "#c44234", "#545c56", "pagoda", "bamboo", "han", 0.3),
    Region(37, 127, "#927a5e", "#e2ded6", "#406e9c", "tower", "conifer", "hangul", 0.2),
    Region(36, 139, "#5a5254", "#e8e2d4", "#484e68", "pagoda", "round", "kana", 0),
    Region(-33, 148, "#c05830", "#eee2be", "#7a9c8c", "hut", "gum", "STREET", 0.6),
    Region(-38, 175, "#606846", "#e8ece2", "#487c48", "gable", "fern", "ARA", 0),
]  # fmt: skip
# Mountains, and places far from the sea: latitude, longitude, and how far they reach in km.
_MOUNTAINS = [
    (5, -74, 500), (-12, -76, 400), (-33, -70, 300), (37, -116, 500), (49, -122, 400),
    (20, -99, 300), (46, 9, 500), (28, 85, 900), (36, 138, 300), (64, -20, 300), (-34, 19, 200),
    (-1, 37, 400), (40, 44, 500), (-39, 175, 300), (38, 24, 200), (37, 128, 200), (41, 115, 300),
    (40, -4, 200),
]  # fmt: skip
_INLAND = [
    (42, -88, 700), (46, -74, 250), (36, -115, 250), (19, -99, 250), (5, -74, 300), (-33, -70, 60),
    (-26, 28, 400), (-1, 37, 300), (28, 77, 700), (40, 116, 250), (52, 14, 250), (49, 2, 180),
    (40, -4, 300), (56, 38, 900), (30, 31, 120), (51, 0, 80), (38, 127, 60), (65, 100, 2500),
]  # fmt: skip
# Strokes of a few letters of each script, as points on a grid of 5 × 5, x before y.
_SCRIPTS = {
    "greek": ("042044 1232", "04004044", "4000220444", "2024 0040"),
    "cyrillic": ("0004 4044 0440", "0004 4002 0244", "2024 0044 0440", "04104044"),
    "arabic": ("41423424140302 2021", "4044 1011", "414334140302 2423", "43232101 1112"),
    "devanagari": ("0040 3034 3222120214", "0040 3034 303202", "0040 2024 22334434"),
    "thai": ("04011020313444", "1110010411334041", "0104443020 1011"),
    "han": ("0040440400 0242 2024", "0141430301 2024", "0141 2024 2104 2144", "0040 2024 0444"),
    "hangul": ("100102132332312010 4044", "002023 3034 3242", "2002 2042 0444"),
    "kana": ("0040440400", "0141 201404", "0040 4044 0444", "1014 1132", "4004"),
}
# Houses and trees, from the back to the front: colour, form, and points in tenths of the size, x to
# the right and y upwards from the middle of the foot.
_WINDOWS = "dark rect -4 5 -1 3; dark rect 1 5 4 3"
_SHAPES = {
    "gable": f"wall rect -6 7 6 0; roof poly -8 7 0 13 8 7; {_WINDOWS}",
    "box": f"wall rect -7 8 7 0; roof rect -7 8 7 7; {_WINDOWS}",
    "tower": f"wall rect -5 21 5 0; roof rect -5 22 5 21; {_WINDOWS}; dark rect -4 10 -1 8; "
    "dark rect 1 10 4 8; dark rect -4 15 -1 13; dark rect 1 15 4 13",
    "dome": f"roof oval -5 14 5 3; wall rect -6 8 6 0; roof line 0 13 0 17; {_WINDOWS}",
    "onion": f"roof oval -5 16 5 8; roof poly -3 15 0 21 3 15; wall rect -5 10 5 0; {_WINDOWS}",
    "hut": "wall rect -5 5 5 0; roof poly -9 4 0 13 9 4; dark rect -1 3 1 0",
    "pagoda": "wall rect -5 4 5 0; roof poly -9 4 -4 6 4 6 9 4; wall rect -4 10 4 6; "
    "roof poly -7 10 -3 12 3 12 7 10; wall rect -3 16 3 12; roof poly -5 16 0 19 5 16",
    "round": "trunk line 0 0 0 6; leaf oval -4 12 4 4",
    "conifer": "trunk line 0 0 0 3; leaf poly -4 2 0 8 4 2; leaf poly -3 5 0 11 3 5; "
    "leaf poly -2 9 0 14 2 9",
    "cypress": "trunk line 0 0 0 3; leaf oval -1.5 14 1.5 1",
    "palm": "trunk line 0 0 1 12; leaf line -4 10 1 12 8 9; leaf line -4 14 1 12 7 13; "
    "leaf line 0 16 1 12 5 15",
    "acacia": "trunk line -3 8 0 0 3 8; leaf oval -8 10 8 7",
    "cactus": "leaf line 0 0 0 10; leaf line -3 8 -3 5 0 5; leaf line 3 9 3 6 0 6",
    "bamboo": "leaf line -2 0 -4 13; leaf line 0 0 0 14; leaf line 2 0 4 13; leaf line 4 0 7 11",
    "gum": "pale line 0 0 1 11; leaf oval -6 11 0 8; leaf oval 0 12 6 9; leaf oval -2 15 4 11",
    "fern": "leaf line -6 4 0 0 6 4; leaf line -3 7 0 0 3 7; leaf line 0 0 0 9",
    "heath": "leaf oval -4 2 2 0; trunk oval -1 3 5 0",
}
_LEAVES = {
    "round": (58, 118, 44), "conifer": (32, 76, 58), "cypress": (46, 82, 46), "palm": (72, 142, 50),
    "acacia": (112, 128, 52), "cactus": (84, 134, 76), "bamboo": (120, 166, 66),
    "gum": (120, 142, 112), "fern": (52, 140, 72), "heath": (128, 104, 112),
}  # fmt: skip
_GREEN, _AUTUMN, _BARE = (74, 122, 52), (204, 122, 40), (120, 100, 84)
_SNOW, _ROCK, _ROAD, _WHITE = (236, 240, 246), (118, 112, 116), (96, 96, 100), (255, 255, 255)
_PLACES = np.array([(*r[:2], 900) for r in _REGIONS] + _MOUNTAINS + _INLAND, float)
_PARTS = np.split(np.arange(len(_PLACES)), np.cumsum([len(_REGIONS), len(_MOUNTAINS)]))
_COLOURS = np.array([sum(map(ImageColor.getrgb, r[2:5]), ()) for r in _REGIONS], float)
_PHI, _LAMBDA = np.radians(_PLACES[:, :2]).T
_VECTORS = np.stack(
    [np.cos(_PHI) * np.cos(_LAMBDA), np.cos(_PHI) * np.sin(_LAMBDA), np.sin(_PHI)], 1
)


def paint(
    latitude: float,
    longitude: float,
    taken: datetime,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> Image.Image:
    """Paint the landscape of a place.

    Parameters
    ----------
    latitude, longitude : float
        Decimal degrees.
    taken : datetime
        Local time.
    size : (int, int)
        Width and height in pixels; a narrow picture has no sign.
    rng : Generator
        Decides where things stand, and the grain.
    """
    nearness = _nearness(latitude, longitude)
    here, heights, middles = (nearness[part] for part in _PARTS)
    region = _REGIONS[here.argmax()]
    share = np.exp(here - here.max())
    earth, wall, roof = (share / share.sum() @ _COLOURS).reshape(3, 3).tolist()
    scene = _Scene(size, _weather(latitude, taken), rng)
    scene.sky()
    scene.background(math.exp(heights.max()), math.exp(middles.max()))
    scene.ground(earth, region)
    scene.houses(region.house, wall, roof)
    scene.trees(region.tree)
    if size[0] >= _LEAST_SIGN:
        scene.sign(region.script)
    return finish(scene.picture, rng)


def _nearness(latitude: float, longitude: float) -> np.ndarray:
    """Return minus the square of the distance to each of _PLACES, in units of its reach."""
    phi, lam = math.radians(latitude), math.radians(longitude)
    point = math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)
    chord = 2 - 2 * (_VECTORS @ point)  # squared, in radii
    nearness: np.ndarray = -chord * np.square(6371 / _PLACES[:, 2])
    return nearness


class _Weather(NamedTuple):
    sun: float  # sine of its height above the horizon
    side: float  # where the sun is, seen towards the equator: -1 left, 1 right
    warmth: float  # mean temperature of the day in degrees Celsius
    autumn: float  # 0 to 1
    clouds: float  # 0 to 1


def _weather(latitude: float, taken: datetime) -> _Weather:
    """Make up the weather of a place and time, from its latitude alone."""
    phi = math.radians(latitude)
    year = 2 * math.pi * (taken.timetuple().tm_yday - 172) / 365.25  # 0 at the solstice of June
    declination = math.radians(23.44) * math.cos(year)
    hour = math.pi / 12 * (taken.hour + taken.minute / 60 - 12)
    sun = math.sin(phi) * math.sin(declination)
    sun += math.cos(phi) * math.cos(declination) * math.cos(hour)
    north = 1 if latitude >= 0 else -1
    warmth = 28 - 0.0085 * latitude**2 + 0.25 * abs(latitude) * north * math.cos(year - 0.5)
    autumn = max(0.0, north * math.sin(year)) if abs(latitude) > 32 else 0.0
    # Clouds at the equator and at 52°, clear skies at 26°.
    clouds = 0.5 + 0.5 * math.cos(math.radians(abs(latitude) * 360 / 52))
    return _Weather(sun, north * math.sin(hour), warmth, autumn, clouds)


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return a colour between two: the first for a share of 0 or less, the second from 1 on."""
    share = min(max(share, 0.0), 1.0)
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue


class _Scene:
    """A picture that is painted from the back to the front."""

    def __init__(self, size: tuple[int, int], weather: _Weather, rng: np.random.Generator) -> None:
        self._width, self._height = size
        self._weather = weather
        self._random: Iterator[float] = iter(rng.random(64).tolist())
        self._light = 0.5 + 0.5 * min(max(weather.sun * 1.6 + 0.15, 0.0), 1.0)
        self._horizon = self._height * self._between(0.5, 0.6)
        self._unit = min(self._width * 0.75, self._height) / 100
        self.picture = Image.new("RGB", size)
        self._draw = ImageDraw.Draw(self.picture)

    def _between(self, low: float, high: float) -> float:
        return low + (high - low) * next(self._random)

    def _lit(self, colour: Colour) -> tuple[int, int, int]:
        red, green, blue = (int(part * self._light) for part in colour)
        return red, green, blue

    def _snowy(self, colour: Colour) -> Colour:
        return _mix(colour, _SNOW, -self._weather.warmth / 4)

    def _oval(self, x: float, y: float, across: float, down: float, colour: Colour) -> None:
        filled = tuple(map(int, colour))
        self._draw.ellipse((x - across, y - down, x + across, y + down), filled)

    def sky(self) -> None:
        """Paint a sky whose colours tell how high the sun is, the sun, and clouds."""
        weather, unit = self._weather, self._unit
        high, dark = (weather.sun - 0.1) * 2.2, -weather.sun * 4
        grey = weather.clouds * 0.7 if weather.warmth < 18 else 0
        top = _mix(_mix((88, 116, 176), (48, 122, 222), high), (20, 24, 58), dark)
        low = _mix(_mix((250, 184, 120), (190, 218, 240), high), (86, 70, 110), dark)
        top, low = _mix(top, (158, 164, 172), grey), _mix(low, (206, 208, 210), grey)
        strip = Image.new("RGB", (1, 2), tuple(map(int, top)))
        strip.putpixel((0, 1), tuple(map(int, low)))
        size, smooth = (self._width, int(self._horizon) + 1), Image.Resampling.BILINEAR
        self.picture.paste(strip.resize(size, smooth, (0, 0.5, 1, 1.5)))
        if weather.sun > -0.05:
            x = self._width * (0.5 + weather.side * 0.4)
            y = self._horizon * (1 - weather.sun * 0.85)
            self._oval(x, y, 6 * unit, 6 * unit, (255, 250, 214 if high > 0.6 else 150))
        shade = _mix(low, _WHITE, 0.5 if grey else 0.8)
        for _ in range(round(weather.clouds * 4)):
            x, y = self._between(0, self._width), self._between(0.1, 0.6) * self._horizon
            self._oval(x, y, 18 * unit, 4 * unit, shade)
            self._oval(x + 3 * unit, y - 3 * unit, 9 * unit, 6 * unit, shade)

    def background(self, mountains: float, inland: float) -> None:
        """Paint mountains or hills, and the sea with a boat unless the place is inland."""
        width, line, unit, warmth = self._width, self._horizon, self._unit, self._weather.warmth
        green = self._lit(self._snowy(_mix(_ROCK, _GREEN, 0.6 if warmth > 8 else 0)))
        steps = min(max(3, round(width / unit / 26)), 9) if mountains > 0.3 else 2
        for number in range(steps):
            x = (number + self._between(0.3, 0.7)) * width / steps
            peak, half = (6 + 38 * mountains) * unit * self._between(0.7, 1), width / steps * 0.9
            if mountains <= 0.3:
                self._oval(x, line, half, peak, green)
                continue
            self._draw.polygon((x - half, line, x, line - peak, x + half, line), self._lit(_ROCK))
            capped = min((26 - warmth) / 26, 0.9) * mountains
            if capped > 0.1:
                foot, aside = line - peak * (1 - capped), half * capped
                cap = (x - aside, foot, x, line - peak, x + aside, foot)
                self._draw.polygon(cap, self._lit(_SNOW))
        if inland < 0.35:
            blue = self._lit(_mix((36, 92, 148), (40, 186, 190), (warmth - 12) / 14))
            self._draw.rectangle((0, line, width, line + 12 * unit), blue)
            x = self._between(0.2, 0.8) * width
            sail = (x, line - 9 * unit, x + 7 * unit, line + unit, x, line + unit)
            self._draw.polygon(sail, "white")
            self._draw.rectangle((x - 4 * unit, line + unit, x + 8 * unit, line + 3 * unit), "#543")
            self._horizon += 12 * unit

    def ground(self, earth: Colour, region: Region) -> None:
        """Paint the earth, with the grass or snow on it, and a road with its marks."""
        width, line, bottom = self._width, self._horizon, self._height
        grass = 0.75 * (1 - region.dry) if self._weather.warmth > 4 else 0
        colour = self._lit(self._snowy(_mix(earth, _GREEN, grass)))
        self._draw.rectangle((0, line, width, bottom), colour)
        bend = self._between(0.35, 0.65) * width
        road = (bend - 1, line, bend + 1, line, width * 0.75, bottom, width * 0.25, bottom)
        self._draw.polygon(road, self._lit(_mix(earth, _ROAD, 0.55)))
        american = -170 < region.longitude < -34
        marks = self._lit((240, 196, 40) if american else (236, 236, 236))
        for near in (0.3, 0.55, 0.85):
            x, half = bend + (width / 2 - bend) * near, near * 1.6 * self._unit
            top, foot = (line + (bottom - line) * part for part in (near - 0.15, near))
            self._draw.rectangle((x - half, top, x + half, foot), marks)

    def houses(self, kind: str, wall: Colour, roof: Colour) -> None:
        """Paint houses on both sides of the road."""
        roof = self._snowy(roof)
        colours = {"wall": self._lit(wall), "roof": self._lit(roof), "dark": (60, 62, 78)}
        for place in (0.08, 0.28, 0.74, 0.93):
            self._stand(kind, place, self._between(13, 18), colours)

    def trees(self, kind: str) -> None:
        """Paint trees; round ones turn brown and lose their leaves."""
        leaf: Colour = _LEAVES[kind]
        if kind == "round":
            leaf = _mix(leaf, _AUTUMN, self._weather.autumn)
            leaf = _mix(leaf, _BARE, (5 - self._weather.warmth) / 4)
        colours = {
            "leaf": self._lit(self._snowy(leaf)),
            "trunk": self._lit((92, 68, 48)),
            "pale": self._lit((222, 214, 202)),
        }
        for place in (0.17, 0.42, 0.62, 0.86):
            self._stand(kind, place, self._between(16, 24), colours)

    def _stand(
        self, kind: str, place: float, size: float, colours: dict[str, tuple[int, int, int]]
    ) -> None:
        """Draw the shapes of a house or tree near a place from 0 at the left to 1."""
        size *= self._unit
        left, foot = (place + self._between(-0.05, 0.05)) * self._width, self._horizon + size * 0.4
        for name, form, points in _shapes(kind):
            line = [(left + size * x, foot - size * y) for x, y in points]
            if form == "poly":
                self._draw.polygon(line, colours[name])
            elif form == "line":
                self._draw.line(line, colours[name], max(1, round(size / 9)))
            elif form == "rect":
                self._draw.rectangle(line, colours[name])
            else:
                self._draw.ellipse(line, colours[name])

    def sign(self, script: str) -> None:
        """Put up a sign with a word, or with letters of the script."""
        word = _sign(script, int(self._between(0, 4)), max(9, int(15 * self._unit)))
        x, y = int(self._width * self._between(0.02, 0.08)), int(self._height - word.height * 1.7)
        post = x + word.width // 2
        self._draw.rectangle((post - 1, y, post + 1, self._height), "#444")
        self.picture.paste(word, (x, y))


@functools.cache
def _shapes(kind: str) -> list[tuple[str, str, list[tuple[float, float]]]]:
    """Return colour, form and points of each shape of a house or tree of size 1."""
    shapes = []
    for shape in _SHAPES[kind].split("; "):
        name, form, *numbers = shape.split()
        tenths = [float(number) / 10 for number in numbers]
        shapes.append((name, form, list(zip(tenths[::2], tenths[1::2], strict=True))))
    return shapes


@functools.lru_cache(maxsize=512)
def _sign(script: str, number: int, height: int) -> Image.Image:
    """Draw one of the signs of a script, of this height in pixels."""
    margin = height // 5
    side = height - 2 * margin
    if script not in _SCRIPTS:
        font = ImageFont.load_default(side)
        sign = Image.new("RGB", (int(font.getlength(script)) + 2 * margin, height), "#fffdf2")
        ImageDraw.Draw(sign).text((margin, height / 2), script, "#223", font, anchor="lm")
        return sign
    letters = _SCRIPTS[script]
    sign = Image.new("RGB", (3 * (side + margin) + margin, height), "#fffdf2")
    for place in range(3):
        left = margin + place * (side + margin)
        for stroke in letters[(number + place) % len(letters)].split():
            points = [int(digit) * side / 4 + margin for digit in stroke]
            line = [(left - margin + x, y) for x, y in zip(points[::2], points[1::2], strict=True)]
            ImageDraw.Draw(sign).line(line, "#223", max(1, height // 12))
    return sign
