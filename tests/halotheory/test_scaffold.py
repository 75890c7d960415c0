"""New loss files: what is written is the value function that was asked for, in code that a person would write."""

from pathlib import Path

import numpy as np
import pytest
import torch

from halotheory.checking import check
from halotheory.contract import load_loss
from halotheory.errors import HaloTheoryError
from halotheory.formula import read_formula
from halotheory.proving.shape import Z
from halotheory.reporting.implied import numbers, read_value
from halotheory.scaffold import ReferencePoint, new_loss, write_loss
from halotheory.torch_code import torch_code

STEP = "where(z < 0, -1, 1)"
FORMULAS = {
    "1/(1+exp(-beta*z))": "torch.sigmoid(beta * z)",
    "exp(z)/(1+exp(z))": "torch.sigmoid(z)",
    "-log(1+exp(-beta*z))": "F.logsigmoid(beta * z)",
    "log(1+exp(z))": "F.softplus(z)",
    "log(1/(1+exp(-z)))": "F.logsigmoid(z)",
    "tanh(beta*z)": "torch.tanh(beta * z)",
    "log(1+z**2)": "torch.log1p(z**2)",
    "1 - exp(-beta*z)": "1 - torch.exp(-beta * z)",
    "exp(-z) - 1": "torch.expm1(-z)",
    "min(beta*z, 1)": "torch.clamp(beta * z, max=1)",
    "relu(z)": "F.relu(z)",
    "beta*z/(1+beta*abs(z))": "beta * z / (beta * torch.abs(z) + 1)",
    "clamp(z, -1, 1)": "torch.where(z >= -1, torch.clamp(z, max=1), -1)",
    "atan(z) - erf(0.3*z)": "torch.atan(z) - torch.erf(0.3 * z)",
    STEP: "torch.where(z < 0, torch.zeros_like(z) + -1, 1)",
    "where(z < 0, 2*z, z)": "torch.where(z < 0, 2 * z, z)",
    "where(z < 0, -2.25*(-z)**0.88, z**0.88)": (
        "torch.where(z < 0, -2.25 * (-torch.where(z < 0, z, -1))**0.88, torch.where(z >= 0, z, 1)**0.88)"
    ),
    "sqrt(1+z**2)*log(beta)": "torch.sqrt(z**2 + 1) * torch.log(torch.zeros_like(z) + beta)",
}
HALOS = ["1/(1+exp(-beta*z))", "-log(1+exp(-beta*z))", "tanh(beta*z)", "min(beta*z, 1)", "where(z < 0, 2*z, z)"]


def _values(text: str, hyperparameters: dict[str, float], z: np.ndarray) -> np.ndarray:
    found = numbers(read_value(text, hyperparameters).as_set, z)
    return found - found[len(z) // 2]


@pytest.mark.parametrize("formula", FORMULAS)
def test_known_forms_are_called_by_name(formula: str) -> None:
    assert torch_code(read_formula(formula), {}) == FORMULAS[formula]


@pytest.mark.parametrize("reference_point", ["kl", "rejected", "batch-mean"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_the_file_computes_its_value_function(tmp_path: Path, formula: str, reference_point: ReferencePoint) -> None:
    path = tmp_path / "my_loss.py"
    settings = {"beta": 0.7} if "beta" in formula else {}
    write_loss(path, new_loss(formula, reference_point=reference_point, settings=settings))
    loss = load_loss(str(path))
    z = torch.tensor([-30.0, -1.5, -0.1, 0.0, 0.2, 1.0, 40.0], dtype=torch.float64)
    z = z - z.mean() if reference_point == "batch-mean" else z
    tensors = {name: torch.zeros_like(z) for name in loss.arguments}
    tensors["desirable"] = torch.tensor([True, False] * 3 + [True])
    tensors[loss.arguments[0]] = z.clone().requires_grad_()
    losses = loss(**tensors)
    sign = -1 if reference_point == "rejected" else torch.where(tensors["desirable"], -1, 1)
    wanted = numbers(read_value(formula, settings).as_set, z.numpy())
    assert np.allclose((losses * sign).detach().numpy(), wanted, rtol=1e-12, atol=1e-12)
    assert losses.dtype == torch.float64
    if formula == STEP:  # its gradient is 0 wherever it exists
        return
    losses.sum().backward()
    gradient = tensors[loss.arguments[0]].grad
    assert gradient is not None
    assert not gradient.isnan()[z != 0].any()  # (-z)**0.88 has none at 0


@pytest.mark.parametrize("reference_point", ["kl", "rejected"])
@pytest.mark.parametrize("formula", HALOS)
def test_the_checker_reads_back_the_value_function(
    tmp_path: Path, formula: str, reference_point: ReferencePoint
) -> None:
    path = tmp_path / "my_loss.py"
    write_loss(
        path, new_loss(formula, reference_point=reference_point, settings={"beta": 0.5} if "beta" in formula else {})
    )
    verdict = check(str(path))
    assert verdict.verdict == "halo"
    assert verdict.strict
    made = verdict.construction
    assert made is not None
    z = np.linspace(-8, 8, 41)
    scale = float(read_value(made.normalizer, verdict.hyperparameters).as_set)
    read_back = _values(made.value_function, dict(verdict.hyperparameters), scale * z)
    assert np.allclose(read_back, _values(formula, dict(verdict.hyperparameters), z), atol=1e-12)


def test_the_file_reads_well() -> None:
    assert (
        new_loss("1/(1+exp(-beta*z))", settings={"beta": 0.2})
        == '''"""A loss made from a value function."""

import torch
from torch import Tensor


def loss(
    policy_logps: Tensor,
    reference_logps: Tensor,
    desirable: Tensor,
    kl: Tensor,
    *,
    beta: float = 0.2,
) -> Tensor:
    """Return -v(z) for desirable outputs and v(z) for undesirable ones.

    v(z) = 1/(1+exp(-beta*z))
    z = log-ratio - kl, in nats: the reward relative to what the policy expects.
    """
    z = policy_logps - reference_logps - kl
    v = torch.sigmoid(beta * z)
    return torch.where(desirable, -v, v)
'''
    )


@pytest.mark.parametrize(
    ("formula", "settings", "message"),
    [
        ("__import__('os')", {}, "unknown function '__import__'"),
        ("beta", {}, "does not depend on z"),
        ("where(beta > 1, z, 2*z)", {}, "the condition beta > 1 does not depend on z"),
        ("z*lambda", {}, "invalid syntax"),
        ("z*kl", {}, "'kl' cannot be the name of a hyperparameter"),
        ("z*beta", {"gamma": 1.0}, "--set gamma: not in the formula; its hyperparameters: beta"),
    ],
)
def test_bad_formulas_are_named(formula: str, settings: dict[str, float], message: str) -> None:
    with pytest.raises(HaloTheoryError) as error:
        new_loss(formula, settings=settings)
    assert message in str(error.value)


def test_a_file_is_replaced_only_when_told(tmp_path: Path) -> None:
    path = tmp_path / "my_loss.py"
    write_loss(path, "one")
    with pytest.raises(HaloTheoryError, match=r"exists; .* --force"):
        write_loss(path, "two")
    assert path.read_text() == "one"
    write_loss(path, "two", overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["my_loss.py"]
    assert path.read_text() == "two"


@pytest.mark.parametrize(
    ("name", "message"), [("my_loss.txt", "ends in .py"), ("no/my_loss.py", "No such file or directory")]
)
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(HaloTheoryError, match=message):
        write_loss(tmp_path / name, "")


def test_z_is_the_checkers() -> None:
    assert read_formula("z") == Z
