"""Losses made to fool a checker that traces, rewrites, solves and bounds, each with a verdict derived by hand."""

import math

import torch
import torch.nn.functional as F  # noqa: N812


def _log_ratio(policy, reference):
    return policy - reference


def _margin(policy_chosen, policy_rejected, reference_chosen, reference_rejected):
    return (policy_chosen - reference_chosen) - (policy_rejected - reference_rejected)


def _by_label(value, desirable):
    """The loss -v for desirable outputs, +v for undesirable ones."""
    return torch.where(desirable, -value, value)


def _triangle(z, centre, half_width=5e-4):
    return torch.relu(half_width - (z - centre).abs())


def _softsign_with_step(z, centre):
    return z / (1 + z.abs()) + 1e-3 * torch.sigmoid((z - centre) / 1e-3)


def _gompertz(z, rate):
    return torch.exp(-rate * torch.exp(-z))


# --- narrow features far out -----------------------------------------------------------------------------------


def dpo_with_triangle_at_37(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """softplus(-h) + relu(5e-4 - |h - 37|): DPO with a dip of width 1e-3."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return F.softplus(-h) + _triangle(h, 37)


def softsign_with_gaussian_dip_at_1234(policy_logps, reference_logps, desirable, kl):
    """v = z/(1+|z|) - 1e-6 exp(-((z - 1234.5)/1e-3)^2): a dip steeper than softsign's slope there."""
    z = policy_logps - reference_logps - kl
    dip = 1e-6 * torch.exp(-(((z - 1234.5) / 1e-3) ** 2))
    return _by_label(F.softsign(z) - dip, desirable)


def sigmoid_with_rational_dip_at_minus_800(policy_logps, reference_logps, desirable, kl):
    """v = sigmoid(z) - 1e-4/(1 + ((z + 800)/1e-3)^2): a Lorentzian dip in the losses."""
    z = _log_ratio(policy_logps, reference_logps) - kl
    value = z.sigmoid() - 1e-4 / (1 + torch.square((z + 800) * 1000))
    return torch.where(desirable, 1 - value, value)


def logsigmoid_with_gentle_triangle_in_losses(policy_logps, reference_logps, desirable, kl):
    """v = log sigmoid(z) + 0.5 relu(5e-4 - |z + 800|): the slope there stays above 0.49."""
    z = policy_logps - reference_logps - kl
    return _by_label(F.logsigmoid(z) + 0.5 * _triangle(z, -800), desirable)


def logsigmoid_with_steep_triangle_in_losses(policy_logps, reference_logps, desirable, kl):
    """v = log sigmoid(z) + 2 relu(5e-4 - |z + 800|): the slope there falls to -1."""
    z = policy_logps - reference_logps - kl
    return _by_label(F.logsigmoid(z) + 2.0 * _triangle(z, -800), desirable)


def softsign_with_step_at_37(policy_logps, reference_logps, desirable, kl):
    """v = z/(1+|z|) + 1e-3 sigmoid((z - 37)/1e-3): rises everywhere, convex just below 37."""
    return _by_label(_softsign_with_step(policy_logps - reference_logps - kl, 37.0), desirable)


def paired_softsign_with_step_at_37(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """-v(h), v = h/(1+|h|) + 1e-3 sigmoid((h - 37)/1e-3): v is convex on h < 0, so y_l may be read as y."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -_softsign_with_step(h, 37.0)


def softsign_with_step_at_minus_800(policy_logps, reference_logps, desirable, kl):
    """v = z/(1+|z|) + 1e-3 sigmoid((z + 800)/1e-3): the step lies in the losses, where shape is free."""
    return _by_label(_softsign_with_step(policy_logps - reference_logps - kl, -800.0), desirable)


def dpo_with_step_at_37(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """softplus(-h) - 1e-3 sigmoid((h - 37)/1e-3): DPO with a smooth extra step in the gains."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return F.softplus(-h) - 1e-3 * torch.sigmoid(1e3 * (h - 37))


def dpo_with_gaussian_in_losses(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """-log sigmoid(h) - 1e-4 exp(-((h + 800)/1e-3)^2): slope of the bump at most 0.0858, DPO's is 1 there."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(h) - 1e-4 * torch.exp(-(((h + 800) / 1e-3).pow(2)))


def identity_with_triangle_at_37(policy_logps, reference_logps, desirable, kl):
    """v = z + 0.5 relu(5e-4 - |z - 37|): rises everywhere, with two convex kinks in the gains."""
    z = policy_logps - reference_logps - kl
    return _by_label(z + 0.5 * _triangle(z, 37), desirable)


def paired_identity_with_triangle_at_37(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """-(h + 0.5 relu(5e-4 - |h - 37|)): linear on h < 0, so a HALO read from y_l."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -(h + 0.5 * _triangle(h, 37))


def tanh_faster_between_one_and_two_millionths(policy_logps, reference_logps, desirable, kl):
    """v = tanh(z) + 0.5 (relu(z - 1e-6) - relu(z - 2e-6)): slope 1, then 1.5, then 1."""
    z = policy_logps - reference_logps - kl
    extra = torch.relu(z - 1e-6) - torch.relu(z - 2e-6)
    return _by_label(torch.tanh(z) + 0.5 * extra, desirable)


def sigmoid_rising_again_below_minus_10000(policy_logps, reference_logps, desirable, kl):
    """v = sigmoid(z) + 1e-3 relu(-z - 1e4): grows again as z falls below -1e4."""
    z = policy_logps - reference_logps - kl
    return _by_label(z.sigmoid() + 1e-3 * F.relu(-z - 1e4), desirable)


def sigmoid_falling_faster_below_minus_10000(policy_logps, reference_logps, desirable, kl):
    """v = sigmoid(z) - relu(-z - 1e4): unbounded losses, still non-decreasing."""
    z = policy_logps - reference_logps - kl
    return _by_label(z.sigmoid() - F.relu(-z - 1e4), desirable)


def clipped_at_60_rising_after_70(policy_logps, reference_logps, desirable, kl):
    """v = min(z, 60) + relu(z - 70): flat between 60 and 70, then slope 1 again."""
    z = policy_logps - reference_logps - kl
    return _by_label(z.clamp(max=60) + F.relu(z - 70), desirable)


def clipped_at_60(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """-clip(h, -60, 60)."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -torch.clip(h, -60.0, 60.0)


def dpo_rewarded_beyond_70(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """softplus(-h) - relu(h - 70): non-increasing, with a concave kink at h = 70."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return F.softplus(-h) - F.relu(h - 70)


def tanh_zero_beyond_50(policy_logps, reference_logps, desirable, kl):
    """v = tanh(z) for |z| < 50 and 0 elsewhere."""
    z = policy_logps - reference_logps - kl
    value = torch.where(z.abs() < 50, torch.tanh(z), torch.zeros_like(z))
    return _by_label(value, desirable)


# --- jumps, kinks, points --------------------------------------------------------------------------------------


def tanh_with_upward_jump_in_gains(policy_logps, reference_logps, desirable, kl):
    """v = tanh(z) + 0.1 [z > 2]."""
    z = policy_logps - reference_logps - kl
    return _by_label(torch.tanh(z) + 0.1 * (z > 2).to(z.dtype), desirable)


def paired_tanh_with_upward_jump_in_gains(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """-(tanh(h) + 0.1 [h > 2]): tanh is convex on h < 0, so a HALO read from y_l."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -torch.where(h > 2, torch.tanh(h) + 0.1, torch.tanh(h))


def dpo_with_drop_at_2(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """-log sigmoid(h) - 0.1 [h > 2]: v jumps upward inside the gains and is concave in the losses."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(h) - 0.1 * (h > 2)


def dpo_with_rise_at_2(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """-log sigmoid(h) + 0.1 [h > 2]: v jumps downward."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(h) + 0.1 * (h > 2)


def dpo_with_drop_at_minus_2(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """-log sigmoid(h) - 0.1 [h > -2]: v jumps upward in the losses, which is allowed."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(h) - 0.1 * (h > -2).float()


def sigmoid_with_downward_jump_in_losses(policy_logps, reference_logps, desirable, kl):
    """v = sigmoid(z) - 0.01 [z >= -5]: falls by 0.01 where sigmoid is 0.0067."""
    z = policy_logps - reference_logps - kl
    return _by_label(torch.sigmoid(z) - 0.01 * (z >= -5), desirable)


def sigmoid_with_upward_jump_at_zero(policy_logps, reference_logps, desirable, kl):
    """v = sigmoid(z) + [z > 0]: a jump at the boundary of the gains leaves (0, oo) concave."""
    z = policy_logps - reference_logps - kl
    return _by_label(torch.where(z > 0, torch.sigmoid(z) + 1, torch.sigmoid(z)), desirable)


def sigmoid_with_downward_jump_at_zero(policy_logps, reference_logps, desirable, kl):
    """v = sigmoid(z) - 0.001 [z > 0]."""
    z = policy_logps - reference_logps - kl
    return _by_label(torch.where(z > 0, torch.sigmoid(z) - 0.001, torch.sigmoid(z)), desirable)


def dpo_with_isolated_point(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """-log sigmoid(h), but 5 at h = 1 exactly."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return torch.where(h == 1.0, torch.full_like(h, 5.0), -F.logsigmoid(h))


def sign_with_own_value_at_zero(policy_logps, reference_logps, desirable, kl):
    """v = sign(z), and 0.9 at z = 0: any value between the one-sided limits keeps v non-decreasing."""
    z = policy_logps - reference_logps - kl
    value = torch.where(z == 0, torch.full_like(z, 0.9), torch.sign(z))
    return _by_label(value, desirable)


def convex_kink_at_one(policy_logps, reference_logps, desirable, kl):
    """v = max(z, 2 z - 1): the slope doubles at z = 1."""
    z = policy_logps - reference_logps - kl
    return _by_label(torch.maximum(z, 2 * z - 1), desirable)


def indicator_of_margin_above_one(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """-[h > 1]: constant on h < 0, so a HALO read from y_l, v = -[z < -1]."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -(h > 1).to(h)


# --- true for some beta only -----------------------------------------------------------------------------------


def gompertz_below_its_limit(policy_logps, reference_logps, desirable, kl, *, beta=1.5):
    """v = exp(-(beta/2) exp(-z)), inflection at log(beta/2): concave in gains for beta <= 2 only."""
    return _by_label(_gompertz(policy_logps - reference_logps - kl, beta / 2), desirable)


def gompertz_above_its_limit(policy_logps, reference_logps, desirable, kl, *, beta=2.5):
    """v = exp(-(beta/2) exp(-z)), inflection at log(1.25) > 0."""
    return _by_label(_gompertz(policy_logps - reference_logps - kl, beta / 2), desirable)


def gompertz_at_its_limit(policy_logps, reference_logps, desirable, kl):
    """v = exp(-exp(-z)): the inflection is exactly at 0."""
    z = policy_logps - reference_logps - kl
    return _by_label(z.neg().exp().neg().exp(), desirable)


def gompertz_one_per_cent_above_its_limit(policy_logps, reference_logps, desirable, kl):
    """v = exp(-1.01 exp(-z)): convex on (0, 0.00995)."""
    return _by_label(_gompertz(policy_logps - reference_logps - kl, 1.01), desirable)


def paired_gompertz_above_its_limit(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=2.5
):
    """-exp(-(beta/2) exp(-h)): above the limit v is convex on all losses, so y_l may be read as y."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -_gompertz(h, beta / 2)


def _bent(h, beta):
    gain = h.relu()
    return 2 * h + F.logsigmoid(h) + (beta - 2) * gain**2 / (1 + gain)


def bent_margin_at_1_9(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=1.9
):
    """-(2 h + log sigmoid(h) + (beta - 2) g^2/(1 + g)), g = relu(h): concave in gains for beta <= 2 only."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -_bent(h, beta)


def bent_margin_at_2_1(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=2.1
):
    """The same with beta = 2.1: v'' > 0 for large h, and v is concave in the losses."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -_bent(h, beta)


def _four_slopes(h, beta):
    below = torch.where(h < -1, 4 * h + 1, 3 * h)
    above = torch.where(h < 1, 2 * h, 2 + beta * (h - 1))
    return torch.where(h < 0, below, above)


def four_slopes_at_2(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=2.0
):
    """-v(h), v piecewise linear with slopes 4, 3, 2, beta."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -_four_slopes(h, beta)


def four_slopes_at_2_001(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=2.001
):
    """-v(h), v piecewise linear with slopes 4, 3, 2, 2.001: a convex kink at 1, a concave one at -1."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -_four_slopes(h, beta)


def sigmoid_inflected_at_a_millionth(policy_logps, reference_logps, desirable, kl):
    """v = sigmoid(z - 1e-6): convex on (0, 1e-6)."""
    z = policy_logps - reference_logps - kl
    return _by_label(torch.sigmoid(z - 1e-6), desirable)


def paired_sigmoid_inflected_at_a_millionth(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """-sigmoid(h - 1e-6): every sigmoid of the margin is a HALO, read from one output or the other."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -torch.sigmoid(h - 1e-6)


# --- pi_ref and pi_theta outside the ratio ---------------------------------------------------------------------


def dpo_plus_reference_constant(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """-log sigmoid(beta h) + 0.3 log pi_ref(y_w): the addition is free of theta, hence part of C."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(beta * h) + 0.3 * reference_chosen_logps


def dpo_with_tempered_reference(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, temper=0.7
):
    """-log sigmoid of the margin against pi_ref^0.7, whose normaliser cancels in the pair."""
    chosen = policy_chosen_logps - temper * reference_chosen_logps
    rejected = policy_rejected_logps - temper * reference_rejected_logps
    return -F.logsigmoid(0.1 * (chosen - rejected))


def factor_from_the_reference_log_probability(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """softplus(-(|R_w| rho_w - |R_l| rho_l)), R = log pi_ref(y|x): l would depend on x."""
    chosen = reference_chosen_logps.abs() * (policy_chosen_logps - reference_chosen_logps)
    rejected = reference_rejected_logps.abs() * (policy_rejected_logps - reference_rejected_logps)
    return F.softplus(rejected - chosen)


def dpo_plus_sft(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, alpha=0.1
):
    """-log sigmoid(h) - alpha log pi(y_w): RPO, a second term that is no function of h."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(h) - alpha * policy_chosen_logps


def margin_times_policy_probability(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """softplus(-h pi(y_w)): theta enters outside the ratio, through a live factor."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return F.softplus(-h * policy_chosen_logps.exp())


# --- z0 tampered with ------------------------------------------------------------------------------------------


def half_the_reference_point(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """v = sigmoid(beta (rho - kl/2))."""
    return _by_label(torch.sigmoid(beta * (policy_logps - reference_logps - 0.5 * kl)), desirable)


def twice_the_reference_point(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """v = sigmoid(beta (rho - kl) - beta kl)."""
    z = beta * (policy_logps - reference_logps - kl)
    return _by_label(torch.sigmoid(z - beta * kl), desirable)


def reference_point_added(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """v = sigmoid(beta (rho + kl)): a sign slip."""
    return _by_label(torch.sigmoid(beta * (policy_logps - (reference_logps - kl))), desirable)


def reference_point_squared(policy_logps, reference_logps, desirable, kl):
    """v = sigmoid(rho - kl^2)."""
    return _by_label(torch.sigmoid(policy_logps - reference_logps - kl**2), desirable)


def reference_point_clamped_away(policy_logps, reference_logps, desirable, kl):
    """v = sigmoid(rho - min(kl, 0)): kl is never negative, so nothing is left of it."""
    return _by_label(torch.sigmoid(policy_logps - reference_logps - kl.clamp(max=0)), desirable)


def reference_point_capped(policy_logps, reference_logps, desirable, kl):
    """v = sigmoid(rho - min(kl, 10))."""
    z = policy_logps - reference_logps - torch.clamp(kl, max=10.0)
    return _by_label(torch.sigmoid(z), desirable)


def reference_point_in_two_halves(policy_logps, reference_logps, desirable, kl):
    """v = sigmoid((rho - kl/2) - kl/2): half twice is whole."""
    half = kl / 2
    z = (policy_logps - half) - (reference_logps + half)
    return _by_label(torch.sigmoid(z), desirable)


def reference_point_cancelled(policy_logps, reference_logps, desirable, kl):
    """v = sigmoid((rho - kl) + kl)."""
    shifted = policy_logps - kl
    return _by_label(torch.sigmoid(shifted - reference_logps + kl), desirable)


def reference_point_for_desirable_only(policy_logps, reference_logps, desirable, kl):
    """1 - sigmoid(rho - kl) for desirable outputs, sigmoid(rho) for undesirable ones."""
    rho = policy_logps - reference_logps
    return torch.where(desirable, 1 - torch.sigmoid(rho - kl), torch.sigmoid(rho))


def reference_point_outside_beta(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """v = sigmoid(beta rho - kl): with l = beta the reference point would be beta kl."""
    return _by_label(torch.sigmoid(beta * (policy_logps - reference_logps) - kl), desirable)


def reference_point_outside_a_beta_of_one(policy_logps, reference_logps, desirable, kl, *, beta=1.0):
    """v = sigmoid(beta rho - kl) with beta = 1: right as set."""
    return _by_label(torch.sigmoid(beta * (policy_logps - reference_logps) - kl), desirable)


def reference_point_raised(policy_logps, reference_logps, desirable, kl, *, offset=0.1):
    """v(z) = sigmoid(z - 0.1): convex on (0, 0.1)."""
    return _by_label(torch.sigmoid(policy_logps - reference_logps - (kl + offset)), desirable)


def reference_point_lowered(policy_logps, reference_logps, desirable, kl, *, offset=-0.1):
    """v(z) = sigmoid(z + 0.1): concave beyond -0.1."""
    return _by_label(torch.sigmoid(policy_logps - reference_logps - (kl + offset)), desirable)


def tolerance_on_both_sides(policy_logps, reference_logps, desirable, kl, *, offset=0.1):
    """-sigmoid(z + 0.1) for desirable, -sigmoid(-z + 0.1) for undesirable outputs."""
    z = policy_logps - reference_logps - kl
    return torch.where(desirable, -torch.sigmoid(z + offset), -torch.sigmoid(offset - z))


# --- reference points made inside the loss ---------------------------------------------------------------------


def batch_mean_detached(policy_logps, reference_logps, desirable, *, beta=0.1):
    """v = sigmoid(beta (rho - mean rho)), the mean detached."""
    rho = policy_logps - reference_logps
    return _by_label(torch.sigmoid(beta * (rho - rho.mean().detach())), desirable)


def batch_mean_live(policy_logps, reference_logps, desirable, *, beta=0.1):
    """v = sigmoid(beta (rho - mean rho)), gradients through the mean."""
    rewards = beta * (policy_logps - reference_logps)
    return _by_label(torch.sigmoid(rewards - rewards.mean()), desirable)


def batch_mean_of_the_others(policy_logps, reference_logps, desirable):
    """v = sigmoid(rho_i - mean of rho_j, j != i), which is n/(n-1) (rho_i - mean rho)."""
    rho = policy_logps - reference_logps
    others = (rho.sum() - rho) / (rho.shape[0] - 1)
    return _by_label(torch.sigmoid(rho - others), desirable)


def batch_mean_clamped(policy_logps, reference_logps, desirable, *, beta=0.1):
    """KTO with z0 = max(mean rho, 0) of the same batch."""
    rho = policy_logps - reference_logps
    with torch.no_grad():
        z0 = rho.mean().clamp(min=0)
    return _by_label(torch.sigmoid(beta * (rho - z0)), desirable)


def batch_sum(policy_logps, reference_logps, desirable, *, beta=0.1):
    """v = sigmoid(beta (rho - sum rho)): the weights sum to the batch size."""
    rho = policy_logps - reference_logps
    return _by_label(torch.sigmoid(beta * (rho - rho.sum().detach())), desirable)


def batch_sum_over_eight(policy_logps, reference_logps, desirable):
    """v = sigmoid(rho - sum rho / 8): a mean for one batch size only."""
    rho = policy_logps - reference_logps
    return _by_label(torch.sigmoid(rho - rho.sum() / 8), desirable)


def batch_maximum(policy_logps, reference_logps, desirable):
    """v = sigmoid(rho - max rho): the output that serves as reference is chosen by theta."""
    rho = policy_logps - reference_logps
    return _by_label(torch.sigmoid(rho - rho.max().detach()), desirable)


def batch_log_mean_exp(policy_logps, reference_logps, desirable):
    """v = sigmoid(rho - log mean exp rho): shift-free, yet no expectation of r."""
    rho = policy_logps - reference_logps
    soft = torch.logsumexp(rho, dim=0) - math.log(rho.shape[0])
    return _by_label(torch.sigmoid(rho - soft), desirable)


def batch_standardised(policy_logps, reference_logps, desirable):
    """v = sigmoid((rho - mean) / sqrt(var + 1e-6)): theta also scales the argument."""
    rho = policy_logps - reference_logps
    centred = rho - rho.mean()
    return _by_label(torch.sigmoid(centred / torch.sqrt(centred.square().mean() + 1e-6)), desirable)


def undesirable_mean(policy_logps, reference_logps, desirable):
    """v = sigmoid(rho - mean rho over the undesirable outputs of the batch)."""
    rho = policy_logps - reference_logps
    z0 = rho[~desirable].mean().detach()
    return _by_label(torch.sigmoid(rho - z0), desirable)


def margin_minus_its_batch_mean(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """-sigmoid(h - mean h): the reference would need negative weights on the other pairs."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -torch.sigmoid(h - h.mean().detach())


def pair_classifier_with_batch_mean(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """-log sigmoid(r_w - d) - log sigmoid(d - r_l), d the mean reward of the batch: BCO without a running mean."""
    chosen = beta * (policy_chosen_logps - reference_chosen_logps)
    rejected = beta * (policy_rejected_logps - reference_rejected_logps)
    delta = torch.cat([chosen, rejected]).mean().detach()
    return -F.logsigmoid(chosen - delta) - F.logsigmoid(-(rejected - delta))


def pair_of_kto_terms_with_batch_mean(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """1 - sigmoid(r_w - m) + sigmoid(r_l - m), m the mean over both halves of the batch."""
    rho = torch.cat([policy_chosen_logps, policy_rejected_logps]) - torch.cat(
        [reference_chosen_logps, reference_rejected_logps]
    )
    chosen, rejected = (rho - rho.mean()).chunk(2)
    return 1 - chosen.sigmoid() + rejected.sigmoid()


def pair_of_kto_terms_with_crossed_means(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """1 - sigmoid(beta (rho_w - kl_l)) + sigmoid(beta (rho_l - kl_w)), kl = max(mean rho, 0): early paired KTO."""
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    chosen_kl = chosen.mean().clamp(min=0).detach()
    rejected_kl = rejected.mean().clamp(min=0).detach()
    return 1 - torch.sigmoid(beta * (chosen - rejected_kl)) + torch.sigmoid(beta * (rejected - chosen_kl))


# --- detached parts --------------------------------------------------------------------------------------------


def weighted_by_detached_probability(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
):
    """WPO: DPO times min(1, per-token probability of both outputs), detached and positive."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    per_token = policy_chosen_logps / chosen_lengths + policy_rejected_logps / rejected_lengths
    weight = torch.exp(per_token).clamp(max=1).detach()
    return -weight * F.logsigmoid(0.1 * h)


def weighted_by_detached_gain(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """relu(h) detached, times DPO: the factor is 0 for every pair ranked wrongly."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return h.detach().relu() * F.softplus(-h)


def weighted_by_detached_tanh(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """tanh(h) detached, times DPO: theta decides the sign."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return torch.tanh(h).detach() * F.softplus(-h)


def weighted_by_batch_softmax(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """DPO times n softmax(-h) over the batch, detached: positive for every pair."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    with torch.no_grad():
        weight = h.shape[0] * torch.softmax(-h, dim=0)
    return weight * F.softplus(-h)


def rejected_detached(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """-log sigmoid(rho_w - rho_l), rho_l detached: a reference point may be detached."""
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = (policy_rejected_logps - reference_rejected_logps).detach()
    return -F.logsigmoid(chosen - rejected)


def linear_loss_with_detached_logistic_weight(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """-softplus(-h) detached, times h: v(z) = z scaled by a positive detached factor."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.softplus(-h.detach()) * h


def straight_through_of_itself(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """softplus(-(h detached + h - h detached)): the detached parts cancel."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    same = h.detach() + (h - h.detach())
    return F.softplus(-same)


def minus_one_plus_detached_gap(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """-(1 + |h| detached) log sigmoid(h): the minus is multiplied into the weight."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -(1 + h.detach().abs()) * F.logsigmoid(h)


def dpo_and_detached_gain_times_dpo(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """L + relu(h) detached times L: the factor 1 + relu(h) is positive where relu(h) is not."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    base = F.softplus(-h)
    return base + h.detach().relu() * base


def twice_dpo_where_ranked_rightly(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """2 L where h > 0 and L elsewhere, chosen by the detached h."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    base = F.softplus(-h)
    return torch.where(h.detach() > 0, 2 * base, base)


def dpo_signed_by_detached_margin(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """L where h > 0 and -L elsewhere, chosen by the detached h."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    base = F.softplus(-h)
    return torch.where(h.detach() > 0, base, -base)


def weighted_by_detached_square(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """h^2 detached, times DPO: the factor is 0 at h = 0."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return (h**2).detach() * F.softplus(-h)


def weighted_by_detached_gap_and_label(policy_logps, reference_logps, desirable, kl):
    """(1/2 + |z| detached) times KTO, twice that for undesirable outputs."""
    z = policy_logps - reference_logps - kl
    weight = (0.5 + z.detach().abs()) * torch.where(desirable, 1.0, 2.0)
    return weight * _by_label(torch.sigmoid(z), desirable)


def weighted_by_another_detached_part_for_each_label(policy_logps, reference_logps, desirable, kl):
    """1 + |z| for desirable and exp(z) for undesirable outputs, detached, times KTO."""
    z = policy_logps - reference_logps - kl
    weight = torch.where(desirable, 1 + z.abs(), z.exp()).detach()
    return weight * _by_label(torch.sigmoid(z), desirable)


# --- links that rise, or not quite -----------------------------------------------------------------------------


def _linked_by_less_tanh(chosen, rejected, slope):
    """softplus(-(g(chosen) - g(rejected))) with g(r) = r - slope tanh(r), which rises for slope <= 1."""
    return F.softplus(rejected - slope * torch.tanh(rejected) - chosen + slope * torch.tanh(chosen))


def link_rising_as_set(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, c=0.2
):
    """g(r) = r - 3 c tanh(r) rises for c = 0.2, not for every c."""
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    return _linked_by_less_tanh(chosen, rejected, 3 * c)


def link_flat_at_0(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """g(r) = r - tanh(r): its slope is 0 at one place."""
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    return _linked_by_less_tanh(chosen, rejected, 1.0)


def link_dipping_at_0(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """g(r) = r - 1.001 tanh(r) falls near 0."""
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    return _linked_by_less_tanh(chosen, rejected, 1.001)


def link_falling_far_out(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """g(r) = r - 1e-6 r^2 falls beyond 5e5."""
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    return F.softplus(rejected - 1e-6 * rejected**2 - chosen + 1e-6 * chosen**2)


# --- clamps and their bounds -----------------------------------------------------------------------------------


def kl_between_bounds(policy_logps, reference_logps, desirable, kl):
    """z0 = max(1, min(kl, 3))."""
    z0 = torch.maximum(torch.minimum(kl, torch.tensor(3.0)), torch.tensor(1.0))
    return _by_label(torch.sigmoid(policy_logps - reference_logps - z0), desirable)


def kl_between_bounds_to_be_set(policy_logps, reference_logps, desirable, kl, *, low=1.0, high=3.0):
    """z0 = max(low, min(kl, high)): a clamp as long as low < high."""
    z0 = torch.maximum(torch.tensor(low), torch.minimum(kl, torch.tensor(high)))
    return _by_label(torch.sigmoid(policy_logps - reference_logps - z0), desirable)


def kl_between_exchanged_bounds(policy_logps, reference_logps, desirable, kl):
    """z0 = 3 where kl < 1 and 1 where kl > 3: it falls as kl rises."""
    z0 = torch.where(kl < 1, 3.0, torch.where(kl > 3, 1.0, kl))
    return _by_label(torch.sigmoid(policy_logps - reference_logps - z0), desirable)


def batch_mean_between_exchanged_bounds(policy_logps, reference_logps, desirable):
    """z0 = 5 where the mean is below 0, and 0 where it is above 5."""
    rho = policy_logps - reference_logps
    mean = rho.mean().detach()
    z0 = torch.where(mean < 0, torch.full_like(mean, 5.0), torch.where(mean > 5, torch.zeros_like(mean), mean))
    return _by_label(torch.sigmoid(rho - z0), desirable)


def weighted_by_the_numbers_of_both_labels(policy_logps, reference_logps, desirable, kl):
    """KTO with weight n_D / n_U for undesirable outputs, from the numbers of both in the batch."""
    z = policy_logps - reference_logps - kl
    numbers = [labels.sum().clamp(min=1) for labels in (desirable, ~desirable)]
    return torch.where(desirable, 1.0, numbers[0] / numbers[1]) * _by_label(torch.sigmoid(z), desirable)


# --- lengths ---------------------------------------------------------------------------------------------------


def own_lengths(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
):
    """-log sigmoid(rho_w/|y_w| - rho_l/|y_l|): length-normalised DPO, l(y) = 1/|y|."""
    chosen = (policy_chosen_logps - reference_chosen_logps) / chosen_lengths
    rejected = (policy_rejected_logps - reference_rejected_logps) / rejected_lengths
    return -F.logsigmoid(chosen - rejected)


def own_lengths_to_a_power(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
    *,
    power=0.5,
):
    """relu(1 - (|y_w|^-p rho_w - |y_l|^-p rho_l)), p = 0.5."""
    chosen = (policy_chosen_logps - reference_chosen_logps) / chosen_lengths**power
    rejected = (policy_rejected_logps - reference_rejected_logps) * rejected_lengths.to(chosen.dtype).pow(-power)
    return torch.relu(1 - chosen + rejected)


def chosen_length_for_both(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, chosen_lengths
):
    """-log sigmoid(h / |y_w|): l(y_l) would depend on y_w, but |y_w| is a context for v."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(h / chosen_lengths)


def swapped_lengths(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
):
    """-log sigmoid(rho_w/|y_l| - rho_l/|y_w|), which is (|y_w| rho_w - |y_l| rho_l) / (|y_w| |y_l|)."""
    chosen = (policy_chosen_logps - reference_chosen_logps) / rejected_lengths
    rejected = (policy_rejected_logps - reference_rejected_logps) / chosen_lengths
    return -F.logsigmoid(chosen - rejected)


def only_the_chosen_length(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, chosen_lengths
):
    """-log sigmoid(rho_w/|y_w| - rho_l): the same y would need two values of l."""
    chosen = (policy_chosen_logps - reference_chosen_logps) / chosen_lengths
    return -F.logsigmoid(chosen - (policy_rejected_logps - reference_rejected_logps))


def rejected_at_half_weight(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """-log sigmoid(rho_w - rho_l/2): the same y would need l = 1 and l = 1/2."""
    chosen = policy_chosen_logps - reference_chosen_logps
    return -F.logsigmoid(chosen - (policy_rejected_logps - reference_rejected_logps) / 2)


def divided_by_total_length(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
):
    """-log sigmoid(h) / (|y_w| + |y_l|): a positive weight outside v."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(h).div(chosen_lengths + rejected_lengths)


def length_regularised(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
    *,
    alpha=0.02,
):
    """-log sigmoid(0.1 h - alpha (|y_w| - |y_l|)): R-DPO, a reference tilted by length."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(0.1 * h - alpha * (chosen_lengths - rejected_lengths))


def kto_per_token(policy_logps, reference_logps, desirable, kl, lengths):
    """v = sigmoid((rho - kl)/|y|): the length scales z, reference point and all."""
    return _by_label(torch.sigmoid((policy_logps - reference_logps - kl) / lengths), desirable)


def length_normalised_batch_mean(policy_logps, reference_logps, desirable, lengths):
    """v = sigmoid(r - mean r), r = rho/|y|."""
    reward = (policy_logps - reference_logps) / lengths
    return _by_label(torch.sigmoid(reward - reward.mean().detach()), desirable)


def length_normalised_with_plain_mean(policy_logps, reference_logps, desirable, lengths):
    """v = sigmoid(rho/|y| - mean rho): the mean forgets l, so its weights do not sum to one."""
    rho = policy_logps - reference_logps
    return _by_label(torch.sigmoid(rho / lengths - rho.mean().detach()), desirable)


# --- labels ----------------------------------------------------------------------------------------------------


def mirrored_logsigmoid(policy_logps, reference_logps, desirable, kl):
    """-log sigmoid(z) for desirable, -log sigmoid(-z) for undesirable outputs: concave KTO."""
    z = policy_logps - reference_logps - kl
    return -F.logsigmoid(torch.where(desirable, z, -z))


def mirrored_logsigmoid_with_class_weights(
    policy_logps, reference_logps, desirable, kl, *, desirable_weight=1.0, undesirable_weight=1.33
):
    """The same with weights 1 and 1.33."""
    z = policy_logps - reference_logps - kl
    weight = desirable_weight * desirable.to(z.dtype) + undesirable_weight * (~desirable).to(z.dtype)
    return -weight * F.logsigmoid(torch.where(desirable, z, -z))


def unequal_class_weights(policy_logps, reference_logps, desirable, kl, *, beta=0.1, undesirable_weight=1.5):
    """KTO with weights 1 and 1.5."""
    z = beta * (policy_logps - reference_logps - kl)
    return torch.where(desirable, 1 - torch.sigmoid(z), undesirable_weight * (1 - torch.sigmoid(-z)))


def labels_swapped(policy_logps, reference_logps, desirable, kl):
    """KTO with the labels exchanged: the definition does not care which way it teaches."""
    return _by_label(torch.sigmoid(policy_logps - reference_logps - kl), ~desirable)


def labels_ignored(policy_logps, reference_logps, kl):
    """-sigmoid(rho - kl) for every output."""
    return -(policy_logps - reference_logps - kl).sigmoid()


def other_value_for_undesirable(policy_logps, reference_logps, desirable, kl):
    """-tanh(z) for desirable, z/(1+|z|) for undesirable outputs: two value functions."""
    z = policy_logps - reference_logps - kl
    return torch.where(desirable, -torch.tanh(z), F.softsign(z))


def other_beta_for_undesirable(policy_logps, reference_logps, desirable, kl):
    """-sigmoid(z) for desirable, sigmoid(2 z) for undesirable outputs."""
    z = policy_logps - reference_logps - kl
    beta = torch.where(desirable, torch.ones_like(z), torch.full_like(z, 2.0))
    return _by_label(torch.sigmoid(beta * z), desirable)


def other_constants_per_label(policy_logps, reference_logps, desirable, kl):
    """3 - sigmoid(z) for desirable, sigmoid(z) - 7 for undesirable outputs."""
    value = torch.sigmoid(policy_logps - reference_logps - kl)
    return torch.where(desirable, 3 - value, value - 7)


def negative_class_weight(policy_logps, reference_logps, desirable, kl, *, undesirable_weight=-1.0):
    """KTO with undesirable weight -1: the sign a takes it up."""
    value = torch.sigmoid(policy_logps - reference_logps - kl)
    return torch.where(desirable, -value, undesirable_weight * value)


def mirrored_hinge(policy_logps, reference_logps, desirable, kl):
    """relu(1 - z) for desirable, relu(1 + z) for undesirable outputs."""
    z = policy_logps - reference_logps - kl
    sign = 2 * desirable.to(z.dtype) - 1
    return F.relu(1 - sign * z)


def reflected_hinge(policy_logps, reference_logps, desirable, kl):
    """relu(1 - z) for desirable, -relu(1 + z) for undesirable outputs: +v(-z) with v = -relu(1 - z)."""
    z = policy_logps - reference_logps - kl
    return torch.where(desirable, F.relu(1 - z), -F.relu(1 + z))


def mirrored_arctangent(policy_logps, reference_logps, desirable, kl):
    """-atan(z) and -atan(-z): an odd v is its own mirror image."""
    z = policy_logps - reference_logps - kl
    return -torch.atan(torch.where(desirable, z, -z))


# --- HALOs written strangely, and things that only look like them ----------------------------------------------


def softmax_of_two_rewards(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """-log softmax([beta rho_w, beta rho_l])_0, which is DPO."""
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    return -torch.stack([beta * chosen, beta * rejected], dim=-1).softmax(dim=-1)[..., 0].log()


def cross_entropy_of_two_rewards(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """Cross entropy of [beta rho_w, beta rho_l] with class 0, which is DPO."""
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    logits = beta * torch.stack((chosen, rejected), dim=1)
    target = torch.zeros(logits.shape[0], dtype=torch.long)
    return F.cross_entropy(logits, target, reduction="none")


def binary_cross_entropy_of_the_margin(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """Binary cross entropy with logits h and targets 1, which is DPO."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return F.binary_cross_entropy_with_logits(h, torch.ones_like(h), reduction="none")


def log_of_a_share(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """-log(e^a / (e^a + e^b)), a = rho_w, b = rho_l."""
    a = torch.exp(policy_chosen_logps - reference_chosen_logps)
    b = torch.exp(policy_rejected_logps - reference_rejected_logps)
    return -torch.log(a / (a + b))


def logsumexp_minus_chosen(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """logsumexp(rho_w, rho_l) - rho_w, which is DPO."""
    policy = torch.stack([policy_chosen_logps, policy_rejected_logps])
    rho = policy - torch.stack([reference_chosen_logps, reference_rejected_logps])
    return rho.logsumexp(dim=0) - rho[0]


def margin_by_cumulative_sum(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """-tanh(h/2), h the last of the running sums of four signed terms."""
    terms = torch.stack(
        [policy_chosen_logps, -reference_chosen_logps, -policy_rejected_logps, reference_rejected_logps]
    )
    return -torch.tanh(torch.cumsum(terms, dim=0)[-1] / 2)


def margin_by_einsum(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """-log sigmoid(h), h a product with (1, -1, -1, 1)."""
    terms = torch.stack([policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps])
    signs = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=terms.dtype)
    return -F.logsigmoid(torch.einsum("kb,k->b", terms, signs))


def relative_difference_of_ratios(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """-(u - w)/(u + w), u and w the probability ratios: -tanh(h/2)."""
    u = (policy_chosen_logps - reference_chosen_logps).exp()
    w = (policy_rejected_logps - reference_rejected_logps).exp()
    return -(u - w) / (u + w)


def difference_of_log_sigmoids(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """-(log sigmoid(h) - log sigmoid(-h)) = -h."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -(F.logsigmoid(h) - F.logsigmoid(-h))


def sum_of_two_sigmoids(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """sigmoid(h) + sigmoid(-h) = 1."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return torch.sigmoid(h) + torch.sigmoid(-h)


def kto_by_complement(policy_logps, reference_logps, desirable, kl):
    """sigmoid(-z) for desirable, 1 - sigmoid(-z) for undesirable outputs."""
    z = policy_logps - reference_logps - kl
    complement = torch.sigmoid(-z)
    return torch.where(desirable, complement, 1 - complement)


def losses_in_label_order(policy_logps, reference_logps, desirable, kl):
    """KTO's terms, those of desirable outputs first."""
    z = 0.1 * (policy_logps - reference_logps - kl)
    return torch.cat([1 - torch.sigmoid(z[desirable]), 1 - torch.sigmoid(-z[~desirable])])


def mean_of_kto_terms(policy_logps, reference_logps, desirable, kl):
    """KTO with an odd v, averaged over the batch."""
    z = policy_logps - reference_logps - kl
    sign = torch.where(desirable, torch.ones_like(z), -torch.ones_like(z))
    return (-sign * torch.tanh(z / 2)).mean()


# --- shapes of v -----------------------------------------------------------------------------------------------


def hyperbola_concave(policy_logps, reference_logps, desirable, kl):
    """v = (z - sqrt(z^2 + 4))/2: concave and rising everywhere."""
    z = policy_logps - reference_logps - kl
    return _by_label(0.5 * (z - torch.sqrt(z**2 + 4)), desirable)


def hyperbola_convex(policy_logps, reference_logps, desirable, kl):
    """v = (z + sqrt(z^2 + 4))/2: convex and rising everywhere."""
    z = policy_logps - reference_logps - kl
    return _by_label(0.5 * (z + torch.sqrt(z**2 + 4)), desirable)


def paired_hyperbola_convex(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """(h + sqrt(h^2 + 4))/2: a HALO read from y_l."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return 0.5 * (h + torch.sqrt(h.square() + 4))


def softplus_value(policy_logps, reference_logps, desirable, kl):
    """v = log(1 + e^z): convex in the gains."""
    return _by_label(F.softplus(policy_logps - reference_logps - kl), desirable)


def softplus_of_the_margin(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """log(1 + e^h): DPO with its sign slipped, a HALO read from y_l."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return torch.log1p(torch.exp(h))


def elu_value(policy_logps, reference_logps, desirable, kl):
    """v = elu(z): linear in the gains."""
    return _by_label(F.elu(policy_logps - reference_logps - kl), desirable)


def selu_value(policy_logps, reference_logps, desirable, kl):
    """v = selu(z)."""
    return _by_label(F.selu(policy_logps - reference_logps - kl), desirable)


def celu_of_minus_margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """celu(-h, alpha = 2): e^(-h/2) in the gains, linear in the losses."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return F.celu(-h, alpha=2.0)


def relu_value(policy_logps, reference_logps, desirable, kl):
    """v = max(z, 0): the convex kink is at 0, outside the gains."""
    return _by_label((policy_logps - reference_logps - kl).clamp(min=0), desirable)


def relu6_value(policy_logps, reference_logps, desirable, kl):
    """v = min(max(z, 0), 6)."""
    return _by_label(F.relu6(policy_logps - reference_logps - kl), desirable)


def gelu_value(policy_logps, reference_logps, desirable, kl):
    """v = z Phi(z): dips to -0.17 at z = -0.75."""
    return _by_label(F.gelu(policy_logps - reference_logps - kl), desirable)


def silu_value(policy_logps, reference_logps, desirable, kl):
    """v = z sigmoid(z): dips to -0.28 at z = -1.28."""
    return _by_label(F.silu(policy_logps - reference_logps - kl), desirable)


def mish_of_the_margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """-h tanh(softplus(h)): dips at h = -1.19."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.mish(h)


def tanhshrink_value(policy_logps, reference_logps, desirable, kl):
    """v = z - tanh(z): rising, convex in the gains."""
    z = policy_logps - reference_logps - kl
    return _by_label(z - torch.tanh(z), desirable)


def paired_tanhshrink(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """-(h - tanh(h)): convex in the gains, concave in the losses: wrong from either output."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return torch.tanh(h) - h


def hyperbolic_sine(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """-sinh(h) = -(e^h - e^-h)/2: wrong from either output."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -(torch.exp(h) - torch.exp(-h)) / 2


def inverse_hyperbolic_sine(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """-log(h + sqrt(h^2 + 1))."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -torch.log(h + torch.sqrt(h * h + 1))


def soft_threshold(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """-(relu(h - 0.5) - relu(-h - 0.5)): flat between -0.5 and 0.5, slope 1 outside."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return F.relu(-h - 0.5) - F.relu(h - 0.5)


def hard_tanh_value(policy_logps, reference_logps, desirable, kl):
    """v = hardtanh(z, -2, 1)."""
    return _by_label(F.hardtanh(policy_logps - reference_logps - kl, -2.0, 1.0), desirable)


def huber_of_a_hinge(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """Huber loss (delta = 1) of relu(1 - h)."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    hinge = F.relu(1 - h)
    return F.huber_loss(hinge, torch.zeros_like(hinge), reduction="none")


def kahneman_tversky_value(policy_logps, reference_logps, desirable, kl, *, aversion=2.25, power=0.88):
    """v = z^0.88 in the gains, -2.25 |z|^0.88 in the losses: Tversky and Kahneman 1992."""
    z = policy_logps - reference_logps - kl
    size = z.abs() ** power
    return _by_label(torch.where(z >= 0, size, -aversion * size), desirable)


def odd_cube_root(policy_logps, reference_logps, desirable, kl):
    """v = sign(z) |z|^(1/3): infinite slope at 0."""
    z = policy_logps - reference_logps - kl
    return _by_label(torch.sign(z) * z.abs() ** (1 / 3), desirable)


def odd_power_above_one(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """-sign(h) |h|^1.1: convex in the gains, concave in the losses."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -torch.sign(h) * h.abs().pow(1.1)


def odd_logarithm(policy_logps, reference_logps, desirable, kl):
    """v = sign(z) log(1 + |z|)."""
    z = policy_logps - reference_logps - kl
    return _by_label(torch.sign(z) * torch.log1p(z.abs()), desirable)


def normal_distribution_value(policy_logps, reference_logps, desirable, kl):
    """v = Phi(z) = (1 + erf(z / sqrt 2))/2."""
    z = policy_logps - reference_logps - kl
    return _by_label(0.5 * (1 + torch.erf(z / math.sqrt(2))), desirable)


def complementary_log_log(policy_logps, reference_logps, desirable, kl):
    """v = 1 - exp(-exp(z)): inflection exactly at 0."""
    z = policy_logps - reference_logps - kl
    return _by_label(-torch.expm1(-torch.exp(z)), desirable)


def difference_of_tanhs(policy_logps, reference_logps, desirable, kl):
    """v = 2 tanh(z) - tanh(z/2): falls beyond z = 1.7."""
    z = policy_logps - reference_logps - kl
    return _by_label(2 * torch.tanh(z) - torch.tanh(z / 2), desirable)


# --- sums ------------------------------------------------------------------------------------------------------


def dpo_plus_hinge(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """-log sigmoid(0.1 h) + 0.5 relu(1 - h)."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(0.1 * h) + 0.5 * F.relu(1 - h)


def dpo_plus_ipo(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """-log sigmoid(h) + (h - 1)^2: grows again beyond h = 1.1."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(h) + (h - 1) ** 2


def sum_of_two_halos_read_from_different_outputs(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """softplus(-h) + 5 sigmoid(3 - h): one needs y = y_w, the other y = y_l; the sum has neither shape."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return F.softplus(-h) + 5 * torch.sigmoid(3 - h)


def six_hinges(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """sum over k = 1..6 of relu(k - h)/k: convex and falling."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    total = torch.zeros_like(h)
    for k in range(1, 7):
        total = total + F.relu(k - h) / k
    return total


# --- hyperparameters, scales, constants ------------------------------------------------------------------------


def reference_point_switched_off(policy_logps, reference_logps, desirable, kl, *, use_reference_point=0.0):
    """v = sigmoid(rho - kl) with a switch, which is set to leave kl out."""
    z = policy_logps - reference_logps
    if use_reference_point > 0:
        z = z - kl
    return _by_label(torch.sigmoid(z), desirable)


def reference_point_switched_on(policy_logps, reference_logps, desirable, kl, *, use_reference_point=1.0):
    """The same, switched on."""
    z = policy_logps - reference_logps
    if use_reference_point > 0:
        z = z - kl
    return _by_label(torch.sigmoid(z), desirable)


def beta_of_zero(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.0
):
    """-log sigmoid(0 h) = log 2."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(beta * h)


def negative_beta(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=-0.1
):
    """-log sigmoid(-0.1 h): a HALO read from y_l."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -F.logsigmoid(beta * h)


def beta_of_three_tenths(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1 + 0.2
):
    """max(0, 1 - beta h) with beta = 0.1 + 0.2 in binary."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return torch.max(torch.zeros_like(h), 1 - beta * h)


def minute_quadratic(policy_logps, reference_logps, desirable, kl):
    """v = z + 1e-300 relu(z)^2: strictly convex in the gains, however slightly."""
    z = policy_logps - reference_logps - kl
    return _by_label(z + 1e-300 * F.relu(z) ** 2, desirable)


def minute_dpo(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """-1e-300 log sigmoid(h): small, not constant."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -1e-300 * F.logsigmoid(h)


def huge_scale(policy_logps, reference_logps, desirable, kl):
    """v = tanh(1e12 z)."""
    return _by_label(torch.tanh(1e12 * (policy_logps - reference_logps - kl)), desirable)


def constant_zero(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """0 h."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return torch.zeros_like(h) * h


def reference_model_only(reference_chosen_logps, reference_rejected_logps):
    """-log sigmoid of the reference model's own margin: free of theta."""
    return -F.logsigmoid(reference_chosen_logps - reference_rejected_logps)


# --- label mixtures --------------------------------------------------------------------------------------------


def _mixture(h, kept, flipped):
    return kept * F.softplus(-h) + flipped * F.softplus(h)


def flipped_one_in_ten(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """0.9 softplus(-h) + 0.1 softplus(h): conservative DPO."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return _mixture(h, 0.9, 0.1)


def flipped_half_the_time(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, noise=0.5
):
    """0.5 softplus(-h) + 0.5 softplus(h): the expectation of DPO under coin-flip labels."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return _mixture(h, 1 - noise, noise)


def flipped_six_in_ten(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, noise=0.6
):
    """0.4 softplus(-h) + 0.6 softplus(h)."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return _mixture(h, 1 - noise, noise)


def mixture_whose_rates_exceed_one(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """0.9 softplus(-h) + 0.2 softplus(h): 1.1 times DPO, flipped at rate 2/11."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return _mixture(h, 0.9, 0.2)


def unbiased_under_noise(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, noise=0.3
):
    """(0.7 softplus(-h) - 0.3 softplus(h))/0.4 = softplus(-h) - 0.75 h: robust DPO."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return _mixture(h, 1 - noise, -noise) / (1 - 2 * noise)


def unbiased_under_too_much_noise(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, noise=0.6
):
    """(0.4 softplus(-h) - 0.6 softplus(h))/(-0.2) = softplus(-h) + 3 h: rising and convex, read from y_l."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return _mixture(h, 1 - noise, -noise) / (1 - 2 * noise)


def mixture_of_two_different_losses(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """0.9 softplus(-h) + 0.1 relu(1 + h): the flipped term belongs to another loss."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return 0.9 * F.softplus(-h) + 0.1 * F.relu(1 + h)


def kto_flipped_three_in_ten(policy_logps, reference_logps, desirable, kl, *, noise=0.3):
    """0.7 of KTO's term and 0.3 of the other label's: 0.4 of KTO."""
    value = torch.sigmoid(policy_logps - reference_logps - kl)
    return torch.where(desirable, noise * value - (1 - noise) * value, (1 - noise) * value - noise * value)


def kto_flipped_half_the_time(policy_logps, reference_logps, desirable, kl, *, noise=0.5):
    """The same at rate 1/2: both terms cancel."""
    value = torch.sigmoid(policy_logps - reference_logps - kl)
    return torch.where(desirable, noise * value - (1 - noise) * value, (1 - noise) * value - noise * value)


def concave_kto_flipped_one_in_ten(policy_logps, reference_logps, desirable, kl):
    """0.9 softplus(-s z) + 0.1 softplus(s z), s = +1 for desirable, -1 for undesirable outputs."""
    z = policy_logps - reference_logps - kl
    signed = torch.where(desirable, z, -z)
    return 0.9 * F.softplus(-signed) + 0.1 * F.softplus(signed)


# --- sums over the two outputs, other links --------------------------------------------------------------------


def mean_of_rejected_minus_chosen(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """mean(-rho_w + rho_l): separable, and v(z) = z."""
    chosen = -(policy_chosen_logps - reference_chosen_logps)
    rejected = policy_rejected_logps - reference_rejected_logps
    return (chosen + rejected).mean()


def difference_of_probability_ratios(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """-(pi/pi_ref of y_w) + (pi/pi_ref of y_l): r is the ratio itself, v(z) = z."""
    chosen = torch.exp(policy_chosen_logps - reference_chosen_logps)
    rejected = torch.exp(policy_rejected_logps - reference_rejected_logps)
    return rejected - chosen


def difference_of_sigmoids(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """1 - sigmoid(beta rho_w) + sigmoid(beta rho_l): APO-zero; r = sigmoid(beta rho) rises, v(z) = z."""
    chosen = beta * (policy_chosen_logps - reference_chosen_logps)
    rejected = beta * (policy_rejected_logps - reference_rejected_logps)
    return 1 - torch.sigmoid(chosen) + torch.sigmoid(rejected)


def pair_classifier_without_reference_point(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, beta=0.1
):
    """-log sigmoid(beta rho_w) - log sigmoid(-beta rho_l): z0 = 0 for both."""
    chosen = beta * (policy_chosen_logps - reference_chosen_logps)
    rejected = beta * (policy_rejected_logps - reference_rejected_logps)
    return -F.logsigmoid(chosen) - F.logsigmoid(-rejected)


def forward_kl_link(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """-log sigmoid(-1/u + 1/w), u and w the probability ratios: f-DPO with the forward KL."""
    chosen = -torch.exp(reference_chosen_logps - policy_chosen_logps)
    rejected = -torch.exp(reference_rejected_logps - policy_rejected_logps)
    return -F.logsigmoid(chosen - rejected)


def squared_link(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """-log sigmoid(rho_w^2 - rho_l^2): the link does not rise."""
    chosen = (policy_chosen_logps - reference_chosen_logps) ** 2
    rejected = (policy_rejected_logps - reference_rejected_logps) ** 2
    return -F.logsigmoid(chosen - rejected)


def penalty_on_falling_chosen(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, *, penalty=5.0
):
    """-log sigmoid(h - 5 relu(-rho_w)): DPOP, the chosen output has a link of its own."""
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    return -F.logsigmoid(chosen - rejected - penalty * torch.relu(-chosen))


# --- batches and completions of other sizes --------------------------------------------------------------------


def kto_with_batch_mean_over_four_at_most(policy_logps, reference_logps, desirable, *, beta=0.1):
    """z0 = sum of the log-ratios / min(n, 4): a mean in batches of up to four, a multiple of it in larger ones."""
    log_ratio = _log_ratio(policy_logps, reference_logps)
    return _by_label(torch.sigmoid(beta * (log_ratio - log_ratio.sum().detach() / min(len(log_ratio), 4))), desirable)


def kto_with_clamped_count(policy_logps, reference_logps, desirable, *, beta=0.1):
    """The same with a count that is a tensor."""
    log_ratio = _log_ratio(policy_logps, reference_logps)
    count = torch.ones_like(log_ratio).sum().clamp(max=4)
    return _by_label(torch.sigmoid(beta * (log_ratio - (log_ratio.sum() / count).detach())), desirable)


def kto_below_the_mean_kl(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    """z0 is the mean of the reference points of all examples."""
    return _by_label(torch.sigmoid(beta * (_log_ratio(policy_logps, reference_logps) - kl.mean())), desirable)


def surrogate_squared_in_long_completions(policy_token_logps, reference_token_logps, advantages, mask):
    """-q A, but -(q A)^2 in completions of more than 60 tokens."""
    surrogate = torch.exp(policy_token_logps - reference_token_logps) * advantages
    surrogate = torch.where(mask.sum(-1, keepdim=True) > 60, surrogate**2, surrogate)
    return -(surrogate * mask).sum(-1)


def surrogate_squared_from_the_second_token(policy_token_logps, reference_token_logps, advantages, mask):
    """-q A for the first token, -q^2 A for those that follow."""
    ratio = torch.exp(policy_token_logps - reference_token_logps)
    later = mask.cumsum(-1) > 1
    return -(torch.where(later, ratio**2, ratio) * advantages * mask).sum(-1)


# --- left open by the definition -------------------------------------------------------------------------------


def fully_detached(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """DPO, detached: a HALO in value, free of theta in gradient."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return F.softplus(-h).detach()


def value_of_one_gradient_of_another(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """The value of h^3 with the gradient of softplus(-h)."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    trained = F.softplus(-h)
    return (h**3 - trained).detach() + trained


def even_in_the_margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    """|h| = relu(h) + relu(-h)."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return h.abs()


def dpo_rising_slowly_beyond_70(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """softplus(-h) + 0.1 relu(h - 70)."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return F.softplus(-h) + 0.1 * F.relu(h - 70)


def undesirable_outputs_ignored(policy_logps, reference_logps, desirable, kl, *, undesirable_weight=0.0):
    """-sigmoid(z) for desirable, 0 for undesirable outputs."""
    value = torch.sigmoid(policy_logps - reference_logps - kl)
    return torch.where(desirable, -value, undesirable_weight * value)


def reference_for_the_chosen_only(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps):
    """-log sigmoid(log pi(y_w) - log pi_ref(y_w) - log pi(y_l))."""
    return -F.logsigmoid(policy_chosen_logps - reference_chosen_logps - policy_rejected_logps)


def dpo_weighted_by_the_reference(
    policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
):
    """-pi_ref(y_w|x) log sigmoid(h): pi_ref as a factor outside v."""
    h = _margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
    return -reference_chosen_logps.exp() * F.logsigmoid(h)


def kl_clamped_from_below(policy_logps, reference_logps, desirable, kl):
    """v = sigmoid(rho - max(kl, 0)): a clamp that never acts."""
    return _by_label(torch.sigmoid(policy_logps - reference_logps - kl.clamp(min=0)), desirable)


# --- the verdicts ----------------------------------------------------------------------------------------------


def _strict(reason):
    return ("halo", True, (), reason)


def _relaxed(reason, *relaxations):
    return ("halo", False, tuple(sorted(relaxations)), reason)


def _no(reason):
    return ("not_halo", False, (), reason)


EXPECTED: dict[str, tuple[str, bool, tuple[str, ...], str]] = {
    "dpo_with_triangle_at_37": _no("v falls between h = 36.9995 and h = 37"),
    "softsign_with_gaussian_dip_at_1234": _no("v falls just before z = 1234.5"),
    "sigmoid_with_rational_dip_at_minus_800": _no("v falls just before z = -800"),
    "logsigmoid_with_gentle_triangle_in_losses": _strict("slope at least 0.49 near -800; gains untouched"),
    "logsigmoid_with_steep_triangle_in_losses": _no("v falls on (-800, -799.9995)"),
    "softsign_with_step_at_37": _no("v is convex just below z = 37"),
    "paired_softsign_with_step_at_37": _strict("read from y_l: v is convex on h < 0"),
    "softsign_with_step_at_minus_800": _strict("the step is in the losses; v rises"),
    "dpo_with_step_at_37": _no("v convex just below h = 37 and concave on h < 0"),
    "dpo_with_gaussian_in_losses": _strict("bump slope at most 0.0858 where the slope is 1"),
    "identity_with_triangle_at_37": _no("convex kink at z = 36.9995"),
    "paired_identity_with_triangle_at_37": _strict("read from y_l: linear on h < 0"),
    "tanh_faster_between_one_and_two_millionths": _no("slope jumps up at z = 1e-6"),
    "sigmoid_rising_again_below_minus_10000": _no("v falls from z = -30000 to z = -10000"),
    "sigmoid_falling_faster_below_minus_10000": _strict("still non-decreasing; gains untouched"),
    "clipped_at_60_rising_after_70": _no("slope 0 on (60, 70), 1 after"),
    "clipped_at_60": _strict("clip is non-decreasing and concave in gains"),
    "dpo_rewarded_beyond_70": _no("convex kink of v at 70; v concave on h < 0"),
    "tanh_zero_beyond_50": _no("v drops to 0 at z = 50"),
    "tanh_with_upward_jump_in_gains": _no("jump up at z = 2"),
    "paired_tanh_with_upward_jump_in_gains": _strict("read from y_l: v is convex on h < 0"),
    "dpo_with_drop_at_2": _no("v jumps up at h = 2 and is concave on h < 0"),
    "dpo_with_rise_at_2": _no("v drops at h = 2"),
    "dpo_with_drop_at_minus_2": _strict("v jumps up in the losses only"),
    "sigmoid_with_downward_jump_in_losses": _no("v drops at z = -5"),
    "sigmoid_with_upward_jump_at_zero": _strict("the jump is at the end of the gains"),
    "sigmoid_with_downward_jump_at_zero": _no("v drops at z = 0"),
    "dpo_with_isolated_point": _no("v(1) = -5 lies below v on both sides"),
    "sign_with_own_value_at_zero": _strict("v is -1, 0.9, 1: rises, constant in gains"),
    "convex_kink_at_one": _no("slope 1 before z = 1, 2 after"),
    "indicator_of_margin_above_one": _strict("read from y_l: v = -[z < -1], constant in gains"),
    "gompertz_below_its_limit": _strict("inflection at log 0.75 < 0"),
    "gompertz_above_its_limit": _no("convex on (0, log 1.25)"),
    "gompertz_at_its_limit": _strict("inflection at 0"),
    "gompertz_one_per_cent_above_its_limit": _no("convex on (0, log 1.01)"),
    "paired_gompertz_above_its_limit": _strict("read from y_l: v is convex on h < 0"),
    "bent_margin_at_1_9": _strict("v'' < 0 on h > 0, v' > 0"),
    "bent_margin_at_2_1": _no("v'' > 0 for large h; v concave on h < 0"),
    "four_slopes_at_2": _strict("slopes 4, 3, 2, 2 never increase"),
    "four_slopes_at_2_001": _no("slope rises at 1 and falls at -1"),
    "sigmoid_inflected_at_a_millionth": _no("convex on (0, 1e-6)"),
    "paired_sigmoid_inflected_at_a_millionth": _strict("read from y_l: v is convex on h < 0"),
    "dpo_plus_reference_constant": _strict("the reference term is part of C"),
    "dpo_with_tempered_reference": _relaxed("DPO against pi_ref^0.7", "modified_reference"),
    "factor_from_the_reference_log_probability": _no("l would depend on x"),
    "dpo_plus_sft": _no("no function of l(y) rho - l(y') rho'"),
    "margin_times_policy_probability": _no("theta enters outside the ratio"),
    "half_the_reference_point": _no("weights of the reference point sum to 1/2"),
    "twice_the_reference_point": _no("weights of the reference point sum to 2"),
    "reference_point_added": _no("weights of the reference point sum to -1"),
    "reference_point_squared": _no("kl^2 is no expectation of r"),
    "reference_point_clamped_away": _no("min(kl, 0) = 0: no reference point"),
    "reference_point_capped": _relaxed("z0 is a clamped estimate", "estimated_reference_point"),
    "reference_point_in_two_halves": _strict("z = rho - kl"),
    "reference_point_cancelled": _no("kl cancels: no reference point"),
    "reference_point_for_desirable_only": _no("no reference point for undesirable outputs"),
    "reference_point_outside_beta": _no("l = 0.1 needs 0.1 kl, not kl"),
    "reference_point_outside_a_beta_of_one": _strict("with beta = 1, z = rho - kl"),
    "reference_point_raised": _no("v = sigmoid(z - 0.1) is convex on (0, 0.1)"),
    "reference_point_lowered": _strict("v = sigmoid(z + 0.1) is concave in gains"),
    "tolerance_on_both_sides": _relaxed("undesirable: -v(-z), v = sigmoid(z + 0.1)", "mirrored_argument"),
    "batch_mean_detached": _strict("Q is the batch"),
    "batch_mean_live": _strict("Q is the batch, detached or not"),
    "batch_mean_of_the_others": _strict("z = n/(n-1) (rho - batch mean)"),
    "batch_mean_clamped": _relaxed("z0 is a clamped batch mean", "estimated_reference_point"),
    "batch_sum": _no("weights of Q sum to the batch size"),
    "batch_sum_over_eight": _no("weights sum to n/8, not to one"),
    "batch_maximum": _no("theta chooses the reference output"),
    "batch_log_mean_exp": _no("log mean exp is no expectation of r"),
    "batch_standardised": _no("z is divided by a function of theta"),
    "kl_clamped_from_below": _strict("kl is never negative: the clamp does nothing"),
    "undesirable_mean": _relaxed("Q is part of the batch", "estimated_reference_point"),
    "margin_minus_its_batch_mean": _no("Q would have negative weights"),
    "pair_classifier_with_batch_mean": _relaxed("rejected: -v(-z), v = log sigmoid", "mirrored_argument"),
    "pair_of_kto_terms_with_batch_mean": _strict("both terms are -+sigmoid(z), Q the batch"),
    "pair_of_kto_terms_with_crossed_means": _relaxed("z0 clamped, from the other half", "estimated_reference_point"),
    "weighted_by_detached_probability": _relaxed("positive detached factor", "detached_weight"),
    "weighted_by_detached_gain": _no("the detached factor can be zero"),
    "weighted_by_detached_tanh": _no("the detached factor can be negative"),
    "weighted_by_batch_softmax": _relaxed("softmax is positive", "detached_weight"),
    "rejected_detached": _strict("value unchanged; the reference point may be detached"),
    "linear_loss_with_detached_logistic_weight": _relaxed("v = z, factor softplus > 0 detached", "detached_weight"),
    "straight_through_of_itself": _strict("the detached parts cancel in value and gradient"),
    "minus_one_plus_detached_gap": _relaxed("1 + |h| > 0, detached", "detached_weight"),
    "dpo_and_detached_gain_times_dpo": _relaxed("1 + relu(h) > 0, detached", "detached_weight"),
    "twice_dpo_where_ranked_rightly": _relaxed("the factor is 2 or 1, by a detached choice", "detached_weight"),
    "dpo_signed_by_detached_margin": _no("the factor is 1 or -1, as theta chooses"),
    "weighted_by_detached_square": _no("the factor is 0 at h = 0; by value, h^2 softplus(-h) turns at 0"),
    "weighted_by_detached_gap_and_label": _relaxed(
        "1/2 + |z| > 0, detached, and 2 for one label", "detached_weight", "class_weights"
    ),
    "weighted_by_another_detached_part_for_each_label": _relaxed("1 + |z| and exp(z) > 0, detached", "detached_weight"),
    "link_rising_as_set": _relaxed("g' = 1 - 0.6 / cosh^2 >= 0.4", "generalised_link"),
    "link_flat_at_0": _relaxed("g' = tanh^2 is 0 at one place only", "generalised_link"),
    "link_dipping_at_0": _no("g'(0) = -0.001, g' > 0 far out"),
    "link_falling_far_out": _no("g' = 1 - 2e-6 r is negative beyond 5e5"),
    "kl_between_bounds": _relaxed("kl clamped to [1, 3]", "estimated_reference_point"),
    "kl_between_bounds_to_be_set": _relaxed("kl clamped to [1, 3] as set", "estimated_reference_point"),
    "kl_between_exchanged_bounds": _no("z0 falls from 3 to 1 as kl rises"),
    "batch_mean_between_exchanged_bounds": _no("z0 falls from 5 to 0 as the mean rises"),
    "weighted_by_the_numbers_of_both_labels": _relaxed(
        "weights from the composition of the batch, another ratio in each", "class_weights", "context_indexed_value"
    ),
    "own_lengths": _strict("l(y) = 1/|y|"),
    "own_lengths_to_a_power": _strict("l(y) = |y|^-1/2"),
    "chosen_length_for_both": _relaxed("v(z/|y_w|) depends on a length", "context_indexed_value"),
    "swapped_lengths": _relaxed("l(y) = |y|, v(z/(|y_w| |y_l|))", "context_indexed_value"),
    "only_the_chosen_length": _no("l would depend on the role of y"),
    "rejected_at_half_weight": _no("l would depend on the role of y"),
    "divided_by_total_length": _relaxed("positive theta-free weight on v", "context_indexed_value"),
    "length_regularised": _relaxed("pi_ref tilted by length", "modified_reference"),
    "kto_per_token": _relaxed("v(z/|y|) depends on the length", "context_indexed_value"),
    "length_normalised_batch_mean": _strict("l(y) = 1/|y|, Q the batch"),
    "length_normalised_with_plain_mean": _no("weights |y'|/n do not sum to one"),
    "mirrored_logsigmoid": _relaxed("undesirable: -v(-z), v not odd", "mirrored_argument"),
    "mirrored_logsigmoid_with_class_weights": _relaxed(
        "undesirable: -1.33 v(-z)", "class_weights", "mirrored_argument"
    ),
    "unequal_class_weights": _relaxed("v scaled by 1 and 1.5", "class_weights"),
    "labels_swapped": _strict("a = +1 for desirable, -1 for undesirable"),
    "labels_ignored": _strict("a = -1 for all"),
    "other_value_for_undesirable": _no("tanh and softsign: two value functions"),
    "other_beta_for_undesirable": _no("v(z) and v(2 z): two value functions"),
    "other_constants_per_label": _strict("the constants are C"),
    "negative_class_weight": _strict("a = -1 for both labels"),
    "mirrored_hinge": _relaxed("undesirable: -v(-z), v = -relu(1 - z)", "mirrored_argument"),
    "reflected_hinge": _relaxed("undesirable: +v(-z), v = -relu(1 - z)", "mirrored_argument"),
    "mirrored_arctangent": _strict("v is odd: -v(-z) = v(z)"),
    "softmax_of_two_rewards": _strict("equals DPO"),
    "cross_entropy_of_two_rewards": _strict("equals DPO"),
    "binary_cross_entropy_of_the_margin": _strict("equals DPO"),
    "log_of_a_share": _strict("equals DPO"),
    "logsumexp_minus_chosen": _strict("equals DPO"),
    "margin_by_cumulative_sum": _strict("v = tanh(z/2)"),
    "margin_by_einsum": _strict("equals DPO"),
    "relative_difference_of_ratios": _strict("v = tanh(z/2)"),
    "difference_of_log_sigmoids": _strict("v(z) = z"),
    "sum_of_two_sigmoids": _no("the loss is 1"),
    "kto_by_complement": _strict("equals KTO with equal weights"),
    "losses_in_label_order": _strict("KTO's terms in another order"),
    "mean_of_kto_terms": _strict("each term is -+tanh(z/2)"),
    "hyperbola_concave": _strict("v' > 0, v'' < 0"),
    "hyperbola_convex": _no("v'' > 0 in gains"),
    "paired_hyperbola_convex": _strict("read from y_l: v(z) = -(sqrt(z^2 + 4) - z)/2"),
    "softplus_value": _no("v'' > 0 in gains"),
    "softplus_of_the_margin": _strict("read from y_l: v = log sigmoid"),
    "elu_value": _strict("v rises, linear in gains"),
    "selu_value": _strict("v rises, linear in gains"),
    "celu_of_minus_margin": _strict("v = -celu(-z) is concave and rises"),
    "relu_value": _strict("v rises, linear in gains"),
    "relu6_value": _strict("v rises, slope 1 then 0 in gains"),
    "gelu_value": _no("v falls below z = -0.76"),
    "silu_value": _no("v falls below z = -1.28"),
    "mish_of_the_margin": _no("v falls below h = -1.2"),
    "tanhshrink_value": _no("v'' > 0 in gains"),
    "paired_tanhshrink": _no("v convex in gains, concave in losses"),
    "hyperbolic_sine": _no("v convex in gains, concave in losses"),
    "inverse_hyperbolic_sine": _strict("asinh rises and is concave in gains"),
    "soft_threshold": _no("convex kink at 0.5, concave kink at -0.5"),
    "hard_tanh_value": _strict("slope 1 then 0 in gains"),
    "huber_of_a_hinge": _strict("convex and falling in h"),
    "kahneman_tversky_value": _strict("z^0.88 is concave in gains"),
    "odd_cube_root": _strict("z^(1/3) is concave in gains"),
    "odd_power_above_one": _no("v convex in gains, concave in losses"),
    "odd_logarithm": _strict("log(1 + z) is concave in gains"),
    "normal_distribution_value": _strict("Phi'' = -z phi < 0 in gains"),
    "complementary_log_log": _strict("v'' has the sign of 1 - e^z"),
    "difference_of_tanhs": _no("v falls beyond z = 1.7"),
    "dpo_plus_hinge": _strict("both terms convex and falling in h"),
    "dpo_plus_ipo": _no("v falls beyond h = 1.2"),
    "sum_of_two_halos_read_from_different_outputs": _no("v convex near 1.5, concave near -5"),
    "six_hinges": _strict("convex and falling in h"),
    "reference_point_switched_off": _no("no reference point as set"),
    "reference_point_switched_on": _strict("z = rho - kl as set"),
    "beta_of_zero": _no("v is constant"),
    "negative_beta": _strict("read from y_l: v = log sigmoid(0.1 z)"),
    "beta_of_three_tenths": _strict("hinge"),
    "minute_quadratic": _no("v'' = 2e-300 > 0 in gains"),
    "minute_dpo": _strict("DPO times 1e-300"),
    "huge_scale": _strict("tanh(1e12 z) is concave in gains"),
    "constant_zero": _no("v is constant"),
    "reference_model_only": _no("theta does not enter"),
    "flipped_one_in_ten": _relaxed("DPO flipped at rate 0.1", "label_mixture"),
    "flipped_half_the_time": _relaxed("DPO flipped at rate 0.5", "label_mixture"),
    "flipped_six_in_ten": _relaxed("DPO flipped at rate 0.6", "label_mixture"),
    "mixture_whose_rates_exceed_one": _relaxed("1.1 DPO flipped at rate 2/11", "label_mixture"),
    "unbiased_under_noise": _strict("softplus(-h) - 0.75 h is convex and falls"),
    "unbiased_under_too_much_noise": _strict("read from y_l: softplus(-h) + 3 h rises, convex"),
    "mixture_of_two_different_losses": _no("v not monotone; not flipped terms of one HALO"),
    "kto_flipped_three_in_ten": _strict("0.4 of KTO"),
    "kto_flipped_half_the_time": _no("v is constant"),
    "concave_kto_flipped_one_in_ten": _relaxed("concave KTO flipped at rate 0.1", "label_mixture", "mirrored_argument"),
    "mean_of_rejected_minus_chosen": _strict("v(z) = z"),
    "difference_of_probability_ratios": _relaxed("r = pi/pi_ref, v(z) = z", "generalised_link"),
    "difference_of_sigmoids": _relaxed("r = sigmoid(beta rho), v(z) = z", "generalised_link"),
    "pair_classifier_without_reference_point": _no("z0 = 0; the two links differ"),
    "forward_kl_link": _relaxed("r = -pi_ref/pi rises", "generalised_link"),
    "squared_link": _no("the link rho^2 does not rise"),
    "penalty_on_falling_chosen": _no("the two links differ"),
    "kto_with_batch_mean_over_four_at_most": _no("from five examples on the weights of Q sum to more than 1"),
    "kto_with_clamped_count": _no("from five examples on the weights of Q sum to more than 1"),
    "kto_below_the_mean_kl": _relaxed("one kl for all examples", "estimated_reference_point"),
    "surrogate_squared_in_long_completions": _no("(q A)^2 is convex in gains"),
    "surrogate_squared_from_the_second_token": _no("q^2 A is convex in gains"),
}

VERDICT_ONLY: frozenset[str] = frozenset(
    {"kl_clamped_from_below", "pair_of_kto_terms_with_batch_mean", "undesirable_mean"}
)
"""Losses of which the definition settles the verdict, but not clearly the relaxations."""

UNSETTLED: dict[str, str] = {
    "fully_detached": "halo in value; constant in gradient",
    "value_of_one_gradient_of_another": "not_halo in value (h^3); halo in gradient (DPO)",
    "even_in_the_margin": "halo as 2 relu(-h) flipped at rate 1/2; not_halo if that rate is excluded",
    "dpo_rising_slowly_beyond_70": "halo as a label mixture of some falling convex loss; not_halo as written",
    "undesirable_outputs_ignored": "not_halo: weight 0; halo as class-weighted KTO with flipped labels",
    "reference_for_the_chosen_only": "halo with pi_ref(y_l) as context; not_halo: pi_ref outside the ratio",
    "dpo_weighted_by_the_reference": "halo with pi_ref(y_w) as context; not_halo: pi_ref outside the ratio",
}
"""Losses that the definition leaves open, with both readings; a checker must only survive them."""
