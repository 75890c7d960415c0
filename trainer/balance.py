"""Equation 7 of the KTO paper: class weights that make up for imbalanced labels."""

LOWEST, HIGHEST, AIMED_AT = 1.0, 1.5, 4 / 3
"""The interval of eq. 7, and the ratio that the paper takes (section 4.3: lambda_D = 13.33 at 1:10)."""


def is_balanced(ratio: float) -> bool:
    """Whether eq. 7 holds of lambda_D n_D / (lambda_U n_U)."""
    return LOWEST <= ratio <= HIGHEST


def balanced_weights(desirable: int, undesirable: int) -> dict[str, float]:
    """Return the class weights with ratio 4:3, the rarer class's above 1 and the other 1; none where eq. 7 holds.

    Args:
        desirable: n_D, >= 1.
        undesirable: n_U, >= 1.
    """
    ratio = desirable / undesirable
    if is_balanced(ratio):
        return {}
    if ratio < LOWEST:
        return {"desirable_weight": float(f"{AIMED_AT / ratio:.4g}")}
    return {"undesirable_weight": float(f"{ratio / AIMED_AT:.4g}")}
