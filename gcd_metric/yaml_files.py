"""Reads YAML that nobody has checked."""

from __future__ import annotations

from typing import Any

import yaml

# libyaml limits the nesting depth; PyYAML's own parser takes quadratic time for deep nesting.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
