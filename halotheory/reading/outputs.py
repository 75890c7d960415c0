"""The outputs whose log-probabilities a loss sees, and the loss written in their log-ratios."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sympy import Expr, Symbol

from halotheory.tracing.operations import detach
from halotheory.tracing.trace import Traced, argument_symbol

KL = argument_symbol("kl", 0)
"""The reference point that a loss is given: E_Q[log-ratio] with Q the policy."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """One output of the batch.

    Attributes:
        role: `chosen`, `rejected`, or empty where an example is one output.
        example: the place of its example in the batch; 0 is the example whose loss is read.
        policy: the symbol of log pi(y|x).
        reference: the symbol of log pi_ref(y|x).
        log_ratio: the symbol of their difference.
        length: the symbol of its length in tokens.
        count: how many outputs of the batch it stands for.
    """

    role: str
    example: int
    policy: Symbol
    reference: Symbol
    log_ratio: Symbol
    length: Symbol
    count: int = 1

    @property
    def own(self) -> bool:
        """Whether it belongs to the example whose loss is read."""
        return self.example == 0


def outputs(traced: Traced, batch: int = 1) -> list[Output]:
    """Return the outputs that the loss of a batch of this size is about, those of example 0 first."""
    names = [name for name in traced.loss.arguments if name.startswith("policy_")]
    return [_output(name, example) for example in range(batch) for name in names]


def _output(policy: str, example: int) -> Output:
    role = policy.removeprefix("policy_").removesuffix("logps").rstrip("_")
    prefix, suffix = f"{role}_" if role else "", f"_{example}" if example else ""
    return Output(
        role=role,
        example=example,
        policy=argument_symbol(policy, example),
        reference=argument_symbol(f"reference_{prefix}logps", example),
        log_ratio=Symbol(f"{prefix}log_ratio{suffix}", real=True),
        length=argument_symbol(f"{prefix}lengths", example),
    )


def in_log_ratios(term: Expr, among: Sequence[Output]) -> Expr:
    """Return the term with log pi written as log-ratio + log pi_ref, inside detached parts as well."""
    return term.xreplace({output.policy: output.log_ratio + output.reference for output in among})


def moving(among: Sequence[Output], *, kl: bool) -> list[Symbol]:
    """Return the symbols that move with theta: the log-ratios, and the given reference point."""
    return [*(output.log_ratio for output in among), *([KL] if kl else [])]


def by_value(term: Expr) -> Expr:
    """Return the term as a number: what is detached counts as its value."""
    return term.replace(detach, lambda value: value)


def swapped(expression: Expr, among: Sequence[Output]) -> Expr:
    """Return the expression with the own chosen and rejected output exchanged."""
    own = [output for output in among if output.own]
    if len(own) < 2:
        return expression
    one, other = own
    pairs = [(one.log_ratio, other.log_ratio), (one.reference, other.reference), (one.length, other.length)]
    exchange: Mapping[Expr, Expr] = {**dict(pairs), **{b: a for a, b in pairs}}
    return expression.xreplace(dict(exchange))
