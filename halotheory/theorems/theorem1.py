"""Theorem 1: DPO and PPO-Clip are human-aware losses; what of the proof for PPO-Clip holds, and under which reading."""

import re

from sympy import Integer, Rational, UnevaluatedExpr, log

from halotheory.findings import Construction, Finding, Status, Verdict
from halotheory.theorems import ppo_as_written as written
from halotheory.theorems import ppo_reference as reference
from halotheory.theorems import ppo_value as value
from halotheory.theorems.claims import (
    Claim,
    Statement,
    Step,
    claim,
    equal,
    given,
    more_than,
    refutation,
)


def verify() -> Statement:
    """Return Theorem 1: both losses through the checker, and the paper's proof for PPO-Clip sentence by sentence."""
    from halotheory.checking import check

    dpo, ppo = check("dpo"), check("ppo_clip")
    return Statement(
        name="theorem1",
        title="DPO and PPO-Clip are human-aware losses",
        source="Ethayarajh et al. 2024, arXiv 2402.01306, Theorem 1; proof in Appendix B",
        formal="For DPO and every beta > 0, and for PPO-Clip and every 0 < epsilon < 1, there are an implied reward r, "
        "a distribution Q(.|x), a sign a and one v: R -> R, non-decreasing everywhere and concave on (0, oo), with "
        "loss = E[a v(r(x, y) - E_Q[r(x, y')])] + C.",
        assumptions=(
            "pi and pi_ref have full support",
            "PPO-Clip is read token by token: x is the state x:y_<t, y the next token, q = pi/pi_ref, A = Q^pi - V^pi",
            "V^pi = E_pi[Q^pi]; advantages carry no gradient",
        ),
        claims=[
            *conditions(dpo),
            dpo_reference_of_the_input_alone(),
            value.piecewise_form(),
            value.combined_form(),
            value.combined_form_at_ratio_zero(),
            value.combined_form_on_the_line(),
            value.a_value_function_for_each_advantage(),
            value.one_value_function(),
            value.one_advantage_for_each_sign(),
            value.one_advantage_for_each_sign_suffices(),
            reference.reference_point(),
            reference.the_policy_as_reference_distribution(),
            reference.where_it_is_a_reference_point(),
            reference.constant_keeps_the_advantage(),
            reference.constant_depends_on_the_input_alone(),
            reference.nonnegative_rewards_are_logarithms(),
            reference.implied_policies_exist(),
            reference.where_implied_policies_exist(),
            reference.two_tokens_have_no_other_implied_policies(),
            reference.three_tokens_have_many_implied_policies(),
            reference.repaired_reference_point(),
            reference.repair_with_kept_advantages(),
            reference.one_reference_for_all_policies(),
            written.as_written(),
            written.as_written_with_two_tokens(),
            written.as_written_with_any_distribution(),
            *conditions(ppo),
        ],
        boundaries=[value.advantages(), reference.reference_points(), reference.constants()],
        notes=[_told(dpo), _told(ppo), *_NOTES],
    )


_NOTES = (
    "With r = l log(pi/pi_ref), as Definition 3.4 is written, PPO-Clip's half of the theorem is false for every Q that "
    "is fixed or is the policy. It is true if Q may move with the policy as one likes; but a Q that is chosen to make "
    "a sentence true says little about the loss.",
    "What is left of the proof for PPO-Clip: with r = q A in place of q Q^pi, and Q = pi_ref, the reference point is "
    "E_pi[A] = 0 while A is the current policy's advantage, implied policies exist for each policy, and for each value "
    "of A there is a value function of its own. A family of value functions indexed by a context is not the "
    "definition's one v, and a pihat_ref that moves with the policy is not its reference model.",
    "With advantages of one size for each sign, such as dummy rewards of +1 and -1 used as advantages, one v serves.",
    "The assumption that Q^pi is non-negative is what makes the implied policies impossible to normalise; a constant "
    "that leaves Q^pi with both signs, such as -V^pi, makes them possible.",
    "The proof does not say whose advantage A is. If it is the current policy's, theta moves it too; the loss as "
    "trained keeps it fixed.",
)


def conditions(verdict: Verdict) -> list[Claim]:
    """Return the conditions of the definition as `halotheory check` found them, a claim each.

    What a relaxation grants was not derived, and is no claim.
    """
    names = ", ".join(verdict.relaxations)
    needed = f"As the checker reads the loss, with the relaxations {names}." if names else None
    return [
        _condition(f"{verdict.loss}_{one.name}", one, verdict, needed)
        for one in verdict.conditions
        if not _granted(one)
    ]


def _granted(finding: Finding) -> bool:
    return finding.method.startswith("assumed, not derived")


def _worded(text: str, verdict: Verdict) -> str:
    """Return a sentence about v as one about v_A, where each value of the advantage has a v of its own."""
    named = re.sub(r"\bv\b(?!alue)", "v_A", text)
    if "context_indexed_value" not in verdict.relaxations or named == text:
        return text
    return f"for each value A of the advantage, {named}"


def _part(condition: str, found: Construction) -> str:
    """Return the part of the construction that a condition is about."""
    if condition == "log_ratio_only":
        return f"r = {found.implied_reward}"
    return f"E_Q[r]: {found.reference_point}" if condition == "reference_point" else f"v(z) = {found.value_function}"


def _condition(name: str, finding: Finding, verdict: Verdict, reading: str | None) -> Claim:
    shown = Status.UNDECIDED if finding.status is Status.UNDECIDED else Status.PROVED  # also of a refuting witness
    statement = _worded(finding.statement, verdict)
    steps = [given(_worded(_part(finding.name, verdict.construction), verdict))] if verdict.construction else []
    steps.append(Step(text=statement, status=shown, method=finding.method))
    holds = (f"hyperparameters: {verdict.holds_for}",)
    if finding.witness is not None:
        return refutation(name, statement, finding.witness, steps, reading=reading, assumptions=holds)
    return claim(name, statement, steps, reading=reading, assumptions=holds)


def _told(verdict: Verdict) -> str:
    needed = f", only with {', '.join(verdict.relaxations)}" if verdict.relaxations else ""
    strictly = ", strictly" if verdict.strict else needed
    granted = ", ".join(one.name for one in verdict.conditions if _granted(one))
    assumed = f" Granted by a relaxation, not derived: {granted}." if granted else ""
    return f"halotheory check {verdict.loss}: {verdict.verdict}{strictly}; holds for {verdict.holds_for}.{assumed}"


def dpo_reference_of_the_input_alone() -> Claim:
    """Return the refutation that DPO's Q is a distribution given x alone, where x has several pairs."""
    first, second = log(Rational(3, 2)), -log(Integer(2))
    return refutation(
        "dpo_reference_of_the_input_alone",
        "DPO's Q(Y'|x), the point mass on y_l, is one distribution for each input x.",
        {
            "pairs of one x": "y_a > y_b and y_b > y_a (the data of Theorem 4)",
            "beta": 1,
            "pi_ref": (Rational(1, 2), Rational(1, 2)),
            "pi": (Rational(3, 4), Rational(1, 4)),
            "r(y_a)": first,
            "r(y_b)": second,
        },
        [
            given("v = log sigmoid, a = -1 and y = y_w, as in the proof: z = r(y_w) - r(y_l) for each pair."),
            equal(
                "From the first pair, E_Q[r] = r(y_a) - z ...",
                UnevaluatedExpr(first) - UnevaluatedExpr(first - second),
                second,
            ),
            equal(
                "... and from the second, E_Q[r] = r(y_b) - z.",
                UnevaluatedExpr(second) - UnevaluatedExpr(second - first),
                first,
            ),
            more_than("One Q(.|x) has one mean.", first, second),
        ],
        reading="Q may depend on x, as its notation says, and not on the pair. (Everywhere else here it may.)",
    )
