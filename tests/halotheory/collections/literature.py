"""The losses of the alignment literature with mutants of them, each beside the verdict derived for it by hand."""

import math

import torch
import torch.nn.functional as F  # noqa: N812

# --- direct preference optimisation and its near relatives ------------------------------------------------------------


def _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    pi_logratios = policy_chosen_logps - policy_rejected_logps
    ref_logratios = reference_chosen_logps - reference_rejected_logps
    return pi_logratios - ref_logratios


def dpo(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1):
    """-log sigmoid(beta h), h the difference of the two log-ratios (Rafailov et al. 2023, eq. 7)."""
    pi_logratios = policy_chosen_logps - policy_rejected_logps
    ref_logratios = reference_chosen_logps - reference_rejected_logps
    logits = pi_logratios - ref_logratios
    return -F.logsigmoid(beta * logits)


def dpo_log_softmax(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.05
):
    """-log softmax of the two rewards at the chosen one: Plackett-Luce with two outputs (Rafailov et al. 2023, A.3)."""
    policy = torch.cat([policy_chosen_logps, policy_rejected_logps])
    reference = torch.cat([reference_chosen_logps, reference_rejected_logps])
    rewards = torch.stack((beta * (policy - reference)).chunk(2), dim=-1)
    return -torch.log_softmax(rewards, dim=-1)[:, 0]


def dpo_mutant_flipped_sign(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """-log sigmoid(-beta h): DPO that prefers the rejected output."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(-beta * logits)


def dpo_mutant_half_reference(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """-log sigmoid(beta (log pi - 0.5 log pi_ref, chosen minus rejected)): DPO with the reference to the power 1/2."""
    policy_difference = policy_chosen_logps - policy_rejected_logps
    reference_difference = reference_chosen_logps - reference_rejected_logps
    return F.softplus(-beta * (policy_difference - 0.5 * reference_difference))


def dpo_mutant_length_weighted(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
    *,
    beta=0.1,
):
    """min(1, |y_l|/|y_w|) times the DPO loss: a weight from the data."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    weight = (rejected_lengths / chosen_lengths).clamp(max=1.0)
    return weight * -F.logsigmoid(beta * logits)


def dpo_mutant_pair_normaliser(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
    *,
    beta=2.0,
):
    """-log sigmoid(beta h / (|y_w| + |y_l|)): the normaliser belongs to the pair and not to the output."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(beta * logits / (chosen_lengths + rejected_lengths))


def dpo_mutant_squared_margin(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """-log sigmoid(beta h |h|): DPO on the signed square of the margin."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(beta * logits * logits.abs())


def dpo_mutant_sign_by_chosen_length(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    *,
    beta=0.1,
    longest=256.0,
):
    """DPO whose loss is negated where the chosen output is too long: the sign a depends on y."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    losses = -F.logsigmoid(beta * logits)
    return torch.where(chosen_lengths > longest, -losses, losses)


def dpo_mutant_quadratic_regulariser(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    weight=0.01,
):
    """-log sigmoid(beta h) + weight h^2: DPO with a square penalty on the margin."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(beta * logits) + weight * logits.square()


def conservative_dpo(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    label_smoothing=0.1,
):
    """-(1 - e) log sigmoid(beta h) - e log sigmoid(-beta h) (Mitchell 2023, a note on DPO with noisy preferences)."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(beta * logits) * (1 - label_smoothing) - F.logsigmoid(-beta * logits) * label_smoothing


def conservative_dpo_mutant_no_smoothing(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    label_smoothing=0.0,
):
    """Conservative DPO with its smoothing switched off, which is DPO."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    losses = -F.logsigmoid(beta * logits) * (1 - label_smoothing)
    if label_smoothing > 0:
        losses = losses - F.logsigmoid(-beta * logits) * label_smoothing
    return losses


def conservative_dpo_mutant_sign_of_flip(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    label_smoothing=0.1,
):
    """-(1 - e) log sigmoid(beta h) + e log sigmoid(-beta h): the flipped term with the other sign."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    kept, flipped = F.logsigmoid(beta * logits), F.logsigmoid(-beta * logits)
    return -(1 - label_smoothing) * kept + label_smoothing * flipped


def conservative_dpo_mutant_unnormalised_weights(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    label_smoothing=0.2,
):
    """-log sigmoid(beta h) - e log sigmoid(-beta h): the (1 - e) forgotten, so a flip has probability e / (1 + e)."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return (F.softplus(-beta * logits) + label_smoothing * F.softplus(beta * logits)).mean()


def conservative_dpo_mutant_sigmoid_flip(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    label_smoothing=0.25,
):
    """-(1 - e) log sigmoid(beta h) - e sigmoid(-beta h): the flipped term has lost its logarithm."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -(1 - label_smoothing) * F.logsigmoid(beta * logits) - label_smoothing * torch.sigmoid(-beta * logits)


def robust_dpo(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    label_smoothing=0.2,
):
    """(-(1 - e) log sigmoid(beta h) + e log sigmoid(-beta h)) / (1 - 2 e) (Chowdhury et al. 2024, robust DPO)."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return (-F.logsigmoid(beta * logits) * (1 - label_smoothing) + F.logsigmoid(-beta * logits) * label_smoothing) / (
        1 - 2 * label_smoothing
    )


def robust_dpo_mutant_noise_above_half(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    label_smoothing=0.6,
):
    """Robust DPO told that most labels are flipped: its loss rises with the margin."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    unbiased = -F.logsigmoid(beta * logits) * (1 - label_smoothing) + F.logsigmoid(-beta * logits) * label_smoothing
    return unbiased / (1 - 2 * label_smoothing)


def rpo(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    *,
    beta=0.1,
    alpha=1.0,
):
    """-log sigmoid(beta h) - alpha log pi(y_w) / |y_w| (Pang et al. 2024, iterative reasoning PO)."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    nll = -policy_chosen_logps / chosen_lengths
    return -F.logsigmoid(beta * logits) + alpha * nll


def dpo_shift(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    shift=0.75,
):
    """-log sigmoid(beta rho_w - shift beta rho_l) (Yang et al. 2025, DPO-Shift)."""
    chosen_rewards = beta * (policy_chosen_logps - reference_chosen_logps)
    rejected_rewards = beta * (policy_rejected_logps - reference_rejected_logps)
    return -F.logsigmoid(chosen_rewards - shift * rejected_rewards)


def dpo_shift_mutant_no_shift(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    shift=1.0,
):
    """DPO-Shift with shift 1, which is DPO."""
    chosen_rewards = beta * (policy_chosen_logps - reference_chosen_logps)
    rejected_rewards = beta * (policy_rejected_logps - reference_rejected_logps)
    return -F.logsigmoid(chosen_rewards - shift * rejected_rewards)


def h_dpo(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    alpha=0.9,
):
    """-log sigmoid(beta (alpha log pi - log pi_ref, chosen minus rejected)) (Omura et al. 2024, H-DPO)."""
    pi_logratios = alpha * (policy_chosen_logps - policy_rejected_logps)
    ref_logratios = reference_chosen_logps - reference_rejected_logps
    return -F.logsigmoid(beta * (pi_logratios - ref_logratios))


def cal_dpo(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1):
    """-log sigmoid(h) + (rho_w - 1/(2 beta))^2 + (rho_l + 1/(2 beta))^2 (Xiao et al. 2024, Cal-DPO)."""
    chosen_reward = policy_chosen_logps - reference_chosen_logps
    reject_reward = policy_rejected_logps - reference_rejected_logps
    dpo_losses = -F.logsigmoid(chosen_reward - reject_reward)
    cal_losses = F.mse_loss(chosen_reward, torch.full_like(chosen_reward, 0.5 / beta), reduction="none")
    cal_losses = cal_losses + F.mse_loss(reject_reward, torch.full_like(reject_reward, -0.5 / beta), reduction="none")
    return dpo_losses + cal_losses


def dpop(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.3,
    penalty=50.0,
):
    """-log sigmoid(beta (h - penalty max(0, -rho_w))) (Pal et al. 2024, DPO-Positive)."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    penalty_term = torch.clamp(reference_chosen_logps - policy_chosen_logps, min=0)
    return -F.logsigmoid(beta * (logits - penalty * penalty_term))


def dpop_mutant_penalty_on_margin(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.3,
    penalty=5.0,
):
    """-log sigmoid(beta (h - penalty max(0, -h))): DPO-Positive with the penalty on the whole margin."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(beta * (logits - penalty * F.relu(-logits)))


def odpo_length_offset(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
    *,
    beta=0.1,
    alpha=1.0,
):
    """-log sigmoid(beta h - offset), offset a function of the pair (Amini et al. 2024, ODPO; here from the lengths)."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    offset = alpha * torch.log1p((chosen_lengths - rejected_lengths).abs())
    return -F.logsigmoid(beta * logits - offset)


def odpo_mutant_constant_offset(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    offset=1.5,
):
    """-log sigmoid(beta h - offset), one offset for all pairs."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return torch.logaddexp(torch.zeros_like(logits), offset - beta * logits)


# --- length -----------------------------------------------------------------------------------------------------------


def r_dpo(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
    *,
    beta=0.1,
    alpha=0.01,
):
    """-log sigmoid(beta h + alpha (|y_w| - |y_l|)) (Park et al. 2024, length-regularised DPO)."""
    chosen = beta * (policy_chosen_logps - reference_chosen_logps) + alpha * chosen_lengths
    rejected = beta * (policy_rejected_logps - reference_rejected_logps) + alpha * rejected_lengths
    return -F.logsigmoid(chosen - rejected)


def r_dpo_mutant_absolute_difference(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
    *,
    beta=0.1,
    alpha=0.01,
):
    """-log sigmoid(beta h - alpha ||y_w| - |y_l||): a margin of the pair, no longer a tilt of the reference."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -(beta * logits - alpha * torch.abs(chosen_lengths - rejected_lengths)).sigmoid().log()


def ln_dpo(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
    *,
    beta=2.5,
):
    """-log sigmoid(beta (rho_w/|y_w| - rho_l/|y_l|)): length-normalised DPO (as in Lambert et al. 2024, Tulu 3)."""
    policy_difference = policy_chosen_logps / chosen_lengths - policy_rejected_logps / rejected_lengths
    reference_difference = reference_chosen_logps / chosen_lengths - reference_rejected_logps / rejected_lengths
    return -F.logsigmoid(beta * (policy_difference - reference_difference))


def ln_dpo_mutant_square_root(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
    *,
    beta=0.5,
):
    """Length-normalised DPO that divides by the square root of the length."""
    chosen = (policy_chosen_logps - reference_chosen_logps) / chosen_lengths.sqrt()
    rejected = (policy_rejected_logps - reference_rejected_logps) / rejected_lengths.sqrt()
    return -F.logsigmoid(beta * (chosen - rejected))


def ln_dpo_mutant_crossed_lengths(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
    *,
    beta=2.5,
):
    """Length-normalised DPO in which each output is divided by the length of the other one."""
    chosen = (policy_chosen_logps - reference_chosen_logps) / rejected_lengths
    rejected = (policy_rejected_logps - reference_rejected_logps) / chosen_lengths
    return -F.logsigmoid(beta * (chosen - rejected))


def ln_dpo_mutant_one_side(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    *,
    beta=2.5,
):
    """Length-normalised DPO in which only the chosen output is divided by its length."""
    chosen = (policy_chosen_logps - reference_chosen_logps) / chosen_lengths
    rejected = policy_rejected_logps - reference_rejected_logps
    return -F.logsigmoid(beta * (chosen - rejected))


def ln_dpo_mutant_reference_not_normalised(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
    *,
    beta=2.5,
):
    """Length-normalised DPO that divides log pi by the length and leaves log pi_ref as it is."""
    chosen = policy_chosen_logps / chosen_lengths - reference_chosen_logps
    rejected = policy_rejected_logps / rejected_lengths - reference_rejected_logps
    return -F.logsigmoid(beta * (chosen - rejected))


# --- other convex surrogates of the margin ----------------------------------------------------------------------------


def ipo(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1):
    """(h - 1/(2 beta))^2 (Azar et al. 2023, eq. 17)."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return (logits - 1 / (2 * beta)) ** 2


def ipo_length_averaged(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
    *,
    beta=0.2,
):
    """IPO on log-ratios averaged over the tokens, as TRL trains it."""
    chosen = (policy_chosen_logps - reference_chosen_logps) / chosen_lengths
    rejected = (policy_rejected_logps - reference_rejected_logps) / rejected_lengths
    return torch.square((chosen - rejected) - 1 / (2 * beta)).mean()


def ipo_mutant_one_sided(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """max(0, 1/(2 beta) - h)^2: IPO that no longer punishes a margin above its target."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return F.relu(1 / (2 * beta) - logits) ** 2


def hinge(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.05):
    """max(0, 1 - beta h) (Liu et al. 2023, RSO, eq. 9)."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return torch.relu(1 - beta * logits)


def hinge_mutant_two_sided(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.05
):
    """|1 - beta h|: the hinge with an absolute value for its maximum."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return torch.abs(1 - beta * logits)


def gpo_logistic(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """log2(1 + exp(-beta h)), the logistic loss in bits (Tang et al. 2024, GPO)."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return torch.log1p(torch.exp(-beta * logits)) / math.log(2)


def gpo_exponential(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """exp(-beta h) (Tang et al. 2024, GPO)."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return (-beta * logits).exp()


def gpo_exponential_mutant_floor(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """max(exp(-beta h), 1/2): the gains stop at beta h = log 2."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return torch.exp(-beta * logits).clamp(min=0.5)


def gpo_exponential_mutant_ceiling(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """min(exp(-beta h), 1/2): flat up to beta h = log 2, so only the reading from the rejected output remains."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return torch.exp(-beta * logits).clamp(max=0.5)


def gpo_squared(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """(1 - beta h)^2 (Tang et al. 2024, GPO)."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return (beta * logits - 1).pow(2)


def gpo_truncated_quadratic(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """max(0, 1 - beta h)^2 (Tang et al. 2024, GPO)."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return torch.clamp(1 - beta * logits, min=0).square()


def gpo_truncated_quadratic_mutant_swapped_piece(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """max(0, beta h - 1)^2: the wrong side of the quadratic is cut off."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return torch.clamp(beta * logits - 1, min=0).square()


def gpo_truncated_quadratic_mutant_linear_tail(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """(1 - beta h)^2 below 1 and beta h - 1 above: a linear piece in place of the zero."""
    scaled = beta * _margin(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    return torch.where(scaled < 1, (1 - scaled) ** 2, scaled - 1)


def gpo_truncated_quadratic_mutant_plateau(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """max(0, -u)^2 + clip(2 - u, 0, 1), u = beta h: quadratic in losses, and a plateau before the fall in gains."""
    scaled = beta * _margin(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    )
    return F.relu(-scaled).square() + torch.clip(2 - scaled, 0, 1)


def gpo_savage(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """1 / (1 + exp(beta h))^2 (Tang et al. 2024, GPO)."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return 1 / (1 + torch.exp(beta * logits)) ** 2


def sigmoid_preference(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """1 - sigmoid(beta h): the ramp-like loss of the margin."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return 1 - torch.sigmoid(beta * logits)


def generalised_cross_entropy(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    q=0.7,
):
    """(1 - sigmoid(beta h)^q) / q: the noise-tolerant loss of Zhang and Sabuncu 2018 on the preference probability."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return (1 - torch.sigmoid(beta * logits).pow(q)) / q


def generalised_cross_entropy_mutant_power_two(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    q=2.0,
):
    """(1 - sigmoid(beta h)^2) / 2: the inflection has moved into the gains of y_w, and out of those of y_l."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return (1 - torch.sigmoid(beta * logits).pow(q)) / q


def focal_dpo(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    gamma=2.0,
):
    """-(1 - p)^gamma log p, p = sigmoid(beta h): the focal loss of Lin et al. 2017 on the preference probability."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    probability = torch.sigmoid(beta * logits)
    return -((1 - probability) ** gamma) * F.logsigmoid(beta * logits)


def focal_po(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    gamma=0.5,
):
    """-p^gamma log p, p = sigmoid(beta h) (Liu et al. 2025, FocalPO): pairs ranked wrongly count less."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    probability = torch.sigmoid(beta * logits)
    return -(probability**gamma) * F.logsigmoid(beta * logits)


def exo_pair(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    label_smoothing=0.001,
):
    """KL(p || q), p = sigmoid(beta h) and q = 1 - e (Ji et al. 2024, EXO)."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return torch.sigmoid(beta * logits) * (F.logsigmoid(beta * logits) - math.log(1 - label_smoothing)) + torch.sigmoid(
        -beta * logits
    ) * (F.logsigmoid(-beta * logits) - math.log(label_smoothing))


def exo_pair_mutant_forward_kl(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    label_smoothing=0.001,
):
    """KL(q || p): EXO with its arguments exchanged, which is conservative DPO up to a constant."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    kept, flipped = 1 - label_smoothing, label_smoothing
    return kept * (math.log(kept) - F.logsigmoid(beta * logits)) + flipped * (
        math.log(flipped) - F.logsigmoid(-beta * logits)
    )


def discopop(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.05,
    tau=0.05,
):
    """Logistic and exponential losses blended by sigmoid(beta h / tau) (Lu et al. 2024, DiscoPOP)."""
    logratios = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    logratios = logratios * beta
    log_ratio_modulation = torch.sigmoid(logratios / tau)
    logistic_component = -F.logsigmoid(logratios)
    exp_component = torch.exp(-logratios)
    return logistic_component * (1 - log_ratio_modulation) + exp_component * log_ratio_modulation


def discopop_mutant_unit_temperature(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.05,
    tau=1.0,
):
    """DiscoPOP at tau = 1, where it equals sigmoid(-u) (1 + softplus(-u)), u = beta h, and falls everywhere."""
    u = beta * _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    blend = (u / tau).sigmoid()
    return F.softplus(-u) * (1 - blend) + (-u).exp() * blend


def padll(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.05,
    base_decay=0.9,
    mismatch_penalty=0.5,
):
    """0.9 (1 - 0.5 [h < 0]) times the logistic loss (Lu et al. 2024, appendix: performance adaptive decay)."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    mismatches = (logits < 0).to(logits.dtype)
    adaptive_decay = base_decay * (1 - mismatches * mismatch_penalty)
    return adaptive_decay * -F.logsigmoid(beta * logits)


def cell(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.05):
    """Mean of the exponential and the logistic loss (Lu et al. 2024, appendix: combined exponential and logistic)."""
    u = beta * _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return 0.5 * torch.exp(-u) + 0.5 * -F.logsigmoid(u)


# --- two rewards that do not enter by their difference ----------------------------------------------------------------


def nca_pair(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.01
):
    """-log s(r_w) - 0.5 log s(-r_w) - 0.5 log s(-r_l), s the sigmoid (Chen et al. 2024, NCA)."""
    chosen_rewards = (policy_chosen_logps - reference_chosen_logps) * beta
    rejected_rewards = (policy_rejected_logps - reference_rejected_logps) * beta
    return -F.logsigmoid(chosen_rewards) - 0.5 * F.logsigmoid(-chosen_rewards) - 0.5 * F.logsigmoid(-rejected_rewards)


def nca_pair_mutant_margin_for_rewards(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.01
):
    """NCA's three terms on the margin: -1.5 log s(u) - 0.5 log s(-u), u = beta h."""
    u = beta * _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(u) - 0.5 * F.logsigmoid(-u) - 0.5 * F.logsigmoid(u)


def apo_down(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1):
    """s(beta rho_w) + 1 - s(beta (rho_w - rho_l)), s the sigmoid (D'Oosterlinck et al. 2024, APO-down)."""
    chosen_logratios = policy_chosen_logps - reference_chosen_logps
    rejected_logratios = policy_rejected_logps - reference_rejected_logps
    losses_chosen = F.sigmoid(beta * chosen_logratios)
    losses_rejected = 1 - F.sigmoid(beta * (chosen_logratios - rejected_logratios))
    return losses_chosen + losses_rejected


def sppo_hard(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.001
):
    """(rho_w - 1/(2 beta))^2 + (rho_l + 1/(2 beta))^2 (Wu et al. 2024, SPPO with hard labels)."""
    a = policy_chosen_logps - reference_chosen_logps
    b = policy_rejected_logps - reference_rejected_logps
    return (a - 0.5 / beta) ** 2 + (b + 0.5 / beta) ** 2


# --- weights that depend on the policy --------------------------------------------------------------------------------


def wpo(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
    *,
    beta=0.01,
):
    """Detached exp of the mean log pi of both outputs, times the DPO loss (Zhou et al. 2024, WPO)."""
    with torch.no_grad():
        chosen_weights = policy_chosen_logps / chosen_lengths
        rejected_weights = policy_rejected_logps / rejected_lengths
        weights = torch.clamp(torch.exp(chosen_weights + rejected_weights), max=1)
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(beta * logits) * weights


def wpo_mutant_not_detached(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
    *,
    beta=0.01,
):
    """WPO whose weight passes its gradient on."""
    weights = torch.exp(policy_chosen_logps / chosen_lengths + policy_rejected_logps / rejected_lengths)
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(beta * logits) * weights


def wpo_mutant_signed_weight(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
    *,
    beta=0.01,
):
    """WPO with the difference of the mean log pi for its detached weight, which may be negative."""
    weights = (policy_chosen_logps / chosen_lengths - policy_rejected_logps / rejected_lengths).detach()
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return weights * -F.logsigmoid(beta * logits)


def beta_dpo_mutant_not_detached(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    alpha=0.6,
):
    """-log s(beta (1 + alpha mean h) h): a batch-level beta (after Wu et al. 2024, beta-DPO) that is not detached."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    beta_used = beta * (1 + alpha * logits.mean())
    return -F.logsigmoid(beta_used * logits)


# --- other divergences than the reverse Kullback-Leibler --------------------------------------------------------------


def f_dpo_reverse_kl(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """-log s(beta f'(u_w) - beta f'(u_l)), f'(u) = log u + 1 (Wang et al. 2023, f-DPO)."""

    def derivative(log_ratio):
        return log_ratio + 1

    chosen = beta * derivative(policy_chosen_logps - reference_chosen_logps)
    rejected = beta * derivative(policy_rejected_logps - reference_rejected_logps)
    return -F.logsigmoid(chosen - rejected)


def f_dpo_forward_kl(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """-log s(beta f'(u_w) - beta f'(u_l)), f'(u) = -1/u (Wang et al. 2023, f-DPO)."""

    def derivative(log_ratio):
        return -torch.exp(-log_ratio)

    chosen = beta * derivative(policy_chosen_logps - reference_chosen_logps)
    rejected = beta * derivative(policy_rejected_logps - reference_rejected_logps)
    return -F.logsigmoid(chosen - rejected)


def f_dpo_forward_kl_mutant_flipped_link(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """f-DPO with +1/u for -1/u on both sides: the preference is reversed."""
    chosen = beta * torch.exp(reference_chosen_logps - policy_chosen_logps)
    rejected = beta * torch.exp(reference_rejected_logps - policy_rejected_logps)
    return -F.logsigmoid(chosen - rejected)


def f_dpo_forward_kl_mutant_two_links(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """f-DPO with the forward divergence for the chosen output and the reverse one for the rejected."""
    chosen = -beta * torch.exp(reference_chosen_logps - policy_chosen_logps)
    rejected = beta * (policy_rejected_logps - reference_rejected_logps)
    return -F.logsigmoid(chosen - rejected)


def f_dpo_jensen_shannon(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """-log s(beta f'(u_w) - beta f'(u_l)), f'(u) = log(2u / (1 + u)) (Wang et al. 2023, f-DPO)."""
    chosen_logratios = policy_chosen_logps - reference_chosen_logps
    rejected_logratios = policy_rejected_logps - reference_rejected_logps
    logits = chosen_logratios - rejected_logratios
    logits = logits - (F.softplus(chosen_logratios) - F.softplus(rejected_logratios))
    return -F.logsigmoid(beta * logits)


def f_dpo_jensen_shannon_mutant_sign_of_softplus(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """f-DPO with log(u (1 + u)) for log(u / (1 + u)), still an increasing function of u."""
    chosen_logratios = policy_chosen_logps - reference_chosen_logps
    rejected_logratios = policy_rejected_logps - reference_rejected_logps
    chosen = chosen_logratios + F.softplus(chosen_logratios)
    rejected = rejected_logratios + F.softplus(rejected_logratios)
    return -F.logsigmoid(beta * (chosen - rejected))


def f_dpo_jensen_shannon_mutant_double_softplus(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """f-DPO with log(u / (1 + u)^2), which falls where u > 1."""

    def link(log_ratio):
        return log_ratio - 2 * F.softplus(log_ratio)

    chosen = link(policy_chosen_logps - reference_chosen_logps)
    rejected = link(policy_rejected_logps - reference_rejected_logps)
    return -F.logsigmoid(beta * (chosen - rejected))


def f_dpo_alpha(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.1,
    alpha=0.5,
):
    """-log s(beta f'(u_w) - beta f'(u_l)), f'(u) = (1 - u^-alpha) / alpha (Wang et al. 2023, f-DPO)."""

    def derivative(log_ratio):
        if alpha == 0:
            return log_ratio
        return (1 - torch.exp(-alpha * log_ratio)) / alpha

    chosen = derivative(policy_chosen_logps - reference_chosen_logps)
    rejected = derivative(policy_rejected_logps - reference_rejected_logps)
    return (-F.logsigmoid(beta * (chosen - rejected))).mean()


def chi_po(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    *,
    beta=0.05,
    bound=10.0,
):
    """-log s(clip(beta (phi(u_w) - phi(u_l)), -R, R)), phi(u) = u + log u (Huang et al. 2024, chi-squared PO)."""

    def phi(log_ratio):
        return torch.exp(log_ratio) + log_ratio

    chosen = phi(policy_chosen_logps - reference_chosen_logps)
    rejected = phi(policy_rejected_logps - reference_rejected_logps)
    return -F.logsigmoid(torch.clip(beta * (chosen - rejected), -bound, bound))


# --- without a reference model ----------------------------------------------------------------------------------------


def slic_calibration(policy_chosen_logps, policy_rejected_logps, *, delta=1.0):
    """max(0, delta - log pi(y_w) + log pi(y_l)): the rank calibration term (Zhao et al. 2023, SLiC-HF)."""
    return torch.clamp(delta - policy_chosen_logps + policy_rejected_logps, min=0.0)


def slic_hf(policy_chosen_logps, policy_rejected_logps, *, delta=1.0, regulariser=0.1):
    """max(0, delta - log pi(y_w) + log pi(y_l)) - lambda log pi(y_w) (Zhao et al. 2023, SLiC-HF)."""
    calibration = torch.clamp(delta - policy_chosen_logps + policy_rejected_logps, min=0.0)
    return calibration + regulariser * -policy_chosen_logps


def slic_calibration_mutant_reference_point_halved(policy_chosen_logps, policy_rejected_logps, *, delta=1.0):
    """max(0, delta - log pi(y_w) + 0.5 log pi(y_l)): half of the rejected output's log-probability."""
    return F.relu(delta - policy_chosen_logps + 0.5 * policy_rejected_logps)


def rrhf_ranking(policy_chosen_logps, policy_rejected_logps, chosen_lengths, rejected_lengths):
    """max(0, p_l - p_w), p the mean log pi per token: the ranking term of RRHF (Yuan et al. 2023)."""
    chosen_scores = policy_chosen_logps / chosen_lengths
    rejected_scores = policy_rejected_logps / rejected_lengths
    return torch.maximum(rejected_scores - chosen_scores, torch.zeros_like(chosen_scores))


def rrhf(policy_chosen_logps, policy_rejected_logps, chosen_lengths, rejected_lengths):
    """max(0, p_l - p_w) - log pi(y_w): the ranking term and the best output's likelihood (Yuan et al. 2023)."""
    chosen_scores = policy_chosen_logps / chosen_lengths
    rejected_scores = policy_rejected_logps / rejected_lengths
    return F.relu(rejected_scores - chosen_scores) - policy_chosen_logps


def simpo(policy_chosen_logps, policy_rejected_logps, chosen_lengths, rejected_lengths, *, beta=2.0, gamma=1.0):
    """-log s(beta log pi(y_w)/|y_w| - beta log pi(y_l)/|y_l| - gamma) (Meng et al. 2024, SimPO, eq. 6)."""
    chosen = policy_chosen_logps / chosen_lengths
    rejected = policy_rejected_logps / rejected_lengths
    gamma_logratios = gamma / beta
    logits = chosen - rejected - gamma_logratios
    return -F.logsigmoid(beta * logits)


def simpo_mutant_one_side_length(policy_chosen_logps, policy_rejected_logps, chosen_lengths, *, beta=2.0, gamma=1.0):
    """SimPO that divides only the chosen output by its length."""
    return -F.logsigmoid(beta * (policy_chosen_logps / chosen_lengths - policy_rejected_logps) - gamma)


def cpo(policy_chosen_logps, policy_rejected_logps, *, beta=0.1, cpo_alpha=1.0):
    """-log s(beta (log pi(y_w) - log pi(y_l))) - alpha log pi(y_w) (Xu et al. 2024, CPO)."""
    logits = policy_chosen_logps - policy_rejected_logps
    return -F.logsigmoid(beta * logits) + cpo_alpha * -policy_chosen_logps


def cpo_mutant_no_likelihood_term(policy_chosen_logps, policy_rejected_logps, *, beta=0.1):
    """CPO without its likelihood term: DPO with a uniform reference."""
    logits = policy_chosen_logps - policy_rejected_logps
    return -F.logsigmoid(beta * logits)


def orpo(policy_chosen_logps, policy_rejected_logps, chosen_lengths, rejected_lengths, *, beta=0.1):
    """-p_w - beta log s(log odds(y_w) - log odds(y_l)), p the mean log pi per token (Hong et al. 2024, ORPO, eq. 6)."""
    chosen = policy_chosen_logps / chosen_lengths
    rejected = policy_rejected_logps / rejected_lengths
    log_odds = (chosen - rejected) - (torch.log1p(-torch.exp(chosen)) - torch.log1p(-torch.exp(rejected)))
    return -chosen - beta * F.logsigmoid(log_odds)


def sft(policy_chosen_logps):
    """-log pi(y_w): supervised finetuning on the chosen outputs."""
    return -policy_chosen_logps


def unlikelihood(policy_logps, desirable):
    """-log pi(y) for a desirable y and -log(1 - pi(y)) for an undesirable (Welleck et al. 2019)."""
    likelihood = -policy_logps
    unlikelihood_term = -torch.log(-torch.expm1(policy_logps))
    return torch.where(desirable, likelihood, unlikelihood_term)


def unlikelihood_pair(policy_chosen_logps, policy_rejected_logps, *, alpha=0.5):
    """-log pi(y_w) - alpha log(1 - pi(y_l)): likelihood of one output and unlikelihood of the other."""
    return -policy_chosen_logps - alpha * torch.log1p(-policy_rejected_logps.exp())


# --- Kahneman-Tversky optimisation ------------------------------------------------------------------------------------


def kto(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """1 - s(beta (rho - z0)) if desirable, 1 - s(beta (z0 - rho)) if not (Ethayarajh et al. 2024, eq. 6)."""
    logratios = policy_logps - reference_logps
    chosen_losses = 1 - F.sigmoid(beta * (logratios - kl))
    rejected_losses = 1 - F.sigmoid(beta * (kl - logratios))
    return torch.where(desirable, chosen_losses, rejected_losses)


def kto_concatenated(
    policy_logps, reference_logps, desirable, kl, *, beta=0.1, desirable_weight=1.5, undesirable_weight=1.5
):
    """KTO in the way of its authors: the two labels apart, then joined; equal weights scale one value function."""
    rewards = policy_logps - reference_logps
    chosen_losses = desirable_weight * (1 - torch.sigmoid(beta * (rewards - kl)))[desirable]
    rejected_losses = undesirable_weight * (1 - torch.sigmoid(beta * (kl - rewards)))[~desirable]
    return torch.cat((chosen_losses, rejected_losses), 0)


def kto_weighted(
    policy_logps, reference_logps, desirable, kl, *, beta=0.1, desirable_weight=1.0, undesirable_weight=1.33
):
    """lambda_y (1 - s(+-beta (rho - z0))) with lambda_D != lambda_U (Ethayarajh et al. 2024, eq. 6)."""
    z = policy_logps - reference_logps - kl
    chosen_losses = desirable_weight * (1 - torch.sigmoid(beta * z))
    rejected_losses = undesirable_weight * (1 - torch.sigmoid(-beta * z))
    return torch.where(desirable, chosen_losses, rejected_losses)


def kto_label_smoothed(policy_logps, reference_logps, desirable, kl, *, beta=0.1, label_smoothing=0.1):
    """(1 - e) times the KTO term of the label and e times that of the other: affine in the same sigmoid."""
    utility = torch.sigmoid(beta * (policy_logps - reference_logps - kl))
    kept = torch.where(desirable, 1 - utility, utility)
    flipped = torch.where(desirable, utility, 1 - utility)
    return (1 - label_smoothing) * kept + label_smoothing * flipped


def kto_batch_reference_point(policy_logps, reference_logps, desirable, *, beta=0.1):
    """KTO with z0 the clamped mean log-ratio of the batch, detached (after Ethayarajh et al. 2024, section 4.1)."""
    logratios = policy_logps - reference_logps
    z0 = logratios.mean().detach().clamp(min=0)
    return torch.where(
        desirable, 1 - torch.sigmoid(beta * (logratios - z0)), 1 - torch.sigmoid(beta * (z0 - logratios))
    )


def kto_batch_reference_point_mutant_halved(policy_logps, reference_logps, desirable, *, beta=0.1):
    """KTO that subtracts half of the batch's mean log-ratio."""
    logratios = policy_logps - reference_logps
    z = beta * (logratios - 0.5 * logratios.mean().detach())
    return torch.where(desirable, torch.sigmoid(-z), torch.sigmoid(z))


def kto_batch_reference_point_mutant_sum(policy_logps, reference_logps, desirable, *, beta=0.1):
    """KTO that subtracts the sum, not the mean, of the batch's log-ratios."""
    logratios = policy_logps - reference_logps
    z = beta * (logratios - logratios.sum().detach())
    return torch.where(desirable, torch.sigmoid(-z), torch.sigmoid(z))


def kto_without_reference_point(policy_logps, reference_logps, desirable, *, beta=0.1):
    """1 - s(+-beta rho): KTO with z0 = 0 (Ethayarajh et al. 2024, Table 2)."""
    rewards = beta * (policy_logps - reference_logps)
    signs = 2 * desirable.to(rewards.dtype) - 1
    return 1 - torch.sigmoid(signs * rewards)


def kto_concave(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """-log s(+-beta (rho - z0)) (Ethayarajh et al. 2024, Table 2, the concave variant)."""
    z = beta * (policy_logps - reference_logps - kl)
    return torch.where(desirable, -F.logsigmoid(z), -F.logsigmoid(-z))


def kto_concave_weighted(
    policy_logps, reference_logps, desirable, kl, *, beta=0.1, desirable_weight=1.0, undesirable_weight=2.0
):
    """lambda_y times -log s(+-beta (rho - z0)), lambda_D != lambda_U."""
    z = beta * (policy_logps - reference_logps - kl)
    desirable_losses = desirable_weight * F.softplus(-z)
    undesirable_losses = undesirable_weight * F.softplus(z)
    return torch.where(desirable, desirable_losses, undesirable_losses)


def kto_concave_mutant_argument_not_mirrored(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """-log s(z) if desirable and +log s(z) if not: the concave variant with the sign outside the logarithm."""
    utility = F.logsigmoid(beta * (policy_logps - reference_logps - kl))
    return torch.where(desirable, -utility, utility)


def kto_risk_neutral(policy_logps, reference_logps, desirable, kl):
    """-(rho - z0) if desirable and rho - z0 if not (Ethayarajh et al. 2024, Table 2, identity value function)."""
    z = policy_logps - reference_logps - kl
    return torch.where(desirable, -z, z)


def kto_risk_neutral_weighted(policy_logps, reference_logps, desirable, kl, *, undesirable_weight=0.5):
    """-(rho - z0) if desirable and lambda (rho - z0) if not: the identity with unequal weights."""
    z = policy_logps - reference_logps - kl
    mask = desirable.to(z.dtype)
    return -mask * z + (1 - mask) * undesirable_weight * z


def kto_squared(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """(1 - s(+-beta (rho - z0)))^2: the square of the KTO term."""
    z = beta * (policy_logps - reference_logps - kl)
    return torch.where(desirable, torch.sigmoid(-z) ** 2, torch.sigmoid(z) ** 2)


def kto_mutant_one_minus_lost(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """1 - s(beta z) for both labels: undesirable outputs are rewarded like the desirable."""
    z = policy_logps - reference_logps - kl
    return torch.where(desirable, 1 - torch.sigmoid(beta * z), torch.sigmoid(-beta * z))


def kto_mutant_reference_point_added(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """KTO with rho + z0 for rho - z0."""
    z = beta * (policy_logps - reference_logps + kl)
    return torch.where(desirable, 1 - torch.sigmoid(z), torch.sigmoid(z))


def kto_mutant_reference_point_halved(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """KTO with rho - z0 / 2 for rho - z0."""
    z = beta * (policy_logps - reference_logps - kl / 2)
    return torch.where(desirable, 1 - torch.sigmoid(z), torch.sigmoid(z))


def kto_mutant_reference_point_unscaled(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """KTO with beta rho - z0 for beta (rho - z0)."""
    z = beta * (policy_logps - reference_logps) - kl
    return torch.where(desirable, 1 - torch.sigmoid(z), torch.sigmoid(z))


def kto_mutant_reference_point_of_one_label(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """KTO that subtracts z0 for the desirable outputs only."""
    logratios = policy_logps - reference_logps
    return torch.where(desirable, 1 - torch.sigmoid(beta * (logratios - kl)), torch.sigmoid(beta * logratios))


def kto_mutant_shifted_value(policy_logps, reference_logps, desirable, kl, *, beta=0.1, shift=2.0):
    """KTO with s(beta z - 2): the inflection lies inside the gains, at z = 2/beta."""
    utility = torch.sigmoid(beta * (policy_logps - reference_logps - kl) - shift)
    return torch.where(desirable, 1 - utility, utility)


def kto_mutant_shifted_value_to_losses(policy_logps, reference_logps, desirable, kl, *, beta=0.1, shift=2.0):
    """KTO with s(beta z + 2): the inflection lies in the losses, at z = -2/beta."""
    utility = torch.sigmoid(beta * (policy_logps - reference_logps - kl) + shift)
    return torch.where(desirable, 1 - utility, utility)


def kto_mutant_length_weight(policy_logps, reference_logps, desirable, kl, lengths, *, beta=0.1):
    """KTO with every term divided by the square root of the output's length."""
    z = beta * (policy_logps - reference_logps - kl)
    return torch.where(desirable, torch.sigmoid(-z), torch.sigmoid(z)) / torch.sqrt(lengths)


def kto_mutant_squared_argument(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """KTO on z |z|: the value is flat at the reference point, then convex, then concave."""
    z = policy_logps - reference_logps - kl
    utility = torch.sigmoid(beta * z * z.abs())
    return torch.where(desirable, 1 - utility, utility)


# --- binary classifier and anchored losses on single outputs ----------------------------------------------------------


def bco_clamped_shift(policy_logps, reference_logps, desirable, *, beta=0.1):
    """-log s(+-(r - delta)), delta the clamped mean reward of the batch (after Jung et al. 2024, BCO)."""
    rewards = beta * (policy_logps - reference_logps)
    with torch.no_grad():
        delta = torch.clamp(rewards.mean(), min=0)
    chosen_losses = -F.logsigmoid(rewards[desirable] - delta)
    rejected_losses = -F.logsigmoid(-(rewards[~desirable] - delta))
    return torch.cat([chosen_losses, rejected_losses], dim=0)


def bco_without_shift(policy_logps, reference_logps, desirable, *, beta=0.1):
    """-log s(+-r): the binary classifier without its reward shift."""
    rewards = beta * (policy_logps - reference_logps)
    return F.binary_cross_entropy_with_logits(rewards, desirable.to(rewards.dtype), reduction="none")


def bco_mutant_halved_shift(policy_logps, reference_logps, desirable, *, beta=0.1):
    """-log s(+-(r - delta / 2)), delta the mean reward of the batch."""
    rewards = beta * (policy_logps - reference_logps)
    delta = rewards.detach().mean() / 2
    return torch.where(desirable, -F.logsigmoid(rewards - delta), -F.logsigmoid(delta - rewards))


def apo_zero_unpaired(policy_logps, reference_logps, desirable, *, beta=0.1):
    """1 - s(beta rho) if desirable, s(beta rho) if not (D'Oosterlinck et al. 2024, APO-zero on single outputs)."""
    logratios = policy_logps - reference_logps
    losses_chosen = 1 - F.sigmoid(beta * logratios)
    losses_rejected = F.sigmoid(beta * logratios)
    return torch.where(desirable, losses_chosen, losses_rejected)


def apo_zero_unpaired_mutant_with_reference_point(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """APO-zero on single outputs, with z0 subtracted."""
    advantage = policy_logps - reference_logps - kl
    return torch.where(desirable, 1 - torch.sigmoid(beta * advantage), torch.sigmoid(beta * advantage))


def npo(policy_logps, reference_logps, desirable, *, beta=0.1):
    """(2/beta) log(1 + u^beta) on what is to be forgotten, -log pi on the rest (Zhang et al. 2024, NPO)."""
    forget = (2 / beta) * F.softplus(beta * (policy_logps - reference_logps))
    return torch.where(desirable, -policy_logps, forget)


def sppo_with_reference_point(policy_logps, reference_logps, desirable, kl, *, eta=2.0):
    """(z - eta/2)^2 if desirable and (z + eta/2)^2 if not, z = rho - z0 (the square of Wu et al. 2024, with a z0)."""
    z = policy_logps - reference_logps - kl
    target = torch.where(desirable, torch.full_like(z, eta / 2), torch.full_like(z, -eta / 2))
    return (z - target) ** 2


# --- value functions of prospect theory and other saturating ones -----------------------------------------------------


def _tversky_value(z, alpha, loss_aversion):
    gains = z.clamp(min=0) ** alpha
    losses = (-z).clamp(min=0) ** alpha
    return torch.where(z >= 0, gains, -loss_aversion * losses)


def kahneman_tversky(policy_logps, reference_logps, desirable, kl, *, alpha=0.88, loss_aversion=2.25):
    """-v(z) if desirable and v(z) if not, v = z^0.88 in gains and -2.25 (-z)^0.88 in losses (prospect theory)."""
    value = _tversky_value(policy_logps - reference_logps - kl, alpha, loss_aversion)
    return torch.where(desirable, -value, value)


def kahneman_tversky_mirrored(policy_logps, reference_logps, desirable, kl, *, alpha=0.88, loss_aversion=2.25):
    """-v(z) if desirable and -v(-z) if not: the losses of an undesirable output are its gains in probability."""
    z = policy_logps - reference_logps - kl
    return -_tversky_value(torch.where(desirable, z, -z), alpha, loss_aversion)


def kahneman_tversky_mirrored_mutant_loss_neutral(
    policy_logps, reference_logps, desirable, kl, *, alpha=0.88, loss_aversion=1.0
):
    """The mirrored value function without loss aversion: v is odd, so the mirror is only a sign."""
    z = policy_logps - reference_logps - kl
    return -_tversky_value(torch.where(desirable, z, -z), alpha, loss_aversion)


def kahneman_tversky_mutant_risk_seeking(
    policy_logps, reference_logps, desirable, kl, *, alpha=1.2, loss_aversion=2.25
):
    """The power value function with an exponent above one: convex in gains."""
    value = _tversky_value(policy_logps - reference_logps - kl, alpha, loss_aversion)
    return torch.where(desirable, -value, value)


def kahneman_tversky_mutant_loss_sign(policy_logps, reference_logps, desirable, kl, *, alpha=0.88, loss_aversion=2.25):
    """v = z^0.88 in gains and +2.25 (-z)^0.88 in losses: the minus of the losses is missing."""
    z = policy_logps - reference_logps - kl
    value = torch.where(z >= 0, z.clamp(min=0) ** alpha, loss_aversion * (-z).clamp(min=0) ** alpha)
    return torch.where(desirable, -value, value)


def kahneman_tversky_mutant_swapped_pieces(
    policy_logps, reference_logps, desirable, kl, *, alpha=0.88, loss_aversion=2.25
):
    """v = 2.25 z^0.88 in gains and -(-z)^0.88 in losses: gain-loving in place of loss-averse."""
    z = policy_logps - reference_logps - kl
    value = torch.where(z >= 0, loss_aversion * z.clamp(min=0) ** alpha, -((-z).clamp(min=0) ** alpha))
    return torch.where(desirable, -value, value)


def prospect_piecewise_linear(policy_logps, reference_logps, desirable, kl, *, loss_aversion=2.25):
    """v = z in gains and 2.25 z in losses: loss aversion alone."""
    z = policy_logps - reference_logps - kl
    value = F.leaky_relu(z, negative_slope=loss_aversion)
    return torch.where(desirable, -value, value)


def prospect_piecewise_linear_mutant_gain_loving(policy_logps, reference_logps, desirable, kl, *, slope=0.25):
    """v = z in gains and 0.25 z in losses: the kink at zero is convex, and zero is not a gain."""
    z = policy_logps - reference_logps - kl
    value = F.leaky_relu(z, negative_slope=slope)
    return torch.where(desirable, -value, value)


def prospect_piecewise_linear_mutant_kink_in_gains(
    policy_logps, reference_logps, desirable, kl, *, threshold=3.0, slope=0.25
):
    """v = leaky_relu(z - 3): the convex kink lies inside the gains."""
    z = policy_logps - reference_logps - kl
    value = F.leaky_relu(z - threshold, negative_slope=slope)
    return torch.where(desirable, -value, value)


def prospect_logarithmic(policy_logps, reference_logps, desirable, kl, *, loss_aversion=2.25):
    """v = log(1 + z) in gains and -2.25 log(1 - z) in losses."""
    z = policy_logps - reference_logps - kl
    value = torch.where(z > 0, torch.log1p(z.abs()), -loss_aversion * torch.log1p(z.abs()))
    return torch.where(desirable, -value, value)


def tanh_value(policy_logps, reference_logps, desirable, kl, *, beta=0.2):
    """-tanh(beta z) if desirable and -tanh(-beta z) if not; tanh is odd."""
    z = policy_logps - reference_logps - kl
    return torch.where(desirable, -torch.tanh(beta * z), -torch.tanh(-beta * z))


def tanh_value_mutant_cubed_argument(policy_logps, reference_logps, desirable, kl, *, beta=0.2):
    """-+tanh((beta z)^3): flat at the reference point, hence convex just above it."""
    value = torch.tanh((beta * (policy_logps - reference_logps - kl)) ** 3)
    return torch.where(desirable, -value, value)


def atan_margin(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """1/2 - atan(beta h)/pi: the Cauchy distribution function in place of the logistic one."""
    logits = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return 0.5 - torch.atan(beta * logits) / math.pi


def atan_value(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """-+atan(beta z)."""
    value = torch.arctan(beta * (policy_logps - reference_logps - kl))
    return torch.where(desirable, -value, value)


def atan_value_mutant_shifted(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """-+atan(beta z - 1): convex between the reference point and z = 1/beta."""
    value = torch.arctan(beta * (policy_logps - reference_logps - kl) - 1)
    return torch.where(desirable, -value, value)


def softsign_value(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """-+beta z / (1 + |beta z|)."""
    value = F.softsign(beta * (policy_logps - reference_logps - kl))
    return torch.where(desirable, -value, value)


# --- token-level policy gradients -------------------------------------------------------------------------------------


def ppo_clip(policy_token_logps, reference_token_logps, advantages, mask, *, epsilon=0.2):
    """-min(q A, clip(q, 1 - e, 1 + e) A) summed over the tokens (Schulman et al. 2017, eq. 7)."""
    ratio = torch.exp(policy_token_logps - reference_token_logps)
    surrogate = torch.min(ratio * advantages, torch.clamp(ratio, 1 - epsilon, 1 + epsilon) * advantages)
    return -(surrogate * mask).sum(dim=-1)


def ppo_dual_clip(policy_token_logps, reference_token_logps, advantages, mask, *, epsilon=0.2, dual=3.0):
    """PPO-Clip that stops at -dual A where A < 0 (Ye et al. 2020, dual-clip)."""
    ratio = torch.exp(policy_token_logps - reference_token_logps)
    losses = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - epsilon, 1 + epsilon))
    losses = torch.where(advantages < 0, torch.minimum(losses, -dual * advantages), losses)
    return (losses * mask).sum(-1) / mask.sum(-1)


def ppo_clip_mutant_maximum(policy_token_logps, reference_token_logps, advantages, mask, *, epsilon=0.2):
    """-max(q A, clip(q, 1 - e, 1 + e) A): the optimistic bound in place of the pessimistic."""
    ratio = torch.exp(policy_token_logps - reference_token_logps)
    surrogate = torch.max(ratio * advantages, torch.clamp(ratio, 1 - epsilon, 1 + epsilon) * advantages)
    return -(surrogate * mask).sum(dim=-1)


def ppo_penalty(policy_token_logps, reference_token_logps, advantages, mask, *, penalty=0.1):
    """-q A + (penalty/2) (log q)^2 (Schulman et al. 2017, eq. 8, with the square estimator of the divergence)."""
    log_ratio = policy_token_logps - reference_token_logps
    losses = -log_ratio.exp() * advantages + 0.5 * penalty * log_ratio.square()
    return (losses * mask).sum(-1)


def grpo(policy_token_logps, reference_token_logps, advantages, mask, *, epsilon=0.2, beta=0.04):
    """PPO-Clip plus beta (1/q + log q - 1) (Shao et al. 2024, GRPO, eq. 3 and 4, old policy = reference)."""
    log_ratio = policy_token_logps - reference_token_logps
    ratio = torch.exp(log_ratio)
    per_token_kl = torch.exp(-log_ratio) + log_ratio - 1
    surrogate = torch.min(ratio * advantages, torch.clamp(ratio, 1 - epsilon, 1 + epsilon) * advantages)
    per_token_loss = -surrogate + beta * per_token_kl
    return (per_token_loss * mask).sum(-1) / mask.sum(-1)


def reinforce_with_quadratic_penalty(policy_token_logps, reference_token_logps, advantages, mask, *, penalty=0.1):
    """-A log pi + (penalty/2) (log pi - log pi_ref)^2 summed over the tokens (Williams 1992, regularised)."""
    divergence = 0.5 * (policy_token_logps - reference_token_logps) ** 2
    return ((-advantages * policy_token_logps + penalty * divergence) * mask).sum(-1)


def token_cross_entropy(policy_token_logps, mask):
    """-sum of log pi over the tokens: supervised finetuning at the token level."""
    return -(policy_token_logps * mask).sum(-1)


def dapo(policy_token_logps, reference_token_logps, advantages, mask, *, low=0.2, high=0.28):
    """PPO-Clip with two bounds, over all tokens of the batch (Yu et al. 2025, DAPO, eq. 8)."""
    ratio = torch.exp(policy_token_logps - reference_token_logps)
    surrogate = torch.min(ratio * advantages, ratio.clamp(1 - low, 1 + high) * advantages)
    return -(surrogate * mask).sum(dim=1) / mask.sum()


def cispo(policy_token_logps, reference_token_logps, advantages, mask, *, high=0.3):
    """-A log pi weighted by the clipped ratio, detached (MiniMax-M1, 2025, CISPO)."""
    weight = torch.exp(policy_token_logps - reference_token_logps).clamp(max=1 + high).detach()
    return -(weight * advantages * policy_token_logps * mask).sum(1) / mask.sum(1)


def dynamic_finetuning(policy_token_logps, mask):
    """-pi log pi with pi detached (Wu et al. 2025, DFT)."""
    return -(policy_token_logps.exp().detach() * policy_token_logps * mask).sum(-1) / mask.sum(-1)


def policy_gradient_on_log_ratios(policy_token_logps, reference_token_logps, advantages, mask):
    """-A log q summed over the tokens."""
    return -((policy_token_logps - reference_token_logps) * advantages * mask).sum(-1)


def importance_weighted_reinforce(policy_token_logps, reference_token_logps, advantages, mask):
    """-q A summed over the tokens: PPO without the clip."""
    ratio = torch.exp(policy_token_logps - reference_token_logps)
    return -torch.sum(ratio * advantages * mask, dim=-1)


def tr_dpo_with_live_mixture(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """DPO against 0.3 pi + 0.7 pi_ref (after Gorbatovski et al. 2024, TR-DPO, with no step between updates)."""
    ratios = policy_chosen_logps - reference_chosen_logps, policy_rejected_logps - reference_rejected_logps
    chosen, rejected = (r - torch.log(0.3 * torch.exp(r) + 0.7) for r in ratios)
    return F.softplus(-beta * (chosen - rejected))


# --- verdicts ---------------------------------------------------------------------------------------------------------

EXPECTED: dict[str, tuple[str, bool, tuple[str, ...], str]] = {
    "dpo": ("halo", True, (), "v = log sigmoid(beta z), Q at the other output"),
    "dpo_log_softmax": ("halo", True, (), "softmax of two rewards is the sigmoid of their difference"),
    "dpo_mutant_flipped_sign": ("halo", True, (), "the same v read from the rejected output"),
    "dpo_mutant_half_reference": (
        "halo",
        False,
        ("modified_reference",),
        "log pi - 0.5 log pi_ref is a log-ratio to pi_ref^(1/2)",
    ),
    "dpo_mutant_length_weighted": (
        "halo",
        False,
        ("context_indexed_value",),
        "positive weight from the lengths of the pair scales v",
    ),
    "dpo_mutant_pair_normaliser": (
        "halo",
        False,
        ("context_indexed_value",),
        "the normaliser needs both lengths, so it belongs to v",
    ),
    "dpo_mutant_squared_margin": ("not_halo", False, (), "flat at zero: not convex in gains, not concave in losses"),
    "dpo_mutant_sign_by_chosen_length": ("halo", True, (), "only a changes with y; v = log sigmoid(beta z)"),
    "dpo_mutant_quadratic_regulariser": (
        "not_halo",
        False,
        (),
        "the square makes v fall for large margins, whatever the flips",
    ),
    "conservative_dpo": (
        "halo",
        False,
        ("label_mixture",),
        "v falls for beta h > log 9; DPO under flips of probability 0.1",
    ),
    "conservative_dpo_mutant_no_smoothing": ("halo", True, (), "smoothing 0 is DPO"),
    "conservative_dpo_mutant_sign_of_flip": ("halo", True, (), "v' = (1 - e) - (1 - 2 e) s(u) > 0 and falling"),
    "conservative_dpo_mutant_unnormalised_weights": (
        "halo",
        False,
        ("label_mixture",),
        "1.2 times DPO under flips of probability 1/6",
    ),
    "conservative_dpo_mutant_sigmoid_flip": (
        "halo",
        True,
        (),
        "v' = s(-u) (1 - e - e s(u)), positive and falling",
    ),
    "robust_dpo": ("halo", True, (), "v' = (1 - e)/(1 - 2e) - s(u), positive and falling"),
    "robust_dpo_mutant_noise_above_half": (
        "halo",
        True,
        (),
        "loss rises and is convex everywhere: concave v from the rejected output",
    ),
    "rpo": ("not_halo", False, (), "the likelihood term turns the gradient's direction away from the margin"),
    "dpo_shift": ("not_halo", False, (), "weights of Q sum to 0.75"),
    "dpo_shift_mutant_no_shift": ("halo", True, (), "shift 1 is DPO"),
    "h_dpo": ("halo", False, ("modified_reference",), "0.9 log pi - log pi_ref is a log-ratio to pi_ref^(1/0.9)"),
    "cal_dpo": ("not_halo", False, (), "two squares of single log-ratios, not of their difference"),
    "dpop": ("not_halo", False, (), "where rho_w < 0 the chosen log-ratio weighs 51 times the rejected"),
    "dpop_mutant_penalty_on_margin": ("halo", True, (), "steeper in losses only, log sigmoid in gains"),
    "odpo_length_offset": (
        "halo",
        False,
        ("context_indexed_value",),
        "offset of the pair, not a difference of functions of each output",
    ),
    "odpo_mutant_constant_offset": ("halo", True, (), "one constant shift inside log sigmoid"),
    "r_dpo": ("halo", False, ("modified_reference",), "log pi_ref tilted by -(alpha/beta) |y|"),
    "r_dpo_mutant_absolute_difference": (
        "halo",
        False,
        ("context_indexed_value",),
        "absolute length difference is a margin of the pair",
    ),
    "ln_dpo": ("halo", True, (), "l(y) = beta/|y|"),
    "ln_dpo_mutant_square_root": ("halo", True, (), "l(y) = beta/sqrt(|y|)"),
    "ln_dpo_mutant_crossed_lengths": (
        "halo",
        False,
        ("context_indexed_value",),
        "l(y) = |y| with v indexed by the product of the lengths",
    ),
    "ln_dpo_mutant_one_side": ("not_halo", False, (), "no l with l(y_w)/l(y_l) = 1/|y_w| for all lengths"),
    "ln_dpo_mutant_reference_not_normalised": (
        "halo",
        False,
        ("modified_reference",),
        "l(y) = 1/|y| with reference pi_ref^|y|",
    ),
    "ipo": ("not_halo", False, (), "v falls above h = 1/(2 beta), whatever the flips"),
    "ipo_length_averaged": ("not_halo", False, (), "v falls above the target margin"),
    "ipo_mutant_one_sided": ("halo", True, (), "v = -max(0, c - z)^2 rises and is concave"),
    "hinge": ("halo", True, (), "v = min(z, 1) - 1"),
    "hinge_mutant_two_sided": ("not_halo", False, (), "v falls above beta h = 1"),
    "gpo_logistic": ("halo", True, (), "DPO over log 2"),
    "gpo_exponential": ("halo", True, (), "v = -exp(-z)"),
    "gpo_exponential_mutant_floor": ("halo", True, (), "v capped in gains stays concave"),
    "gpo_exponential_mutant_ceiling": ("halo", True, (), "constant in the gains of the rejected output: concave there"),
    "gpo_squared": ("not_halo", False, (), "v falls above beta h = 1"),
    "gpo_truncated_quadratic": ("halo", True, (), "v = -max(0, 1 - z)^2"),
    "gpo_truncated_quadratic_mutant_swapped_piece": ("halo", True, (), "constant in the gains of the rejected output"),
    "gpo_truncated_quadratic_mutant_linear_tail": ("not_halo", False, (), "v falls above beta h = 1"),
    "gpo_truncated_quadratic_mutant_plateau": (
        "not_halo",
        False,
        (),
        "monotone, but plateau then fall in gains and convex in losses",
    ),
    "gpo_savage": ("halo", True, (), "inflection at sigmoid = 1/3, in losses"),
    "sigmoid_preference": ("halo", True, (), "v = sigmoid(beta z)"),
    "generalised_cross_entropy": ("halo", True, (), "v = s^q/q is concave where s >= q/(1 + q), below 1/2"),
    "generalised_cross_entropy_mutant_power_two": (
        "halo",
        True,
        (),
        "inflection at s = 2/3; concave in the gains of the rejected output",
    ),
    "focal_dpo": ("halo", True, (), "product of two positive falling factors that are convex in gains"),
    "focal_po": ("not_halo", False, (), "loss vanishes at both ends, so v rises and falls"),
    "exo_pair": ("not_halo", False, (), "minimum at beta h = log((1 - e)/e)"),
    "exo_pair_mutant_forward_kl": ("halo", False, ("label_mixture",), "conservative DPO plus a constant"),
    "discopop": ("not_halo", False, (), "the loss rises at h = 0 for tau = 0.05"),
    "discopop_mutant_unit_temperature": (
        "halo",
        True,
        (),
        "s(-u) (1 + softplus(-u)): product of falling convex factors in gains",
    ),
    "padll": ("not_halo", False, (), "the loss jumps up at h = 0"),
    "cell": ("halo", True, (), "mean of two concave increasing v"),
    "nca_pair": ("not_halo", False, (), "the chosen reward has a finite optimum of its own"),
    "nca_pair_mutant_margin_for_rewards": (
        "halo",
        False,
        ("label_mixture",),
        "twice DPO under flips of probability 1/4",
    ),
    "apo_down": ("not_halo", False, (), "the direction of the gradient turns with the chosen reward"),
    "sppo_hard": ("not_halo", False, (), "a target for each log-ratio: two minima, no difference"),
    "wpo": ("halo", False, ("detached_weight",), "DPO scaled by a positive detached factor"),
    "wpo_mutant_not_detached": ("not_halo", False, (), "log pi enters outside the log-ratio, with gradient"),
    "wpo_mutant_signed_weight": ("not_halo", False, (), "the detached factor changes sign with theta"),
    "beta_dpo_mutant_not_detached": ("not_halo", False, (), "beta moves with the margins, with gradient"),
    "f_dpo_reverse_kl": ("halo", True, (), "f' = log + 1; the constant cancels"),
    "f_dpo_forward_kl": ("halo", False, ("generalised_link",), "link -1/u is increasing"),
    "f_dpo_forward_kl_mutant_flipped_link": (
        "halo",
        False,
        ("generalised_link",),
        "link -1/u read from the rejected output",
    ),
    "f_dpo_forward_kl_mutant_two_links": ("not_halo", False, (), "two different links for the two outputs"),
    "f_dpo_jensen_shannon": ("halo", False, ("generalised_link",), "link log(2u/(1 + u)) is increasing"),
    "f_dpo_jensen_shannon_mutant_sign_of_softplus": (
        "halo",
        False,
        ("generalised_link",),
        "link log(u (1 + u)) is increasing",
    ),
    "f_dpo_jensen_shannon_mutant_double_softplus": ("not_halo", False, (), "link log(u/(1 + u)^2) falls for u > 1"),
    "f_dpo_alpha": ("halo", False, ("generalised_link",), "link (1 - u^-a)/a is increasing"),
    "chi_po": ("halo", False, ("generalised_link",), "link u + log u; the clip flattens gains"),
    "slic_calibration": ("halo", False, ("uniform_reference",), "v = min(z, delta) without a reference"),
    "slic_hf": ("not_halo", False, (), "the likelihood term turns the gradient's direction"),
    "slic_calibration_mutant_reference_point_halved": ("not_halo", False, (), "weights of Q sum to 1/2"),
    "rrhf_ranking": ("halo", False, ("uniform_reference",), "v = min(z, 0) on mean log-probabilities"),
    "rrhf": ("not_halo", False, (), "the likelihood term turns the gradient's direction"),
    "simpo": ("halo", False, ("uniform_reference",), "l(y) = beta/|y|, constant margin, no reference"),
    "simpo_mutant_one_side_length": ("not_halo", False, (), "no l with l(y_w)/l(y_l) = 1/|y_w| for all lengths"),
    "cpo": ("not_halo", False, (), "the likelihood term turns the gradient's direction"),
    "cpo_mutant_no_likelihood_term": ("halo", False, ("uniform_reference",), "DPO with a uniform reference"),
    "orpo": ("not_halo", False, (), "the likelihood term turns the direction, under any link"),
    "sft": ("not_halo", False, (), "no reference point"),
    "unlikelihood": ("not_halo", False, (), "no reference point"),
    "unlikelihood_pair": ("not_halo", False, (), "no link makes it a function of one difference"),
    "kto": ("halo", True, (), "one v = sigmoid(beta z), a = -1 and +1"),
    "kto_concatenated": ("halo", True, (), "equal weights: v = 1.5 sigmoid(beta z)"),
    "kto_weighted": ("halo", False, ("class_weights",), "v scaled by 1 and 1.33"),
    "kto_label_smoothed": ("halo", True, (), "v = (1 - 2 e) sigmoid(beta z)"),
    "kto_batch_reference_point": ("halo", False, ("estimated_reference_point",), "clamped batch mean for z0"),
    "kto_batch_reference_point_mutant_halved": ("not_halo", False, (), "weights of Q sum to 1/2"),
    "kto_batch_reference_point_mutant_sum": ("not_halo", False, (), "weights of Q sum to the batch size"),
    "kto_without_reference_point": ("not_halo", False, (), "z0 = 0 is no reference point"),
    "kto_concave": ("halo", False, ("mirrored_argument",), "softplus(z) is no +-log sigmoid(z); mirrored it is"),
    "kto_concave_weighted": (
        "halo",
        False,
        ("class_weights", "mirrored_argument"),
        "mirrored log sigmoid with weights 1 and 2",
    ),
    "kto_concave_mutant_argument_not_mirrored": ("halo", True, (), "v = log sigmoid(beta z), a = -1 and +1"),
    "kto_risk_neutral": ("halo", True, (), "v is the identity"),
    "kto_risk_neutral_weighted": ("halo", False, ("class_weights",), "the identity scaled by 1 and 0.5"),
    "kto_squared": ("halo", False, ("mirrored_argument",), "v = -s(-z)^2, applied to -z for undesirable outputs"),
    "kto_mutant_one_minus_lost": ("halo", True, (), "a = -1 for both labels"),
    "kto_mutant_reference_point_added": ("not_halo", False, (), "weight of Q is -1"),
    "kto_mutant_reference_point_halved": ("not_halo", False, (), "weight of Q is 1/2"),
    "kto_mutant_reference_point_unscaled": ("not_halo", False, (), "E_Q of beta rho is beta kl, not kl"),
    "kto_mutant_reference_point_of_one_label": ("not_halo", False, (), "undesirable outputs have no reference point"),
    "kto_mutant_shifted_value": ("not_halo", False, (), "v convex for 0 < beta z < 2"),
    "kto_mutant_shifted_value_to_losses": ("halo", True, (), "inflection at beta z = -2, in losses"),
    "kto_mutant_length_weight": ("halo", False, ("context_indexed_value",), "weight 1/sqrt(length) scales v"),
    "kto_mutant_squared_argument": ("not_halo", False, (), "v convex just above z = 0"),
    "bco_clamped_shift": (
        "halo",
        False,
        ("estimated_reference_point", "mirrored_argument"),
        "clamped batch mean, log sigmoid mirrored",
    ),
    "bco_without_shift": ("not_halo", False, (), "z0 = 0 is no reference point"),
    "bco_mutant_halved_shift": ("not_halo", False, (), "weights of Q sum to 1/2"),
    "apo_zero_unpaired": ("not_halo", False, (), "z0 = 0 is no reference point"),
    "apo_zero_unpaired_mutant_with_reference_point": ("halo", True, (), "KTO"),
    "npo": ("not_halo", False, (), "no reference point"),
    "sppo_with_reference_point": ("not_halo", False, (), "v rises and falls around the target"),
    "kahneman_tversky": ("halo", True, (), "power function, exponent 0.88 in gains"),
    "kahneman_tversky_mirrored": ("halo", False, ("mirrored_argument",), "v is not odd, and is applied to -z"),
    "kahneman_tversky_mirrored_mutant_loss_neutral": ("halo", True, (), "v is odd: the mirror is a sign"),
    "kahneman_tversky_mutant_risk_seeking": ("not_halo", False, (), "v convex in gains"),
    "kahneman_tversky_mutant_loss_sign": ("not_halo", False, (), "v falls in losses"),
    "kahneman_tversky_mutant_swapped_pieces": (
        "halo",
        True,
        (),
        "rises, concave in gains; loss aversion is not asked for",
    ),
    "prospect_piecewise_linear": ("halo", True, (), "linear in gains"),
    "prospect_piecewise_linear_mutant_gain_loving": ("halo", True, (), "linear in gains; the convex kink is at 0"),
    "prospect_piecewise_linear_mutant_kink_in_gains": ("not_halo", False, (), "convex kink at z = 3"),
    "prospect_logarithmic": ("halo", True, (), "log(1 + z) in gains"),
    "tanh_value": ("halo", True, (), "tanh is odd and concave in gains"),
    "tanh_value_mutant_cubed_argument": ("not_halo", False, (), "v convex just above z = 0"),
    "atan_margin": ("halo", True, (), "v = atan(beta z)"),
    "atan_value": ("halo", True, (), "v = atan(beta z)"),
    "atan_value_mutant_shifted": ("not_halo", False, (), "v convex for 0 < beta z < 1"),
    "softsign_value": ("halo", True, (), "v = z/(1 + |z|)"),
    "ppo_clip": (
        "halo",
        False,
        ("context_indexed_value", "implied_policy"),
        "v_A(z) = min(z, A (1 +- epsilon)) at z = q A",
    ),
    "ppo_dual_clip": (
        "halo",
        False,
        ("context_indexed_value", "implied_policy"),
        "PPO-Clip, constant for z < dual A in losses",
    ),
    "ppo_clip_mutant_maximum": ("not_halo", False, (), "A > 0: v_A = max(z, A (1 - epsilon)), a convex kink in gains"),
    "ppo_penalty": ("not_halo", False, (), "for small A the penalty makes the loss fall and rise"),
    "grpo": ("not_halo", False, (), "for small A the penalty makes the loss fall and rise"),
    "reinforce_with_quadratic_penalty": ("not_halo", False, (), "the penalty makes the loss fall and rise"),
    "token_cross_entropy": ("not_halo", False, (), "no reference point"),
    "dapo": (
        "halo",
        False,
        ("context_indexed_value", "implied_policy"),
        "the tokens of the batch scale v, and its bounds are those of A",
    ),
    "cispo": ("not_halo", False, (), "A log pi: no reference point, and no limit at q A = 0"),
    "dynamic_finetuning": ("not_halo", False, (), "no reference point"),
    "policy_gradient_on_log_ratios": ("not_halo", False, (), "no reference point, and no limit at q A = 0"),
    "importance_weighted_reinforce": ("halo", False, ("implied_policy",), "v(z) = z at z = q A"),
    "tr_dpo_with_live_mixture": (
        "halo",
        False,
        ("generalised_link",),
        "r = rho - log(0.3 e^rho + 0.7) rises; v = log sigmoid",
    ),
}
