"""One form of a loss, judged with some hyperparameters fixed: the first reading that is a HALO, or what fails."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import sympy
from sympy import Expr, Piecewise, Symbol
from sympy.core.relational import Relational, StrictGreaterThan, StrictLessThan

from halotheory.deadline import Deadline, in_time
from halotheory.findings import Finding, Status, VerdictWord, Witness, undecided
from halotheory.proving.shape import Z, concave_in_gains, non_constant, non_decreasing
from halotheory.reading.forms import ONE_TERM, Case, Form
from halotheory.reading.matching import Match, match
from halotheory.reading.reference import Spoiled
from halotheory.reading.refute import simple_value

_GENERAL_SECONDS = 1.5  # for all values of the hyperparameters at once, or of some
_FAR = 10  # times the usual value of a context
_MOST_UNUSUAL = 4
_EXAMINERS = (non_decreasing, concave_in_gains, non_constant)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One way to read a form as a * v(z) + C.

    Attributes:
        v: the value function.
        signs: a, by label; the label that v is read from comes first.
        matched: how the other label's term is v; None where there is one term.
        finding: on `single_value_function`.
        relaxations: what the reading needs.
        output: which output of a pair is y.
    """

    v: Expr
    signs: Mapping[str, int]
    matched: Match | None
    finding: Finding
    relaxations: Sequence[str]
    output: str = "chosen"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What all readings of one form together decide."""

    word: VerdictWord
    findings: Sequence[Finding] = ()
    reading: Reading | None = None
    shapes: Mapping[str, Expr] | None = None
    relaxations: Sequence[str] = ()
    notes: Sequence[str] = ()
    strictly_not: bool = False
    witnesses: Sequence[Witness] = ()


@dataclass(frozen=True, kw_only=True)
class Judge:
    """One form, to be judged with some hyperparameters fixed."""

    form: Form
    domains: Sequence[Relational]
    values: Mapping[Symbol, Expr]
    deadline: Deadline

    def soon(self, fixed: Mapping[Symbol, Expr]) -> Outcome:
        """Return what holds for all values of the hyperparameters that are not fixed, if it shows soon."""
        limited = replace(self, deadline=Deadline(min(_GENERAL_SECONDS, self.deadline.left())))
        return in_time(limited.deadline, lambda: limited.at(fixed), Outcome(word="undecided"))

    def at(self, fixed: Mapping[Symbol, Expr], shapes: Mapping[str, Expr] | None = None) -> Outcome:
        """Return what holds for every value of the hyperparameters that are not fixed."""
        outcome = self._as_a_whole(fixed, shapes)
        if outcome.word == "halo" or shapes is not None or self.form.spoiled is not None:
            return outcome
        parts = list(self._case_by_case(fixed))
        if len(parts) > 1:
            return _together([(part.form.cases[0].where, part._as_a_whole(fixed, None)) for part in parts], outcome)
        if outcome.word == "not_halo" and not self._fails_in_one_context(outcome, fixed):
            note = "every reading fails in some context, but perhaps not all of them in the same one"
            return replace(outcome, word="undecided", notes=[*outcome.notes, note])
        return outcome

    def _case_by_case(self, fixed: Mapping[Symbol, Expr]) -> "Iterator[Judge]":
        """Yield the form in each case of its context: a, and which output is y, may depend on the context, too."""
        shapes = {label: shape.subs(dict(fixed)) for label, shape in self.form.shapes.items()}
        cases = self.form.cases if any(case.truths for case in self.form.cases) else _signs_of_the_weight(self, shapes)
        for case in cases:
            where = case.conditions(fixed)
            if where is not None:
                chosen = {label: case.of(shape, fixed) for label, shape in shapes.items()}
                yield replace(self, form=replace(self.form, shapes=chosen, cases=(Case(where=where),)))

    def _fails_in_one_context(self, outcome: Outcome, fixed: Mapping[Symbol, Expr]) -> bool:
        """Return whether there is one context in which every reading fails: a witness's, or one far from the usual."""
        names = {str(symbol): symbol for symbol in self.form.context}
        found = [{names[name]: value for name, value in each.items() if name in names} for each in outcome.witnesses]
        if not any(found) or all(each == found[0] for each in found):
            return True
        for point in [*found, *_unusual(list(names.values()))]:
            at = {symbol: simple_value(symbol) for symbol in names.values()} | point
            if any(relation.subs(at) == sympy.false for case in self.form.cases for relation in case.where):
                continue
            shapes = {label: shape.subs(at) for label, shape in self.form.shapes.items()}
            form = replace(self.form, shapes=shapes, context=(), cases=(Case(),))
            if replace(self, form=form)._as_a_whole(fixed, None).word == "not_halo":
                return True
        return False

    def _as_a_whole(self, fixed: Mapping[Symbol, Expr], shapes: Mapping[str, Expr] | None) -> Outcome:
        """Return what one reading decides for all contexts alike."""
        chosen = shapes or self.form.shapes
        chosen = {label: shape.subs(dict(fixed)) for label, shape in chosen.items()}
        free = {symbol: value for symbol, value in self.values.items() if symbol not in fixed}
        if self.form.spoiled is not None:
            return _spoiled(self.form.spoiled, fixed)
        failed: list[tuple[Reading, list[Finding]]] = []
        for reading in _readings(chosen, free, self.deadline, either_output=self.form.either_output):
            findings = self._examined(reading, free, [])
            if all(finding.status is Status.PROVED for finding in findings):
                return Outcome(
                    word="halo", findings=findings, reading=reading, shapes=chosen, relaxations=reading.relaxations
                )
            failed.append((reading, findings))
        open_ones = [pair for pair in failed if pair[1][-1].status is not Status.REFUTED]
        reading, findings = (open_ones or failed)[0]
        if not open_ones:
            findings = self._examined(reading, free, findings)
        if open_ones:
            return Outcome(word="undecided", findings=findings, reading=reading)
        return Outcome(
            word="not_halo",
            findings=findings,
            reading=reading,
            notes=[_failure(other, found) for other, found in failed if other is not reading],
            witnesses=[next(f.witness or {} for f in found if f.status is Status.REFUTED) for _, found in failed],
        )

    def _examined(self, reading: Reading, free: Mapping[Symbol, Expr], known: Sequence[Finding]) -> list[Finding]:
        """Return the findings on a reading, up to the first refutation; beyond it where that one is `known`."""
        findings = list(known) or [reading.finding]
        if reading.finding.status is not Status.PROVED:
            return findings
        for examine in _EXAMINERS[len(findings) - 1 :]:
            if findings[-1].status is Status.REFUTED and not known:
                break
            findings.append(self._over_cases(examine, reading.v, free))
        return findings

    def _over_cases(self, examine: Callable[..., Finding], v: Expr, free: Mapping[Symbol, Expr]) -> Finding:
        """Return the finding over all cases: refuted in one, proved in all, or open."""
        fixed = {symbol: value for symbol, value in self.values.items() if symbol not in free}
        told = [(case, case.conditions(fixed)) for case in self.form.cases]
        cases = [(case.of(v, fixed), conditions) for case, conditions in told if conditions is not None]
        domains = [relation for relation in self.domains if relation.free_symbols <= set(free)]
        found = [examine(shape, free, self.deadline, where=[*where, *domains]) for shape, where in cases]
        telling = (Status.PROVED,) if examine is non_constant else (Status.REFUTED, Status.UNDECIDED)
        for status in telling:  # one case in which v varies is enough
            for finding in found:
                if finding.status is status:
                    return finding
        if len(found) == 1:
            return found[0]
        methods = "; ".join(
            f"for {', '.join(map(str, conditions))}: {finding.method}"
            for (_, conditions), finding in zip(cases, found, strict=True)
        )
        return replace(found[0], method=methods)


def _readings(
    shapes: Mapping[str, Expr], free: Mapping[Symbol, Expr], deadline: Deadline, *, either_output: bool
) -> Iterator[Reading]:
    """Yield the ways to read a form, the usual one first; in a pair, y may be either output."""
    if ONE_TERM in shapes:
        shape = shapes[ONE_TERM]
        one_term = Finding(
            name="single_value_function",
            status=Status.PROVED,
            method="one term for all examples",
            statement="every example's loss is a v(z) + C with the same v",
        )
        usual = [("chosen", -1, -shape), ("chosen", 1, shape)]
        turned = [("rejected", 1, shape.subs(Z, -Z)), ("rejected", -1, -shape.subs(Z, -Z))]
        for output, a, v in [usual[0], turned[0], usual[1], turned[1]] if either_output else usual:
            yield Reading(v=v, signs={ONE_TERM: a}, matched=None, output=output, finding=one_term, relaxations=())
        return
    up, down = shapes
    for base, a in ((down, 1), (up, -1), (up, 1), (down, -1)):
        other = up if base == down else down
        v = a * shapes[base]
        found = match(v, shapes[other], free, deadline, may_mirror=other == down)
        yield Reading(
            v=v,
            signs={base: a, other: found.sign},
            matched=found,
            finding=found.finding,
            relaxations=found.relaxations,
        )


def _unusual(context: Sequence[Symbol]) -> Iterator[dict[Symbol, Expr]]:
    """Yield contexts in which one of the symbols is far from the others."""
    for far in context[:_MOST_UNUSUAL]:
        yield {symbol: simple_value(symbol) * (_FAR if symbol == far else 1) for symbol in context}


def _signs_of_the_weight(judge: Judge, shapes: Mapping[str, Expr]) -> Sequence[Case]:
    """Return the cases of a factor whose sign depends on the context; none where there is no such factor."""
    if len(judge.form.cases) > 1:
        return ()
    factored = (sympy.factor_terms(shape).as_independent(Z, as_Add=False)[0] for shape in shapes.values())
    weights = [weight for weight in factored if weight.free_symbols & set(judge.form.context)]
    signed = [weight for weight in weights if weight.is_positive is None]
    if not signed or any(sympy.cancel(weight / signed[0]) not in (1, -1) for weight in weights):
        return ()
    return [Case(where=(relation(signed[0], 0),)) for relation in (StrictGreaterThan, StrictLessThan)]


def _together(cases: Sequence[tuple[Sequence[Relational], Outcome]], whole: Outcome) -> Outcome:
    """Return what the outcomes in all cases of the context say of all contexts."""
    failed = next((outcome for _, outcome in cases if outcome.word == "not_halo"), None)
    if failed is not None:
        return failed
    if any(outcome.word != "halo" for _, outcome in cases):
        return replace(whole, word="undecided")
    readings = [(outcome.reading, sympy.And(*where)) for where, outcome in cases if outcome.reading is not None]
    first = cases[0][1]
    v = Piecewise(*[(reading.v, condition) for reading, condition in readings[:-1]], (readings[-1][0].v, True))
    assert first.reading is not None
    return replace(
        first,
        reading=replace(first.reading, v=v),
        relaxations=sorted({name for _, outcome in cases for name in outcome.relaxations}),
        notes=["the sign a, and which output of a pair is y, depend on the context as well"],
    )


def _spoiled(spoiled: Spoiled, fixed: Mapping[Symbol, Expr]) -> Outcome:
    """Return the refutation of a form that is spoiled, where it holds with these hyperparameters fixed; else open."""
    if spoiled.witness is None or not spoiled.as_set <= set(fixed):
        tried = "all values of the hyperparameters at once, and simple places"
        return Outcome(word="undecided", findings=[undecided("single_value_function", spoiled.statement, tried)])
    finding = Finding(
        name="single_value_function",
        status=Status.REFUTED,
        method="evaluated exactly",
        statement=spoiled.statement,
        witness=spoiled.witness,
        guilty=spoiled.guilty,
    )
    return Outcome(word="not_halo", findings=[finding])


def _failure(reading: Reading, findings: Sequence[Finding]) -> str:
    guilty = next(finding for finding in findings if finding.status is Status.REFUTED)
    signs = ", ".join(f"a = {a:+d} for {label} outputs" for label, a in reading.signs.items())
    if list(reading.signs) == [ONE_TERM]:
        signs = f"y the {reading.output} output, a = {reading.signs[ONE_TERM]:+d}"
    return f"read with {signs}: {guilty.name} refuted ({shown(guilty)})"


def shown(finding: Finding) -> str:
    """Return a finding's witness in one line."""
    return ", ".join(f"{name} = {value}" for name, value in (finding.witness or {}).items())
