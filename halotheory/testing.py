"""For your own tests: batches of log-probabilities drawn by hypothesis, and one-line assertions on a loss."""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from halotheory.checking import check
from halotheory.contract import Kind, Loss, load_loss, loss_of
from halotheory.errors import HaloTheoryError
from halotheory.findings import Finding, Status, Verdict
from halotheory.proving.saturation import saturation
from halotheory.reporting.implied import implied_value
from halotheory.reporting.report import headline

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    Batches = SearchStrategy[dict[str, Tensor]]

__all__ = [
    "assert_batch_order_does_not_matter",
    "assert_gradients_saturate",
    "assert_halo",
    "assert_log_ratio_only",
    "paired_batches",
    "token_batches",
    "unpaired_batches",
]

AnyLoss = str | os.PathLike[str] | Loss | Callable[..., Tensor]
"""A built-in's name, a file or `file.py:name`, a loaded loss, or a Python function."""

_GRID = 64  # log-probabilities are whole multiples of 1/64 nats: sums and differences of them are exact in floats
_NUDGE = 2.0**-12  # nats
_CLOSE = 1e-9


def paired_batches(
    *,
    dtype: torch.dtype = torch.float64,
    min_size: int = 1,
    max_size: int = 6,
    largest: float = 1000.0,
    max_length: int = 512,
) -> "Batches":
    """Return a strategy for the tensors of a paired loss: every argument of the contract, by name.

    Log-probabilities are <= 0, unequal, and as simple as the failure allows; chosen and rejected lengths differ freely.

    Args:
        dtype: of the log-probabilities.
        min_size: fewest pairs, >= 1.
        max_size: most pairs.
        largest: size of the most extreme log-probability, nats.
        max_length: tokens of the longest completion.

    Raises:
        HaloTheoryError: hypothesis is not installed.
    """
    st = _strategies()

    @st.composite
    def batches(draw: Any) -> dict[str, Tensor]:
        size = draw(st.integers(min_size, max_size))
        names = [f"{model}_{which}_logps" for model in ("policy", "reference") for which in ("chosen", "rejected")]
        tensors = {name: _row(draw, _logps(largest), size, dtype) for name in names}
        lengths = st.integers(1, max_length)
        return tensors | {f"{which}_lengths": _row(draw, lengths, size, dtype) for which in ("chosen", "rejected")}

    return batches()


def unpaired_batches(
    *,
    dtype: torch.dtype = torch.float64,
    min_size: int = 1,
    max_size: int = 6,
    largest: float = 1000.0,
    max_length: int = 512,
) -> "Batches":
    """Return a strategy for the tensors of an unpaired loss; batches of two and more have both labels.

    `kl` is >= 0, one number for the batch. The arguments are those of `paired_batches`.
    """
    st = _strategies()

    @st.composite
    def batches(draw: Any) -> dict[str, Tensor]:
        size = draw(st.integers(min_size, max_size))
        labels = draw(st.permutations([True, False, *draw(st.lists(st.booleans(), max_size=size))][:size]))
        return {
            "policy_logps": _row(draw, _logps(largest), size, dtype),
            "reference_logps": _row(draw, _logps(largest), size, dtype),
            "desirable": torch.tensor([*labels, *[True] * (size - len(labels))]),
            "kl": torch.tensor(-draw(_logps(largest)), dtype=dtype),
            "lengths": _row(draw, st.integers(1, max_length), size, dtype),
        }

    return batches()


def token_batches(
    *,
    dtype: torch.dtype = torch.float64,
    min_size: int = 1,
    max_size: int = 4,
    largest: float = 20.0,
    max_length: int = 5,
) -> "Batches":
    """Return a strategy for the tensors of a token-level loss, (batch, time).

    Completions have unequal lengths; beyond its end a completion is 0 and masked. Advantages have either sign.
    The arguments are those of `paired_batches`, `largest` for one token.
    """
    st = _strategies()

    @st.composite
    def batches(draw: Any) -> dict[str, Tensor]:
        lengths = draw(st.lists(st.integers(1, max_length), min_size=min_size, max_size=max_size))
        time = max(lengths)
        mask = torch.tensor([[step < length for step in range(time)] for length in lengths])

        def rows(entries: Any) -> Tensor:
            drawn = [draw(st.lists(entries, min_size=time, max_size=time)) for _ in lengths]
            return torch.tensor(drawn, dtype=dtype) * mask.to(dtype)

        return {
            "policy_token_logps": rows(_logps(largest)),
            "reference_token_logps": rows(_logps(largest)),
            "advantages": rows(st.sampled_from([1.0, -1.0, 0.5, -2.0])),
            "mask": mask,
        }

    return batches()


def assert_halo(
    loss: AnyLoss, *, strict: bool = False, settings: Mapping[str, float] | None = None, timeout: float = 60.0
) -> Verdict:
    """Return the verdict on a loss that is proved to be a HALO.

    Args:
        loss: what to check, as for `halotheory.check`.
        strict: refuse every relaxation.
        settings: hyperparameters to change.
        timeout: seconds.

    Raises:
        AssertionError: it is none, or that is undecided; the message has the witness.
        HaloTheoryError: it cannot be read.
    """
    verdict = check(loss, strict=strict, settings=settings, timeout=timeout)
    assert verdict.verdict == "halo", _reasons(verdict)
    return verdict


def assert_gradients_saturate(
    loss: AnyLoss, *, settings: Mapping[str, float] | None = None, timeout: float = 60.0
) -> None:
    """Prove that the weight of an example's gradient tends to 0 as its reward tends to +oo and to -oo.

    Proposition 2 of Ethayarajh et al. 2024, arXiv 2402.01306, shows it for KTO. The arguments are those of
    `assert_halo`.

    Raises:
        AssertionError: on one side it tends to something else, or that is undecided; or the loss is no HALO, so that
            it has no value function.
        HaloTheoryError: it cannot be read.
    """
    verdict = assert_halo(loss, settings=settings, timeout=timeout)
    value = implied_value(verdict)
    found = saturation(value.v, value.settings)
    for tail in (found.gains, found.losses):
        fades = "the gradient does not fade" if tail.limit else "whether the gradient fades is undecided"
        how = f"tends to {tail.limit}" if tail.limit else f"tends to what was not found ({tail.method})"
        assert tail.status is Status.PROVED, (
            f"{verdict.loss}: {fades}: v'(z) {how} as z -> {tail.toward}, for {tail.holds_for}; v(z) = {value.v}"
        )


def assert_log_ratio_only(loss: AnyLoss, *, examples: int = 100) -> None:
    """Try to make the gradient depend on log pi other than through log pi - log pi_ref.

    The same amount is added to both of one example; the gradient must stay. A constant free of theta may change.

    Args:
        loss: what to test, as for `halotheory.check`.
        examples: batches to draw.

    Raises:
        AssertionError: it depends, the message has the batch and the amount; or it is nowhere a finite number.
        HaloTheoryError: hypothesis is not installed, or the loss cannot be read.
    """
    loaded = _loaded(loss)
    amounts = _strategies().integers(-64, -1)
    numbers = 0

    def holds(drawn: tuple[dict[str, Tensor], int]) -> None:
        nonlocal numbers
        batch, amount = drawn
        for policy, reference in _log_ratios(loaded.kind):
            moved = dict(batch)
            for name in (policy, reference):
                moved[name] = torch.cat([batch[name][:1] + amount, batch[name][1:]])
            pairs = [(_gradient(loaded, one), _gradient(loaded, other)) for one, other in _nearby(batch, moved, policy)]
            numbers += sum(math.isfinite(slope) for slope in pairs[0][0])
            if all(not _agree(one, other) for one, other in pairs):  # at a kink, rounding alone turns the gradient
                one, other = pairs[0]
                raise AssertionError(
                    f"{loaded.name}: not a function of log pi - log pi_ref: adding {amount} to {policy} and to "
                    f"{reference} of the first example changes the gradient from {one} to {other}; {_shown(batch)}"
                )

    _for_all(_strategies().tuples(_batches(loaded.kind), amounts), holds, examples)
    assert numbers, f"{loaded.name}: the gradient is NaN or infinite in each of {examples} batches"


def assert_batch_order_does_not_matter(loss: AnyLoss, *, examples: int = 100) -> None:
    """Try to change the losses of a batch by turning it around; they may come out in another order.

    Args:
        loss: what to test, as for `halotheory.check`.
        examples: batches to draw.

    Raises:
        AssertionError: they change; the message has the batch.
        HaloTheoryError: hypothesis is not installed, or the loss cannot be read.
    """
    loaded = _loaded(loss)

    def holds(batch: dict[str, Tensor]) -> None:
        turned = {name: tensor.flip(0) if tensor.dim() else tensor for name, tensor in batch.items()}
        one, other = (loaded(**tensors).detach().flatten().sort().values for tensors in (batch, turned))
        assert _agree(one, other), (
            f"{loaded.name}: the order of the batch matters: sorted losses {one.tolist()}, "
            f"of the batch turned around {other.tolist()}; {_shown(batch)}"
        )

    _for_all(_batches(loaded.kind, min_size=2), holds, examples)


def _strategies() -> Any:
    try:
        import hypothesis.strategies as st
    except ImportError as error:
        raise HaloTheoryError("halotheory.testing draws batches with hypothesis: pip install hypothesis") from error
    return st


def _batches(kind: Kind, *, min_size: int = 1) -> "Batches":
    strategies = {"paired": paired_batches, "unpaired": unpaired_batches, "token": token_batches}
    return strategies[kind](min_size=min_size)


def _logps(largest: float) -> Any:
    """Log-probabilities on the grid: mostly moderate, sometimes extreme."""
    st = _strategies()
    moderate, extreme = (st.integers(0, int(bound * _GRID)) for bound in (min(largest, 50.0), largest))
    return st.one_of(moderate, extreme).map(lambda count: -count / _GRID)


def _row(draw: Any, entries: Any, size: int, dtype: torch.dtype) -> Tensor:
    return torch.tensor(draw(_strategies().lists(entries, min_size=size, max_size=size)), dtype=dtype)


def _for_all(strategy: Any, holds: Callable[[Any], None], examples: int) -> None:
    """Run a property on many draws, the same ones each time, and raise what it raises on the simplest."""
    from hypothesis import HealthCheck, Phase, given, settings

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(cast(Any, HealthCheck)),
    )
    @given(strategy)
    def run(drawn: Any) -> None:
        holds(drawn)

    run()


def _loaded(loss: AnyLoss) -> Loss:
    if isinstance(loss, Loss):
        return loss
    return load_loss(loss) if isinstance(loss, str | os.PathLike) else loss_of(loss)


def _log_ratios(kind: Kind) -> list[tuple[str, str]]:
    """Return the policy's arguments, each with the reference's."""
    middles = {"paired": ["chosen_logps", "rejected_logps"], "unpaired": ["logps"], "token": ["token_logps"]}[kind]
    return [(f"policy_{middle}", f"reference_{middle}") for middle in middles]


def _nearby(
    one: Mapping[str, Tensor], other: Mapping[str, Tensor], policy: str
) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """Yield two batches as they are, then both with the policy a little lower, and lower still."""
    for nudge in (0.0, _NUDGE, 3 * _NUDGE):
        lower, lower_other = ({**batch, policy: batch[policy] - nudge} for batch in (one, other))
        yield lower, lower_other


def _gradient(loss: Loss, batch: Mapping[str, Tensor]) -> list[float]:
    """Return the derivatives of the summed losses with respect to the policy's log-probabilities."""
    tensors = {
        name: tensor.clone().requires_grad_() if name.startswith("policy_") else tensor
        for name, tensor in batch.items()
    }
    given = [tensors[name] for name in loss.arguments if name.startswith("policy_")]
    total = loss(**tensors).sum()
    if not total.requires_grad:
        return [0.0]
    found = torch.autograd.grad(total, given, allow_unused=True)
    return [value for part in found if part is not None for value in part.flatten().tolist()]


def _agree(one: Any, other: Any) -> bool:
    one, other = (torch.as_tensor(values, dtype=torch.float64) for values in (one, other))
    return one.shape == other.shape and torch.allclose(one, other, rtol=_CLOSE, atol=_CLOSE, equal_nan=True)


def _shown(batch: Mapping[str, Tensor]) -> str:
    return "batch: " + ", ".join(f"{name} = {tensor.tolist()}" for name, tensor in batch.items())


def _reasons(verdict: Verdict) -> str:
    """Return the verdict in a line, and a line for each condition that is not proved."""
    lines = [headline(verdict)]
    lines += [f"  {_reason(finding)}" for finding in verdict.conditions if finding.status is not Status.PROVED]
    return "\n".join([*lines, *(f"  note: {note}" for note in verdict.notes)])


def _reason(finding: Finding) -> str:
    witness = ", ".join(f"{name} = {value}" for name, value in (finding.witness or {}).items())
    return f"{finding.name} {finding.status.value}: {finding.statement} ({witness or finding.method})"
