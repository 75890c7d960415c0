"""The derivative of a loss by its log-probabilities, traced from its own code into C++ on vectors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions
from torch.fx import Node
from torch.fx.experimental.proxy_tensor import make_fx

from halotheory.contract import Loss
from halotheory.worlds.terms import Term, Terms, Value, code_of

aten = torch.ops.aten

_SIZE = 5  # of the batch that is traced; every operation on it must be element by element
PAIR = ("policy_i", "policy_j", "reference_i", "reference_j", "length_i", "length_j", "weight_ij", "weight_ji")
OUTPUT = ("policy", "reference", "length", "kl", "down", "up")


def slopes_code(loss: Loss, settings: Sequence[str], *, weights_may_vanish: bool) -> str:
    """Return the C++ function `slopes` that descent.h calls.

    Args:
        loss: one whose examples do not see each other.
        settings: the hyperparameters that come as vectors, in this order.
        weights_may_vanish: whether a cell of no weight is to be kept out even if its derivative is infinite.

    Raises:
        HaloTheoryError: the loss uses an operation that is not known here.
    """
    names = PAIR if loss.kind == "paired" else OUTPUT
    slopes = _of_pair(loss, settings) if loss.kind == "paired" else _of_output(loss, settings)
    values = [torch.rand(_SIZE, dtype=torch.float64) - 1 for _ in (*names, *settings)]

    def function(*tensors: Tensor) -> list[Tensor]:
        return [
            _sum(parts, weights_may_vanish) for parts in slopes(dict(zip((*names, *settings), tensors, strict=True)))
        ]

    try:
        graph = make_fx(function, decomposition_table=_decompositions())(*values).graph
    except Exception as error:
        raise loss.error(f"cannot be traced: {type(error).__name__}: {error}") from error
    graph.eliminate_dead_code()
    terms = Terms()
    inputs = [*names, *(f"settings[{k}]" for k in range(len(settings)))]
    outputs = _translated(loss, list(graph.nodes), terms, [terms.input(name) for name in inputs])
    lines, results = code_of(outputs)
    targets = ("slope_i", "slope_j") if loss.kind == "paired" else ("slope",)
    given = ", ".join([f"Vector {name}" for name in names])
    taken = ", ".join([f"Vector& {name}" for name in targets])
    body = [*lines, *(f"{target} += {result};" for target, result in zip(targets, results, strict=True))]
    body = [line.replace("+= -", "-= ") for line in body]
    return "\n    ".join([f"INLINE void slopes({given}, const Vector* settings, {taken}) {{", *body]) + "\n}\n"


# What is traced: for each slope its parts, with the weight of each

Parts = list[list[tuple[Tensor, Tensor]]]


def _of_pair(loss: Loss, settings: Sequence[str]) -> Callable[[Mapping[str, Tensor]], Parts]:
    """Return the slopes by the log-probabilities of outputs i and j, of the pair in both orders."""

    def slopes(tensors: Mapping[str, Tensor]) -> Parts:
        by_i: list[tuple[Tensor, Tensor]] = []
        by_j: list[tuple[Tensor, Tensor]] = []
        for chosen, rejected, first, second in (("i", "j", by_i, by_j), ("j", "i", by_j, by_i)):
            arguments = {
                f"{model}_{role}_logps": tensors[f"{model}_{output}"]
                for model in ("policy", "reference")
                for role, output in (("chosen", chosen), ("rejected", rejected))
            }
            arguments |= {
                "chosen_lengths": tensors[f"length_{chosen}"],
                "rejected_lengths": tensors[f"length_{rejected}"],
            }
            weight = tensors[f"weight_{chosen}{rejected}"]
            found = _slopes(loss, arguments, {name: tensors[name] for name in settings}, weight)
            for name, slope in found.items():
                (first if "chosen" in name else second).append((weight, slope))
        return [by_i, by_j]

    return slopes


def _of_output(loss: Loss, settings: Sequence[str]) -> Callable[[Mapping[str, Tensor]], Parts]:
    """Return the slope by the log-probability of an output, of both labels."""

    def slopes(tensors: Mapping[str, Tensor]) -> Parts:
        result: list[tuple[Tensor, Tensor]] = []
        for label, desirable in (("down", False), ("up", True)):
            policy = tensors["policy"]
            arguments = {
                "policy_logps": policy,
                "policy_token_logps": policy,
                "reference_logps": tensors["reference"],
                "reference_token_logps": tensors["reference"],
                "lengths": tensors["length"],
                "kl": tensors["kl"],
                "desirable": torch.full((_SIZE,), desirable),
                "mask": torch.full((_SIZE,), True),
                "advantages": torch.full((_SIZE,), 1.0 if desirable else -1.0, dtype=policy.dtype),
            }
            weight = tensors[label]
            found = _slopes(loss, arguments, {name: tensors[name] for name in settings}, weight)
            result += [(weight, slope) for slope in found.values()]
        return [result]

    return slopes


def _slopes(
    loss: Loss, arguments: Mapping[str, Tensor], settings: Mapping[str, Tensor], weight: Tensor
) -> dict[str, Tensor]:
    """Return the weighted derivatives of a batch's losses by the policy's log-probabilities, each (batch,)."""
    named = {name: arguments[name] for name in loss.arguments}
    names = [name for name in named if name.startswith("policy_")]
    leaves = {name: named[name].detach().requires_grad_() for name in names}
    columns = (-1, 1) if loss.kind == "token" else (-1,)
    shaped = {name: tensor.reshape(columns) for name, tensor in {**named, **leaves}.items()}
    given = {name: tensor.reshape(columns) for name, tensor in settings.items()}
    losses = loss.function(**shaped, **{**loss.hyperparameters, **given})
    found = torch.autograd.grad(losses, [*leaves.values()], weight, allow_unused=True)
    return {name: slope for name, slope in zip(names, found, strict=True) if slope is not None}


def _sum(parts: Sequence[tuple[Tensor, Tensor]], weights_may_vanish: bool) -> Tensor:
    """Return the sum of some slopes, without those of no weight."""
    slopes = [torch.where(weight == 0, 0.0, slope) if weights_may_vanish else slope for weight, slope in parts]
    return sum(slopes[1:], start=slopes[0]) if slopes else torch.zeros(_SIZE, dtype=torch.float64)


def _sigmoid(x: Tensor) -> Tensor:
    """Return 1 / (1 + exp(-x)) by terms that x and -x share."""
    small = torch.exp(-x.abs())
    large = 1 / (1 + small)
    return torch.where(x < 0, small * large, large)


def _decompositions() -> dict[Any, Callable[..., Any]]:
    return {
        **core_aten_decompositions(),
        aten.sigmoid.default: _sigmoid,
        aten.log_sigmoid_backward.default: lambda gradient, x, buffer: gradient * _sigmoid(-x),
    }


# From the traced graph to terms

_SAME = {"alias", "detach", "clone", "view", "reshape", "expand", "unsqueeze", "squeeze", "lift_fresh_copy"}
_FILLED = {"full": 1, "full_like": 1, "scalar_tensor": 0}
_DIRECT = {
    **{name: name for name in ("neg", "abs", "exp", "log", "log1p", "expm1", "tanh", "atan", "erf", "sqrt", "sign")},
    **{name: name for name in ("add", "sub", "mul", "div", "lt", "gt", "le", "ge", "eq", "ne")},
    "maximum": "max",
    "minimum": "min",
}
_CONDITIONS = {"logical_and": "and", "bitwise_and": "and", "logical_or": "or", "bitwise_or": "or"}


def _translated(loss: Loss, nodes: Sequence[Node], terms: Terms, inputs: Sequence[Term]) -> list[Value]:
    values: dict[Node, Value] = dict(zip((n for n in nodes if n.op == "placeholder"), inputs, strict=True))
    for node in nodes:
        if node.op == "output":
            return [values[each] if isinstance(each, Node) else each for each in node.args[0]]  # type: ignore[union-attr]
        if node.op == "call_function":
            _check_elementwise(loss, node)
            values[node] = _value(loss, node, values, terms)
        elif node.op != "placeholder":
            raise loss.error(f"uses a tensor of its own, {node.target}, which native code does not know")
    raise AssertionError("a graph has an output")


def _check_elementwise(loss: Loss, node: Node) -> None:
    shape = tuple(node.meta["val"].shape)
    if shape not in {(), (1,), (_SIZE,), (_SIZE, 1), (1, 1)}:
        raise loss.error(f"{node.target} gives shape {shape} for a batch of {_SIZE}; native code goes by element")


def _value(loss: Loss, node: Node, values: Mapping[Node, Value], terms: Terms) -> Value:
    operation: Any = node.target
    name = operation.__name__.split(".")[0]
    if name.endswith("_") and any(node < user for user in _first_argument(node).users):
        raise loss.error(f"changes in place what it uses again ({operation}), which native code does not know")
    if name in _FILLED:
        filled = node.args[_FILLED[name]]
        assert isinstance(filled, int | float)
        return filled
    operands = [values[each] if isinstance(each, Node) else each for each in node.args]
    constants = not any(isinstance(each, Term) for each in operands)
    first: Any = operands[0]
    if name == "copy_":
        return operands[1]  # type: ignore[return-value]
    name = name.removesuffix("_")
    if name in _SAME or (name == "sum" and node.meta["val"].numel() == _first_argument(node).meta["val"].numel()):
        return first
    if name == "_to_copy":
        return terms.make("number", first) if isinstance(first, Term) and first.is_mask else first
    if name == "where":
        return terms.where(*operands)  # type: ignore[arg-type]
    if constants and not node.kwargs:
        return _computed(operation, operands)
    result = _arithmetic(name, operands, node.kwargs, terms)
    if result is None:
        raise loss.error(f"uses {operation}, which native code does not know")
    return result


def _first_argument(node: Node) -> Node:
    argument = node.args[0]
    assert isinstance(argument, Node)
    return argument


def _arithmetic(name: str, operands: list[Any], options: Mapping[str, Any], terms: Terms) -> Value | None:
    first = operands[0]
    if name in {"add", "sub"} and options.get("alpha", 1) != 1:
        return None
    if name in _DIRECT:
        return terms.make(_DIRECT[name], *operands)
    if name in _CONDITIONS:
        return _condition(_CONDITIONS[name], operands, terms)
    if name in {"logical_not", "bitwise_not"}:
        return terms.make("not", first)
    if name == "reciprocal":
        return terms.make("div", 1.0, first)
    if name == "relu":
        return terms.make("max", 0.0, first)
    if name == "rsub":
        return terms.make("sub", operands[1], first)
    if name == "clamp":
        low, high = [*operands, None, None][1:3]
        bounded = first if low is None else terms.make("max", first, low)
        return bounded if high is None else terms.make("min", bounded, high)
    if name == "pow":
        return _power(first, operands[1], terms)
    return None


def _power(base: Value, exponent: Value, terms: Terms) -> Value:
    if not isinstance(exponent, Term) and exponent in {1, 2}:
        return base if exponent == 1 else terms.make("mul", base, base)
    return terms.make("pow", base, exponent)


def _condition(name: str, operands: Sequence[Any], terms: Terms) -> Value:
    for one, other in (operands, operands[::-1]):
        if not isinstance(one, Term):
            absorbing = name == "or"
            return bool(one) if bool(one) is absorbing else other
    return terms.make(name, *operands)


def _computed(operation: Any, operands: Sequence[Any]) -> Value:
    tensors = [torch.tensor(each, dtype=None if isinstance(each, bool) else torch.float64) for each in operands]
    overload = operation.overloadpacket
    return overload(*tensors).item()
