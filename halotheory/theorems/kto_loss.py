"""KTO's loss for one input with contradictory preferences, as formulas that several statements share.

L = lambda_D - A sigmoid(u_a) + B sigmoid(u_b), where u_y = beta (log pi(y)/pi_ref(y) - z0).
"""

from collections.abc import Mapping

from sympy import Expr, UnevaluatedExpr, exp


def weights(fraction: Expr, ratio: Expr) -> tuple[Expr, Expr]:
    """Return A and B over lambda_U.

    Args:
        fraction: p, of the pairs that prefer y_a.
        ratio: lambda_D/lambda_U.
    """
    return fraction * ratio - (1 - fraction), fraction - (1 - fraction) * ratio


def slope(u: Expr) -> Expr:
    """Return sigmoid'(u)."""
    return exp(-u) / (1 + exp(-u)) ** 2


def pull(beta: Expr, share: Expr, first: Expr, second: Expr) -> Expr:
    """Return -dL/ds for two outputs, s = logit t, with z0 held fixed.

    Args:
        beta: as in u_y.
        share: t = pi(y_a).
        first: A sigmoid'(u_a).
        second: B sigmoid'(u_b).
    """
    return beta * (first * (1 - share) + second * share)


def put(expression: Expr, numbers: Mapping[Expr, Expr]) -> Expr:
    """Return an expression with numbers for its symbols, shown as they are put in."""
    return expression.xreplace({symbol: UnevaluatedExpr(value) for symbol, value in numbers.items()})
