"""A judged run before its first call: pairs, questions, requests, and what they will cost."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import evalkit
from evalkit.errors import EvalkitError
from evalkit.judging.asking import Call
from evalkit.judging.budget import MESSAGE_TOKENS, Price, find_price, token_counter
from evalkit.judging.client import OPENAI, checked_url
from evalkit.judging.criteria import Criterion, find_criteria
from evalkit.judging.journal import request_key
from evalkit.judging.labels import read_labelled
from evalkit.judging.options import Options, Spending
from evalkit.judging.outputs import Matched, Pair, content_hash, match, read_outputs
from evalkit.judging.preflight import Settings
from evalkit.judging.prompts import TEMPLATE, Question, ask


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One pair in one order under one criterion.

    Attributes:
        pair: what is compared.
        criterion: by what.
        judged_first: whether the judged output is response A.
        question: what the judge reads.
    """

    pair: Pair
    criterion: Criterion
    judged_first: bool
    question: Question


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What judging will ask for.

    Attributes:
        pairs: to be judged.
        calls: distinct requests.
        tokens_in: of all prompts.
        tokens_out: of all replies, at most.
        counted_by: how tokens were counted.
        cost: US dollars; None where the price is not known.
        price: per token; None where it is not known.
    """

    pairs: int
    calls: int
    tokens_in: int
    tokens_out: int
    counted_by: str
    cost: float | None
    price: Price | None

    def __str__(self) -> str:
        cost = "price unknown" if self.cost is None or self.price is None else f"${self.cost:.2f} ({self.price.source})"
        return (
            f"{self.pairs} pairs, {self.calls} calls, about {self.tokens_in} tokens in ({self.counted_by}) and at most "
            f"{self.tokens_out} out: {cost}"
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run before its first call.

    Attributes:
        options: what decides the verdicts.
        matched: the pairs found, and what has no counterpart.
        pairs: those that are judged.
        criteria: by what.
        comparisons: each pair in each order under each criterion.
        config: what config.yaml holds.
        price: of a token; None where it is not known.
        count: the tokens of a text.
        counted_by: how.
        labels: people's, by pair: A the first answer, B the second, C neither, "" undecided; empty without any.
    """

    options: Options
    matched: Matched
    pairs: tuple[Pair, ...]
    criteria: tuple[Criterion, ...]
    comparisons: tuple[Comparison, ...]
    config: Mapping[str, Any]
    price: Price | None
    count: Callable[[str], int]
    counted_by: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def estimate(self) -> Estimate:
        """Return what the run will ask for, from its start."""
        most = self.options.settings.max_tokens
        calls = calls_of(self, self.options.settings).values()
        tokens_in = sum(call.tokens_in for call in calls)
        cost = None if self.price is None else self.price.cost(tokens_in, most * len(calls))
        return Estimate(
            pairs=len(self.pairs),
            calls=len(calls),
            tokens_in=tokens_in,
            tokens_out=most * len(calls),
            counted_by=self.counted_by,
            cost=cost,
            price=self.price,
        )


def plan(outputs: Path, against: Path, options: Options, spending: Spending) -> Plan:
    """Return what judging two files takes; nothing is asked yet.

    Raises:
        EvalkitError: files that cannot be read or have nothing in common, or options that cannot be used.
    """
    matched = match(read_outputs(outputs), read_outputs(against))
    _check_matched(matched, outputs, against, allow_partial=options.allow_partial)
    files = {"outputs": outputs, "against": against}
    return plan_pairs(matched, files, options, spending)


def plan_labelled(labels: Path, options: Options, spending: Spending, *, column: str | None = None) -> Plan:
    """Return what it takes to judge pairs that people have judged.

    Args:
        labels: see `evalkit.judging.labels.read_labelled`.
        options: how they are judged.
        spending: at what price.
        column: of labels.

    Raises:
        EvalkitError: a file that cannot be read, or options that cannot be used.
    """
    labelled = read_labelled(labels, column)
    matched = Matched(pairs=tuple(one.pair for one in labelled), without_target=0, ambiguous=0, only_target=0)
    found = plan_pairs(matched, {"labels": labels}, options, spending)
    return replace(
        found,
        labels={one.pair.id: one.label for one in labelled},
        config={**found.config, "label_column": column},
    )


def plan_pairs(matched: Matched, files: Mapping[str, Path], options: Options, spending: Spending) -> Plan:
    """Return what judging pairs takes.

    Args:
        matched: the pairs.
        files: where they are from, for the record.
        options: how they are judged.
        spending: at what price.

    Raises:
        EvalkitError: options that cannot be used.
    """
    criteria = find_criteria(list(options.criteria))
    base_url = checked_url(options.base_url)
    pairs = matched.pairs[: options.limit]
    comparisons = [
        Comparison(
            pair=pair,
            criterion=criterion,
            judged_first=first,
            question=ask(pair, criterion, judged_first=first, explain=options.explain, seed=options.seed),
        )
        for criterion in criteria
        for pair in pairs
        for first in _orders(pair, options)
    ]
    price = find_price(
        options.judge_model,
        price_in=spending.price_in,
        price_out=spending.price_out,
        listed=base_url == OPENAI,
    )
    if spending.max_cost is not None and price is None:
        raise EvalkitError(
            f"--max-cost: the price of {options.judge_model} is not known; give --price-in and --price-out"
        )
    count, counted_by = token_counter(options.judge_model)
    return Plan(
        options=options,
        matched=matched,
        pairs=pairs,
        criteria=tuple(criteria),
        comparisons=tuple(comparisons),
        config=_config(files, options, base_url, criteria),
        price=price,
        count=count,
        counted_by=counted_by,
    )


def _check_matched(matched: Matched, outputs: Path, against: Path, *, allow_partial: bool) -> None:
    refused = matched.without_target + matched.ambiguous
    if not matched.pairs:
        raise EvalkitError(
            f"{outputs}, {against}: no prompt of the first ({refused} outputs) has one answer in the second; "
            "give two files of answers to the same prompts"
        )
    if refused and not allow_partial:
        raise EvalkitError(
            f"{outputs}, {against}: {len(matched.pairs)} outputs have a counterpart, {matched.without_target} have "
            f"none, {matched.ambiguous} have several in unequal number; --allow-partial judges the first"
        )


def _orders(pair: Pair, options: Options) -> tuple[bool, ...]:
    if options.orders == "both":
        return (True, False)
    if options.orders == "one":
        return (True,)
    return (int(content_hash("order", options.seed, pair.id), 16) % 2 == 0,)


def _config(
    files: Mapping[str, Path], options: Options, base_url: str, criteria: Sequence[Criterion]
) -> dict[str, Any]:
    """Return what config.yaml holds, without the request that the preflight finds."""
    return {
        "evalkit": evalkit.__version__,
        "judge_model": options.judge_model,
        "base_url": base_url,
        "criteria": {one.name: {"question": one.question, "ties": one.ties} for one in criteria},
        "template": content_hash(TEMPLATE),
        "orders": options.orders,
        "seed": options.seed,
        "explain": options.explain,
        "temperature": options.temperature,
        "max_tokens": options.settings.max_tokens,
        "logprobs": options.logprobs,
        "limit": options.limit,
        "allow_partial": options.allow_partial,
        **{name: str(path) for name, path in files.items()},
        **{f"{name}_sha256": hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()},
    }


def key_of(plan: Plan, settings: Settings, comparison: Comparison) -> str:
    """Return the hash under which the reply to a comparison is kept."""
    return request_key(plan.config["base_url"], settings.body(plan.options.judge_model, comparison.question))


def calls_of(plan: Plan, settings: Settings) -> dict[str, Call]:
    """Return the requests of a run by key, each once: two comparisons of the same texts are one request."""
    found: dict[str, Call] = {}
    for comparison in plan.comparisons:
        key = key_of(plan, settings, comparison)
        if key not in found:
            found[key] = Call(
                key=key,
                body=settings.body(plan.options.judge_model, comparison.question),
                tokens_in=plan.count(comparison.question.text) + MESSAGE_TOKENS,
                tokens_out=settings.max_tokens,
            )
    return found
