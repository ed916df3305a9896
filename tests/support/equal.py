"""Compare large files in tests."""

from __future__ import annotations


def assert_same_bytes(found: bytes, wanted: bytes) -> None:
    """Raise AssertionError that says where files differ.

    For `assert found == wanted`, pytest compares them as text in CI, which takes minutes for
    100 kB.
    """
    if found != wanted:
        pairs = enumerate(zip(found, wanted, strict=False))
        at = next((i for i, (a, b) in pairs if a != b), min(len(found), len(wanted)))
        raise AssertionError(
            f"{len(found)} bytes are not the {len(wanted)} that are wanted: at {at} they are "
            f"{found[at : at + 40]!r} and should be {wanted[at : at + 40]!r}"
        )
