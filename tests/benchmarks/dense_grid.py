"""What a dense grid of floats says of a value function: differences on evenly spaced points, with a tolerance."""

import numpy as np
import sympy
from sympy import Expr
from traps import Z

HALF_WIDTH = 50.0
TOLERANCE = 1e-12  # times the largest |v|, or 1


def answers(v: Expr, num_points: int) -> tuple[str, str]:
    """Return whether v looks non-decreasing on [-50, 50] and concave on (0, 50]: "yes", "no", or "open" at a NaN."""
    z = np.linspace(-HALF_WIDTH, HALF_WIDTH, num_points)
    with np.errstate(all="ignore"):
        values = np.broadcast_to(sympy.lambdify(Z, v, modules=["scipy", "numpy"])(z), z.shape)
    if not np.isfinite(values).all():
        return "open", "open"
    tolerance = TOLERANCE * max(1.0, float(np.abs(values).max()))
    rises = np.diff(values).min() >= -tolerance
    bends = np.diff(values[z > 0], n=2).max() <= tolerance
    return ("yes" if rises else "no"), ("yes" if bends else "no")
