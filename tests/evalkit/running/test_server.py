"""A model behind a server: the same scores as from its folder, and nothing scored that was not answered."""

import contextlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from evalkit.errors import EvalkitError
from evalkit.run_folder import read_run
from evalkit.running import server as serving
from evalkit.running.run import run

KEY = "sk-a-secret-key"
Reply = tuple[int, dict[str, str], bytes]


def text_reply(text: str | None, **choice: Any) -> Reply:
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "text": text, "message": message, "finish_reason": "stop"} | choice]
    return 200, {}, json.dumps({"choices": choices}).encode()


def error_reply(status: int, message: str = "no", **headers: str) -> Reply:
    return status, headers, json.dumps({"error": {"message": message}}).encode()


@dataclass
class Served:
    """A server that answers by a function of the request and of how often it was asked the same."""

    url: str
    answer: Callable[[dict[str, Any], int], Reply]
    requests: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            question = json.dumps(payload, sort_keys=True)
            with lock:
                times = served.asked[question]
                served.asked[question] += 1
                served.requests.append(payload)
                served.paths.append(self.path)
                served.keys.append(self.headers.get("Authorization"))
            status, headers, body = served.answer(payload, times)
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            with contextlib.suppress(ConnectionError):  # a client that has waited long enough
                self.end_headers()
                self.wfile.write(body)
            self.close_connection = "Content-Length" in headers

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 (its name in the library)
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    served = Served(url=f"http://127.0.0.1:{running.server_port}/v1", answer=lambda payload, times: text_reply(" 4"))
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    yield served
    running.shutdown()
    running.server_close()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = time.sleep
    monkeypatch.setattr(serving.time, "sleep", lambda seconds: slept(min(seconds, 0.001)))


def ask(served: Served, task: Path | str, output: Path, **settings: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"backend": "openai", "base_url": served.url, "timeout": 5.0, "max_retries": 2}
    return run("tiny", [str(task)], output, **(options | settings))


def rows(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "samples.jsonl").read_text().splitlines()]


def imitate(model: Path) -> Callable[[dict[str, Any], int], Reply]:
    """Return the answers of a completions server that runs a model folder."""
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    lm: Any = HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=1)  # type: ignore[call-arg]
    lock = threading.Lock()

    def answer(payload: dict[str, Any], times: int) -> Reply:
        with lock, torch.no_grad():
            if not payload.get("echo"):
                settings = {"until": payload["stop"], "max_gen_toks": payload["max_tokens"], "do_sample": False}
                request = Instance("generate_until", {}, (payload["prompt"], settings), 0)
                return text_reply(lm.generate_until([request], disable_tqdm=True)[0])
            tokens = payload["prompt"][0]
            logps = lm.model(torch.tensor([tokens])).logits[0].log_softmax(-1)
            chosen = [None] + [float(logps[i, token]) for i, token in enumerate(tokens[1:])] + [0.0]
            best = [None] + [{"best": float(row.max())} for row in logps]
            return text_reply("", logprobs={"token_logprobs": chosen, "top_logprobs": best})

    return answer


def test_a_key_that_a_server_repeats_is_not_written_down(server: Served, task: Path, tmp_path: Path) -> None:
    server.answer = lambda payload, times: text_reply(f" your key is {KEY}")
    ask(server, task, tmp_path / "run")
    assert all(KEY.encode() not in path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file())


def test_generations_from_a_server_score_as_those_from_the_folder(
    server: Served, model: Path, task: Path, tmp_path: Path
) -> None:
    run(str(model), [str(task)], tmp_path / "folder", batch_size=1)
    server.answer = imitate(model)
    ask(server, task, tmp_path / "server")
    kept = [
        [{k: row[k] for k in ("id", "score", "response")} for row in rows(tmp_path / n)] for n in ("folder", "server")
    ]
    assert kept[0] == kept[1]
    assert set(server.paths) == {"/v1/completions"}
    assert len(server.requests) == 1 + 30  # the first question, and one per item


def test_log_likelihoods_from_a_server_are_those_from_the_folder(
    server: Served, model: Path, made_up_data: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"data_dir": made_up_data, "limit": 1}
    run(str(model), ["mmlu"], tmp_path / "folder", batch_size=1, **settings)
    server.answer = imitate(model)
    ask(server, "mmlu", tmp_path / "server", tokenizer=str(model), **settings)
    for one, other in zip(rows(tmp_path / "folder"), rows(tmp_path / "server"), strict=True):
        assert (one["id"], one["score"]) == (other["id"], other["score"])
        assert other["response"] == pytest.approx(one["response"], abs=1e-4)


def test_a_server_without_log_probabilities_says_so_before_anything_is_paid(
    server: Served, model: Path, made_up_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(EvalkitError, match=r"no log-probabilities of the prompt's tokens.*mmlu, need"):
        ask(server, "mmlu", tmp_path / "run", tokenizer=str(model), data_dir=made_up_data)
    assert len(server.requests) == 1
    with pytest.raises(EvalkitError, match="mmlu: needs log-likelihoods, which take --tokenizer"):
        ask(server, "mmlu", tmp_path / "run", data_dir=made_up_data)
    with pytest.raises(EvalkitError, match="mmlu: needs log-likelihoods, which no chat server gives"):
        ask(server, "mmlu", tmp_path / "run", data_dir=made_up_data, tokenizer=str(model), chat_template=True)
    assert len(server.requests) == 1
    assert not (tmp_path / "run").exists()


def test_conversations_go_to_the_chat_endpoint(server: Served, made_up_data: Path, tmp_path: Path) -> None:
    server.answer = lambda payload, times: text_reply("The answer is 3.")
    results = ask(server, "gsm8k", tmp_path / "run", chat_template=True, data_dir=made_up_data)
    assert set(server.paths) == {"/v1/chat/completions"}
    assert [message["role"] for message in server.requests[-1]["messages"]] == ["user", "assistant"] * 8 + ["user"]
    assert results["benchmarks"]["gsm8k"]["score"] == pytest.approx(1 / 3)


HALF = json.dumps({"choices": [{"index": 0, "text": " 4"}]}).encode()
RECOVERED: list[tuple[str, Callable[[], Reply]]] = [
    ("429", lambda: error_reply(429, **{"Retry-After": "7"})),
    ("500", lambda: error_reply(500)),
    ("503 in HTML", lambda: (503, {}, b"<html>down</html>")),
    ("HTML in place of JSON", lambda: (200, {}, b"<html>hello</html>")),
    ("nothing", lambda: (200, {}, b"")),
    ("half a reply", lambda: (200, {"Content-Length": str(len(HALF))}, HALF[: len(HALF) // 2])),
    ("no choices", lambda: (200, {}, b'{"choices": []}')),
    ("a list", lambda: (200, {}, b"[1]")),
]


@pytest.mark.parametrize("trouble", [trouble for _, trouble in RECOVERED], ids=[name for name, _ in RECOVERED])
def test_what_passes_is_asked_again(
    trouble: Callable[[], Reply], server: Served, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(serving.time, "sleep", waits.append)
    server.answer = lambda payload, times: trouble() if times == 0 else text_reply(" 4")
    results = ask(server, task, tmp_path / "run", limit=4)
    assert (results["failed"], results["benchmarks"]["arithmetic"]["n"]) == (0, 4)
    assert [row["response"] for row in rows(tmp_path / "run")] == [" 4"] * 4
    assert set(waits) == ({7.0} if "429" in str(trouble()) else {1.0})


FAILED: list[tuple[str, Callable[[], Reply], str]] = [
    ("always 500", lambda: error_reply(500, "broken"), r"status 500: .*broken.* \(3 tries\)"),
    ("too long", lambda: error_reply(400, "maximum context length is 8"), "status 400: .*maximum context length"),
    ("withheld", lambda: text_reply("", finish_reason="content_filter"), "content filter withheld the answer"),
    ("no text", lambda: text_reply(None), "the reply has no text"),
    ("half a reply, always", lambda: (200, {"Content-Length": "999"}, HALF), r"no reply: .* \(3 tries\)"),
]


@pytest.mark.parametrize(("trouble", "error"), [row[1:] for row in FAILED], ids=[row[0] for row in FAILED])
def test_a_failed_item_has_no_score_and_is_asked_again(
    trouble: Callable[[], Reply], error: str, server: Served, task: Path, tmp_path: Path
) -> None:
    def answer(payload: dict[str, Any], times: int) -> Reply:
        return trouble() if str(payload["prompt"]).startswith(("3 ", "7 ")) else text_reply(payload["prompt"])

    server.answer = answer
    results = ask(server, task, tmp_path / "run", limit=10)
    found = results["benchmarks"]["arithmetic"]
    assert (found["n"], found["failed"], results["failed"]) == (8, 2, 2)
    assert found["score"] == 0.0
    assert results["warnings"] == [
        "arithmetic: 2 of 10 items failed and have no score; the same command asks them again"
    ]
    failed = [row for row in rows(tmp_path / "run") if row["score"] is None]
    assert [row["doc_id"] for row in failed] == [3, 7]
    for row in failed:
        assert re.search(error, row["error"]), row["error"]
        assert "response" not in row
    read = read_run(tmp_path / "run")
    assert (len(read.items["arithmetic"]), read.failed) == (8, {"arithmetic": 2})
    server.requests.clear()
    server.answer = lambda payload, times: text_reply(payload["prompt"])
    again = ask(server, task, tmp_path / "run", limit=10)
    assert sorted(str(request["prompt"])[:2] for request in server.requests) == ["1 ", "3 ", "7 "]  # "1 + 1 =" first
    assert (again["failed"], again["benchmarks"]["arithmetic"]["n"]) == (0, 10)
    server.requests.clear()
    assert ask(server, task, tmp_path / "run", limit=10) == again
    assert not server.requests


def test_an_empty_answer_is_an_answer(server: Served, task: Path, tmp_path: Path) -> None:
    server.answer = lambda payload, times: text_reply("")
    results = ask(server, task, tmp_path / "run", limit=3)
    assert (results["failed"], [row["score"] for row in rows(tmp_path / "run")]) == (0, [0.0] * 3)


def test_a_timeout_is_a_failure(server: Served, task: Path, tmp_path: Path) -> None:
    gate = threading.Event()

    def answer(payload: dict[str, Any], times: int) -> Reply:
        if str(payload["prompt"]).startswith("1 is"):
            gate.wait(5)
        return text_reply(" 4")

    server.answer = answer
    results = ask(server, task, tmp_path / "run", limit=3, timeout=0.3, max_retries=0)
    gate.set()
    assert results["failed"] == 1
    assert rows(tmp_path / "run")[1]["error"] == "no reply within 0.3 s"


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (error_reply(401, f"Incorrect API key provided: {KEY}"), "401: the key is refused; set OPENAI_API_KEY"),
        (error_reply(403), "403: the key may not do this"),
        (error_reply(404, "model tiny does not exist"), "404: no such model or address: .*tiny does not exist"),
        (error_reply(429, "insufficient_quota"), "429: the account's quota is used up"),
        (error_reply(400, f"bad key {KEY}"), r"status 400: .*bad key \*\*\*"),
    ],
)
def test_a_server_that_refuses_ends_the_run_before_it_begins(
    trouble: Reply, message: str, server: Served, task: Path, tmp_path: Path
) -> None:
    server.answer = lambda payload, times: trouble
    with pytest.raises(EvalkitError, match=message) as raised:
        ask(server, task, tmp_path / "run")
    assert KEY not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_a_server_that_goes_down_ends_the_run_and_what_is_answered_is_kept(
    server: Served, task: Path, tmp_path: Path
) -> None:
    server.answer = lambda payload, times: text_reply(" 4") if len(server.requests) <= 8 else error_reply(502)
    with pytest.raises(EvalkitError, match="20 requests failed one after another, the last with: status 502"):
        ask(server, task, tmp_path / "run", concurrency=1)
    server.requests.clear()
    server.answer = lambda payload, times: text_reply(" 4")
    ask(server, task, tmp_path / "run", concurrency=4)
    assert (
        len({request["prompt"] for request in server.requests}) == 1 + 30 - 7
    )  # one of before may still be on its way


def test_samples_carry_seeds_of_their_own(server: Served, task: Path, tmp_path: Path) -> None:
    ask(server, task, tmp_path / "run", limit=3, temperature=0.7, top_p=0.9, samples=4)
    asked = server.requests[1:]
    assert len({request["seed"] for request in asked}) == 12
    assert {(request["temperature"], request["top_p"]) for request in asked} == {(0.7, 0.9)}
    first = sorted(request["seed"] for request in asked)
    ask(server, task, tmp_path / "other", limit=3, temperature=0.7, top_p=0.9, samples=4)
    assert sorted(request["seed"] for request in server.requests[-12:]) == first


def test_the_key_is_sent_and_written_nowhere(server: Served, task: Path, tmp_path: Path) -> None:
    ask(server, task, tmp_path / "run", limit=3)
    assert set(server.keys) == {f"Bearer {KEY}"}
    written = b"".join(path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert KEY.encode() not in written
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["base_url"], config["model_fingerprint"]) == (server.url, f"server:{server.url} tiny")


BROKEN: dict[str, dict[str, Any]] = {
    "no fields": {},
    "a place that is not there": {"index": 5, "text": " 4"},
    "a place that is no number": {"index": "a", "text": " 4"},
    "a message that is text": {"index": 0, "message": " 4"},
}


@pytest.mark.parametrize("chats", [False, True], ids=["text", "chat"])
@pytest.mark.parametrize("choice", BROKEN.values(), ids=BROKEN)
def test_a_reply_that_is_no_completion_fails_its_item_alone(
    server: Served, task: Path, tmp_path: Path, choice: dict[str, Any], chats: bool
) -> None:
    def answer(payload: dict[str, Any], times: int) -> Reply:
        broken = "1 is" in json.dumps(payload)
        return (200, {}, json.dumps({"choices": [choice]}).encode()) if broken else text_reply(" 4")

    server.answer = answer
    found = ask(server, task, tmp_path / "run", limit=3, chat_template=chats)
    assert found["failed"] == 1
    assert [row["score"] is None for row in rows(tmp_path / "run")] == [False, True, False]


def test_what_a_server_says_of_a_failure_is_written_without_key_and_broken_characters(
    server: Served, task: Path, tmp_path: Path
) -> None:
    def answer(payload: dict[str, Any], times: int) -> Reply:
        said = {"content": None, "refusal": f"\ud800 {KEY}"}
        return text_reply(None, message=said) if "1 is" in json.dumps(payload) else text_reply(" 4")

    server.answer = answer
    ask(server, task, tmp_path / "run", limit=3, chat_template=True)
    assert rows(tmp_path / "run")[1]["error"] == "the reply has no text: refused: ? ***"
    assert KEY.encode() not in b"".join(path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file())


def test_log_probabilities_that_cannot_be_read_fail_their_item_alone(
    server: Served, model: Path, made_up_data: Path, tmp_path: Path
) -> None:
    settled, asked = imitate(model), Counter[str]()

    def answer(payload: dict[str, Any], times: int) -> Reply:
        asked["all"] += 1
        found = {"token_logprobs": ["x"] * 9999, "top_logprobs": [{}] * 9999}
        return text_reply("", logprobs=found) if asked["all"] == 9 else settled(payload, times)

    server.answer = answer
    found = ask(server, "mmlu", tmp_path / "run", tokenizer=str(model), data_dir=made_up_data, limit=1, concurrency=1)
    assert found["failed"] == 1


def test_replies_nested_beyond_reading_are_failures(server: Served, task: Path, tmp_path: Path) -> None:
    server.answer = lambda payload, times: (200, {}, b"[" * 100_000) if times < 9 else text_reply(" 4")
    with pytest.raises(EvalkitError, match="not JSON"):
        ask(server, task, tmp_path / "run", limit=1)


def test_concurrent_requests_overlap(server: Served, task: Path, tmp_path: Path) -> None:
    at_once, most, lock = 0, 0, threading.Lock()
    pause = threading.Event()

    def answer(payload: dict[str, Any], times: int) -> Reply:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        pause.wait(0.05)
        with lock:
            at_once -= 1
        return text_reply(" 4")

    server.answer = answer
    ask(server, task, tmp_path / "run", concurrency=6)
    assert 3 <= most <= 6
