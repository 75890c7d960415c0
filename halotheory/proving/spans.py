"""Intervals held by their ends: wider than balls can be, for functions that vary by many orders of magnitude."""

from dataclasses import dataclass
from typing import Any

from flint import arb

from halotheory.proving.enclose import whole_power


@dataclass(frozen=True)
class Span:
    """All real numbers from `low` to `high`, which are exact.

    Operations return spans that contain every result, and raise ZeroDivisionError where one may not be real.
    """

    low: arb
    high: arb

    def __post_init__(self) -> None:
        if not (self.low.is_finite() and self.high.is_finite()):
            raise ZeroDivisionError

    @classmethod
    def of(cls, value: Any) -> "Span":
        """Return a ball as a span."""
        return value if isinstance(value, Span) else cls(value.lower(), value.upper())

    def __add__(self, other: Any) -> "Span":
        other = Span.of(other)
        return Span((self.low + other.low).lower(), (self.high + other.high).upper())

    def __mul__(self, other: Any) -> "Span":
        other = Span.of(other)
        if self.low >= 0 and other.low >= 0:
            return Span((self.low * other.low).lower(), (self.high * other.high).upper())
        products = [x * y for x in (self.low, self.high) for y in (other.low, other.high)]
        low, high = products[0].lower(), products[0].upper()
        for product in products[1:]:
            low, high = low.min(product.lower()), high.max(product.upper())
        return Span(low.lower(), high.upper())

    __radd__, __rmul__ = __add__, __mul__

    def __rtruediv__(self, other: int) -> "Span":
        if not (self.low > 0 or self.high < 0):
            raise ZeroDivisionError
        return Span((other / self.high).lower(), (other / self.low).upper())

    def __pow__(self, exponent: int) -> "Span":
        ends = (whole_power(self.low, exponent), whole_power(self.high, exponent))
        if exponent % 2 or self.low >= 0:
            return Span(ends[0].lower(), ends[1].upper())
        high = ends[0].upper().max(ends[1].upper()).upper()
        return Span(ends[1].lower(), high) if self.high <= 0 else Span(arb(0), high)

    def exp(self) -> "Span":
        """Return what the exponential makes of it."""
        return Span(self.low.exp().lower(), self.high.exp().upper())

    def log(self) -> "Span":
        """Return what the logarithm makes of it."""
        if not self.low > 0:
            raise ZeroDivisionError
        return Span(self.low.log().lower(), self.high.log().upper())

    def atan(self) -> "Span":
        """Return what the inverse tangent makes of it."""
        return Span(self.low.atan().lower(), self.high.atan().upper())

    def erf(self) -> "Span":
        """Return what the error function makes of it."""
        return Span(self.low.erf().lower(), self.high.erf().upper())
