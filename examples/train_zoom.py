"""Train a small network on Just Zoom In: from a street photo to zoom actions, view by view.

    justzoomin sample demo/zoom --train 4000 --validation 200 --width 64 --views 48
    python examples/train_zoom.py demo/zoom --save zoom.pt
    torchrun --nproc-per-node 2 examples/train_zoom.py demo/zoom --save zoom.pt
    geoeval examples/train_zoom.py:model --benchmark justzoomin --data-dir demo/zoom --beam 4 -o run

If it is stopped, the same command continues exactly from its checkpoint, also in mid-epoch.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

import justzoomin
from justzoomin import zoom
from justzoomin.torch import ZoomPhotos

PHOTO, VIEW, BATCH = (24, 32), 48, 64  # pixels; and photos of all processes together


class Matcher(nn.Module):
    """Compares what a photo says about each step with the 16 cells of a view."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        hidden = nn.Linear(PHOTO[0] * PHOTO[1] * 3, 256)
        heads = nn.Linear(256, zoom.DEPTH * width), nn.Unflatten(1, (zoom.DEPTH, width))
        self.photo = nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), *heads)
        fine, coarse = nn.Conv2d(3, 32, 5, padding=2), nn.Conv2d(32, 48, 3, padding=1)
        cells = nn.MaxPool2d(3), nn.Conv2d(48, width, 1)  # 3 x 3 places of a cell become one
        self.view = nn.Sequential(nn.AvgPool2d(4), fine, nn.ReLU(), coarse, nn.ReLU(), *cells)

    def queries(self, photos: torch.Tensor) -> torch.Tensor:
        """Encode photos, uint8 of shape (n, height, width, 3), as (n, steps, width)."""
        return self.photo(photos / 127.5 - 1)

    def scores(self, queries: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """Return logits of the cells, (…, 16), of views, uint8 of shape (…, side, side, 3)."""
        pixels = views.flatten(0, -4).movedim(-1, 1) / 127.5 - 1
        cells = self.view(pixels).flatten(2).unflatten(0, views.shape[:-3])
        return (queries.unsqueeze(-2) @ cells).squeeze(-2) / cells.shape[-2] ** 0.5

    def forward(self, photos: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """Return the logits of all steps, shape (n, steps, 16), from the true path's views."""
        return self.scores(self.queries(photos), views)


def main(argv: list[str] | None = None) -> None:
    """Train, and print the scores of the validation photos."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder with the data set and views/views_48.tar")
    parser.add_argument("--save", type=Path, default="zoom.pt", help="checkpoint")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--stop-after", type=int, help="stop after so many batches")
    options = parser.parse_args(argv)
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world > 1:
        dist.init_process_group("gloo")
    table = torch.tensor(justzoomin.open_views(f"{options.data}/views/views_{VIEW}.tar").table())
    torch.manual_seed(0)
    network = Matcher()
    if train(network, options, table, rank, world) and rank == 0:
        print(evaluate(network, options.data, table))
    if world > 1:
        dist.destroy_process_group()


def train(network: Matcher, options, table: torch.Tensor, rank: int, world: int) -> bool:
    """Train, from the checkpoint on if there is one; return whether it was not stopped."""
    photos = ZoomPhotos(justzoomin.photos("train", data_dir=options.data), PHOTO, train=True)
    per_epoch = len(photos.epoch(0, rank, world))  # the same number for each process
    optimizer = torch.optim.Adam(network.parameters())
    used = batches = 0  # samples of each process in all runs, and batches in this one
    if options.save.exists():
        saved = torch.load(options.save, weights_only=True)
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        used = saved["used"]
    wrapped = nn.parallel.DistributedDataParallel(network) if world > 1 else network
    while used < options.epochs * per_epoch:
        epoch, done = divmod(used, per_epoch)
        share, rest = photos.epoch(epoch, rank, world), range(done, per_epoch)
        for batch in DataLoader(share, BATCH // world, sampler=rest):
            optimizer.param_groups[0]["lr"] = 2e-3 * (1 - used / per_epoch / options.epochs)
            logits = wrapped(batch["image"], table[batch["views"]])
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), batch["actions"].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            used, batches = used + len(batch["image"]), batches + 1
            stopped = batches == options.stop_after
            if rank == 0 and (stopped or batches % 50 == 0 or used % per_epoch == 0):
                state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
                torch.save({**state, "used": used}, part := options.save.with_suffix(".part"))
                os.replace(part, options.save)  # only a complete checkpoint has its name
            if stopped:
                return False
        if rank == 0:
            print(f"epoch {epoch + 1}: loss {loss.item():.2f} (by chance 2.77)")
    return True


@torch.inference_mode()
def evaluate(network: Matcher, data: str, table: torch.Tensor) -> dict:
    """Zoom greedily, each view after the predicted actions, and score by image id."""
    rows, found = justzoomin.photos("validation", data_dir=data), {}
    for batch in DataLoader(ZoomPhotos(rows, PHOTO), 256):
        queries = network.queries(batch["image"])
        actions = np.empty((len(queries), 0), np.int64)
        for step in range(zoom.DEPTH):
            logits = network.scores(queries[:, step], table[zoom.view_indexes(actions)[:, -1]])
            actions = np.column_stack([actions, logits.argmax(-1)])
        found |= dict(zip(batch["image_id"], actions.tolist(), strict=True))
    return justzoomin.score(found, rows)


class model:
    """The network of a checkpoint, as `geoeval` runs it: the views follow its own actions."""

    view_size = VIEW

    def __init__(self) -> None:
        saved = torch.load(os.environ.get("ZOOM_CHECKPOINT", "zoom.pt"), weights_only=True)
        self.checkpoint = {"used": saved["used"]}
        self.network = Matcher().requires_grad_(False)
        self.network.load_state_dict(saved["network"])

    def preprocess(self, photo: Image.Image) -> np.ndarray:
        """Resize a photo as in training."""
        return np.asarray(photo.resize(PHOTO[::-1], Image.Resampling.BICUBIC))

    def encode(self, photos: list[np.ndarray]) -> torch.Tensor:
        """Return the queries of photos, shape (n, steps, width)."""
        return self.network.queries(torch.from_numpy(np.stack(photos)))

    def step(self, state: torch.Tensor, views: np.ndarray, actions: np.ndarray) -> torch.Tensor:
        """Return the logits of the next actions."""
        return self.network.scores(state[:, actions.shape[1]], torch.tensor(views))


if __name__ == "__main__":
    main()
