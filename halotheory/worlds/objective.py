"""The loss of tabular softmax policies, and its gradient by their logits."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from halotheory.contract import Loss
from halotheory.worlds.batching import Settings, WorldLoss
from halotheory.worlds.cells import Cells, added, taken
from halotheory.worlds.feedback import Feedback
from halotheory.worlds.reference_point import (
    ReferencePoint,
    check_reference_point,
    data_shares,
    kl_of_prompts,
    mismatched_of_batch,
    mismatched_of_population,
)
from halotheory.worlds.world import World

_CELLS_AT_ONCE = 2**15  # examples: in a core's cache, and below the size from which torch starts threads of its own


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What policies of some worlds minimise.

    Attributes:
        world: the worlds.
        loss: theirs, and how it is called.
        settings: hyperparameters, one value for each world.
        reference_point: what the loss is told as `kl`.
    """

    world: World
    loss: WorldLoss
    settings: Settings
    reference_point: ReferencePoint

    def value_and_gradient(self, logits: Tensor, cells: Cells) -> tuple[Tensor, Tensor]:
        """Return the loss of each world, (W,), and its gradient by the logits, (W, X, Y).

        The loss's own code is differentiated by its log-probabilities; from there to the logits the chain is
        d log pi(y) / d logit(y') = [y = y'] - pi(y').

        Args:
            logits: of the policies, nats, (W, X, Y).
            cells: the examples.
        """
        logps = torch.log_softmax(logits, dim=-1)
        losses, by_logps, by_kl = self.value_and_slopes(logps, cells)
        policy = logps.exp()
        gradient = by_logps - policy * by_logps.sum(-1, keepdim=True)
        if by_kl is not None:
            log_ratios = logps - self.world.reference_logps
            kl = kl_of_prompts(logps, self.world.reference_logps)
            gradient = gradient + by_kl[..., None] * policy * (log_ratios - kl[..., None])
        return losses, gradient

    def value_and_slopes(self, logps: Tensor, cells: Cells) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the loss of each world, (W,), and its derivatives by each log-probability, as if they were free.

        Args:
            logps: of the policies, nats, (W, X, Y).
            cells: the examples.

        Returns:
            the third is the derivative by z0 of each prompt, (W, X), where it is part of the objective.
        """
        arguments = self._arguments(logps, cells)
        names = [name for name in self.loss.loss.arguments if name.startswith("policy_")]
        moving = self.reference_point == "moving_kl" and "kl" in self.loss.loss.arguments
        losses, slopes = self.loss(
            arguments, cells.weights, self.settings, slopes_of=[*names, "kl"] if moving else names
        )
        by_logps = torch.zeros_like(logps).flatten(1)
        for name in names:
            by_logps = added(by_logps, cells.outputs["rejected" in name], slopes[name])
        by_kl = added(torch.zeros_like(logps[..., 0]), cells.prompts, slopes["kl"]) if moving else None
        return losses, by_logps.view_as(logps), by_kl

    def value(self, logits: Tensor, cells: Cells) -> Tensor:
        """Return the loss of each world, (W,)."""
        logps = torch.log_softmax(logits, dim=-1)
        return self.loss(self._arguments(logps, cells), cells.weights, self.settings)[0]

    def _arguments(self, logps: Tensor, cells: Cells) -> Mapping[str, Tensor]:
        """Return the tensors of the contract, (W, C), those that the loss names."""
        named, shape = self.loss.loss.arguments, cells.weights.shape
        policy, reference = logps.flatten(1), self.world.reference_logps.flatten(1)
        lengths = self.world.lengths.flatten(1)
        tables = {"policy": policy, "reference": reference}
        result: dict[str, Tensor] = {}
        for name in named:
            index = cells.outputs["rejected" in name]
            if name.endswith("logps"):
                result[name] = taken(tables[name.split("_")[0]], index)
            elif name.endswith("lengths"):
                result[name] = taken(lengths, index)
        if "kl" in named:
            result["kl"] = self._kl(logps, cells)
        if cells.desirable is not None and cells.advantages is not None:
            result["desirable"] = cells.desirable.expand(shape)
            result["advantages"] = cells.advantages
            result["mask"] = torch.ones_like(result["desirable"])
        return {name: result[name] for name in named}

    def _kl(self, logps: Tensor, cells: Cells) -> Tensor:
        """Return z0 of each example, (W, C)."""
        shape, reference = cells.weights.shape, self.world.reference_logps
        if isinstance(self.reference_point, int | float):
            return logps.new_full((), self.reference_point).expand(shape)
        if self.reference_point == "mismatched":
            if cells.prompts.dim() == 2:
                outputs = cells.outputs[0] % self.world.num_outputs
                shared = mismatched_of_batch(logps - reference, cells.prompts, outputs)
            else:
                shares = data_shares(cells, self.world.num_prompts, self.world.num_outputs)
                shared = mismatched_of_population(logps - reference, *shares)
            return shared[:, None].expand(shape)
        kl = kl_of_prompts(logps, reference)
        if self.reference_point == "shared_kl":
            return (self.world.prompt_probabilities * kl).sum(1, keepdim=True).expand(shape)
        return taken(kl, cells.prompts)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some of the worlds, with all of their feedback.

    Attributes:
        worlds: which.
        objective: theirs.
        cells: every example that occurs in one of them.
    """

    worlds: slice
    objective: Objective
    cells: Cells

    def value_and_gradient(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the population's loss, (W,), and its gradient by the logits, (W, X, Y)."""
        return self.objective.value_and_gradient(logits, self.cells)


@dataclass(frozen=True, kw_only=True)
class Population:
    """An objective over all of the feedback, cut into parts: a world needs no other.

    Attributes:
        objective: of all worlds.
        feedback: of all worlds.
        parts: as many worlds at a time as a core's cache holds; all at once on another device.
    """

    objective: Objective
    feedback: Feedback
    parts: Sequence[Part]

    @classmethod
    def of(cls, objective: Objective, feedback: Feedback) -> "Population":
        """Return the parts of an objective."""
        world = objective.world
        size = world.num_worlds
        if world.device.type == "cpu":
            size = max(1, _CELLS_AT_ONCE // feedback.weights[0].numel())
        parts: list[Part] = []
        for begin in range(0, world.num_worlds, size):
            worlds = slice(begin, begin + size)
            settings = {name: values[worlds] for name, values in objective.settings.items()}
            own = replace(objective, world=world.chosen(worlds), settings=settings)
            parts.append(Part(worlds=worlds, objective=own, cells=feedback.chosen(worlds).cells()))
        return cls(objective=objective, feedback=feedback, parts=parts)

    def losses_and_slopes(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each world, and its largest |d loss / d logit|, both (W,)."""
        with one_thread():
            found = [part.value_and_gradient(logits[part.worlds]) for part in self.parts]
        losses = torch.cat([value for value, _ in found])
        return losses, torch.cat([gradient.abs().flatten(1).amax(1) for _, gradient in found])


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread inside: on tensors of the size of a part, several mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def check_fit(loss: Loss, cells_are_paired: bool, reference_point: ReferencePoint) -> None:
    """Raise where a loss cannot be trained on such feedback, or there is no such reference point.

    Raises:
        HaloTheoryError: a paired loss and thumbs, or the other way round; an unknown or negative reference point.
    """
    if (loss.kind == "paired") != cells_are_paired:
        wanted = "pairs()" if loss.kind == "paired" else "thumbs() or thumbs_of_pairs()"
        raise loss.error(f"is a {loss.kind} loss; give it feedback of {wanted}")
    check_reference_point(reference_point)
