"""The symbols of a trace: one per argument and example, one per hyperparameter."""

from sympy import Symbol


def hyperparameter_symbol(name: str) -> Symbol:
    """Return the symbol of a hyperparameter of which nothing is said: a positive real number."""
    return Symbol(name, positive=True)


def argument_symbol(name: str, example: int) -> Symbol:
    """Return the symbol of a tensor argument for one example of the batch; `kl` is shared by the batch.

    Log-probabilities are at most 0, the reference point is at least 0, lengths are whole numbers from 1.
    """
    if name == "kl":
        return Symbol("kl", nonnegative=True)
    suffix = f"_{example}" if example else ""
    if "lengths" in name:
        return Symbol(name + suffix, integer=True, positive=True)
    return Symbol(name + suffix, nonpositive=True)


def kl_symbol(example: int) -> Symbol:
    """Return the symbol of the reference point of one example, where each has its own."""
    return Symbol(f"kl_{example}", nonnegative=True)


def token_symbol(name: str, token: int, example: int = 0) -> Symbol:
    """Return the symbol of a token-level argument: log-probabilities are at most 0, advantages real."""
    suffix = f"_t{token}_{example}" if example else f"_t{token}"
    return Symbol(name + suffix, real=True) if name == "advantages" else Symbol(name + suffix, nonpositive=True)
