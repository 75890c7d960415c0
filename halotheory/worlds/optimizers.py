"""Optimisers as pure functions of parameters, gradient and state."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

State = Mapping[str, Tensor]


class Optimizer(Protocol):
    """Anything that turns a gradient into a step."""

    def start(self, parameters: Tensor) -> State:
        """Return the state before the first step."""
        ...

    def step(self, parameters: Tensor, gradient: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the parameters and the state after a step."""
        ...

    def chosen(self, worlds: slice) -> "Optimizer":
        """Return the optimiser of some of the worlds."""
        ...


@dataclass(frozen=True, kw_only=True)
class GradientDescent:
    """theta - learning_rate * g.

    Attributes:
        learning_rate: > 0, a number, or one for each world, (W,).
    """

    learning_rate: float | Tensor

    def start(self, parameters: Tensor) -> State:
        """Return no state."""
        return {}

    def step(self, parameters: Tensor, gradient: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the parameters after a step."""
        rate = self.learning_rate
        return parameters - (rate.reshape(-1, 1, 1) if isinstance(rate, Tensor) else rate) * gradient, state

    def chosen(self, worlds: slice) -> "GradientDescent":
        """Return the optimiser of some of the worlds."""
        rate = self.learning_rate
        return replace(self, learning_rate=rate[worlds]) if isinstance(rate, Tensor) else self


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam with bias correction. Source: Kingma and Ba 2015, arXiv 1412.6980, algorithm 1.

    Attributes:
        learning_rate: > 0.
        mean_decay: beta_1.
        square_decay: beta_2.
        epsilon: added to the root.
    """

    learning_rate: float
    mean_decay: float = 0.9
    square_decay: float = 0.999
    epsilon: float = 1e-8

    def start(self, parameters: Tensor) -> State:
        """Return means of zero."""
        zero = torch.zeros_like(parameters)
        return {"mean": zero, "square": zero, "count": torch.zeros((), dtype=parameters.dtype)}

    def step(self, parameters: Tensor, gradient: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the parameters and the running means after a step."""
        count = float(state["count"]) + 1
        mean = self.mean_decay * state["mean"] + (1 - self.mean_decay) * gradient
        square = self.square_decay * state["square"] + (1 - self.square_decay) * gradient**2
        root = (square / (1 - self.square_decay**count)).sqrt() + self.epsilon
        moved = parameters - self.learning_rate / (1 - self.mean_decay**count) * mean / root
        return moved, {"mean": mean, "square": square, "count": state["count"] + 1}

    def chosen(self, worlds: slice) -> "Adam":
        """Return the optimiser of some of the worlds: the same."""
        return self


@dataclass(frozen=True, kw_only=True)
class RMSprop:
    """RMSprop, the paper's optimiser, as PyTorch has it: theta - learning_rate * g / (sqrt(mean of g^2) + epsilon).

    Attributes:
        learning_rate: > 0.
        square_decay: of the running mean.
        epsilon: added to the root.
    """

    learning_rate: float
    square_decay: float = 0.99
    epsilon: float = 1e-8

    def start(self, parameters: Tensor) -> State:
        """Return a mean of zero."""
        return {"square": torch.zeros_like(parameters)}

    def step(self, parameters: Tensor, gradient: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the parameters and the running mean after a step."""
        square = self.square_decay * state["square"] + (1 - self.square_decay) * gradient**2
        return parameters - self.learning_rate * gradient / (square.sqrt() + self.epsilon), {"square": square}

    def chosen(self, worlds: slice) -> "RMSprop":
        """Return the optimiser of some of the worlds: the same."""
        return self
