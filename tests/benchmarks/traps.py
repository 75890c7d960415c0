"""Value functions that are easy to misjudge, each with points at which it can be seen to fail, if it fails."""

from dataclasses import dataclass, field

import sympy
from sympy import Expr, Symbol

Z = Symbol("z", real=True)

_STEADY = "1/(1+exp(-z/10))"
_SATURATING = "-log(1+exp(-z/10))"


@dataclass(frozen=True, kw_only=True)
class Trap:
    """One value function, and what is true of it.

    Attributes:
        name: what it is.
        formula: v(z), as `halotheory new --value-function` takes it.
        falls: (z1, z2) with z1 < z2 and v(z1) > v(z2); None where v is non-decreasing on the line.
        sags: (z1, z2, z3), positive, v(z2) below the chord; None where v is concave on (0, oo).
    """

    name: str
    formula: str
    falls: tuple[str, str] | None = None
    sags: tuple[str, str, str] | None = None
    expression: Expr = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "expression", sympy.sympify(self.formula, locals={"z": Z}, rational=True))
        for points, fails in ((self.falls, is_fall), (self.sags, is_sag)):
            if points is not None and not fails(self.expression, [sympy.Rational(point) for point in points]):
                raise ValueError(f"{self.name}: v does not fail at {', '.join(points)}")


def is_fall(v: Expr, points: list[Expr]) -> bool:
    """Return whether v(z1) > v(z2) at two points z1 < z2, to 30 digits."""
    one, two = points
    return bool(one < two) and _is_positive(v.subs(Z, one) - v.subs(Z, two))


def is_sag(v: Expr, points: list[Expr]) -> bool:
    """Return whether v lies below its chord at the middle one of three points 0 < z1 < z2 < z3, to 30 digits."""
    one, two, three = points
    if not bool((one > 0) & (one < two) & (two < three)):
        return False
    chord = ((three - two) * v.subs(Z, one) + (two - one) * v.subs(Z, three)) / (three - one)
    return _is_positive(chord - v.subs(Z, two))


def _is_positive(difference: Expr) -> bool:
    return bool(difference.evalf(30, maxn=2000) > 0)


def _dip(shape: str, v: str, place: str, half_width: str = "1/2000") -> Trap:
    """Return the trap of a dip that is over, or as good as over, within a few half-widths."""
    before, after = (str(sympy.Rational(place) + side * sympy.Rational(half_width)) for side in (-1, 1))
    return Trap(
        name=f"{shape}, {2 * float(sympy.Rational(half_width)):.0e} wide, at {place}".replace("e-0", "e-"),
        formula=v,
        falls=(before, place),
        sags=(before, place, after),
    )


TRAPS = (
    _dip("triangular dip", f"{_STEADY} - Max(0, Min(z - 36.9995, 37.0005 - z))", "37"),
    _dip("triangular dip", f"{_STEADY} - Max(0, Min(z - 36.999995, 37.000005 - z))", "37", "1/200000"),
    _dip("triangular dip", f"{_SATURATING} - Max(0, Min(z - 1234.4995, 1234.5005 - z))", "1234.5"),
    _dip("Gaussian dip", f"{_STEADY} - exp(-(2000*(z-37))**2)/1000", "37"),
    _dip("Gaussian dip", f"{_SATURATING} - exp(-(2000*(z-1234.5))**2)/1000", "1234.5"),
    _dip("rational dip", f"{_STEADY} - 1/(1000*(1+(2000*(z-37))**2))", "37"),
    _dip("rational dip", f"{_SATURATING} - 1/(1000*(1+(2000*(z-1234.5))**2))", "1234.5"),
    Trap(
        name="steep logistic step down, 5e-7 high, at 37.00003",
        formula="z/100 - 1/(2000000*(1+exp(-100000000*(z-37.00003))))",
        falls=("37.00002999", "37.00003001"),
        sags=("37.00002", "37.00003001", "37.00004"),
    ),
    Trap(
        name="concave for b <= 2 only, b = 2",
        formula="Piecewise((2*exp(-2*z)/4 - 2*exp(-z), z > 0), (z - 3/2, True))",
    ),
    Trap(
        name="concave for b <= 2 only, b = 2.001",
        formula="Piecewise((2.001*exp(-2*z)/4 - 2*exp(-z), z > 0), (z - 2 + 2.001/4, True))",
        sags=("0.0001", "0.0002", "0.0003"),
    ),
    Trap(
        name="convex on (0, 1e-6) only",
        formula="Piecewise((z, z <= 0), (z + z**2, z < 1/1000000), (1.000002*z - 1/1000000000000, True))",
        sags=("1/4000000", "1/2000000", "3/4000000"),
    ),
    Trap(
        name="slope 1/100 rises by 1/1000 at 37",
        formula="z/100 + Max(0, z - 37)/1000",
        sags=("36", "37", "38"),
    ),
    Trap(
        name="slope rises by 1/1000 at 1234.5",
        formula="z/100 + Max(0, z - 1234.5)/1000",
        sags=("1234", "1234.5", "1235"),
    ),
    Trap(
        name="jump up among gains, at 37",
        formula="Piecewise((z, z < 37), (z + 1, True))",
        sags=("36", "36.9", "37"),
    ),
    Trap(
        name="jump up among losses, at -3",
        formula="Piecewise((z, z < -3), (z + 1, True)) - Max(0, z)/2",
    ),
    Trap(
        name="one point out of place, at 37",
        formula="Piecewise((0, Eq(z, 37)), (z, True))",
        falls=("36", "37"),
        sags=("36", "37", "38"),
    ),
    Trap(name="clipped at 60", formula="Min(z, 60)"),
    Trap(name="falls from 80 on", formula="Min(z, 60) - Max(0, z - 80)", falls=("80", "81")),
    Trap(name="falls up to -100", formula="Abs(z + 100)", falls=("-101", "-100")),
    Trap(
        name="root written with cancellation",
        formula="Piecewise((z/2, z < 0), (sqrt(10**12 + 10**6*z) - 10**6, True))",
    ),
    Trap(
        name="Kahneman-Tversky, power 0.88, loss aversion 2.25",
        formula="Piecewise((-2.25*(-z)**0.88, z < 0), (z**0.88, True))",
    ),
)
"""Where no point is given, the condition holds: by the signs of v' and v'' on each piece and the slopes at seams."""
