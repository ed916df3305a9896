"""The reasons why a photo of the table is missing from the shards.

A build counts photos by these texts, in its report and in the statistics beside each shard.
"""

from __future__ import annotations

INVALID = "row that gives no address or place"
TWICE = "photo that is in the table twice"
EXCLUDED = "left out (--exclude)"
GONE = "gone (404 or 410)"
PLACEHOLDER = "placeholder instead of the photo"
ELSEWHERE = "redirected away from the photo host"
WRONG_TYPE = "no picture of the right type"
DAMAGED = "truncated or damaged picture"
TOO_SMALL = "picture too small"
TOO_MANY_PIXELS = "picture of too many pixels"
TOO_LARGE = "body too large"
BUSY = "server busy or broken (429 or 5xx)"
NO_ANSWER = "connection broken or timed out"

TRANSIENT = (BUSY, NO_ANSWER)
_REFUSED = "refused"


class Missing(Exception):
    """An address returns no usable picture; `reason` is one of the above."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def refused(status: int) -> str:
    """Return the reason for an HTTP status without a reason of its own."""
    return f"{_REFUSED} (HTTP {status})"


def can_change(reason: str) -> bool:
    """Return whether a later try may get the photo."""
    return reason in TRANSIENT or reason.startswith(_REFUSED)
