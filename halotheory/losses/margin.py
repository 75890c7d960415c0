"""The margin of a pair: what its chosen output gained against the reference, less what the rejected one did."""

from torch import Tensor


def log_ratio_margin(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
) -> Tensor:
    """Return h = log pi/pi_ref of the chosen output - log pi/pi_ref of the rejected one for each pair.

    Args:
        policy_chosen_logps: log pi(y_w|x) summed over completion tokens, nats, (batch,).
        policy_rejected_logps: log pi(y_l|x), alike.
        reference_chosen_logps: log pi_ref(y_w|x), alike.
        reference_rejected_logps: log pi_ref(y_l|x), alike.

    Returns:
        nats, (batch,).
    """
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    return chosen - rejected
