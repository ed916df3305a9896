"""Any image-text-to-text model of transformers, asked where a photo was taken."""

from __future__ import annotations

from typing import Any

from geoload.models.adapters import checkpoints
from geoload.models.loading import ModelError, ModelOptions
from geoload.models.prompts import find_prompt

MAX_NEW_TOKENS = 256


class Chat:
    """Asks the same question about each photo, and returns the answers as texts."""

    batch_size = 4

    def __init__(self, model: Any, processor: Any, prompt: str, max_new_tokens: int):
        self.device, self.prompt = str(model.device), prompt
        self.checkpoint: dict[str, Any] = {}
        self._model, self._processor, self._max_new_tokens = model, processor, max_new_tokens
        # an answer begins where its prompt ends
        processor.tokenizer.padding_side = "left"
        processor.tokenizer.pad_token = (
            processor.tokenizer.pad_token or processor.tokenizer.eos_token
        )

    def predict(self, photos: list[Any]) -> list[str]:
        """Return the answer for each photo, decoded greedily."""
        inputs = self._processor.apply_chat_template(
            [self._question(photo) for photo in photos],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        ).to(self._model.device, self._model.dtype)
        tokens = self._model.generate(
            **inputs, do_sample=False, max_new_tokens=self._max_new_tokens
        )
        answers = tokens[:, inputs["input_ids"].shape[1] :]
        return list(self._processor.batch_decode(answers, skip_special_tokens=True))

    def _question(self, photo: Any) -> list[dict[str, Any]]:
        content = [{"type": "image", "image": photo}, {"type": "text", "text": self.prompt}]
        return [{"role": "user", "content": content}]


def load(name: str, options: ModelOptions) -> Chat:
    """Load a model with its processor and chat template from the Hub or from a folder."""
    checkpoints.refuse(options, "hf", "gallery")
    name, prompt = checkpoints.locate(name), find_prompt(options.prompt or "plain")
    model, processor = checkpoints.pretrained("AutoModelForImageTextToText", name, options)
    if not getattr(processor, "chat_template", None):
        raise ModelError(f"{name} has no chat template, so it cannot be asked a question")
    found = Chat(model, processor, prompt, options.max_new_tokens or MAX_NEW_TOKENS)
    found.checkpoint = checkpoints.identify(name, options.revision)
    return found
