"""GeoCLIP (Vivanco Cepeda et al., NeurIPS 2023, arXiv:2309.16020), through the package geoclip.

The package ships its own weights and a gallery of 100,000 points, but not the CLIP model, which
comes from the Hub or from a folder.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from geoload.files import read_json
from geoload.models.adapters import checkpoints
from geoload.models.galleries import open_gallery
from geoload.models.loading import ModelOptions

CLIP = "openai/clip-vit-large-patch14"
_RELEASE = "geoclip-geolocation"  # model_type of a checkpoint in the package's own format
_FILES = ["*.json", "merges.txt", "model.safetensors", "*.csv"]
_CHUNK = 4096  # points that are encoded at once


class GeoCLIP:
    """Ranks the points of a gallery for each photo."""

    def __init__(self, model: Any, checkpoint: dict[str, Any]):
        import torch

        self.device, self.checkpoint = str(model.logit_scale.device), checkpoint
        self.preprocess = checkpoints.Pixels(model.image_encoder.image_processor)
        self._model = model
        self._points = model.gps_gallery.double().cpu().numpy().round(6)
        # once, while `model.predict` does it again for each photo
        chunks = model.gps_gallery.split(_CHUNK)
        self._encoded = torch.cat(
            [checkpoints.normalized(model.location_encoder(chunk)) for chunk in chunks]
        )

    def predict(self, photos: list[Any]) -> np.ndarray:
        """Return latitude, longitude and probability of the best points, as `model.predict`."""
        features = self.embed_photos(photos)
        logits = checkpoints.similarity(features, self._encoded, self._model.logit_scale)
        points, scores = checkpoints.best(logits)
        return np.concatenate([self._points[points], np.array(scores)[..., None]], axis=2)

    def embed_photos(self, photos: list[Any]) -> Any:
        """Return the features of the image encoder, shape (n, 512)."""
        import torch

        return self._model.image_encoder(torch.stack(photos).to(self.device))


def load(name: str, options: ModelOptions) -> GeoCLIP:
    """Load the package's weights with CLIP from the Hub or a folder, or a saved checkpoint of it.

    A name on the Hub is a checkpoint in the package's format, or a CLIP model.
    """
    checkpoints.refuse(options, "geoclip", "dtype", "prompt", "max_new_tokens")
    name = checkpoints.locate(name or CLIP)
    gallery = options.gallery and open_gallery(options.gallery)
    with checkpoints.loading(name, "geoclip"):
        import geoclip
        import torch
        from huggingface_hub import snapshot_download

        chosen: dict[str, Any] = {"revision": options.revision, "allow_patterns": _FILES}
        folder = name if Path(name).is_dir() else snapshot_download(name, **chosen)
        if read_json(Path(folder, "config.json")).get("model_type") == _RELEASE:
            model = geoclip.GeoCLIP.from_pretrained(folder)
        else:
            model = geoclip.GeoCLIP(clip_path=folder)
        checkpoint = checkpoints.identify(name, options.revision)
        checkpoint["geoclip"] = version("geoclip")
        if gallery:
            table = pd.concat(gallery.countries.values())[["latitude", "longitude"]]
            model.gps_gallery = torch.tensor(table.to_numpy(), dtype=torch.float32)
            checkpoint["gallery"] = gallery.source
        return GeoCLIP(checkpoints.prepared(model, options), checkpoint)
