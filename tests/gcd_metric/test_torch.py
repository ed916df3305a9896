"""The torchmetrics class: the figures of the metric, from any device and several processes."""

import pickle
import socket

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchmetrics")

import torch.multiprocessing as multiprocessing

from gcd_metric import GcdMetric
from gcd_metric.torch import GeolocationAccuracy

RANDOM = np.random.default_rng(0)
TRUTH = np.column_stack([RANDOM.uniform(-60, 60, 101), RANDOM.uniform(-180, 180, 101)])
GUESS = TRUTH + RANDOM.choice([0.001, 0.1, 3, 20], (101, 1)) * RANDOM.uniform(0, 1, (101, 1))
OWNERS = [f"{index // 4}@N00" for index in range(101)]


def batches(*sizes):
    ends = np.cumsum(sizes)
    return [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def same(result, expected):
    assert list(result) == list(expected)
    for key, value in expected.items():
        assert result[key] == pytest.approx(value, rel=1e-9, abs=1e-9), key


@pytest.mark.parametrize("groups", [None, OWNERS])
def test_the_figures_of_the_metric(metric, groups):
    accuracy = GeolocationAccuracy()
    for rows in batches(40, 60, 1):
        labels = groups and groups[rows]
        accuracy.update(torch.from_numpy(GUESS[rows]), torch.from_numpy(TRUTH[rows]), labels)
    expected = metric().compute(predictions=GUESS, references=TRUTH, groups=groups)
    same(accuracy.compute(), expected)
    same(pickle.loads(pickle.dumps(accuracy)).compute(), expected)
    accuracy.reset()
    with pytest.raises(ValueError, match="nothing to score"):
        accuracy.compute()


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_batches_of_smaller_types(metric, kind):
    guess, truth = torch.from_numpy(GUESS).to(kind), torch.from_numpy(TRUTH)
    accuracy = GeolocationAccuracy(thresholds=[750, 2500])
    value = accuracy(guess, truth)  # also returns the figures of the batch
    expected = metric().compute(predictions=guess, references=truth, thresholds=[750, 2500])
    same(value, expected)
    same(accuracy.compute(), expected)


def test_options_and_missing_predictions(metric):
    guess = GUESS.copy()
    guess[3] = np.nan
    options = {"missing": "miss", "strict": True, "unit": "m"}
    accuracy = GeolocationAccuracy("justzoomin", **options)
    accuracy.update(torch.from_numpy(guess), torch.from_numpy(TRUTH))
    expected = metric("justzoomin").compute(predictions=guess, references=TRUTH, **options)
    same(accuracy.compute(), expected)
    with pytest.raises(ValueError, match="missing"):
        GeolocationAccuracy().update(torch.from_numpy(guess), torch.from_numpy(TRUTH))


def test_labels_for_some_batches_are_refused():
    accuracy = GeolocationAccuracy()
    accuracy.update(GUESS[:5], TRUTH[:5], OWNERS[:5])
    with pytest.raises(ValueError, match="labels for all batches, or for none"):
        accuracy.update(GUESS[5:], TRUTH[5:])
    with pytest.raises(ValueError, match="4 labels for 5 pairs"):
        accuracy.update(GUESS[:5], TRUTH[:5], OWNERS[:4])


@pytest.mark.parametrize("kind", [[None] * 2, [np.nan] * 2, ["", " "]])
def test_pairs_without_a_label_are_groups_of_their_own(kind):
    accuracy = GeolocationAccuracy()
    accuracy.update(GUESS[:5], TRUTH[:5], [*kind, 1, 1, 2])
    accuracy.update(GUESS[5:10], TRUTH[5:10], [*kind, 1.0, 2.0, 3.0])
    assert accuracy.compute()["n_groups"] == 4 + 3


@pytest.mark.parametrize("labels", ["abcde", dict.fromkeys("abcde", 1), 5])
def test_what_is_not_one_label_for_each_pair_is_refused(labels):
    with pytest.raises(ValueError, match="one label for each of the 5 pairs"):
        GeolocationAccuracy().update(GUESS[:5], TRUTH[:5], labels)


def test_labels_in_a_list_of_tensors():
    accuracy = GeolocationAccuracy()
    accuracy.update(GUESS[:6], TRUTH[:6], [torch.tensor(number) for number in [1, 1, 2, 2, 3, 3]])
    assert accuracy.compute()["n_groups"] == 3


def test_coarse_coordinates_give_one_warning():
    accuracy = GeolocationAccuracy()
    guess, truth = torch.from_numpy(GUESS).bfloat16(), torch.from_numpy(TRUTH)
    with pytest.warns(UserWarning, match="rounded to bfloat16") as caught:
        for rows in batches(20, 20, 20):
            accuracy.update(guess[rows], truth[rows])
    assert len(caught) == 1


def process(rank, port, results):
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    accuracy = GeolocationAccuracy()
    # 90 pairs in three batches here, 11 in one batch there
    mine = batches(30, 59, 1) if rank == 0 else [slice(90, 101)]
    for rows in mine:
        accuracy.update(torch.from_numpy(GUESS[rows]), torch.from_numpy(TRUTH[rows]), OWNERS[rows])
    results.put((rank, accuracy.compute()))
    torch.distributed.destroy_process_group()


def test_two_processes_with_uneven_batches():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    workers = [context.Process(target=process, args=(rank, port, results)) for rank in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    found = dict(results.get() for _ in workers)
    expected = GcdMetric().compute(predictions=GUESS, references=TRUTH, groups=OWNERS)
    same(found[0], expected)
    same(found[1], expected)
