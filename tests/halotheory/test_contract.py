"""The loss-file contract: what loads, and what is refused with a line and a remedy."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from halotheory.contract import load_loss, loss_of, parse_settings
from halotheory.errors import HaloTheoryError

GOOD = """
import torch

def _helper(x):
    return torch.sigmoid(x)

def loss(policy_logps, reference_logps, desirable, kl, *, beta=0.1, power: int = 2):
    return _helper(beta * (policy_logps - reference_logps - kl)) ** power
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "my_loss.py"
    path.write_text(text)
    return path


def test_a_file_with_one_public_function(tmp_path: Path) -> None:
    loss = load_loss(str(written(tmp_path, GOOD)), {"beta": 0.5})
    assert loss.name == "my_loss.py:loss"
    assert loss.kind == "unpaired"
    assert loss.arguments == ("policy_logps", "reference_logps", "desirable", "kl")
    assert loss.hyperparameters == {"beta": 0.5, "power": 2.0}
    assert loss.needs_reference
    assert loss.needs_kl
    assert loss.needs_labels


def test_a_function_by_name_and_an_edit_in_between(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "def one(policy_logps):\n    return policy_logps\n\ndef two(policy_logps):\n    return -policy_logps\n",
    )
    x = torch.tensor([1.0])
    assert load_loss(f"{path}:two")(policy_logps=x).item() == -1
    path.write_text("def two(policy_logps):\n    return 5 * policy_logps\n")
    assert load_loss(f"{path}:two")(policy_logps=x).item() == 5


def test_a_loss_gets_only_what_it_names() -> None:
    seen = {}

    def loss(policy_logps, *, scale=2.0):
        seen.update(locals())
        return scale * policy_logps

    x = torch.zeros(3)
    loss_of(loss)(policy_logps=x, reference_logps=x, desirable=x > 0, kl=x.mean(), lengths=x)
    assert set(seen) == {"policy_logps", "scale", "seen"}
    assert not loss_of(loss).needs_reference


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("def loss(policy_logp, *, beta=0.1):\n    return policy_logp", 1, "did you mean 'policy_logps'?"),
        (
            "def loss(\n    policy_logps,\n    reference_logp,\n):\n    return policy_logps",
            3,
            "unknown argument 'reference_logp'",
        ),
        ("def loss(policy_logps):\n    return (policy_logps", 2, "syntax error"),
        ("import nonexistent_module_for_this_test\n", 1, "ModuleNotFoundError"),
        ("x = 1\ny = 1 / 0\n", 2, "ZeroDivisionError"),
        ("raise SystemExit(3)\n", 1, "SystemExit"),
        ("def loss(policy_logps, policy_chosen_logps):\n    return policy_logps", 1, "mixes paired and unpaired"),
        ("def loss(policy_logps, beta=0.1):\n    return policy_logps", 1, "write a * before it: *, beta=0.1"),
        ("def loss(policy_logps, *, beta):\n    return policy_logps", 1, "has no default"),
        ("def loss(policy_logps, *, beta='x'):\n    return policy_logps", 1, "the default 'x'"),
        ("def loss(policy_logps, *, flag=True):\n    return policy_logps", 1, "the default True"),
        ("def loss(policy_logps, *, kl=0.0):\n    return policy_logps", 1, "is an argument, not a hyperparameter"),
        ("def loss(policy_logps, **kwargs):\n    return policy_logps", 1, "'**kwargs' hides what the loss needs"),
        ("def loss(policy_logps, *args):\n    return policy_logps", 1, "'*args' hides what the loss needs"),
        ("def loss(reference_logps):\n    return reference_logps", 1, "takes no log-probability of the policy"),
        ("def loss(desirable):\n    return desirable", 1, "takes no log-probability of the policy"),
    ],
)
def test_broken_files_are_named_with_their_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(HaloTheoryError) as error:
        load_loss(str(path))
    assert f"my_loss.py:{line}: " in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ktoo", "did you mean 'kto'?"),
        ("KTO", "did you mean 'kto'?"),
        ("{file.parent}/notes", "a loss file ends in .py"),
        ("nowhere.py", "nowhere.py: no such file"),
        ("{file}:los", "did you mean 'loss'?"),
        ("notes.txt", "give the path of a .py file"),
    ],
)
def test_specs_that_name_nothing(tmp_path: Path, spec: str, message: str) -> None:
    path = written(tmp_path, GOOD)
    (tmp_path / "notes").touch()
    with pytest.raises(HaloTheoryError, match=message.replace("?", r"\?")):
        load_loss(spec.format(file=path))


def test_several_functions_need_a_name(tmp_path: Path) -> None:
    path = written(tmp_path, "def one(policy_logps): ...\ndef two(policy_logps): ...\n")
    with pytest.raises(HaloTheoryError, match="there are: one, two"):
        load_loss(str(path))


@pytest.mark.parametrize(
    ("made", "kind"),
    [("functools.partial(base, scale=2.0)", "partial"), ("torch.nn.Identity()", "Identity"), ("3", "int")],
)
def test_what_is_called_loss_but_is_no_function_is_named(tmp_path: Path, made: str, kind: str) -> None:
    text = f"import functools, torch\ndef base(policy_logps, *, scale=1.0):\n    return policy_logps\nloss = {made}\n"
    with pytest.raises(HaloTheoryError, match=f"'loss' is an? {kind}, not a function; write def loss"):
        load_loss(str(written(tmp_path, text)))


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # torch's own, on first import
def test_a_compiled_loss_is_read_as_it_is_written(tmp_path: Path) -> None:
    path = written(tmp_path, "import torch\n@torch.compile\ndef loss(policy_logps):\n    return -policy_logps\n")
    assert load_loss(str(path))(policy_logps=torch.tensor([1.0])).item() == -1


@pytest.mark.parametrize("given", [3, None, len, torch.nn.Identity(), dict])
def test_what_is_no_function_is_refused_from_python_too(given: Any) -> None:
    with pytest.raises(HaloTheoryError, match=r"^the loss is an? .*, not a function; write def loss"):
        loss_of(given)


def test_a_file_with_binary_text_is_named_without_a_line(tmp_path: Path) -> None:
    with pytest.raises(HaloTheoryError, match=r"my_loss\.py: syntax error: source code string cannot contain null"):
        load_loss(written(tmp_path, "x = '\0'"))


def test_a_file_may_import_its_neighbour_and_each_its_own(tmp_path: Path) -> None:
    text = "from helper_beside_it import scale\ndef loss(policy_logps):\n    return scale * policy_logps\n"
    for scale in (2, 3):
        folder = tmp_path / str(scale)
        folder.mkdir()
        (folder / "helper_beside_it.py").write_text(f"scale = {scale}\n")
        assert load_loss(written(folder, text))(policy_logps=torch.ones(1)).item() == scale
        assert str(folder) not in sys.path


def test_a_tensor_that_is_missing_is_named() -> None:
    with pytest.raises(HaloTheoryError, match=r"needs 'reference_logps', 'desirable', 'kl'; given: 'policy_logps'"):
        load_loss("kto")(policy_logps=torch.zeros(2))


def test_a_folder_is_no_loss(tmp_path: Path) -> None:
    with pytest.raises(HaloTheoryError, match="is a folder"):
        load_loss(str(tmp_path))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return [1.0]", "returned list"),
        ("return policy_logps[:2]", r"returned shape \(2,\) for a batch of 3"),
        ("return policy_logps.no_such_method()", "raised AttributeError"),
        ("return policy_logps.requires_grad_().numpy()", "raised RuntimeError: .*; stay within torch"),
    ],
)
def test_what_a_loss_returns_is_checked(tmp_path: Path, body: str, message: str) -> None:
    loss = load_loss(str(written(tmp_path, f"def loss(policy_logps):\n    {body}\n")))
    with pytest.raises(HaloTheoryError, match=message) as error:
        loss(policy_logps=torch.zeros(3))
    assert "my_loss.py:" in str(error.value)


def test_settings() -> None:
    assert parse_settings(["beta=1e-2", "desirable_weight = 4/3".replace("4/3", "1.5")]) == {
        "beta": 0.01,
        "desirable_weight": 1.5,
    }


@pytest.mark.parametrize("word", ["beta", "beta=", "=1", "beta=high"])
def test_settings_that_are_none(word: str) -> None:
    with pytest.raises(HaloTheoryError, match="expected name=number"):
        parse_settings([word])


def test_a_setting_comes_once() -> None:
    with pytest.raises(HaloTheoryError, match=r"--set beta=2: beta is set to 1 too; keep one of the two"):
        parse_settings(["beta=1", "beta=2"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bet": 1.0}, "did you mean 'beta'"),
        ({"beta": float("nan")}, "not finite"),
        ({"beta": 1e300}, r"beta=1e\+300 is beyond float32"),
        ({"beta": 1e-300}, "beta=1e-300 is beyond float32"),
        ({"beta": "0.5"}, "beta='0.5' is no number"),
        ({"beta": None}, "beta=None is no number"),
        (["beta=1"], "give a dictionary"),
    ],
)
def test_settings_that_a_loss_refuses(settings: Any, message: str) -> None:
    with pytest.raises(HaloTheoryError, match=message):
        load_loss("dpo", settings)


DOMAIN = """
from typing import Annotated

def loss(policy_logps, *, rate: Annotated[float, "{domain}"] = {default}):
    return rate * policy_logps
"""


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        ("0 <= rate < 0.5", 0.0, 0.5),
        ("rate > 0", 0.1, 0.0),
        ("1/3 <= rate <= 2/3", 0.5, 0.3),
        ("1 > rate", -7.0, 1.0),
        ("rate > -1 and rate < 1e-2", 0.0, 0.01),
        ("0<rate", 1e-9, -1.0),
    ],
)
def test_a_hyperparameter_may_name_its_domain(tmp_path: Path, domain: str, inside: float, outside: float) -> None:
    path = written(tmp_path, DOMAIN.format(domain=domain, default=inside))
    assert load_loss(str(path)).domains == {"rate": domain}
    with pytest.raises(HaloTheoryError, match="is outside of its domain"):
        load_loss(str(path), {"rate": outside})
    written(tmp_path, DOMAIN.format(domain=domain, default=outside))
    with pytest.raises(HaloTheoryError, match=r"my_loss.py:4: .*is outside of its domain"):
        load_loss(str(path))


@pytest.mark.parametrize(
    "domain",
    ["", "rate", "positive", "0 < beta", "0 < rate < beta", "rate == 1", "rate > 0 or rate < -1", "0 << rate", "0 < 1"],
)
def test_domains_that_are_none_are_refused_with_an_example(tmp_path: Path, domain: str) -> None:
    path = written(tmp_path, DOMAIN.format(domain=domain, default=0.1))
    with pytest.raises(HaloTheoryError, match=r"my_loss.py:4: .*is not understood; write it as '0 <= rate < 0.5'"):
        load_loss(str(path))


def test_domains_are_read_from_postponed_annotations(tmp_path: Path) -> None:
    text = "from __future__ import annotations\n" + DOMAIN.format(domain="rate < 1", default=0.1)
    assert load_loss(str(written(tmp_path, text))).domains == {"rate": "rate < 1"}
    assert load_loss("kto").domains == {}
