"""How much an experiment may spend, the same for every loss."""

from dataclasses import dataclass

import torch

from halotheory.errors import HaloTheoryError

_REPLICATIONS = 10
_MOST_SEED = 2**62
_AT_LEAST = {"seeds": 2, "tuning_seeds": 2, "prompts": 1, "outputs": 2, "examples": 1, "steps": 1, "seed": 0}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What every loss gets.

    Attributes:
        seeds: worlds, each with rewards, a reference and feedback of its own.
        tuning_seeds: other worlds, on which learning rates and beta are chosen.
        prompts: of a world.
        outputs: of each prompt.
        examples: pairs in a world's data set (single outputs where an experiment has no pairs).
        steps: of gradient descent.
        batch_size: examples drawn for each step; 0 takes all of them in each step.
        seed: of everything that is drawn.
        device: where tensors are, "cpu" or "cuda".
    """

    seeds: int = 200
    tuning_seeds: int = 300
    prompts: int = 8
    outputs: int = 5
    examples: int = 160
    steps: int = 100
    batch_size: int = 0
    seed: int = 0
    device: str = "cpu"

    @property
    def replications(self) -> int:
        """How many groups the worlds fall into, each tuned on a group of its own; intervals are over them."""
        return min(_REPLICATIONS, self.seeds, self.tuning_seeds)

    def __post_init__(self) -> None:
        for name, least in {**_AT_LEAST, "batch_size": 0}.items():
            if getattr(self, name) < least:
                raise HaloTheoryError(f"{name.replace('_', '-')}={getattr(self, name)}; give {least} or more")
        if self.seed > _MOST_SEED:
            raise HaloTheoryError(f"seed={self.seed}; give 0 to {_MOST_SEED}")
        try:
            torch.zeros(1, dtype=torch.float64, device=self.device).item()
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise HaloTheoryError(f"--device {self.device}: cannot be used: {reason}") from error
