"""The reference point: KTO's own by microbatch or by step, and what else it may be a mean of."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.test_batch import CPU
from tests.trainer.test_forest import model, sequences
from tests.trainer.test_logps import naive
from tests.trainer.test_loop import config, prepared
from tests.trainer.tiny import make_model, read_metrics, same_weights
from trainer.align import align
from trainer.padded import pad
from trainer.policy import Policy
from trainer.reference_point import DECAY, draw, faded
from trainer.step import backward, z0_of_step
from trainer.training import Training

pytestmark = pytest.mark.usefixtures("workplace")


def training(**settings: Any) -> Training:
    """Return a run whose policy is not its reference model."""
    return prepared(loss="kto", data="thumbs.jsonl", batch_size=8, **{"micro_batch_size": 4, **settings})


def told(here: Training, step: int = 0) -> list[float]:
    """Return z0, before its clamp, as the loss is told it in each microbatch of a step."""
    microbatches = here.order.step(0, step)
    kl_raw = z0_of_step(here, microbatches, step)
    scored = [backward(here, one, 8, last=False, kl_raw=kl_raw).scores for one in microbatches]
    found = []
    for one in scored:
        assert one.kl_raw is not None
        assert one.tensors["kl"].tolist() == pytest.approx([max(0.0, float(one.kl_raw))] * 4)
        assert not one.tensors["kl"].requires_grad
        found.append(float(one.kl_raw))
    return found


def by_hand(here: Training, *, mismatched: bool) -> list[float]:
    """Return the mean log-ratio of each microbatch of the first step, one sequence at a time."""
    table, reference, means = here.table, make_model(seed=1), []
    for microbatch in here.order.step(0, 0):
        ratios = []
        for mine, other in zip(microbatch, np.roll(microbatch, -1) if mismatched else microbatch, strict=True):
            start, end = table.prompt_start[mine], table.completion_start[other, 0]
            prompt = table.tokens[start : start + table.prompt_length[mine]].tolist()
            completion = table.tokens[end : end + table.completion_length[other, 0]].tolist()
            with torch.no_grad():
                ratio = naive(here.policy.model, prompt, completion) - naive(reference, prompt, completion)
            ratios.append(float(ratio))
        means.append(sum(ratios) / 4)
    return means


@pytest.mark.parametrize("kind", ["mismatched", "batch-mean"])
def test_a_mean_goes_over_the_microbatch_or_the_whole_step(kind: str) -> None:
    first, second = by_hand(training(), mismatched=kind == "mismatched")
    assert told(training(reference_point=kind)) == pytest.approx([first, second], abs=1e-4)
    whole = training(reference_point=kind, reference_point_over="step")
    assert told(whole) == pytest.approx([(first + second) / 2] * 2, abs=1e-4)


def test_over_a_step_the_microbatches_size_changes_nothing() -> None:
    gradients = []
    for size in (4, 8):
        here = training(micro_batch_size=size, reference_point_over="step", scatter_prompts=True)
        (every,) = [np.concatenate(here.order.step(0, 0))]
        microbatches = np.array_split(every, 8 // size)
        kl_raw = torch.tensor(0.3)
        for one in microbatches:
            backward(here, one, 8, last=False, kl_raw=kl_raw)
        gradients.append([weight.grad.clone() for weight in here.policy.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_zero_is_zero_and_costs_no_pass() -> None:
    here = training(reference_point="zero")
    calls, forward = [], here.policy.forward

    def counted(*words: Any) -> torch.Tensor:
        calls.append(words)
        return forward(*words)

    here.policy.forward = counted
    assert told(here) == [0.0, 0.0]
    assert len(calls) == 2


def test_zero_allows_a_microbatch_of_one() -> None:
    align(config(loss="kto", data="thumbs.jsonl", reference_point="zero", micro_batch_size=1, max_steps=1))


def test_a_running_mean_fades() -> None:
    here = training(reference_point="running-mean")
    first = sum(by_hand(here, mismatched=True)) / 2
    assert told(here) == pytest.approx([first] * 2, abs=1e-4)
    here.running.value = 5.0
    assert told(here) == pytest.approx([DECAY * 5 + (1 - DECAY) * first] * 2, abs=1e-4)
    assert faded(None, 3.0) == 3.0


def test_a_run_with_a_running_mean_goes_on_as_if_it_had_not_been_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer import loop

    settings: dict[str, Any] = {"loss": "kto", "data": "thumbs.jsonl", "reference_point": "running-mean", "epochs": 2}
    settings |= {"batch_size": 8, "save_steps": 2, "learning_rate": 1e-2}
    align(config(output="whole", **settings))
    calls: list[int] = []

    def fails(*words: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("killed")
        return z0_of_step(*words)

    monkeypatch.setattr(loop, "z0_of_step", fails)
    with pytest.raises(RuntimeError, match="killed"):
        align(config(output="cut", **settings))
    align(config(output="cut", **settings))
    assert same_weights(Path("whole/model"), Path("cut/model"))
    kl = [line["kl_raw"] for line in read_metrics(Path("cut"))]
    assert kl == [line["kl_raw"] for line in read_metrics(Path("whole"))]
    assert any(abs(value) > 1e-3 for value in kl)


def test_completions_drawn_from_the_policy_give_its_kl_divergence() -> None:
    """One token after a one-token prompt, against the sum over the vocabulary."""
    policy, reference = model(), make_model(seed=3)
    prompt = np.array([7], np.int32)
    with torch.no_grad():
        own, theirs = (one(torch.tensor([[7]])).logits[0, -1].log_softmax(-1) for one in (policy, reference))
    exact = float((own.exp() * (own - theirs)).sum())
    drawn = draw(policy, [2], 1, 64, [prompt] * 4000, [0, 0])
    assert set(map(len, drawn.completions)) == {1}
    ratios = np.array([float(own[int(one[0])] - theirs[int(one[0])]) for one in drawn.completions])
    assert ratios.mean() == pytest.approx(exact, abs=4 * ratios.std() / math.sqrt(4000))


def test_a_draw_is_a_function_of_its_seed_and_leaves_the_generator_alone() -> None:
    policy, prompts = model(), [np.array([7, 8], np.int32), np.array([9], np.int32)]
    policy.train()
    before = torch.get_rng_state()
    one, again, other = (draw(policy, [2], 6, 64, prompts, [seed, 0]) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert policy.training
    assert [ids.tolist() for ids in one.completions] == [ids.tolist() for ids in again.completions]
    assert [ids.tolist() for ids in one.completions] != [ids.tolist() for ids in other.completions]
    for ids in one.completions:
        assert 2 not in ids[:-1].tolist()


@pytest.mark.parametrize("own", [{"repetition_penalty": 5.0}, {"min_p": 0.5}, {"min_new_tokens": 5}])
def test_a_draw_leaves_out_how_the_model_likes_to_generate(own: dict[str, float]) -> None:
    """Else the draws would not be the policy's, and the mean of their log-ratios no KL divergence."""
    plain, liking, prompts = model(), model(), [np.array([7, 8], np.int32)] * 20
    for name, value in own.items():
        setattr(liking.generation_config, name, value)
    one, two = (draw(each, [2], 6, 64, prompts, [0, 0]) for each in (plain, liking))
    assert [ids.tolist() for ids in one.completions] == [ids.tolist() for ids in two.completions]
    assert getattr(liking.generation_config, next(iter(own))) == next(iter(own.values()))


def test_a_draw_ends_where_a_sequence_may() -> None:
    prompts = [np.array([7, 8, 9], np.int32), np.array([9], np.int32)]
    drawn = draw(model(), [2], 20, 8, prompts, [0, 0])
    assert max(map(len, drawn.completions)) <= 8 - 3


def test_sampled_is_the_mean_log_ratio_of_the_draws() -> None:
    here = training(reference_point="sampled", micro_batch_size=8)
    (microbatch,) = here.order.step(0, 0)
    drawn = here.draw(tuple(sequences([([5], [6])]).prompts), [0, 0, 0])
    assert len(drawn) == 1
    (kl_raw,) = told_once(here)
    table = here.table
    starts, lengths = table.prompt_start, table.prompt_length
    order = microbatch[np.argsort(table.prompt_group[microbatch], kind="stable")]
    prompts = tuple(table.tokens[starts[at] : starts[at] + lengths[at]] for at in order)
    expected = here.draw(prompts, [here.config.seed, 0, 0, 0])
    with torch.no_grad():
        ratios = [Policy(one)(pad(expected, CPU)).sum(1) for one in (plain(here), make_model(seed=1))]
    assert kl_raw == pytest.approx(float((ratios[0] - ratios[1]).mean()), abs=1e-4)


def told_once(here: Training) -> list[float]:
    kl_raw = z0_of_step(here, here.order.step(0, 0), 0)
    assert kl_raw is not None
    return [float(kl_raw)]


def plain(here: Training) -> Any:
    """Return the run's model, as it attends to padded rows."""
    copied = make_model()
    copied.load_state_dict(here.policy.model.state_dict())
    return copied


def test_a_run_with_sampled_reference_points_ends_and_repeats() -> None:
    settings: dict[str, Any] = {"loss": "kto", "data": "thumbs.jsonl", "reference_point": "sampled", "max_steps": 2}
    for name in ("a", "b"):
        align(config(output=name, learning_rate=1e-3, **settings))
    assert same_weights(Path("a/model"), Path("b/model"))
