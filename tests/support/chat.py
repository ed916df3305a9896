"""A loopback stand-in for an OpenAI-compatible server with a vision-language model."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable
from typing import Any

from PIL import Image

from .hub import Answer, Incoming, Loopback

REFUSAL = "I'm sorry, but I can't help with identifying locations."
_JSON = {"Content-Type": "application/json"}
PATH = "/v1/chat/completions"


class Chat(Loopback):
    """Answers requests for chat completions with one reply after the other.

    A reply is a text, the status of an error, or the fields in which a choice differs from a usual
    one. `photos` and `prompts` are what the requests contained.
    """

    def __init__(self, replies: Iterable[str | int | dict[str, Any]]) -> None:
        super().__init__()
        self._replies = iter(replies)
        self.photos: list[Image.Image] = []
        self.prompts: list[str] = []

    def route(self, request: Incoming) -> Answer:
        if self._failing(request):  # a failed request takes no reply
            return Answer(500)
        asked = json.loads(request.content)
        for part in asked["messages"][-1]["content"]:
            if part["type"] == "text":
                self.prompts.append(part["text"])
            else:
                data = part["image_url"]["url"].partition(";base64,")[2]
                self.photos.append(Image.open(io.BytesIO(base64.b64decode(data))))
        number = len(self.prompts)
        reply = next(self._replies)
        if isinstance(reply, int):
            error = {"message": "no", "type": "invalid_request_error", "param": None, "code": None}
            return Answer(reply, json.dumps({"error": error}).encode(), _JSON)
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "logprobs": None}
        message = {"role": "assistant", "content": None, "refusal": None}
        if isinstance(reply, str):
            choice["message"] = {**message, "content": reply}
        else:
            choice |= {**reply, "message": {**message, **reply.get("message", {})}}
        content = {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion",
            "created": 1_700_000_000 + number,
            "model": asked["model"],
            "choices": [choice],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }
        return Answer(200, json.dumps(content).encode(), _JSON)

    def _failing(self, request: Incoming) -> bool:
        return any(fault.status and fault.fits(request.path) for fault in self._faults)
