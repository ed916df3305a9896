"""Reads YAML that is not trusted: plain values, without references, in linear time."""

from __future__ import annotations

from typing import Any

import yaml

# libyaml bounds the depth of nesting, for which PyYAML's own parser takes quadratic time.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(text: str | bytes) -> Any:
    """Return what a YAML document holds.

    Raises
    ------
    ValueError
        For what is no YAML, and for references: a few lines of them can stand for gigabytes.
    """
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, _LOADER)):
            raise ValueError("it refers to parts of itself")
        return yaml.load(text, _LOADER)
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(reason[:200]) from None
