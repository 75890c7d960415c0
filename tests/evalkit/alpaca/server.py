"""A judge behind an OpenAI-compatible server on this machine, which answers m or M by a rule and fails as told."""

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-test-alpaca-0123456789"

Rule = Callable[[str, str], float]
"""From the two outputs to the probability that the judge prefers the first."""

Trouble = Callable[[dict[str, Any], int], str]
"""From a request and how often it was asked before to what goes wrong: "" for nothing."""


def by_length(first: str, second: str) -> float:
    """Prefer the longer output, and the second slot a little."""
    return 1 / (1 + math.exp(-(len(first) - len(second)) / 20 + 0.5))


def shown(messages: Sequence[dict[str, str]]) -> tuple[str, str]:
    """Return the two outputs of a question."""
    parts = messages[-1]["content"].split('"output": """')
    return tuple(part[: part.index('"""\n    }')] for part in parts[-2:])  # type: ignore[return-value]


class AlpacaServer:
    """The server, on a port of its own; used in a `with` statement.

    Args:
        rule: how it judges.
        trouble: what goes wrong.
        latency: seconds before each reply.
        logprobs: whether it offers log-probabilities.
    """

    def __init__(
        self,
        *,
        rule: Rule = by_length,
        trouble: Trouble = lambda body, before: "",
        latency: float = 0.0,
        logprobs: bool = True,
    ) -> None:
        self.rule, self.trouble, self.latency, self.logprobs = rule, trouble, latency, logprobs
        self.lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self._http = _Threads(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> "AlpacaServer":
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def reply(self, body: dict[str, Any]) -> tuple[int, bytes]:
        """Return status and text of the reply to a request."""
        question = json.dumps(body["messages"])
        with self.lock:
            before = self.asked[question]
            self.asked[question] += 1
            self.bodies.append(body)
        time.sleep(self.latency)
        trouble = self.trouble(body, before)
        if trouble.isdigit():
            return int(trouble), json.dumps({"error": {"message": f"trouble for {KEY}"}}).encode()
        if trouble == "html":
            return 200, b"<html>Bad gateway</html>"
        with self.lock:
            self.answered[question] += 1
        return 200, json.dumps(self.completion(body, trouble)).encode()

    def completion(self, body: dict[str, Any], trouble: str) -> dict[str, Any]:
        """Return a chat completion of one token."""
        chance = min(max(self.rule(*shown(body["messages"])), 1e-9), 1 - 1e-9)
        tops = [("m", chance), ("M", 1 - chance)] if not trouble else [("The", 1.0)]
        tops = [{"token": token, "logprob": math.log(p), "bytes": list(token.encode())} for token, p in tops]
        best = max(tops, key=lambda top: top["logprob"])
        choice: dict[str, Any] = {
            "index": 0,
            "finish_reason": "length",
            "message": {"role": "assistant", "content": best["token"]},
        }
        if self.logprobs:
            choice["logprobs"] = {"content": [{**best, "top_logprobs": tops}]}
        usage = {"prompt_tokens": 400, "completion_tokens": 1, "total_tokens": 401}
        return {
            **{"id": "1", "object": "chat.completion", "created": 0, "model": "judge-2026-01-01"},
            **{"choices": [choice], "usage": usage},
        }


class _Threads(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that were killed."""


def _handler(server: AlpacaServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, text = server.reply(body)
            if self.headers.get("Authorization") != f"Bearer {KEY}":
                status, text = 401, b'{"error": {"message": "wrong key"}}'
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name in the library
            pass

    return Handler
