"""Why a photo of the list did not come: the reasons that a build counts.

They are plain words, because they stand as they are in the report and in the shards' statistics.
"""

from __future__ import annotations

INVALID = "row that gives no address or place"
TWICE = "photo that the list holds twice"
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

# A second try is due to these, and the smaller sizes of the photo are not.
TEMPORARY = (BUSY, NO_ANSWER)
_REFUSED = "refused"


class Missing(Exception):
    """One address, or one photo, that gives no usable picture; `reason` is one of the above."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def refused(status: int) -> str:
    """Return the reason for an HTTP status that has none of its own."""
    return f"{_REFUSED} (HTTP {status})"


def may_mend(reason: str) -> bool:
    """Tell what another day may mend; all else stays as it is."""
    return reason in TEMPORARY or reason.startswith(_REFUSED)


def telling(reasons: list[str]) -> str:
    """Return the one reason to count a photo under, of those for which its addresses failed.

    That a size is gone says least: many sizes never existed.
    """
    return next((reason for reason in reasons if reason != GONE), GONE)
