"""Street photos with their zoom actions and views as a `torch` data set (extra `eval`).

data = ZoomPhotos(justzoomin.photos("train"), size=224, train=True)
for epoch in range(first_epoch, 10):
    share = data.epoch(epoch, rank, world_size)
    # To resume in the middle of an epoch, leave out the samples that were used.
    loader = DataLoader(share, 64, sampler=range(done, len(share)), num_workers=8)
    for batch in loader:
        views = table[batch["views"]]  # (64, 4, s, s, 3): all views are on the accelerator
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset, Image

from geoload.messages import needed_for
from geoload.pictures import Resize
from geoload.processes import equal_share
from justzoomin import zoom
from justzoomin.views import DrawnViews, Views, prefixes_of

with needed_for("A data set for training", "eval"):
    import torch

_MARGIN = 8 / 7  # of the photo's shorter side, for crops


class ZoomPhotos(torch.utils.data.Dataset[dict[str, Any]]):
    """Street photos with their zoom actions and the views along their paths.

    Samples are dicts that the default collate of a DataLoader stacks: `image` (uint8, (size, size,
    3)), `actions` (int64, (4,)), `views`, `image_id`, `latitude` and `longitude`.

    Parameters
    ----------
    rows : datasets.Dataset
        As `justzoomin.photos` returns them.
    size : int or (int, int)
        Side of square crops of the photos, whose shorter side is resized to 8/7 of it; or height
        and width, to which the complete photos are resized.
    views : Views, optional
        From `open_views`: `views` of a sample are pictures, uint8 of shape (4, s, s, 3). Without
        it they are the rows of a table of all views, int64 of shape (4,), which a model's process
        looks up: see `Views.table`.
    train : bool
        Crop at random, not in the centre. Views that are drawn from tiles are turned at random, and
        `actions` are those in the turned views (`DrawnViews.turned`).
    seed : int
        Decides crops, bearings and the order of epochs. A sample depends only on the seed, the
        epoch, the rank and its number, so a resumed epoch has the same samples.

    Raises
    ------
    ValueError
        For a photo that is smaller than `size`.
    """

    def __init__(
        self,
        rows: Dataset,
        size: int | tuple[int, int] = 224,
        views: Views | None = None,
        train: bool = False,
        seed: int = 0,
    ) -> None:
        self._rows = self._all = rows.cast_column("image", Image(decode=False))
        self._size, self._views, self._train = size, views, train
        self._resize = Resize(round(size * _MARGIN) if isinstance(size, int) else size)
        self._key = [seed, 0, 0]

    def epoch(self, epoch: int, rank: int = 0, world_size: int = 1) -> ZoomPhotos:
        """Return the shuffled samples of an epoch for one process.

        Every process gets as many, see `equal_share`.
        """
        share, seed = copy.copy(self), self._key[0]
        rows = self._all.shuffle(generator=np.random.default_rng([seed, epoch]))
        share._rows, share._key = equal_share(rows, rank, world_size), [seed, epoch, rank]
        return share

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Return the samples of a batch: a DataLoader calls this once, which reads faster."""
        batch = self._resize(self._rows[list(numbers)])
        rows = [dict(zip(batch, row, strict=True)) for row in zip(*batch.values(), strict=True)]
        rngs = [np.random.default_rng([*self._key, number]) for number in numbers]
        actions = np.array(batch["sequence"], np.int64)
        views: Any = zoom.view_indexes(actions)[:, :-1]
        if self._train and isinstance(self._views, DrawnViews):
            turned = [_turned(self._views, *pair) for pair in zip(rows, rngs, strict=True)]
            views, actions = zip(*turned, strict=True)
        elif self._views is not None:
            pictures = self._views.of([prefix for path in actions for prefix in prefixes_of(path)])
            views = pictures.reshape(*actions.shape, *pictures.shape[1:])
        return [
            {
                "image": torch.from_numpy(self._crop(row["image"], rng)),
                "actions": torch.from_numpy(path),
                "views": torch.from_numpy(seen),
                **{name: row[name] for name in ("image_id", "latitude", "longitude")},
            }
            for row, rng, path, seen in zip(rows, rngs, actions, views, strict=True)
        ]

    def _crop(self, photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if not isinstance(self._size, int):
            return photo
        spare = np.array(photo.shape[:2]) - self._size
        if spare.min() < 0:
            raise ValueError(
                f"A photo of {photo.shape[1]} x {photo.shape[0]} pixels has no crop of "
                f"size={self._size}. Photos are not enlarged; give size=(height, width)."
            )
        top, left = rng.integers(spare + 1) if self._train else spare // 2
        return np.ascontiguousarray(photo[top : top + self._size, left : left + self._size])


def _turned(
    views: DrawnViews, row: dict[str, Any], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    place = row["latitude"], row["longitude"]
    try:
        return views.turned(*place, rng.uniform(0, 360))
    except ValueError:  # the place is in a corner of the region
        return views.turned(*place, 0.0)


def quarter_turn(
    views: torch.Tensor, actions: torch.Tensor, turns: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn views by quarter turns counter-clockwise, as an augmentation on any device.

    Parameters
    ----------
    views : tensor, shape (..., size, size, channels)
    actions : tensor of int
        The cells to pick in them.
    turns : int
        After one, east is up.

    Returns
    -------
    views, actions : tensor
        The turned views, and the same cells in them.
    """
    cells = torch.arange(zoom.GRID**2, device=actions.device).view(zoom.GRID, zoom.GRID)
    moved = torch.rot90(cells, turns).flatten().argsort()
    return torch.rot90(views, turns, (-3, -2)), moved[actions]
