"""What PyTorch's operations mean: each is run on symbols, and must agree with running it on numbers."""

import math
from pathlib import Path
from typing import Any

import pytest
import sympy
import torch
import torch.nn.functional as F  # noqa: N812
from sympy import Rational, Symbol

from halotheory.contract import load_loss, loss_of
from halotheory.errors import HaloTheoryError
from halotheory.tracing.agreement import check_agreement
from halotheory.tracing.expressions import exact
from halotheory.tracing.operations import OPERATIONS
from halotheory.tracing.trace import Traced, trace

POLICY, REFERENCE = Symbol("policy_logps", nonpositive=True), Symbol("reference_logps", nonpositive=True)
BETA = Symbol("beta", positive=True)


def read(body: str) -> Traced:
    """Return the trace, which agrees with running it, of a loss in which x is a log-ratio and p, q are tensors."""
    lines = body.splitlines() if "return" in body else [f"return {body}"]
    code = "\n".join(
        [
            "def loss(policy_logps, reference_logps, *, beta=0.3):",
            "    p, q = policy_logps, reference_logps",
            "    x = p - q",
            *(f"    {line}" for line in lines),
        ]
    )
    space: dict[str, Any] = {"torch": torch, "F": F, "math": math}
    exec(code, space)
    traced = trace(loss_of(space["loss"]))
    check_agreement(traced)
    return traced


OF_ONE_NUMBER = """
x + 1; 1 - x; -x; +x; 2 * x / 3; x * x; x ** 2; x ** 3; x ** -2; (-p) ** 0.5; (-p) ** beta; 2 ** x; beta ** x
x / beta; torch.add(x, q, alpha=2); x.sub(q, alpha=0.5); torch.rsub(x, 1); x.mul(2).div(beta).add(1)
torch.true_divide(x, 3); torch.exp(x); x.exp(); torch.exp2(x); torch.expm1(x); (-p).log(); torch.log2(1 - p)
torch.log10(1 - p); torch.log1p(-p); torch.sigmoid(x); x.sigmoid(); F.sigmoid(x); torch.special.expit(x)
F.logsigmoid(x); torch.nn.LogSigmoid()(x); torch.tanh(x); torch.sinh(x / 10); torch.cosh(x / 10); torch.atan(x)
torch.arctan(x); torch.asinh(x); torch.acosh(1 - p); torch.atanh(torch.tanh(x / 50)); F.softplus(x)
F.softplus(x, 2.0); F.softplus(x, beta=beta); F.softplus(x, 1.0, 5.0); torch.nn.Softplus(beta=0.5)(x); F.relu(x)
torch.relu(x); x.relu(); F.relu6(x); F.leaky_relu(x); F.leaky_relu(x, 0.2); F.leaky_relu(x, beta); F.elu(x)
F.elu(x, 0.5); F.elu(x, alpha=beta); F.selu(x); F.celu(x, 0.5); F.celu(x, beta); F.gelu(x)
F.gelu(x, approximate='tanh'); F.silu(x); F.mish(x); F.hardtanh(x); F.hardtanh(x, -beta, 2.0); F.hardsigmoid(x)
F.hardswish(x); F.softsign(x); F.tanhshrink(x); F.threshold(x, 0.1, 2.0); F.softshrink(x, 0.3); F.hardshrink(x, 0.3)
torch.nn.functional.logsigmoid(x).neg(); torch.special.ndtr(x / 9); torch.special.log_ndtr(x / 50)
torch.special.entr(-p); torch.special.xlog1py(x, -p); torch.special.erfcx(-p / 10); x.clamp(-1, 1); x.clip(-2.0, 3.0)
x.clamp(min=0); torch.clamp(x, max=1.5); torch.clamp_min(x, 0.1); x.clamp_max(0.2); x.clamp(-beta, beta)
x.clamp(1 - beta, 1.2); x.clamp(min=beta); torch.clamp(x, q, p + 1); torch.clip(x, -beta, 5); torch.minimum(x, 2 * x)
torch.maximum(p, q); torch.max(p, q); p.min(q); torch.fmax(p, q); torch.fmin(p, q); torch.where(x > 0, x, 2 * x)
torch.where(x >= 1, 1.0, x); torch.where(x < beta, beta, x); x.where(x > 0, -x)
torch.where((x > -1) & (x < 1), x, 3.0); torch.where((x < -1) | ~(x <= 1), x, 3.0); (x > 0) * x; (x > 0).float() * x
torch.where(torch.logical_and(x > 0, x < 2), x, 0.0); torch.where((x > 0) ^ (x > 1), x, 0.0); (x > 0).to(x.dtype) * x
torch.where(x.isnan(), 1.0, x); torch.where(torch.isfinite(x), x, 0.0); torch.nan_to_num(x); x.nan_to_num(0.0)
torch.where(x == 1, 2.0, x); torch.where(x.ne(1), x, 2.0); torch.where(x.eq(x), x, 1.0)
torch.heaviside(x.detach(), q.detach()) * x; torch.sign(x) * x; x.sgn() * x; x.abs(); abs(x); torch.abs(x) ** 0.88
x.abs().sqrt(); (x ** 2).sqrt(); (x ** 2) ** 0.5; torch.sqrt(-p); torch.rsqrt(1 - p); torch.square(x)
torch.reciprocal(1 - p); 1 / (1 - p); torch.pow(-p, 1.5); x.pow(2); torch.float_power(1 - p, 2.5); torch.hypot(p, q)
torch.logaddexp(p, q); torch.logaddexp(x, torch.zeros_like(x)); torch.logaddexp2(p, q); torch.erf(x); torch.erfc(x)
torch.special.erf(x); torch.logit(torch.sigmoid(x / 50)); torch.logit(torch.exp(p / 9), eps=1e-3)
torch.xlogy(-p, 1 - q); torch.special.xlogy(-p, 1 - q); torch.lerp(p, q, 0.3); torch.lerp(p, q, beta)
torch.addcmul(p, q, x, value=0.5); torch.addcdiv(p, q, 1 - p); F.huber_loss(p, q, reduction='none')
F.huber_loss(p, q, reduction='none', delta=beta); F.smooth_l1_loss(p, q, reduction='none', beta=0.5)
F.smooth_l1_loss(p, q, reduction='none', beta=beta); F.mse_loss(p, q, reduction='none')
F.l1_loss(p, q, reduction='none'); F.soft_margin_loss(x, torch.ones_like(x), reduction='none')
F.margin_ranking_loss(p, q, torch.ones_like(p), reduction='none')
F.margin_ranking_loss(p, q, torch.ones_like(p), margin=beta, reduction='none')
F.binary_cross_entropy_with_logits(x, torch.ones_like(x), reduction='none')
F.binary_cross_entropy_with_logits(x, torch.full_like(x, 0.9), reduction='none', pos_weight=torch.tensor(2.0))
F.binary_cross_entropy(torch.sigmoid(x), torch.full_like(x, 0.9), reduction='none')
F.binary_cross_entropy(torch.sigmoid(x / 50), torch.full_like(x, 0.9), reduction='none')
F.kl_div(F.logsigmoid(x), torch.full_like(x, 0.5), reduction='none')
"""

OF_MANY_NUMBERS = """
torch.stack([p, q]).sum(0); torch.stack([p, q], dim=1).mean(dim=1); torch.stack([p, q]).mean(0, keepdim=True)[0]
torch.stack([p, q], 1).max(dim=1).values; torch.stack([p, q, x]).amax(0); torch.stack([p, q, x], -1).min(-1)[0]
torch.stack([p, q, x]).amin(dim=0); torch.stack([p, q, x]).prod(0); torch.stack([p, q]).logsumexp(0)
torch.logsumexp(torch.stack([p, q, x], dim=1), dim=1); torch.stack([p, q]).softmax(0)[0]
F.softmax(torch.stack([p, q]), 0)[1]; F.log_softmax(torch.stack([p, q], 1), dim=1)[:, 0]
F.softmin(torch.stack([p, q]), 0)[0]
F.cross_entropy(torch.stack([p, q], 1), torch.zeros(len(p), dtype=torch.long), reduction='none')
torch.stack([p, q], 1).cumsum(1)[:, -1]; torch.stack([p, q], 1).cumsum(1).sum(1); torch.stack([p, q, x]).var(0)
torch.stack([p, q]).std(0, unbiased=False); torch.stack([p, q]).norm(dim=0); torch.stack([p, q]).norm(p=1, dim=0)
torch.cat([p, q])[: len(p)]; torch.cat((p, q)).chunk(2)[1]; torch.cat([p, q]).split(len(p))[0]
torch.hstack([p, q])[: p.numel()]; torch.cat([p[:, None], q[:, None]], dim=1).unbind(1)[1]
torch.vstack([p, q]).T[:, 1]; torch.stack([p, q]).t()[:, 0]; x.view(-1, 1).squeeze(1); x.reshape(1, -1).flatten()
x.unsqueeze(0).expand(3, -1).mean(0); x[None].repeat(2, 1).sum(0)
x.unsqueeze(1).expand_as(torch.zeros(len(x), 3)).sum(1); torch.stack([p, q]).permute(1, 0)[:, 0]
torch.stack([p, q]).transpose(0, 1)[:, 1]; torch.einsum('kb,k->b', torch.stack([p, q]), torch.tensor([1.0, -2.0]))
torch.stack([p, q], 1) @ torch.tensor([0.5, 0.25])
torch.stack([p, q], 1).matmul(torch.tensor([[1.0], [2.0]])).squeeze(-1); torch.outer(p, torch.ones(2)).sum(1)
torch.bmm(p.view(-1, 1, 1), q.view(-1, 1, 1)).view(-1); torch.mv(torch.stack([p, q], 1), torch.tensor([1.0, beta]))
torch.flip(torch.stack([p, q]), [0])[0]; torch.stack([p, q]).roll(1, 0)[0]
torch.stack([p, q]).index_select(0, torch.tensor([1]))[0]
torch.stack([p, q], 1).gather(1, torch.ones(len(p), 1, dtype=torch.long)).squeeze(1)
torch.diff(torch.stack([p, q]), dim=0)[0]; x + torch.zeros(len(x)); x * torch.ones_like(x); x * x.new_ones(x.shape)
x + x.new_zeros(len(x)); x * x.new_full((len(x),), 2.5); x * torch.full((len(x),), 0.1); x * torch.full_like(x, beta)
x * torch.full((), beta); x * torch.tensor(0.1); x * x.new_tensor(0.1); x * torch.tensor([beta, 1 - beta]).sum()
x * torch.as_tensor(beta); x * torch.tensor(beta); x.masked_fill(x > 1, 0.0); torch.masked_fill(x, x > 1, beta)
x.float(); x.double(); x.to(torch.float32); x.half(); x.type_as(q); x.to(q); x.clone(); x.contiguous(); x.data + 0 * p
p.detach() * q; torch.zeros_like(x) + x; x * torch.tensor(3).item(); x * float(len(x)) / len(x); x * math.sqrt(2)
torch.nanmean(torch.stack([p, q]), 0); torch.linalg.vector_norm(torch.stack([p, q]), dim=0); (x > 0).bool().int() * x
torch.stack([x > 0, x > 1]).any(0) * x; torch.stack([x > 0, x > 1]).all(0).double() * x
torch.stack([p, q]).logcumsumexp(0)[1]; torch.tril(torch.ones(2, 2)).sum() * x; x * torch.arange(3).sum()
x * torch.linspace(0, 1, 3).sum(); x * torch.eye(2).sum(); x * torch.tensor([3.0, 1.0]).sort().values[0]
x * torch.erfinv(torch.tensor(0.25))
torch.zeros_like(x).index_add(0, torch.arange(len(x)), x)
torch.zeros_like(x).scatter(0, torch.arange(len(x)), x)
"""

IN_PLACE = [
    "out = torch.zeros_like(x)\nout[:] = x * 2\nreturn out",
    "out = torch.zeros(len(x))\nout += x\nout *= beta\nreturn out",
    "out = torch.empty_like(x)\nout.copy_(x)\nreturn out.exp_()",
    "out = x.clone()\nout.mul_(2).add_(1).clamp_(min=0)\nreturn out",
    "out = 2 * x\nout -= 1\nout /= 3\nout **= 2\nreturn out",
    "out = torch.zeros(len(x), 2)\nout[:, 0] = p\nout[:, 1] -= q\nreturn out.sum(1)",
    "out = torch.stack([p, q], 1)\nview = out[:, 1]\nview.neg_()\nreturn out.sum(1)",
    "out = x * 1\nout.masked_fill_(x > 1, 0.0)\nreturn out",
    "out = torch.zeros_like(x)\nout.index_put_((torch.arange(len(x)),), x)\nreturn out",
    "out = torch.zeros_like(x)\nout.masked_scatter_(torch.ones(len(x), dtype=torch.bool), x)\nreturn out",
    "out = torch.zeros_like(x)\nfor i in range(len(x)):\n    out[i] = x[i] ** 2\nreturn out",
    "scale = beta\nscale *= 2\nreturn beta * x + scale",
    "out = x.relu_() if False else F.relu(x * 1, inplace=True)\nreturn out",
    "total = 0.0\nfor part in (p, q):\n    total = total + part\nreturn total",
    "with torch.no_grad():\n    weight = torch.sigmoid(x)\n    weight[:] = weight * 2\nreturn weight * p",
    "weight = torch.sigmoid(x).detach()\nweight[x.new_zeros(len(x)) == 0] = 1.0\nreturn weight * x",
    "out = torch.zeros_like(x)\nout.fill_(beta)\nreturn out * x",
    "weight = torch.exp(p).detach_()\nreturn weight * q",
]


def listed(table: str) -> list[str]:
    return [code.strip() for line in table.splitlines() for code in line.split("; ") if "(" in code or "x" in code]


@pytest.mark.parametrize("code", listed(OF_ONE_NUMBER))
def test_operations_on_numbers_mean_what_they_compute(code: str) -> None:
    read(code)


@pytest.mark.parametrize("code", listed(OF_MANY_NUMBERS))
def test_operations_on_several_numbers_mean_what_they_compute(code: str) -> None:
    read(code)


@pytest.mark.parametrize("body", IN_PLACE)
def test_a_loss_may_write_into_what_it_made(body: str) -> None:
    read(body)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1, Rational(1, 10)),
        (0.1 + 0.2, Rational(3, 10)),
        (1 / 3, Rational(1, 3)),
        (2 / 7 * 3, Rational(6, 7)),
        (1e-10, Rational(1, 10**10)),
        (0.333333333, Rational(333333333, 10**9)),
        (1e22, sympy.Integer(10**22)),
        (math.sqrt(2), Rational("1.4142135623730951")),
        (-0.7, Rational(-7, 10)),
        (0.0, sympy.Integer(0)),
        (math.inf, sympy.oo),
        (3, sympy.Integer(3)),
    ],
)
def test_floats_are_the_numbers_that_were_meant(value: float, expected: sympy.Expr) -> None:
    assert exact(value) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("x * 0.1", (POLICY - REFERENCE) / 10),
        ("p * (1 / 3)", POLICY / 3),
        ("p * (0.1 + 0.2)", 3 * POLICY / 10),
        (
            "torch.sqrt(x ** 2)",
            sympy.Piecewise((POLICY - REFERENCE, POLICY - REFERENCE >= 0), (REFERENCE - POLICY, True)),
        ),
        ("torch.where(x.isnan(), 5.0, p)", POLICY),
        ("p * torch.tensor(0.1)", POLICY / 10),
        ("p * torch.tensor(0.1, dtype=torch.float32)", POLICY / 10),
        ("p.abs()", -POLICY),
        ("F.softplus(p)", sympy.log(1 + sympy.exp(POLICY))),
        ("torch.erf(p)", sympy.erf(POLICY)),
        ("beta ** 2 * p", BETA**2 * POLICY),
        ("p * torch.clamp(torch.tensor(2.0), max=1.0)", POLICY),
    ],
)
def test_expressions_are_exact(body: str, expected: sympy.Expr) -> None:
    assert sympy.expand(read(body).terms["example"] - expected) == 0


def test_no_absolute_value_is_left_for_later_stages() -> None:
    for body in ("x.abs() ** 0.88", "(x ** 2) ** 0.5", "(x ** 4).sqrt()", "torch.hypot(x, x)"):
        assert not read(body).terms["example"].atoms(sympy.Abs, sympy.Max, sympy.Min, sympy.sign)


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("torch.sort(p).values", 4, "operation 'sort' is not supported"),
        ("p[p.argsort()]", 4, "operation 'sort' is not supported"),
        ("torch.topk(p, 1).values", 4, "operation 'topk' is not supported"),
        ("p.median() * p", 4, "operation 'median' is not supported"),
        ("p.round()", 4, "operation 'round' is not supported"),
        ("p // 1", 4, "operation 'floor_divide' is not supported"),
        ("torch.div(p, 3, rounding_mode='floor')", 4, "a division that rounds"),
        ("p.sin()", 4, "operation 'sin' is not supported"),
        ("y = p.long()\nreturn x * y", 4, "a number that is rounded"),
        ("p[p > -1]", 4, "an index that depends on the data"),
        ("F.dropout(p)", 4, "is random"),
        ("torch.rand_like(p) * p", 4, "'rand_like' is random"),
        ("torch.randperm(3)[0] * p", 4, "'randperm' is random"),
        ("p.mul_(2)\nreturn p", 4, "'mul_' writes in place into an argument"),
        ("y = x\nview = p[1:]\nview += 1\nreturn y", 6, "'add_' writes in place into an argument"),
        ("p.detach().zero_()\nreturn p", 4, "'zero_' writes in place into an argument"),
        ("p.data.zero_()\nreturn p", 4, "'zero_' writes in place into an argument"),
        ("y = x * 2\ntorch.mul(x, 2, out=y)\nreturn y", 5, "with out= is not supported"),
        ("p.view(-1, 1)[0] = 3\nreturn p", 4, "writes in place into an argument"),
        ("y = x * 2\nd = y.detach()\nd.add_(1)\nreturn y * 1", 7, "changed in place through its detached twin"),
        ("y = x * 2\nwith torch.no_grad():\n    y *= 2\nreturn y", 6, "writes in place under no_grad"),
        ("torch.empty_like(p)", 2, "what torch.empty left unset"),
        ("torch.stack([p, q]).max(0).indices * p", 2, "the place of an extreme value"),
        ("p if x[0] > 0 else q", 4, "Python needs the value of policy_logps, reference_logps"),
        ("p * float(x.mean())", 4, "turn it into a Python number"),
        ("p * torch.tensor(x.tolist())", 4, "raised RuntimeError"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(body: str, line: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(HaloTheoryError) as error:
        trace(load_loss(str(written(tmp_path, body))))
    assert message in str(error.value)
    assert f"my_loss.py:{line}: " in str(error.value)


def written(folder: Path, body: str) -> Path:
    """Return a file whose loss has this body, from line 4 on."""
    lines = body.splitlines() if "return" in body else [f"return {body}"]
    head = "import torch; import torch.nn.functional as F"
    signature = (
        "def loss(policy_logps, reference_logps, *, beta=0.3):\n    p, q = policy_logps, reference_logps; x = p - q"
    )
    path = folder / "my_loss.py"
    path.write_text("\n".join([head, signature, *(f"    {line}" for line in lines)]))
    return path


def test_every_operation_of_the_table_is_pytorchs() -> None:
    assert [name for name in OPERATIONS if not hasattr(torch.ops.aten, name)] == []
