"""Reads YAML that nobody has checked."""

from __future__ import annotations

import re
from typing import Any

import yaml

# libyaml limits the nesting depth; PyYAML's own parser takes quadratic time for deep nesting.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_HEADER = re.compile(r"\A---\r?\n(.*?\n)---\r?\n", re.DOTALL)


def load_yaml(text: str | bytes) -> Any:
    """Parse untrusted YAML; raise ValueError if it is not valid, or has aliases."""
    try:
        # A few lines of aliases can expand to gigabytes.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, _LOADER)):
            raise ValueError("it contains aliases (*name)")
        return yaml.load(text, _LOADER)
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(reason[:200]) from None


def split_card(text: str) -> tuple[dict[str, Any], str]:
    """Split a card into its header and its text; ValueError if the header is no YAML mapping."""
    match = _HEADER.match(text)
    if match is None:
        return {}, text
    try:
        # Not with RepoCard of huggingface_hub, which does not limit time and memory.
        header = load_yaml(match[1])
    except ValueError as error:
        raise ValueError(f"the header of its README.md is not YAML ({error})") from None
    if not isinstance(header, dict):
        raise ValueError("the header of its README.md is not a YAML mapping")
    return header, text[match.end() :]
