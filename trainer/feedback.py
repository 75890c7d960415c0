"""What a loss asks of the feedback: labels, and control tokens that tell them to the model."""

from collections.abc import Mapping

from halotheory import losses
from halotheory.contract import Loss

CONTROL_TOKENS: Mapping[bool, str] = {True: "<|good|>", False: "<|bad|>"}
"""The control tokens of the KTO paper (appendix C), by label."""


def learns_from_labels(loss: Loss) -> bool:
    """Whether each completion must come with a thumbs up or down: advantages are made from it too."""
    return loss.needs_labels or "advantages" in loss.arguments


def control_tokens(loss: Loss) -> Mapping[bool, str]:
    """Return the text that follows a prompt, by the label of the completion that comes next; only `csft` has any."""
    return CONTROL_TOKENS if loss.function is losses.csft else {}
