"""The command `halotheory`: parse, call one function, print."""

import json
import math
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from halotheory import __version__
from halotheory.command import ANSWER_IS_NO, DONE, UNDECIDED, run
from halotheory.errors import HaloTheoryError
from halotheory.files import write_text
from halotheory.isolation import DEFAULT_TIMEOUT, check_file_isolated, examine_file_isolated, is_file
from halotheory.settings import parse_settings
from halotheory.simulate import simulate

if TYPE_CHECKING:
    from halotheory.findings import Verdict
    from halotheory.reporting.figures import Observed
    from halotheory.theorems.claims import Statement

app = typer.Typer(
    name="halotheory",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Setting = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change a hyperparameter; may be repeated.")
]
ReferencePoint = Literal["kl", "rejected", "batch-mean"]
_EXIT = {"halo": DONE, "not_halo": ANSWER_IS_NO, "undecided": UNDECIDED}


def _version(wanted: bool) -> None:
    if wanted:
        print(f"halotheory {__version__}")
        raise typer.Exit


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number")
    return value


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Decide whether an alignment loss is a human-aware loss (HALO), with a proof or a counterexample.

    With --debug, any command shows the traceback of its error.

    Examples:

      halotheory check kto

      halotheory check my_loss.py --set beta=0.5
    """


@app.command()
def check(
    loss: Annotated[
        str, typer.Argument(help="A built-in (kto), a file (my_loss.py), or a function in it (my_loss.py:name).")
    ],
    settings: Setting = None,
    strict: Annotated[bool, typer.Option(help="Refuse every relaxation of the definition.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write the proof as a page, too.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Write the proof as a LaTeX article, too.")] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, callback=_finite, help="Seconds, after which what is open stays undecided.")
    ] = DEFAULT_TIMEOUT,
) -> int:
    """Prove that LOSS is a HALO, refute it, or say that neither was possible.

    Examples:

      halotheory check kto

      halotheory check my_loss.py --set beta=0.5 --json

      halotheory check my_loss.py:hinge --html proof.html --latex proof.tex

    Exit status: 0 a HALO, 1 not a HALO, 3 undecided, 2 could not be checked.
    """
    pages = _targets(html, latex, loss=loss)
    given = parse_settings(settings or [])
    verdict, observed = _examined(loss, given, strict=strict, timeout=timeout, observe=bool(pages))
    if pages:
        _write_proofs(loss, verdict, observed, html, latex)
    if as_json:
        print(json.dumps(verdict.as_dict(), indent=2))
        return _EXIT[verdict.verdict]
    from halotheory.reporting.report import render, show

    show(render(verdict))
    return _EXIT[verdict.verdict]


@app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="lemma1, theorem3, theorem4, ...; all by default.")
    ] = None,
    steps: Annotated[
        bool | None,
        typer.Option("--steps/--no-steps", help="Show derivations. [default: where statements are named]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, derivations included.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write statements and derivations as a page, too.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Write them as a LaTeX article, too.")] = None,
) -> int:
    """Verify the KTO paper's statements: each claim proved, refuted or undecided, and where it stops being true.

    A claim is a sentence of the paper under one reading, or what is true in its place. Without names there is a
    summary of all statements; with names each claim has its derivation or its counterexample.

    Examples:

      halotheory verify

      halotheory verify theorem4

      halotheory verify theorem3 proposition2 --no-steps

      halotheory verify --html theorems.html --latex theorems.tex

    Exit status: 0 every claim was decided, 3 some claim is undecided, 2 no such statement. A refuted claim of the
    paper is a result, not a failure.
    """
    from halotheory import theorems

    wanted = names or []
    parts = theorems.parts_of(wanted)
    _targets(html, latex)
    from halotheory.reporting.report import counting

    began = time.perf_counter()
    with counting(len(parts)) as started:
        statements = theorems.verify(wanted, started=started)
    _write_theorems(statements, html, latex)
    if as_json:
        found = {"statements": [statement.as_dict() for statement in statements]}
        print(json.dumps({**found, "seconds": time.perf_counter() - began}, indent=2, allow_nan=False))
    else:
        _show_statements(statements, whole=bool(wanted) if steps is None else steps, summary=not (wanted or steps))
    return UNDECIDED if any(map(_is_open, statements)) else DONE


@app.command()
def losses(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, callback=_finite, help="Seconds for each loss.")] = DEFAULT_TIMEOUT,
) -> int:
    """List the built-in losses, each with the verdict that `check` comes to, computed now.

    Examples:

      halotheory losses

      halotheory losses --json
    """
    from halotheory.catalogue import catalogue
    from halotheory.losses import __all__ as names
    from halotheory.reporting.report import counting, show, summary

    with counting(len(names)) as started:
        entries = catalogue(names, timeout=timeout, started=started)
    if as_json:
        print(json.dumps([entry.as_dict() for entry in entries], indent=2))
    else:
        show(summary(entries))
    return DONE


@app.command()
def new(
    path: Annotated[Path, typer.Argument(help="The file to write, my_loss.py.")],
    value_function: Annotated[
        str, typer.Option("--value-function", "-v", metavar="FORMULA", help="v(z), in z and hyperparameters.")
    ],
    reference_point: Annotated[
        ReferencePoint,
        typer.Option(help="Where z = 0 lies: E_Q[log-ratio] with Q the policy (kl), the rejected output, the batch."),
    ] = "kl",
    settings: Setting = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> int:
    """Write a loss file from a value function and a reference point.

    The formula has numbers, names, + - * / **, comparisons and these functions: exp log log1p expm1 sqrt sigmoid
    logsigmoid softplus tanh atan erf relu abs sign min max clamp(x, low, high) where(condition, a, b).
    Each name but z becomes a hyperparameter; --set gives its default.

    Examples:

      halotheory new my_loss.py -v "1/(1+exp(-beta*z))" --set beta=0.5

      halotheory new pairs.py -v "logsigmoid(beta*z)" --reference-point rejected

      halotheory new kt.py -v "where(z < 0, -2.25*(-z)**0.88, z**0.88)"
    """
    from halotheory.scaffold import new_loss, write_loss

    _targets(path)
    source = new_loss(value_function, reference_point=reference_point, settings=parse_settings(settings or []))
    write_loss(path, source, overwrite=force)
    print(path)
    print(f"next: halotheory check {shlex.quote(str(path))}", file=sys.stderr)
    return DONE


@app.command()
def plot(
    names: Annotated[list[str], typer.Argument(metavar="LOSS...", help="Losses, named as for `check`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The picture: .svg, .png or .pdf.")],
    settings: Setting = None,
    reach: Annotated[
        float, typer.Option(min=1e-6, max=1e6, callback=_finite, help="Half the width of the picture, in units of z.")
    ] = 5.0,
    timeout: Annotated[float, typer.Option(min=0.1, callback=_finite, help="Seconds for each loss.")] = DEFAULT_TIMEOUT,
) -> int:
    """Draw the value functions that losses imply, beside the Kahneman-Tversky one.

    A hyperparameter given with --set applies to every loss that has it.

    Example:

      halotheory plot dpo kto my_loss.py --set beta=1 --output values.svg
    """
    from halotheory.reporting.plot import draw_value_functions, picture_suffix

    _targets(output)
    picture_suffix(output)
    draw_value_functions(_checked(names, settings or [], timeout=timeout), output, reach=reach)
    print(output)
    return DONE


app.command()(simulate)


def _examined(
    loss: str, settings: Mapping[str, float], *, strict: bool, timeout: float, observe: bool
) -> "tuple[Verdict, Observed]":
    """Return the verdict, and the loss as observed if wanted: of a file from a child process, of a built-in here."""
    if is_file(loss):
        found = examine_file_isolated(
            loss,
            settings=settings,
            strict=strict,
            timeout=timeout,
            observe=observe,
            progress=_progress(loss),
            meanwhile=lambda: import_module("halotheory.proving.saturation"),  # for the report
        )
        return found.verdict, found.observed
    from halotheory.checking import check as check_loss
    from halotheory.contract import load_loss

    loaded = load_loss(loss, settings)
    verdict = check_loss(loaded, strict=strict, timeout=timeout)
    return verdict, import_module("halotheory.reporting.observed").observe(loaded) if observe else {}


def _write_proofs(loss: str, verdict: "Verdict", observed: "Observed", html: Path | None, latex: Path | None) -> None:
    from halotheory.reporting import proof
    from halotheory.source import source_of

    prepared = proof.proof_of(verdict, source_of(loss, verdict.loss), observed)
    _write(((html, lambda: proof.html(prepared)), (latex, lambda: proof.latex_article(prepared))))


def _write_theorems(statements: "Sequence[Statement]", html: Path | None, latex: Path | None) -> None:
    if html is None and latex is None:
        return
    from halotheory.reporting import theorem

    _write(((html, lambda: theorem.html(statements)), (latex, lambda: theorem.latex_article(statements))))


def _write(documents: Sequence[tuple[Path | None, Callable[[], str]]]) -> None:
    for path, text in documents:
        if path is not None:
            write_text(path, text())
            print(f"written: {path}", file=sys.stderr)


def _show_statements(statements: "Sequence[Statement]", *, whole: bool, summary: bool) -> None:
    from halotheory.reporting import derivation
    from halotheory.reporting.report import show

    if summary:
        show(derivation.summary(statements))
    for statement in () if summary else statements:
        show(derivation.render(statement, steps=whole), "")
    print(f"{derivation.tally(statements)}; {sum(statement.seconds for statement in statements):.1f} s")


def _is_open(statement: "Statement") -> bool:
    from halotheory.findings import Status

    return any(claim.status is Status.UNDECIDED for claim in statement.claims)


def _targets(*wanted: Path | None, loss: str | None = None) -> list[Path]:
    """Return the files to write, of which each may be written without harm to another or to the loss.

    Raises:
        HaloTheoryError: one may not.
    """
    paths = [path for path in wanted if path is not None]
    taken = [Path(loss.rpartition(":")[0] or loss).resolve(), Path(loss).resolve()] if loss and is_file(loss) else []
    for path in paths:
        if path.is_dir():
            raise HaloTheoryError(f"'{path}' is a folder; name the file to write in it")
        if not path.parent.is_dir():
            raise HaloTheoryError(f"{path.parent}: no such folder; create it first")
        if path.resolve() in taken:
            raise HaloTheoryError(f"{path}: would be overwritten; name another file to write")
        taken.append(path.resolve())
    return paths


def _progress(loss: str) -> Callable[[str, float], None] | None:
    """Return what keeps a line of progress on standard error, where that is a terminal and the check takes long."""
    if not sys.stderr.isatty():
        return None
    return lambda stage, seconds: print(f"\r{loss}: {stage}, {seconds:.0f} s\033[K\r", end="", file=sys.stderr)


def _checked(names: list[str], words: list[str], *, timeout: float) -> "list[Verdict]":
    """Return the verdicts on several losses, each with those of the settings that it has."""
    settings = parse_settings(words)
    verdicts = [_lenient(name, settings, timeout=timeout) for name in names]
    unused = [name for name in settings if not any(name in verdict.hyperparameters for verdict in verdicts)]
    if unused:
        raise HaloTheoryError(f"--set {unused[0]}: none of these losses has such a hyperparameter")
    return verdicts


def _lenient(loss: str, settings: Mapping[str, float], *, timeout: float) -> "Verdict":
    if is_file(loss):
        return check_file_isolated(loss, settings=settings, lenient=True, timeout=timeout, progress=_progress(loss))
    from halotheory.checking import check as check_loss
    from halotheory.contract import load_loss

    loaded = load_loss(loss)
    known = {name: value for name, value in settings.items() if name in loaded.hyperparameters}
    return check_loss(loaded, settings=known, timeout=timeout)


def main() -> None:
    """Run the command and leave with its exit status."""
    sys.exit(run(app, HaloTheoryError))
