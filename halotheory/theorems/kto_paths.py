"""The paths of gradient flow from pi_ref on KTO's loss for one input, enclosed in balls."""

from collections.abc import Sequence
from dataclasses import dataclass

from flint import arb
from sympy import Rational

from halotheory.theorems.flow import Number, Numbers, positions
from halotheory.theorems.kto_curves import Enclosed, around

METHOD = "Taylor series of the flow with a bound on the remainder, in ball arithmetic"


@dataclass(frozen=True, kw_only=True)
class Path:
    """Gradient flow in softmax logits on f = sigmoid(u_b) - sigmoid(u_a), from pi_ref.

    Attributes:
        reference: pi_ref of y_a, y_b and the others.
        beta: of u_y = beta (log pi(y)/pi_ref(y) - z0).
        through_kl: z0 is KL, and gradients go through it; else z0 is 0.
    """

    reference: Sequence[Rational]
    beta: Rational
    through_kl: bool

    def after(self, step: Rational, counts: Sequence[int]) -> list["Place"]:
        """Return where the path is at some times.

        Args:
            step: of time.
            counts: of steps, rising.
        """
        found = positions(self._rates, [arb(0) for _ in self.reference], step, counts[-1])
        return [Place(path=self, log_ratios=found[count - 1]) for count in counts]

    def probabilities(self, log_ratios: Numbers) -> Numbers:
        """Return pi from log pi/pi_ref."""
        return [_ball(q) * r.exp() for q, r in zip(self.reference, log_ratios, strict=True)]

    def arguments(self, log_ratios: Numbers) -> tuple[Numbers, Numbers]:
        """Return log pi(y)/pi_ref(y) - z0 of every output, and pi."""
        policy = self.probabilities(log_ratios)
        point = _mean(policy, log_ratios) if self.through_kl else 0
        return [r - point for r in log_ratios], policy

    def _rates(self, log_ratios: Numbers) -> Numbers:
        """Return d log pi/d time."""
        relative, policy = self.arguments(log_ratios)
        beta = _ball(self.beta)
        first, second = (beta / ((beta * z).exp() + 2 + (-beta * z).exp()) for z in relative[:2])
        logits = [-(first - second) * p for p in policy]
        logits[0] += first
        logits[1] -= second
        if self.through_kl:
            logits = [one - (first - second) * p * z for one, p, z in zip(logits, policy, relative, strict=True)]
        mean = _mean(policy, logits)
        return [one - mean for one in logits]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a path is at one time."""

    path: Path
    log_ratios: Sequence[arb]

    @property
    def majority(self) -> Enclosed:
        """pi(y_a)."""
        return _enclosed(self.path.probabilities(self.log_ratios)[0])

    @property
    def loss(self) -> Enclosed:
        """f = sigmoid(u_b) - sigmoid(u_a)."""
        relative, _ = self.path.arguments(self.log_ratios)
        first, second = (1 / (1 + (-_ball(self.path.beta) * z).exp()) for z in relative[:2])
        return _enclosed(second - first)


def _mean(policy: Numbers, numbers: Numbers) -> Number:
    total = policy[0] * numbers[0]
    for p, number in zip(policy[1:], numbers[1:], strict=True):
        total = total + p * number
    return total


def _ball(number: Rational) -> arb:
    return arb(int(number.p)) / int(number.q)


def _enclosed(number: arb) -> Enclosed:
    """Return decimal fractions on both sides of all numbers in a ball.

    Raises:
        ArithmeticError: the ball is too wide.
    """
    found = around(float(number.mid()), 1e-5)
    if not (number > _ball(found.low) and number < _ball(found.high)):
        raise ArithmeticError(f"too wide to print: {number}")
    return found
