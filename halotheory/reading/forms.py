"""The forms a * v(z) + C in which a loss may be read, the fewest relaxations first."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import combinations, product

import sympy
from sympy import Expr, Piecewise, Symbol
from sympy.core.relational import Relational

from halotheory.proving.enclose import sign
from halotheory.proving.nonnegative import identically_zero
from halotheory.proving.shape import Z
from halotheory.reading.detached import Held, held, side_of, still, without_sign
from halotheory.reading.direction import conditions_of, linear_forms, spread, tidied
from halotheory.reading.estimated import estimated_readings, same
from halotheory.reading.link import linked_readings
from halotheory.reading.outputs import Output, by_value, in_log_ratios, moving, outputs, swapped
from halotheory.reading.reference import Reading, Spoiled, readings
from halotheory.tracing.trace import Traced

ONE_TERM = "example"
"""The label of a term where labels do not matter."""

_LARGEST_BATCH = 9
_HALF = sympy.Rational(1, 2)
_MOST_CONDITIONS = 3
_MOST_PARTS = 3


@dataclass(frozen=True, kw_only=True)
class Example:
    """The loss of one example of a batch.

    Attributes:
        label: its label, or `example`.
        term: its loss, in log-ratios, with what is detached marked.
        y: the output that is judged.
        among: every output of the batch.
        known: what is known of its symbols: log-probabilities are below 0, hyperparameters in their domains.
        labels: those of the examples of its batch, the own one first, where the batch matters.
    """

    label: str
    term: Expr
    y: Output
    among: Sequence[Output]
    known: Sequence[Relational] = ()
    labels: tuple[bool, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """Where v must have its shape.

    Attributes:
        context: what stands for symbols of the context.
        where: conditions on symbols, and on `Z` where v lives on a half-line.
        truths: which of the loss's own conditions on the context hold.
        side: -1 where the sign a is the other one.
    """

    context: Mapping[Symbol, Expr] = field(default_factory=dict)
    where: Sequence[Relational] = ()
    truths: Mapping[Relational, Expr] = field(default_factory=dict)
    side: int = 1

    def of(self, function: Expr, fixed: Mapping[Symbol, Expr]) -> Expr:
        """Return the function of z in this case, with these hyperparameters already put into it."""
        told = {relation.subs(dict(fixed)): truth for relation, truth in self.truths.items()}
        return self.side * function.xreplace(told).subs(dict(self.context))

    def conditions(self, fixed: Mapping[Symbol, Expr]) -> list[Relational] | None:
        """Return what holds in this case, with these hyperparameters put in; None where they rule it out."""
        told = [relation if truth == sympy.true else relation.negated for relation, truth in self.truths.items()]
        here = [relation.subs(dict(fixed)) for relation in told]
        if sympy.false in here:
            return None
        return [*self.where, *(relation for relation in here if relation != sympy.true)]


@dataclass(frozen=True, kw_only=True)
class Form:
    """A loss as a function of z = r(x, y) - E_Q[r(x, y')].

    Attributes:
        shapes: by label, the function of `Z` that the loss of an example is, up to its constant.
        constants: by label, what is free of theta.
        reward: r(x, y).
        normalizer: l(y), a positive expression.
        point: E_Q[r], with Q named.
        relaxations: what the form needs.
        either_output: whether the other output of the pair may be y as well.
        cases: in each of which v must have its shape.
        context: the symbols of the shapes that are free of theta, or detached.
        spoiled: why the form fails or is open although it fits: a factor of v, a link or a clamp that is none.
        notes: what a reader should know.
        unsure: why nothing follows if the form fails.
        partial: why nothing follows if the form is a HALO.
    """

    shapes: Mapping[str, Expr]
    constants: Mapping[str, Expr]
    reward: str
    normalizer: Expr
    point: str
    relaxations: Sequence[str] = ()
    either_output: bool = False
    cases: Sequence[Case] = (Case(),)
    context: Sequence[Symbol] = ()
    spoiled: Spoiled | None = None
    notes: Sequence[str] = ()
    unsure: str | None = None
    partial: str | None = None


Reader = Callable[[Example], Iterable[Reading]]


def reference_free(traced: Traced) -> bool:
    """Return whether the loss names nothing that is computed with the reference model."""
    return not traced.loss.needs_reference


def examples(traced: Traced) -> list[Example]:
    """Return the terms to be read: one by label, or one by label and batch where the batch matters."""
    found = []
    for label, term in traced.terms.items():
        seen = [*traced.batches.get(label, ()), *traced.crowds.get(label, ())]
        terms = [(part.term, part.labels, part.counts) for part in seen] or [(term, None, ())]
        for one, labels, counts in terms:
            among = _outputs_in(traced, one)
            if counts:
                among = [replace(output, count=counts[output.example]) for output in among]
            written = in_log_ratios(one, among)
            logps = [output.log_ratio + output.reference for output in among]
            if reference_free(traced):
                written = written.xreplace({output.reference: sympy.S.Zero for output in among})
                logps = [output.log_ratio for output in among]
            symbols = frozenset(symbol for output in among for symbol in (output.log_ratio, output.reference))
            found.append(
                Example(
                    label=label,
                    term=spread(written, symbols),
                    y=among[0],
                    among=among,
                    known=[*traced.domains, *(sympy.StrictLessThan(logp, 0) for logp in logps)],
                    labels=labels,
                )
            )
    return found


def _outputs_in(traced: Traced, term: Expr) -> list[Output]:
    every = outputs(traced, _LARGEST_BATCH)
    last = max((o.example for o in every if {o.policy, o.reference, o.length} & term.free_symbols), default=0)
    return [output for output in every if output.example <= last]


def forms(traced: Traced, settings: Mapping[Symbol, Expr]) -> Iterator[Form]:
    """Yield the forms of a loss on pairs or single outputs.

    Args:
        traced: the loss of one example.
        settings: the values of the symbolic hyperparameters.
    """
    terms = examples(traced)
    values = [replace(example, term=by_value(example.term)) for example in terms]
    found = False
    for form in _forms_of_all_batches(traced, terms, values, settings):
        found = True
        yield form
    if not found:
        yield from _forms_of_one_composition(traced, values)


def _forms_of_one_composition(traced: Traced, values: Sequence[Example]) -> Iterator[Form]:
    """Yield the forms in batches of one desirable and one undesirable example; they can refute, and prove nothing."""
    pairs = [example for example in values if example.labels is not None and sorted(example.labels) == [False, True]]
    if {example.label for example in pairs} != {example.label for example in values}:
        return
    kl = traced.loss.needs_kl
    for form in _forms(traced, pairs, lambda e: readings(e.term, e.y, e.among, kl=kl)):
        note = "read in batches of one desirable and one undesirable example; v changes with the batch's labels"
        others = {symbol for one in pairs for o in one.among[1:] for symbol in (o.length, o.reference)}
        unsure = "whether it is one for another reference is open" if others & set(form.context) else form.unsure
        partial = "in batches of other labels it has another v"
        yield replace(form, notes=[*form.notes, note], partial=partial, unsure=unsure)


def _forms_of_all_batches(
    traced: Traced, terms: Sequence[Example], values: list[Example], settings: Mapping[Symbol, Expr]
) -> Iterator[Form]:
    kl = traced.loss.needs_kl
    notes = []
    if all(_still(example, kl=kl) for example in terms):
        if any(example.term.free_symbols & set(moving(example.among, kl=kl)) for example in terms):
            notes = ["no gradient flows through this loss: all that moves in it is detached; it is read as a constant"]
        values = [replace(example, term=sympy.S.Zero) for example in terms]
    plain = False
    for found in _forms(traced, values, lambda e: readings(e.term, e.y, e.among, kl=kl)):
        form = replace(found, notes=[*found.notes, *notes])
        plain = True
        yield from _for_another_reference(form, values[0].among)
        yield form
    for held_terms in held_variants(terms, kl=kl):
        yield from _held_forms(traced, held_terms, settings)
    yield from _forms(traced, values, _estimated(traced))
    if not plain:  # a function of the difference of the log-ratios has no other link than the logarithm
        yield from _forms(traced, values, _linked(traced, settings))
    if traced.loss.kind == "paired" and traced.batches:
        yield from _separate_forms(traced, values)


def _estimated(traced: Traced) -> Reader:
    kl, domains = traced.loss.needs_kl, traced.domains
    return lambda e: estimated_readings(e.term, e.y, e.among, kl=kl, domains=domains)


def _linked(traced: Traced, settings: Mapping[Symbol, Expr]) -> Reader:
    below, domains = reference_free(traced), traced.domains
    return lambda e: linked_readings(e.term, e.y, e.among, below=below, settings=settings, domains=domains)


def _forms(traced: Traced, terms: Sequence[Example], read: Reader) -> Iterator[Form]:
    """Yield the forms that fit every label and every batch."""
    labels = list(dict.fromkeys(example.label for example in terms if _moves(example)))
    if not labels:
        labels = [terms[0].label]
    first = next(example for example in terms if example.label == labels[0])
    for lead in _shared([example for example in terms if example.label == labels[0]], read):
        found = {labels[0]: lead}
        for label in {example.label for example in terms} - {labels[0]}:
            same_label = [example for example in terms if example.label == label]
            alike = (each for each in _shared(same_label, read) if _alike(each[0], same_label[0], lead[0], first))
            preferred = sorted(alike, key=lambda each: each[0].own_included != lead[0].own_included)
            if not preferred:
                break
            found[label] = preferred[0]
        else:
            form = _form(traced, found, lead[0], terms)
            if form is not None:
                yield form


def _shared(examples: Sequence[Example], read: Reader) -> Iterator[list[Reading]]:
    """Yield readings of one label's terms in all its batches that give the same value function, the telling first.

    Where the only output that Q weighs is y itself, z is 0 and the term is v(0).
    """
    first, *others = _moving_first(examples)
    for lead in read(first):
        found = [lead]
        for example in others:
            match = next((reading for reading in read(example) if _fits(reading, lead)), None)
            if match is None:
                break
            found.append(match)
        else:
            yield found


def _moving_first(examples: Sequence[Example]) -> list[Example]:
    return sorted(examples, key=lambda example: not _moves(example))


def _fits(reading: Reading, lead: Reading) -> bool:
    if Z not in reading.shape.free_symbols:
        return identically_zero(reading.shape - lead.shape.subs(Z, 0))
    return multiple(_split(reading.shape)[1], _split(lead.shape)[1])


def _moves(example: Example) -> bool:
    return example.y.log_ratio in example.term.free_symbols


def _still(example: Example, *, kl: bool) -> bool:
    """Return whether no gradient flows: all that moves in the example's loss is detached, if anything does."""
    symbols = moving(example.among, kl=kl)
    log_ratios = {output.log_ratio for output in example.among}
    return not held(example.term, symbols, example.known).term.free_symbols & log_ratios


def _alike(one: Reading, example: Example, other: Reading, first: Example) -> bool:
    if Z not in one.shape.free_symbols:
        return True
    lengths = {example.y.length: first.y.length, example.y.reference: first.y.reference}
    return one.normalizer.xreplace(lengths) == other.normalizer


def _form(
    traced: Traced, found: Mapping[str, Sequence[Reading]], first: Reading, terms: Sequence[Example]
) -> Form | None:
    shapes: dict[str, Expr] = {}
    constants: dict[str, Expr] = {}
    relaxations = ["uniform_reference"] * reference_free(traced) + list(first.relaxations)
    weighted = False
    for label in dict.fromkeys(example.label for example in terms):
        constants[label], shapes[label] = _split(found[label][0].shape)
        moved = [reading.shape for reading in found[label] if Z in reading.shape.free_symbols]
        weighted |= not all(same(_split(shape)[1], shapes[label]) for shape in moved)
    either_output = len(terms[0].among) == 2 and traced.loss.kind == "paired" and ONE_TERM in shapes
    split = _in_cases(shapes, set(traced.hyperparameters.values()), either_output=either_output)
    context = _context(traced, split.shapes)
    if context or weighted or len(split.cases) > 1:
        relaxations.append("context_indexed_value")
    apart = weighted and _weighted_apart(found, terms)
    if apart:
        relaxations.append("class_weights")
    normalizer, reward, shapes = _normalised(traced, first, split.shapes)
    return Form(
        shapes=shapes,
        constants={label: constant + split.constants[label] for label, constant in constants.items()},
        reward=reward,
        normalizer=normalizer,
        point=first.point,
        relaxations=relaxations,
        either_output=either_output,
        cases=split.cases,
        context=context,
        spoiled=first.spoiled,
        notes=[*split.notes, *["in other batches v has other weights, in another ratio for the two labels"] * apart],
        unsure=_unsure(traced, context),
    )


def _weighted_apart(found: Mapping[str, Sequence[Reading]], terms: Sequence[Example]) -> bool:
    """Return whether the ratio of the two labels' weights depends on the composition of the batch."""
    weights: dict[tuple[bool, ...], dict[str, Expr]] = {}
    for label, each in found.items():
        same_label = _moving_first([example for example in terms if example.label == label])
        lead = _split(each[0].shape)[1]
        for example, reading in zip(same_label, each, strict=True):
            if example.labels is not None and Z in reading.shape.free_symbols:
                weights.setdefault(tuple(sorted(example.labels)), {})[label] = _weight(_split(reading.shape)[1], lead)
    ratios = {one / other for one, other in (each.values() for each in weights.values() if len(each) == 2)}
    return len(ratios) > 1


def _weight(one: Expr, other: Expr) -> Expr:
    """Return the ratio of a function of z to another that it is a positive multiple of, as `multiple` finds it."""
    ratio = sympy.S.One if same(one, other) else one / other
    return ratio if ratio.is_Rational else _ratio_of_steps(one, other) or sympy.nan


@dataclass(frozen=True, kw_only=True)
class _InCases:
    """The shapes of a form in the cases of its conditions on the context.

    Attributes:
        shapes: by label; of the first case where the others are read like it.
        constants: by label, what the shapes leave out.
        cases: that must be told apart.
        notes: what a reader should know.
    """

    shapes: Mapping[str, Expr]
    constants: Mapping[str, Expr]
    cases: Sequence[Case] = (Case(),)
    notes: Sequence[str] = ()


def _in_cases(shapes: Mapping[str, Expr], known: set[Expr], *, either_output: bool) -> _InCases:
    """Return the shapes in the cases of their conditions on the context, as one where all are read alike.

    The sign a may depend on x and y, and y may be either output of a pair, so that v(z) and -v(z), or v(-z), in two
    cases are one value function; so are functions that differ by a constant, which is free of theta.
    """
    everything = conditions_of(sympy.Tuple(*shapes.values()))
    ours = [one for one in everything if Z not in one.free_symbols and one.free_symbols - known]
    conditions = [one for i, one in enumerate(ours) if one.negated not in ours[:i]]
    nothing: dict[str, Expr] = dict.fromkeys(shapes, sympy.S.Zero)
    if not 0 < len(conditions) <= _MOST_CONDITIONS:
        return _InCases(shapes=shapes, constants=nothing)
    choices = product((sympy.true, sympy.false), repeat=len(conditions))
    cases = [Case(truths=_told(conditions, truths)) for truths in choices]
    parts = [{label: _split(case.of(shape, {})) for label, shape in shapes.items()} for case in cases]
    first, *others = ({label: shape for label, (_, shape) in part.items()} for part in parts)
    ways = [(a, side) for side in (1, -1)[: 1 + either_output] for a in (1, -1)]
    found = [
        [way for way in ways if all(same(way[0] * other[label].subs(Z, way[1] * Z), first[label]) for label in first)]
        for other in others
    ]
    if not all(found):
        return _InCases(shapes=shapes, constants=nothing, cases=cases)
    told = [sympy.And(*(case.conditions({}) or ())) for case in cases]
    constants = {
        label: Piecewise(*((part[label][0], here) for part, here in zip(parts, told, strict=True))) for label in shapes
    }
    note = "the sign a, and which output of a pair is y, depend on the context as well"
    return _InCases(shapes=first, constants=constants, notes=[note] * any((1, 1) not in each for each in found))


def _told(conditions: Sequence[Relational], truths: Sequence[Expr]) -> dict[Relational, Expr]:
    """Return what each condition is, and its opposite."""
    told = dict(zip(conditions, truths, strict=True))
    return told | {one.negated: sympy.true if truth == sympy.false else sympy.false for one, truth in told.items()}


def _unsure(traced: Traced, context: Sequence[Symbol]) -> str | None:
    """Return why a failure would prove nothing: a given kl is about pi_ref, even where the loss leaves pi_ref out."""
    if traced.loss.needs_kl and any(symbol.name.startswith("reference_") for symbol in context):
        named = any(name.startswith("reference_") for name in traced.loss.arguments)
        return None if named else "the loss takes kl but no reference_logps: what kl is without pi_ref is open"
    return None


def _split(shape: Expr) -> tuple[Expr, Expr]:
    """Return the additive part free of z, and the rest."""
    constant, rest = shape.as_independent(Z, as_Add=True)
    return constant, rest


def multiple(one: Expr, other: Expr) -> bool:
    """Return whether one function of z is a positive multiple of another, up to a constant."""
    if same(one, other) or (other != 0 and bool((one / other).is_positive) and (one / other).is_Rational):
        return True
    ratio = _ratio_of_steps(one, other)
    return ratio is not None and bool(ratio > 0) and same(one, ratio * other)


def _ratio_of_steps(one: Expr, other: Expr) -> Expr | None:
    """Return the ratio of two functions' steps, a simple fraction near what it is in floats; to be verified."""
    context = dict.fromkeys((one.free_symbols | other.free_symbols) - {Z}, sympy.Integer(3))
    try:
        steps = [float((f.subs(Z, 1) - f.subs(Z, _HALF)).subs(context)) for f in (one, other)]
        return sympy.Rational(Fraction(steps[0] / steps[1]).limit_denominator(1000))
    except (ArithmeticError, TypeError, ValueError):
        return None


def _context(traced: Traced, shapes: Mapping[str, Expr]) -> list[Symbol]:
    known = {Z, *traced.hyperparameters.values()}
    return sorted({symbol for shape in shapes.values() for symbol in shape.free_symbols} - known, key=str)


def _normalised(traced: Traced, reading: Reading, shapes: Mapping[str, Expr]) -> tuple[Expr, str, dict[str, Expr]]:
    """Return l, r and the shapes, with one hyperparameter taken into l where it can be absorbed (DPO's beta)."""
    normalizer = reading.normalizer
    taken = sympy.S.One
    if traced.loss.kind == "paired":
        for symbol in (s for s in traced.hyperparameters.values() if isinstance(s, Symbol)):
            absorbed = {label: tidied(shape.subs(Z, Z / symbol)) for label, shape in shapes.items()}
            if any(shape.has(symbol) for shape in shapes.values()) and not any(
                shape.has(symbol) for shape in absorbed.values()
            ):
                taken, shapes = symbol, absorbed
                break
    normalizer = normalizer.xreplace({reading.y.length: Symbol("length", positive=True)}) * taken
    if reading.link is not None:
        link = reading.link.xreplace({reading.y.log_ratio: Symbol("log_ratio", real=True)})
        return taken, str(taken * link), dict(shapes)
    return normalizer, "log_ratio" if normalizer == 1 else str(normalizer * Symbol("log_ratio")), dict(shapes)


def _for_another_reference(form: Form, among: Sequence[Output]) -> Iterator[Form]:
    """Yield the form with a reference that takes in what shifts z: an offset g(y) - g(y') free of theta."""
    if not form.either_output or not form.context or form.shapes.keys() != {ONE_TERM}:
        return
    shape = form.shapes[ONE_TERM]
    offsets = {_offset(part, form.context) for part in _sums(shape)}
    if len(offsets) != 1:
        return
    offset = offsets.pop()
    if offset == 0 or sympy.cancel(sympy.together(offset + swapped(offset, among))) != 0 or _mixed(offset, among):
        return
    moved = tidied(shape.subs(Z, Z - offset))
    if set(form.context) & moved.free_symbols:
        return
    relaxations = [name for name in form.relaxations if name != "context_indexed_value"]
    chosen = sympy.Add(*(part for part in sympy.Add.make_args(tidied(offset)) if _of(part, among[0])))
    yield replace(
        form,
        shapes={ONE_TERM: moved},
        context=(),
        relaxations=[*relaxations, "modified_reference"],
        notes=[f"the reference is modified: r has + {chosen} for the chosen output, and alike for the rejected one"],
    )


def _sums(shape: Expr) -> Iterator[Expr]:
    """Yield the largest parts that are linear in z."""
    form = list(linear_forms(shape, frozenset({Z})))
    if len(form) == 1 and shape.is_Add and sympy.diff(shape, Z).free_symbols.isdisjoint({Z}):
        yield shape
    elif isinstance(shape, Relational):
        yield from _sums(shape.lhs - shape.rhs)
    elif Z in shape.free_symbols:
        yield from (part for argument in shape.args for part in _sums(argument))
        if shape == Z:
            yield shape


def _offset(linear: Expr, context: Sequence[Symbol]) -> Expr:
    """Return what of the context is added to z."""
    slope = sympy.diff(linear, Z)
    parts = [part for part in sympy.Add.make_args(tidied(linear)) if part.free_symbols & set(context)]
    return tidied(sympy.Add(*parts) / slope)


def _mixed(offset: Expr, among: Sequence[Output]) -> bool:
    return any(_of(part, among[0]) and _of(part, among[1]) for part in sympy.Add.make_args(tidied(offset)))


def _of(part: Expr, output: Output) -> bool:
    return bool(part.free_symbols & {output.reference, output.length})


@dataclass(frozen=True, kw_only=True)
class HeldTerms:
    """The terms of a loss with some of their detached parts held constant, and the others by value.

    Attributes:
        terms: with a symbol for each part that is held.
        parts: what each symbol stands for, by term.
    """

    terms: Sequence[Example]
    parts: Mapping[Symbol, Sequence[Expr]]


def held_variants(terms: Sequence[Example], *, kl: bool) -> list[HeldTerms]:
    """Return the ways to hold detached parts constant, one part or more; none where nothing that moves is detached."""
    each = [held(example.term, moving(example.among, kl=kl), example.known) for example in terms]
    each = _named_alike(each)
    names = sorted({symbol for one in each for symbol in one.parts}, key=str)[:_MOST_PARTS]
    found = []
    for count in range(1, len(names) + 1):
        for chosen in combinations(names, count):
            parts = {symbol: [one.parts.get(symbol, sympy.S.One) for one in each] for symbol in chosen}
            replaced = [replace(e, term=_held_only(one, chosen)) for e, one in zip(terms, each, strict=True)]
            found.append(HeldTerms(terms=replaced, parts=parts))
    return found


def _named_alike(each: Sequence[Held]) -> list[Held]:
    """Return the terms with one symbol for one name: real where it is not positive in all of them."""
    signed = {symbol.name for one in each for symbol in one.parts if not symbol.is_positive}
    renamed = {s: Symbol(s.name, real=True) for one in each for s in one.parts if s.name in signed}
    return [
        Held(term=one.term.xreplace(renamed), parts={renamed.get(s, s): part for s, part in one.parts.items()})
        for one in each
    ]


def _held_only(one: Held, chosen: Sequence[Symbol]) -> Expr:
    return one.term.xreplace({symbol: value for symbol, value in one.parts.items() if symbol not in chosen})


def _held_forms(traced: Traced, constant: HeldTerms, settings: Mapping[Symbol, Expr]) -> Iterator[Form]:
    """Yield the forms in which detached parts are factors held constant."""
    kl = traced.loss.needs_kl
    readers: list[Reader] = [
        lambda e: readings(e.term, e.y, e.among, kl=kl),
        _estimated(traced),
        _linked(traced, settings),
    ]
    for read in readers:
        for form in _forms(traced, constant.terms, read):
            weighted = _with_factors(form, constant, settings, kl=kl)
            if weighted is not None:
                yield weighted


def _with_factors(form: Form, constant: HeldTerms, settings: Mapping[Symbol, Expr], *, kl: bool) -> Form | None:
    """Return a form with its detached parts put together to one factor of v, or scaling its argument; None if neither.

    What is only added depends on theta by value, and is no constant. The factor must be of one sign, which is a part
    of a; what scales the argument, alike.
    """
    parts = constant.parts
    names = [symbol for symbol in form.context if symbol in parts]
    if set(names) != set(parts):
        return None
    stretching: list[Symbol] = []
    apart = _apart(form.shapes, names)
    if apart is None:
        stretching = [name for name in names if all(_stretches(shape, name) for shape in form.shapes.values())]
        apart = _apart(form.shapes, [name for name in names if name not in stretching])
    if apart is None:
        return None
    values: dict[tuple[str, int], Expr] = {}
    for i, example in enumerate(constant.terms):
        here = {symbol: each[i] for symbol, each in parts.items()}
        values[example.label, i] = apart[example.label][0].xreplace(here)
    signs, spoiled = _signs(apart, values, constant.terms, settings, kl=kl)
    for name in stretching:
        if not name.is_positive:
            told = [_sign(e, value, settings, kl=kl) for e, value in zip(constant.terms, parts[name], strict=True)]
            spoiled = spoiled or next((each for each in told if isinstance(each, Spoiled)), _OPEN)
    symbol = Symbol(next((name.name for name in names if name not in stretching), "detached"), positive=True)
    factors = {label: symbol for label, (factor, _) in apart.items() if factor != 1}
    shapes = {label: signs[label] * factors.get(label, 1) * rest for label, (_, rest) in apart.items()}
    others = [name for name in form.context if name not in names]
    kept = [name for name in form.relaxations if name != "context_indexed_value"]
    notes = [f"{name} = {parts[name][0]}, held constant" for name in stretching]
    if factors:
        notes.append(f"{symbol} = {_by_label(values, signs)}, held constant")
    return replace(
        form,
        shapes=shapes,
        relaxations=[*kept, *["context_indexed_value"] * bool(others), "detached_weight"],
        context=sorted({*others, *stretching, *factors.values()}, key=str),
        spoiled=form.spoiled or spoiled,
        notes=[*form.notes, *notes],
    )


_OPEN = Spoiled(statement="the detached factor of v is of one sign everywhere")


def _apart(shapes: Mapping[str, Expr], names: Sequence[Symbol]) -> dict[str, tuple[Expr, Expr]] | None:
    """Return each function of z as a factor in the named symbols and a function of z without them, or None."""
    found = {}
    for label, shape in shapes.items():
        factor = _factor(shape, [name for name in names if name in shape.free_symbols])
        if factor is None:
            return None
        found[label] = factor
    return found


def _factor(shape: Expr, names: Sequence[Symbol]) -> tuple[Expr, Expr] | None:
    """Return f and g with shape = f * g up to a constant in z, where f holds the named symbols alone, and g none."""
    if not names:
        return sympy.S.One, shape
    product_of_all, at_one = sympy.Mul(*names), shape.xreplace(dict.fromkeys(names, sympy.S.One))
    if same(tidied(shape), tidied(product_of_all * at_one)):
        return product_of_all, at_one
    at_primes = shape.xreplace(dict(zip(names, map(sympy.Integer, (3, 5, 7)), strict=False)))
    for place in (1, -1, _HALF):
        slopes = [sympy.diff(function, Z).subs(Z, place) for function in (shape, at_primes)]
        if slopes[1] != 0 and not any(slope.has(sympy.Piecewise) for slope in slopes):
            ratio = sympy.cancel(sympy.together(slopes[0] / slopes[1]))
            break
    else:
        return None
    if ratio.free_symbols != set(names):
        return None
    scale, factor = ratio.primitive()
    rest = _split(tidied(scale * at_primes))[1]
    return (factor, rest) if same(tidied(shape), tidied(factor * rest)) else None


def _signs(
    apart: Mapping[str, tuple[Expr, Expr]],
    values: Mapping[tuple[str, int], Expr],
    terms: Sequence[Example],
    settings: Mapping[Symbol, Expr],
    *,
    kl: bool,
) -> tuple[dict[str, int], Spoiled | None]:
    """Return the sign of each label's factor, and why one has none or is open, if so."""
    signs: dict[str, int] = {}
    spoiled: list[Spoiled] = []
    for (label, i), value in values.items():
        found = 1 if apart[label][0].is_positive else _sign(terms[i], value, settings, kl=kl)
        if isinstance(found, Spoiled):
            spoiled.append(found)
        elif signs.setdefault(label, found) != found:
            spoiled.append(_OPEN)
    told = next((each for each in spoiled if each.witness is not None), spoiled[0] if spoiled else None)
    return {label: signs.get(label, 1) for label in apart}, told


def _sign(example: Example, value: Expr, settings: Mapping[Symbol, Expr], *, kl: bool) -> int | Spoiled:
    """Return the sign of a detached factor, or why it has none."""
    moves = tuple(moving(example.among, kl=kl))
    side = side_of(value, moves, tuple(example.known))
    return side if side is not None else without_sign(value, moves, settings, example.known)


def _by_label(values: Mapping[tuple[str, int], Expr], signs: Mapping[str, int]) -> str:
    """Return the factor, or that of each label where they differ; of the smallest batch."""
    first: dict[str, Expr] = {}
    for (label, _), value in values.items():
        first.setdefault(label, value * signs[label])
    if len(set(first.values())) == 1:
        return str(next(iter(first.values())))
    return ", ".join(f"{value} for {label} outputs" for label, value in first.items())


def may_be_factor(example: Example, symbol: Symbol, *, kl: bool) -> bool:
    """Return whether a part that is held constant may scale the term, up to a constant, or what moves inside it.

    If it scales the term, the slopes at two places are in a ratio that does not change with it.
    """
    moves = [moved for moved in moving(example.among, kl=kl) if moved in example.term.free_symbols]
    term = example.term
    if symbol not in tidied(term.xreplace({moved: moved / symbol for moved in moves})).free_symbols:
        return True
    others = {other: still(other) for other in term.free_symbols - {symbol, *moves}}
    places = [{moved: -sympy.Integer(k * (i + 1)) for i, moved in enumerate(moves)} for k in (1, 2, 3)]
    places = [{m: abs(n) if m.is_nonnegative else n for m, n in place.items()} for place in places]
    for moved in moves:
        slope = sympy.diff(term, moved).subs(others)
        (one, *ones), (two, *twos) = ([slope.subs({**place, symbol: w}) for place in places] for w in (1, 2))
        if any(sign(one * b - a * two) in (1, -1) for a, b in zip(ones, twos, strict=True)):
            return False
    return True


def _stretches(shape: Expr, symbol: Symbol) -> bool:
    """Return whether a symbol only scales the function's argument."""
    return tidied(shape.subs(Z, Z / symbol)) == tidied(shape.subs(symbol, 1))


def _separate_forms(traced: Traced, terms: Sequence[Example]) -> Iterator[Form]:
    """Yield the forms of a pair's loss that is the sum of one term for each of its outputs."""
    apart = []
    for example in terms:
        own = [output for output in example.among if output.own]
        for output in own:
            part = _part(example.term, output, example.among)
            if part is None:
                return
            apart.append(Example(label=output.role, term=part, y=output, among=example.among))
    for read in (readings, estimated_readings):
        yield from _forms(traced, apart, lambda e, read=read: read(e.term, e.y, e.among, kl=False))


def _part(term: Expr, output: Output, among: Sequence[Output]) -> Expr | None:
    """Return the addends that are mostly about one of the own outputs; None where some are about both alike.

    Which output an addend is about only groups the addends: what they are is read off afterwards.
    """
    one, other = (own for own in among if own.own)
    mine = []
    for part in sympy.Add.make_args(sympy.expand(term, deep=False)):
        about = _leader(part, one, other, among)
        if about is None:
            return None
        if about == output:
            mine.append(part)
    return sympy.Add(*mine)


def _leader(part: Expr, one: Output, other: Output, among: Sequence[Output]) -> Output | None:
    """Return the own output that moves the addend more, in floats; the first for a constant."""
    place: dict[Expr, Expr] = {o.log_ratio: sympy.Rational(3 * i - 7, 5) for i, o in enumerate(among)}
    rest = dict.fromkeys(part.free_symbols - set(place), sympy.S.One)
    slopes = [sympy.diff(part.subs(rest), o.log_ratio).subs(place) for o in (one, other)]
    try:
        sizes = [abs(float(slope)) for slope in slopes]
    except TypeError:
        return None
    if sizes == [0, 0]:
        return one
    return None if sizes[0] == sizes[1] else one if sizes[0] > sizes[1] else other
