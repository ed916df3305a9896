"""Tiny models with random weights, saved as `transformers` saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = "where was this photo taken a street view in from user assistant latitude"


def save_clip(folder: Path, projection: int = 16, seed: int = 0) -> Path:
    """A CLIP model, by default of 16 dimensions."""
    import torch
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    names = [*letters, *(f"{one}</w>" for one in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
    size = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
    ends = {"bos_token_id": len(names) - 2, "eos_token_id": len(names) - 1}
    config = CLIPConfig(
        text_config={**size, **ends, "vocab_size": len(names), "num_attention_heads": 2},
        vision_config={**size, "image_size": 32, "patch_size": 8, "num_attention_heads": 2},
        projection_dim=projection,
    )
    torch.manual_seed(seed)
    CLIPModel(config).save_pretrained(folder)
    crop = {"height": 32, "width": 32}
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=crop)
    CLIPProcessor(processor, tokenizer).save_pretrained(folder)
    return folder


def save_chat(folder: Path, seed: int = 0) -> Path:
    """A Qwen2-VL, in which larger photos have longer prompts; it answers with WORDS."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    marks = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    names = [*marks, "<pad>", "<unk>", "</s>", *dict.fromkeys(WORDS.split())]
    numbers = {name: number for number, name in enumerate(names)}
    backend = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", eos_token="</s>",
        additional_special_tokens=marks,
    )  # fmt: skip
    config = Qwen2VLConfig(
        text_config={
            "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": len(names),
            "pad_token_id": numbers["<pad>"], "eos_token_id": numbers["</s>"], "bos_token_id": None,
            "rope_parameters": {
                "rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4
            },
        },
        vision_config={
            "depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 1
        },
        image_token_id=0, video_token_id=1, vision_start_token_id=2, vision_end_token_id=3,
    )  # fmt: skip
    torch.manual_seed(seed)
    Qwen2VLForConditionalGeneration(config).save_pretrained(folder)
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    template = (
        "{% for message in messages %}{{ message['role'] }} {% for part in message['content'] %}"
        "{{ '" + image + "' if part['type'] == 'image' else part['text'] }} {% endfor %}"
        "{% endfor %}{% if add_generation_prompt %}assistant {% endif %}"
    )
    images = Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=28 * 28 * 16)
    processor = Qwen2VLProcessor(images, tokenizer, Qwen2VLVideoProcessor(), chat_template=template)
    processor.save_pretrained(folder)
    return folder


def photo(seed: int) -> Any:
    """A photo of random colours, 48 pixels wide or wider."""
    import numpy as np
    from PIL import Image

    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((48 + 20 * (seed % 3), 36), Image.Resampling.BICUBIC)
