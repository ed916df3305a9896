"""Reads JSON-like objects in a text, with the usual mistakes of models.

json-repair and its kind complete an object that was cut off, so that `"lon": 2.` becomes 2.0 and is
scored; their time is not always linear (some inputs kept earlier versions in a loop), and what they
return has no positions. This reader needs keys and values only. It accepts single or no quotes,
trailing or missing commas, quotes within texts, comments, None, and text around the object, and
knows which objects were closed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_DEEPEST = 40
_TOKEN = re.compile(
    r"""
    (?P<open>[{\[])
    | (?P<close>[}\]])
    | (?P<colon>[:=]>?)
    | (?P<comma>,)
    | (?P<comment>//[^\n]{0,1000}|/\*[^*]{0,1000}\*/)
    | (?P<quoted>
        "[^"\\]*(?:(?:\\[\s\S]|"(?!\s{0,60}[,:}\]]|\s{0,60}\Z))[^"\\]*)*"
      | \\"[^"\\]*(?:\\(?!")[\s\S][^"\\]*)*\\"
      | '[^'\\]*(?:(?:\\[\s\S]|'(?!\s{0,60}[,:}\]]|\s{0,60}\Z))[^'\\]*)*')
    | (?P<bare>[^\s{}\[\]:=,"'][^{}\[\]:=,\n"]*)
    """,
    re.VERBOSE,
)
_OPENING = re.compile(r"\{|\[(?=\s{0,20}\{)")
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|[\s\S])")


@dataclass
class Scalar:
    """A value without members: its text without quotes, and its place in the whole text."""

    text: str
    start: int
    end: int
    quoted: bool = False

    def plain(self) -> str:
        """The text with its escapes resolved."""
        return _ESCAPE.sub(_unescaped, self.text) if "\\" in self.text else self.text


@dataclass
class Node:
    """An object or a list; `end` is -1 if it was never closed."""

    is_list: bool
    start: int
    end: int = -1
    items: list[tuple[str, Node | Scalar]] = field(default_factory=list)  # key "" in lists


def _unescaped(match: re.Match[str]) -> str:
    try:
        return str(json.loads(f'"{match.group()}"'))
    except ValueError:
        return match.group()[1:]


def objects(text: str) -> list[Node]:
    """The outermost objects of a text, in their order; those that were cut off too."""
    found, end = [], 0
    while (opening := _OPENING.search(text, end)) is not None:
        node, end = _read(text, opening.start())
        found.append(node)
    return found


def _read(text: str, start: int) -> tuple[Node, int]:
    """Read from a bracket to the one that closes it, or to the end of the text."""
    root = Node(text[start] == "[", start)
    stack, skipped = [root], 0
    key, last = "", None  # the key that waits for its value, the last scalar
    for kind, match in _tokens(text, start + 1):
        top = stack[-1]
        if kind == "open":
            if len(stack) >= _DEEPEST:
                skipped += 1
                continue
            node = Node(match.group() == "[", match.start())
            top.items.append((key or (last.text.strip() if last else ""), node))
            stack.append(node)
            key, last = "", None
        elif kind == "close":
            if skipped:
                skipped -= 1
                continue
            _keep(top, key, last)
            key, last = "", None
            # a brace closes a list that was left open, too
            while len(stack) > 1 and stack[-1].is_list and match.group() == "}":
                stack.pop()
            if stack[-1].is_list == (match.group() == "]"):
                stack.pop().end = match.end()
            if not stack:
                return root, match.end()
        elif kind == "colon" and last is not None:
            key, last = last.text.strip(), None
        elif kind == "comma":
            _keep(top, key, last)
            key, last = "", None
        elif kind in ("quoted", "bare"):
            if last is not None and key:  # the comma between two members is missing
                _keep(top, key, last)
                key = ""
            last = _scalar(match, kind)
    if last is not None and last.end < len(text.rstrip()):
        _keep(stack[-1], key, last)
    return root, len(text)


def _tokens(text: str, at: int) -> Iterator[tuple[str, re.Match[str]]]:
    unclosed = ""  # quotes that have no partner in the rest of the text
    while at < len(text):
        char = text[at]
        if char.isspace() or char in unclosed:
            at += 1
            continue
        match = _TOKEN.match(text, at)
        if match is None:
            unclosed += char if char in "\"'" else ""
            at += 1
            continue
        at = match.end()
        yield str(match.lastgroup), match


def _scalar(match: re.Match[str], kind: str) -> Scalar:
    text = match.group()
    if kind == "bare":
        return Scalar(text.strip(), match.start(), match.start() + len(text.rstrip()))
    escaped = text.startswith("\\")
    text = text.removeprefix("\\")[1:-1].removesuffix("\\" if escaped else "")
    return Scalar(text, match.start(), match.end(), True)


def _keep(node: Node, key: str, value: Scalar | None) -> None:
    if value is not None and (key or node.is_list):
        node.items.append(("" if node.is_list else key, value))
