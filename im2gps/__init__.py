"""Im2GPS for `load_dataset`: importing this package makes the name "im2gps" known.

import im2gps
from datasets import load_dataset
photos = load_dataset("im2gps", split="test")
"""

from geoload.registry import register

register("im2gps", "im2gps.im2gps")

from im2gps.im2gps import Im2GPS, Im2GPSConfig  # noqa: E402

__all__ = ["Im2GPS", "Im2GPSConfig"]
