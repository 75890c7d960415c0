"""Losses made to fool a checker that traces, rewrites, solves and bounds, each with a verdict derived by hand."""

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
}
