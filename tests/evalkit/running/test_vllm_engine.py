"""vLLM: what it is asked, by a stand-in for lm-eval's class, since vLLM itself needs a GPU."""

from typing import Any

from lm_eval.api.instance import Instance

from evalkit.running.recorder import Request
from evalkit.running.vllm_engine import VllmEngine


class Model:
    """Keeps what it is asked."""

    max_length = 100

    def __init__(self) -> None:
        self.asked: list[list[Any]] = []

    def generate_until(self, requests: list[Any], disable_tqdm: bool) -> list[str]:
        self.asked.append([request.args for request in requests])
        return [f"answer to {request.args[0]}" for request in requests]

    loglikelihood = generate_until


def make(prompts: list[str], settings: Any) -> list[Request]:
    return [
        Request(instance=Instance("generate_until", {}, (prompt, settings), 0), key=prompt, seed=1000 + number)
        for number, prompt in enumerate(prompts)
    ]


def test_each_sampled_request_has_its_seed_and_the_longest_are_first() -> None:
    model, settings = Model(), {"until": ["Q"], "do_sample": True, "temperature": 0.7}
    requests = make(["a", "bbb", "cc"], settings)
    found = [
        pair
        for batch in VllmEngine(model=model, size=2).answers("generate_until", requests, lambda r: False)
        for pair in batch
    ]
    assert model.asked == [
        [("bbb", settings | {"seed": 1001}), ("cc", settings | {"seed": 1002})],
        [("a", settings | {"seed": 1000})],
    ]
    assert [(request.key, answer) for request, answer in found] == [(k, f"answer to {k}") for k in ("bbb", "cc", "a")]
    assert settings == {"until": ["Q"], "do_sample": True, "temperature": 0.7}


def test_greedy_requests_and_continuations_are_asked_as_they_are() -> None:
    model = Model()
    for kind, settings in (("generate_until", {"do_sample": False}), ("loglikelihood", " B")):
        requests = make(["one", "two"], settings)
        batches = list(VllmEngine(model=model).answers(kind, requests, lambda request: request.key == "two"))
        assert model.asked.pop() == [("one", settings), ("two", settings)]
        assert len(batches) == 1
    assert list(VllmEngine(model=model).answers("generate_until", requests, lambda request: True)) == []
