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
    """A model of the LLaVA kind, which answers with some of the words above."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    names = ["<pad>", "<unk>", "</s>", "<image>", *dict.fromkeys(WORDS.split())]
    backend = Tokenizer(
        models.WordLevel({name: n for n, name in enumerate(names)}, unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="</s>",
        additional_special_tokens=["<image>"],
    )
    size = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
    config = LlavaConfig(
        vision_config={
            **size, "model_type": "clip_vision_model", "image_size": 32, "patch_size": 16,
            "num_attention_heads": 2, "projection_dim": 16,
        },
        text_config={
            **size, "model_type": "llama", "vocab_size": len(names), "num_attention_heads": 2,
            "num_key_value_heads": 2, "pad_token_id": 0, "eos_token_id": 2, "bos_token_id": None,
        },
        image_token_index=3,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(config)
    model.generation_config.pad_token_id = 0
    model.save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    template = (
        "{% for message in messages %}{{ message['role'] }} {% for part in message['content'] %}"
        "{{ '<image>' if part['type'] == 'image' else part['text'] }} {% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}assistant {% endif %}"
    )
    LlavaProcessor(
        images, tokenizer, patch_size=16, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=template,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def photo(seed: int) -> Any:
    """A photo of random colours, 48 pixels wide."""
    import numpy as np
    from PIL import Image

    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((48, 36), Image.Resampling.BICUBIC)
