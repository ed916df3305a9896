"""What the adapters share: options, which weights were loaded, and how features are compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from geoload.files import sha256
from geoload.models.loading import ModelError, ModelOptions

CANDIDATES = 5  # places of each photo that are kept
_WEIGHTS = (".safetensors", ".bin", ".pth", ".pt")


class Pixels:
    """Turns a photo into the tensor that a model sees; the workers need no copy of the model."""

    def __init__(self, processor: Any):
        self.processor = processor

    def __call__(self, photo: Any) -> Any:
        """Return the pixel values of one photo (channels, height, width)."""
        return self.processor(images=photo, return_tensors="pt")["pixel_values"][0]


def refuse(options: ModelOptions, adapter: str, *names: str) -> None:
    """Raise a ModelError if one of these options, which the adapter does not use, was given."""
    for name in names:
        if getattr(options, name) is not None:
            raise ModelError(f"--{name.replace('_', '-')} has no effect: {adapter} does not use it")


def locate(name: str) -> str:
    """Return a folder with `~` expanded, or a name on the Hub as it is."""
    path = Path(name).expanduser()
    if name and path.is_dir():
        return str(path)
    if path.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise ModelError(f"{name or 'nothing'} is neither a folder nor OWNER/NAME on the Hub")
    return name


@contextmanager
def loading(name: str, extra: str) -> Iterator[None]:
    """Say in one line which library or checkpoint is missing or damaged, and what to do."""
    try:
        yield
    except ModelError:
        raise
    except ImportError as error:
        advice = f'install the libraries: pip install "im2gps-justzoomin[{extra}]"'
        raise ModelError(f"{name}: {error}; {advice}") from error
    except Exception as error:  # of any type, depending on what is damaged
        text = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
        advice = (
            f"; without network, run `hf download {name} --local-dir FOLDER` elsewhere, copy the "
            "folder, and give it instead of the name"
        )
        advice = "" if Path(name).is_dir() else advice
        raise ModelError(f"{name} cannot be loaded: {text}{advice}") from error


def pretrained(kind: str, name: str, options: ModelOptions) -> tuple[Any, Any]:
    """Load a model through a class of transformers, such as AutoModel, and its processor."""
    with loading(name, "transformers"):
        import transformers

        revision = options.revision or "main"
        processor = transformers.AutoProcessor.from_pretrained(name, revision=revision)
        model, report = getattr(transformers, kind).from_pretrained(
            name, dtype=options.dtype or "auto", revision=revision, output_loading_info=True
        )
        missing = sorted(report["missing_keys"])
        if missing:  # transformers would go on with random ones
            raise ModelError(f"{name} lacks {len(missing)} of the model's weights: {missing[0]}, …")
        return prepared(model, options), processor


def prepared(model: Any, options: ModelOptions) -> Any:
    """Put a model on the device that was chosen, or on the GPU if there is one."""
    import torch

    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return model.to(device).eval().requires_grad_(False)


def identify(name: str, revision: str | None = None) -> dict[str, Any]:
    """Return the commit of a checkpoint from the Hub, or the SHA-256 of a folder's weights.

    `name` is as `locate` returns it, and the checkpoint has been loaded.
    """
    from huggingface_hub import try_to_load_from_cache

    folder = Path(name)
    if folder.is_dir():
        files = sorted(path for path in folder.rglob("*") if path.suffix in _WEIGHTS)
        hashes = {path.relative_to(folder).as_posix(): sha256(path) for path in files}
        return {"name": name, "sha256": hashes}
    cached = try_to_load_from_cache(name, "config.json", revision=revision)
    return {"name": name, "revision": Path(str(cached)).parent.name}


def normalized(features: Any) -> Any:
    """Return features (n, d) of length 1, in single precision."""
    features = features.float()
    return features / features.norm(dim=1, keepdim=True)


def similarity(features: Any, candidates: Any, logit_scale: Any) -> Any:
    """Return CLIP's logits (n, m) of features (n, d) and normalized candidates (m, d).

    Mixed precision is left to the encoders: in half precision, many of 100,000 logits are equal.
    """
    import torch

    with torch.autocast(features.device.type, enabled=False):
        return logit_scale.float().exp() * normalized(features) @ candidates.T


def best(logits: Any) -> tuple[list[list[int]], list[list[float]]]:
    """Return the numbers of each row's best candidates, best first, and their probabilities."""
    found = logits.softmax(dim=1).topk(min(CANDIDATES, logits.shape[1]), dim=1)
    return found.indices.tolist(), found.values.tolist()
