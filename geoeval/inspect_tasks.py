"""Tasks for inspect-ai: benchmarks for vision-language models behind any of its providers.

inspect eval geoeval/im2gps --model openai/gpt-5 --limit 50
inspect eval geoeval/photos --model ollama/qwen2.5vl -T data_dir=holiday -T prompt=liu2024
"""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ContentImage, ContentText
from inspect_ai.solver import Generate, Solver, TaskState, generate, solver
from inspect_ai.util import registry_info

from gcd_metric.groups import usual_groups
from gcd_metric.inspect_scorer import great_circle
from gcd_metric.options import usual_configuration
from geoeval.benchmarks import Benchmark, open_benchmark
from geoload.models.photos import resize_to
from geoload.models.prompts import find_prompt


def _make_task(name: str) -> Any:
    def build(
        data_dir: str | None = None,
        coordinates: str | None = None,
        prompt: str = "plain",
        image_size: int | None = None,
        places: str | None = None,
    ) -> Task:
        return _build(open_benchmark(name, data_dir, coordinates), prompt, image_size, places)

    build.__name__ = name
    build.__doc__ = f"Ask where the photos of {name} were taken."
    made = task(build)
    # inspect-ai puts the package before the name, but not if it is installed with `pip install -e`
    return made if "/" in registry_info(made).name else task(name=f"geoeval/{name}")(build)


im2gps = _make_task("im2gps")
im2gps3k = _make_task("im2gps3k")
yfcc4k = _make_task("yfcc4k")
yfcc26k = _make_task("yfcc26k")
justzoomin = _make_task("justzoomin")
photos = _make_task("photos")


def _build(benchmark: Benchmark, prompt: str, image_size: int | None, places: str | None) -> Task:
    if benchmark.truth is None:
        raise ValueError(f"{benchmark.name}: there is no truth; give it with -T coordinates=FILE")
    question = find_prompt(prompt)
    rows = zip(benchmark.ids, benchmark.truth, strict=True)
    samples = [
        Sample(question, target=f"{_digits(place[0])}, {_digits(place[1])}", id=name)
        for name, place in rows
    ]
    return Task(
        dataset=MemoryDataset(samples, name=benchmark.name),
        setup=show_photo(benchmark, image_size),
        solver=generate(),
        scorer=great_circle(
            usual_configuration(benchmark.name), places, usual_groups(benchmark.name)
        ),
        score_on_error=True,  # a photo that failed is wrong, not left out
        metadata={"revision": benchmark.revision},
    )


def _digits(degrees: float) -> str:
    """All digits of a coordinate, without an exponent."""
    return np.format_float_positional(degrees, trim="0")


@solver
def show_photo(benchmark: Benchmark, image_size: int | None = None) -> Solver:
    """Put the photo of a sample behind its prompt when the sample starts.

    So only the photos of running samples are in memory. Photos are JPEGs that are made from pixels,
    upright and without metadata, with a shorter side of `image_size` pixels at most.
    """
    numbers = {name: number for number, name in enumerate(benchmark.ids)}
    resize = resize_to(image_size)

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        photo = benchmark.photo(numbers[str(state.sample_id)], resize)
        buffer = io.BytesIO()
        photo.save(buffer, "JPEG", quality=95)
        data = base64.b64encode(buffer.getvalue()).decode()
        question = state.user_prompt
        question.content = [
            ContentText(text=question.text),
            ContentImage(image=f"data:image/jpeg;base64,{data}"),
        ]
        return state

    return solve
