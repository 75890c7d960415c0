"""A new loss file, written from a value function and a reference point."""

import keyword
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from sympy import Expr, Rational, Symbol

from halotheory.contract import ARGUMENTS
from halotheory.errors import HaloTheoryError
from halotheory.files import write_text
from halotheory.formula import read_formula
from halotheory.proving.shape import Z
from halotheory.torch_code import torch_code

ReferencePoint = Literal["kl", "rejected", "batch-mean"]
"""Where z = 0 lies: the policy's expected reward, the rejected output's reward, or the batch's mean reward."""

_DEFAULTS = {"beta": 0.1}
_OTHER_DEFAULT = 1.0
_UNPAIRED = ("policy_logps", "reference_logps", "desirable")
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "kl": (*_UNPAIRED, "kl"),
    "batch-mean": _UNPAIRED,
    "rejected": (
        "policy_chosen_logps",
        "policy_rejected_logps",
        "reference_chosen_logps",
        "reference_rejected_logps",
    ),
}
_Z = {
    "kl": "z = policy_logps - reference_logps - kl",
    "batch-mean": "log_ratio = policy_logps - reference_logps\n    z = log_ratio - log_ratio.detach().mean()",
    "rejected": "chosen = policy_chosen_logps - reference_chosen_logps\n"
    "    rejected = policy_rejected_logps - reference_rejected_logps\n"
    "    z = chosen - rejected",
}
_MEANING = {
    "kl": "z = log-ratio - kl, in nats: the reward relative to what the policy expects",
    "batch-mean": "z = log-ratio - mean log-ratio of the batch, in nats; no gradient flows through the mean",
    "rejected": "z = log-ratio of the chosen output - log-ratio of the rejected one, in nats",
}


def new_loss(
    value_function: str,
    *,
    reference_point: ReferencePoint = "kl",
    settings: Mapping[str, float] | None = None,
) -> str:
    """Return the source of a loss file, ready for `halotheory check` and `trainer align`.

    The loss of an example is -v(z), or +v(z) where it is undesirable.

    Args:
        value_function: a formula in z and hyperparameters, such as `1/(1+exp(-beta*z))`.
        reference_point: where z = 0 lies; `rejected` makes the loss one on pairs.
        settings: the defaults of the hyperparameters; beta is 0.1 and others are 1 where not given.

    Raises:
        HaloTheoryError: a formula that cannot be read, or settings that do not fit it.
    """
    if reference_point not in get_args(ReferencePoint):
        known = ", ".join(get_args(ReferencePoint))
        raise HaloTheoryError(f"unknown reference point '{reference_point}'; there are: {known}")
    v = read_formula(value_function)
    values = _hyperparameters(v, settings or {})
    code = torch_code(v, {Symbol(name, positive=True): Rational(repr(value)) for name, value in values.items()})
    imports = ["import torch"] * ("torch." in code or reference_point != "rejected")
    imports += ["import torch.nn.functional as F"] * ("F." in code)
    arguments = ", ".join(f"{name}: Tensor" for name in _ARGUMENTS[reference_point])
    defaults = ", ".join(f"{name}: float = {value!r}" for name, value in values.items())
    formula = re.sub(r"\s+", " ", value_function.strip())
    terms = "-v(z)" if reference_point == "rejected" else "-v(z) for desirable outputs and v(z) for undesirable ones"
    returned = "-v" if reference_point == "rejected" else "torch.where(desirable, -v, v)"
    return f'''"""A loss made from a value function."""

{chr(10).join(imports)}
from torch import Tensor


def loss({_wrapped(arguments, defaults)}) -> Tensor:
    """Return {terms}.

    v(z) = {formula}
    {_MEANING[reference_point]}.
    """
    {_Z[reference_point]}
    v = {code}
    return {returned}
'''


def write_loss(path: Path, source: str, *, overwrite: bool = False) -> None:
    """Write a loss file, whole or not at all.

    Raises:
        HaloTheoryError: the file exists, its folder does not, or it cannot be written.
    """
    if path.suffix != ".py":
        raise HaloTheoryError(f"{path}: a loss file ends in .py")
    if path.exists() and not overwrite:
        raise HaloTheoryError(f"{path}: exists; choose another name, or replace it with --force")
    write_text(path, source)


def _hyperparameters(v: Expr, settings: Mapping[str, float]) -> dict[str, float]:
    """Return the default of every hyperparameter in the formula."""
    names = sorted(str(symbol) for symbol in v.free_symbols - {Z})
    arguments = {name for group in ARGUMENTS.values() for name in group}
    for name in names:
        if name in arguments or keyword.iskeyword(name) or name in {"torch", "F", "Tensor", "v", "loss"}:
            raise HaloTheoryError(f"'{name}' cannot be the name of a hyperparameter; choose another")
    for name in settings:
        if name not in names:
            raise HaloTheoryError(
                f"--set {name}: not in the formula; its hyperparameters: {', '.join(names) or 'none'}"
            )
    return {name: float(settings.get(name, _DEFAULTS.get(name, _OTHER_DEFAULT))) for name in names}


def _wrapped(arguments: str, defaults: str) -> str:
    """Return the parameters in one line, or one line each."""
    given = arguments.split(", ") + (["*", *defaults.split(", ")] if defaults else [])
    line = ", ".join(given)
    if len(line) <= 95:
        return line
    return "\n    " + ",\n    ".join(given) + ",\n"
