"""The loss scale of float16: without it gradients below 6e-8 are 0, and with too much of it infinite."""

import math

from accelerate import Accelerator

from trainer.config import AlignConfig

LARGEST, SMALLEST, PATIENCE = 2.0**16, 1.0, 2000


class LossScale:
    """The factor that a loss is multiplied by before its backward pass, and gradients divided by after it.

    It is halved where the gradient is not finite, and the step computed again; after 2000 steps it is doubled. A
    checkpoint holds it.

    Attributes:
        used: whether there is one; otherwise the factor is 1 and stays so.
        value: the factor.
    """

    def __init__(self, *, used: bool) -> None:
        self.used, self.value, self._good_steps = used, LARGEST if used else 1.0, 0

    def overflowed(self, grad_norm: float) -> bool:
        """Return whether a step is to be computed again, with a factor that is lower now.

        Args:
            grad_norm: of the step, over all processes.
        """
        if not self.used:
            return False
        if math.isfinite(grad_norm):
            self._good_steps += 1
            if self._good_steps % PATIENCE == 0:
                self.value = min(2 * self.value, LARGEST)
            return False
        if self.value <= SMALLEST:  # no scale helps: the gradient itself is not finite
            return False
        self.value, self._good_steps = self.value / 2, 0
        return True

    def state_dict(self) -> dict[str, float]:
        """Return what a checkpoint holds."""
        return {"value": self.value, "good_steps": self._good_steps}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Take up what a checkpoint holds."""
        self.value, self._good_steps = state["value"], int(state["good_steps"])


def loss_scale(config: AlignConfig, accelerator: Accelerator) -> LossScale:
    """Return the scale of a run, which its checkpoints hold if it is used."""
    scale = LossScale(used=config.dtype == "float16")
    if scale.used:
        accelerator.register_for_checkpointing(scale)
    return scale
