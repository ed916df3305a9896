"""Zero-shot geolocation with a CLIP model: first the country, then a city of it.

StreetCLIP was evaluated in this way (Haas et al. 2023, arXiv:2302.00275), which its authors call
hierarchical linear probing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from geoload.models.adapters import checkpoints
from geoload.models.galleries import Gallery, open_gallery
from geoload.models.loading import ModelError, ModelOptions

PROMPT = "A Street View photo in {country}. | A Street View photo from {city}."
_CHUNK = 256  # texts that are encoded at once
_COUNTRIES = -1  # in place of the number of a country


class ZeroShot:
    """Compares each photo with texts about the countries and cities of a gallery."""

    def __init__(self, model: Any, processor: Any, gallery: Gallery, prompt: str):
        self.device, self.prompt = str(model.device), prompt
        self.checkpoint: dict[str, Any] = {}
        self.preprocess = checkpoints.Pixels(processor)
        self._model, self._processor = model, processor
        self._countries, self._cities = zip(*gallery.countries.items(), strict=True)
        self._texts = [text.strip() for text in prompt.split("|")]
        # by number of the country, when first needed: most countries never are
        self._encoded: dict[int, Any] = {}

    def predict(self, photos: list[Any]) -> np.ndarray:
        """Return the best city of each of the best countries, and the country's probability.

        In a gallery of one country these are the best cities, and their probabilities.
        """
        features = self.embed_photos(photos)
        if len(self._cities) == 1:
            numbers, scores = checkpoints.best(self._logits(features, 0))
            places = [[self._place(0, city) for city in cities] for cities in numbers]
        else:
            numbers, scores = checkpoints.best(self._logits(features, _COUNTRIES))
            places = [
                [self._best_city(photo, country) for country in countries]
                for photo, countries in zip(features.split(1), numbers, strict=True)
            ]
        return np.concatenate([np.array(places), np.array(scores)[..., None]], axis=2)

    def embed_photos(self, photos: list[Any]) -> Any:
        """Return the image features, shape (n, d)."""
        import torch

        pixels = torch.stack(photos).to(self._model.device, self._model.dtype)
        return self._model.get_image_features(pixel_values=pixels).pooler_output

    def _best_city(self, photo: Any, country: int) -> tuple[float, float]:
        return self._place(country, int(self._logits(photo, country).argmax()))

    def _place(self, country: int, city: int) -> tuple[float, float]:
        row = self._cities[country].iloc[city]
        return float(row["latitude"]), float(row["longitude"])

    def _logits(self, features: Any, country: int) -> Any:
        """How well photos fit the countries, or the cities of one country."""
        if country not in self._encoded:
            self._encoded[country] = self._encode(self._texts_of(country))
        return checkpoints.similarity(features, self._encoded[country], self._model.logit_scale)

    def _texts_of(self, country: int) -> list[str]:
        if country == _COUNTRIES:
            return [self._texts[0].replace("{country}", name) for name in self._countries]
        text = self._texts[-1].replace("{country}", self._countries[country])
        return [text.replace("{city}", city) for city in self._cities[country]["city"]]

    def _encode(self, texts: list[str]) -> Any:
        import torch

        # SigLIP was trained on texts that are padded to the full length
        padding = "max_length" if "siglip" in self._model.config.model_type else True
        options = {"padding": padding, "truncation": True, "return_tensors": "pt"}
        parts = []
        for start in range(0, len(texts), _CHUNK):
            tokens = self._processor(text=texts[start : start + _CHUNK], **options)
            features = self._model.get_text_features(**tokens.to(self._model.device))
            parts.append(checkpoints.normalized(features.pooler_output))
        return torch.cat(parts)


def load(name: str, options: ModelOptions) -> ZeroShot:
    """Load a CLIP-like model of transformers from the Hub or from a folder."""
    checkpoints.refuse(options, "clip", "max_new_tokens")
    name, prompt = checkpoints.locate(name), options.prompt or PROMPT
    gallery = open_gallery(options.gallery)
    country, _, city = prompt.rpartition("|")
    if "{city}" not in city or (len(gallery.countries) > 1 and "{country}" not in country):
        raise ModelError(f"--prompt {prompt!r}: expected two texts, as in {PROMPT!r}")
    model, processor = checkpoints.pretrained("AutoModel", name, options)
    if not hasattr(model, "get_text_features") or not hasattr(model, "logit_scale"):
        raise ModelError(f"{name} is {type(model).__name__}, which is not a model like CLIP")
    found = ZeroShot(model, processor, gallery, prompt)
    found.checkpoint = checkpoints.identify(name, options.revision)
    found.checkpoint["gallery"] = gallery.source
    return found
