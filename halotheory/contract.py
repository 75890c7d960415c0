"""The loss-file contract: from a file or a name to a checked loss, ready to trace or to train with."""

import ast
import contextlib
import difflib
import importlib.util
import inspect
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NoReturn, get_type_hints

import torch
from torch import Tensor

import halotheory.losses
from halotheory.domains import is_inside
from halotheory.errors import HaloTheoryError
from halotheory.settings import parse_settings

__all__ = ["ARGUMENTS", "Kind", "Loss", "load_loss", "loss_of", "parse_settings"]

Kind = Literal["paired", "unpaired", "token"]

ARGUMENTS: dict[Kind, tuple[str, ...]] = {
    "paired": (
        "policy_chosen_logps",
        "policy_rejected_logps",
        "reference_chosen_logps",
        "reference_rejected_logps",
        "chosen_lengths",
        "rejected_lengths",
    ),
    "unpaired": ("policy_logps", "reference_logps", "desirable", "kl", "lengths"),
    "token": ("policy_token_logps", "reference_token_logps", "advantages", "mask"),
}
"""The tensor arguments that a loss may name, by kind."""

_KIND_OF: dict[str, Kind] = {name: kind for kind, names in ARGUMENTS.items() for name in names}


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A loss that keeps to the contract, with the hyperparameters as set.

    Attributes:
        name: `kto`, or `my_loss.py:loss`.
        function: the user's own function, untouched.
        kind: which family of arguments it takes.
        arguments: the tensor arguments that it names, in order.
        hyperparameters: every keyword-only float with its value.
        path: the source file.
        line: the line of the function's `def`.
        domains: what the annotations of hyperparameters say of their values, `Annotated[float, "0 <= x < 0.5"]`.
    """

    name: str
    function: Callable[..., Tensor]
    kind: Kind
    arguments: tuple[str, ...]
    hyperparameters: Mapping[str, float]
    path: str
    line: int
    domains: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not any(name.startswith("policy_") for name in self.arguments):
            raise self.error(f"takes no log-probability of the policy; name one of {_policy_arguments()}")
        for name, domain in self.domains.items():
            try:
                inside = is_inside(name, domain, self.hyperparameters[name])
            except ValueError as error:
                raise self.error(f"hyperparameter '{name}': {error}") from error
            if not inside:
                raise self.error(
                    f"hyperparameter {name}={self.hyperparameters[name]:g} is outside of its domain, {domain}"
                )

    def __call__(self, **tensors: Tensor) -> Tensor:
        """Return the losses of a batch, (batch,), or their mean, ().

        Tensors that the loss does not name are left out, so a caller may offer everything it has.

        Raises:
            HaloTheoryError: the loss raised, or returned something else than one value per example.
        """
        missing = [name for name in self.arguments if name not in tensors]
        if missing:
            raise self.error(f"needs {_listed(missing)}; given: {_listed(tensors) or 'nothing'}")
        named = {name: tensors[name] for name in self.arguments}
        batch = next(tensor for name, tensor in named.items() if name.startswith("policy_")).shape[0]
        try:
            losses = self.function(**named, **self.hyperparameters)
        except (HaloTheoryError, TimeoutError):
            raise
        except (Exception, SystemExit) as error:
            raise self.raised(error) from error
        if not isinstance(losses, Tensor):
            raise self.error(f"returned {type(losses).__name__}; return a tensor of losses, one per example")
        if losses.shape not in {(batch,), ()}:
            raise self.error(
                f"returned shape {tuple(losses.shape)} for a batch of {batch}; "
                f"return one loss per example, ({batch},), or their mean"
            )
        return losses

    @property
    def source(self) -> str:
        """The file that the function's own code is in, whatever decorates it."""
        return inspect.unwrap(self.function).__code__.co_filename

    @property
    def needs_reference(self) -> bool:
        """Whether any argument is computed with the reference model."""
        return "kl" in self.arguments or any(name.startswith("reference_") for name in self.arguments)

    @property
    def needs_kl(self) -> bool:
        """Whether the reference point z0 is to be estimated."""
        return "kl" in self.arguments

    @property
    def needs_labels(self) -> bool:
        """Whether each completion must come with a thumbs up or down."""
        return "desirable" in self.arguments

    def with_settings(self, settings: Mapping[str, float]) -> "Loss":
        """Return this loss with some hyperparameters changed.

        Raises:
            HaloTheoryError: a name that the loss does not have, a value that is no finite number, beyond float32, or
                outside of its domain.
        """
        if not isinstance(settings, Mapping):
            raise self.error(f"got {settings!r} for settings; give a dictionary such as {{'beta': 0.5}}")
        for name, value in settings.items():
            if name not in self.hyperparameters:
                known = ", ".join(self.hyperparameters) or "none"
                raise self.error(
                    f"has no hyperparameter '{name}'{_did_you_mean(name, self.hyperparameters)}; it has: {known}"
                )
            if isinstance(value, bool) or not isinstance(value, Real):
                raise self.error(f"hyperparameter {name}={value!r} is no number; give it a float")
            if not math.isfinite(value):
                raise self.error(f"hyperparameter {name}={value} is not finite")
            if not _fits(float(value)):
                raise self.error(f"hyperparameter {name}={value:g} is beyond float32, in which losses are trained")
        values = {name: float(settings.get(name, default)) for name, default in self.hyperparameters.items()}
        return replace(self, hyperparameters=values)

    def raised(self, error: BaseException) -> HaloTheoryError:
        """Return an error that tells what the loss raised, and on which of its lines."""
        return self.error(f"raised {_described(error)}{_remedy(error)}", line=self.line_of(error))

    def line_of(self, error: BaseException) -> int | None:
        """Return the innermost line of the loss's file that the error's traceback shows."""
        return _line_in(error, self.source)

    def error(self, message: str, *, line: int | None = None) -> HaloTheoryError:
        """Return an error that names this loss, its file and line."""
        return HaloTheoryError(f"{self.path}:{line or self.line}: {self.function.__name__}() {message}")


def load_loss(spec: str | os.PathLike[str], settings: Mapping[str, float] | None = None) -> Loss:
    """Return the loss that `spec` names.

    Args:
        spec: a built-in's name (`kto`), a file (`my_loss.py`: its function `loss`, or its only public function),
            or a function in a file (`my_loss.py:name`).
        settings: hyperparameters to change.

    Raises:
        HaloTheoryError: no such loss; a file that cannot be imported; a function that breaks the contract.
    """
    if spec in halotheory.losses.__all__:
        loss = loss_of(getattr(halotheory.losses, str(spec)), name=str(spec))
    else:
        path, function_name = _split(os.fspath(spec))
        function = _choose(_public_names(path), function_name, path)
        loss = loss_of(function, name=f"{path.name}:{function.__name__}")
    return loss.with_settings(settings or {})


def loss_of(function: Callable[..., Tensor], *, name: str | None = None) -> Loss:
    """Return the checked loss of a Python function.

    Raises:
        HaloTheoryError: no function, or an argument or a default that the contract does not allow.
    """
    function = _plain(function, "the loss")
    path, line, argument_lines = _source(function)

    def fail(message: str, argument: str) -> NoReturn:
        raise HaloTheoryError(f"{path}:{argument_lines.get(argument, line)}: {message}")

    arguments: list[str] = []
    hyperparameters: dict[str, float] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            stars = "**" if parameter.kind is parameter.VAR_KEYWORD else "*"
            fail(f"'{stars}{parameter.name}' hides what the loss needs; name every argument", parameter.name)
        if parameter.kind is parameter.KEYWORD_ONLY:
            hyperparameters[parameter.name] = _hyperparameter(parameter, fail)
        else:
            arguments.append(_argument(parameter, fail))
    kinds = sorted({_KIND_OF[name] for name in arguments})
    if len(kinds) > 1:
        named = ", ".join(f"'{name}' ({_KIND_OF[name]})" for name in arguments)
        fail(f"a loss takes the arguments of one kind; this one mixes {' and '.join(kinds)}: {named}", "")
    return Loss(
        name=name or function.__name__,
        function=function,
        kind=_KIND_OF[arguments[0]] if arguments else "unpaired",
        arguments=tuple(arguments),
        hyperparameters=hyperparameters,
        path=path,
        line=line,
        domains=_domains(function, hyperparameters),
    )


def _split(spec: str) -> tuple[Path, str | None]:
    head, colon, tail = spec.rpartition(":")
    path, name = (Path(head), tail) if colon and tail.isidentifier() else (Path(spec), None)
    if path.is_dir():
        raise HaloTheoryError(f"{path}: is a folder; give the path of a .py file in it")
    if path.suffix != ".py":
        known = halotheory.losses.__all__
        if path.exists():
            raise HaloTheoryError(f"{path}: a loss file ends in .py, and one of its functions is named as file.py:name")
        raise HaloTheoryError(
            f"unknown loss '{spec}'{_did_you_mean(spec, known)}; "
            f"give the path of a .py file, or a built-in: {', '.join(known)}"
        )
    if not path.is_file():
        raise HaloTheoryError(f"{path}: no such file")
    return path, name


def _public_names(path: Path) -> dict[str, object]:
    """Return the functions that a file defines, and what it calls `loss` whatever that is."""
    module = _imported(path)
    return {
        name: value
        for name, value in vars(module).items()
        if name == "loss"
        or (inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_"))
    }


def _imported(path: Path) -> ModuleType:
    """Return the module of a file, kept out of `sys.modules` under its bare name."""
    name = f"halotheory_loss_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and torch look their module up
    try:
        with _neighbours(path.resolve().parent):
            spec.loader.exec_module(module)
    except SyntaxError as error:
        where = path if error.filename is None or _same(error.filename, path) else error.filename
        line = "" if error.lineno is None else f":{error.lineno}"
        raise HaloTheoryError(f"{where}{line}: syntax error: {error.msg}") from error
    except (Exception, SystemExit) as error:
        line = _line_in(error, str(path))
        if line is None and isinstance(error, ValueError):  # what Python before 3.11.4 makes of a null byte
            raise HaloTheoryError(f"{path}: syntax error: {error}") from error
        raise HaloTheoryError(f"{path}:{line or 1}: importing the file raised {_described(error)}") from error
    return module


@contextlib.contextmanager
def _neighbours(folder: Path) -> Iterator[None]:
    """Let a file import those beside it while it is imported, as when it is run; another file may have its own."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            found = getattr(sys.modules[name], "__file__", None)
            if found and Path(found).parent == folder and not name.startswith("halotheory"):
                del sys.modules[name]


def _same(one: str, other: Path) -> bool:
    return Path(one).resolve() == other.resolve()


def _choose(functions: Mapping[str, object], name: str | None, path: Path) -> Callable[..., Tensor]:
    listed = ", ".join(functions) or "none"
    if name is not None and name not in functions:
        raise HaloTheoryError(
            f"{path}: no public function '{name}'{_did_you_mean(name, functions)}; there are: {listed}"
        )
    if name is None and "loss" not in functions and len(functions) != 1:
        raise HaloTheoryError(
            f"{path}: which function is the loss? call it `loss`, or name it as {path}:NAME; there are: {listed}"
        )
    chosen = name or ("loss" if "loss" in functions else next(iter(functions)))
    return _plain(functions[chosen], f"{path}: '{chosen}'")


def _plain(found: Any, named: str) -> Callable[..., Tensor]:
    """Return the function itself, or the one that torch.compile wrapped.

    Raises:
        HaloTheoryError: it is none.
    """
    function = getattr(found, "_torchdynamo_orig_callable", found)
    if inspect.isfunction(function) or inspect.ismethod(function):
        return function
    kind = "class" if inspect.isclass(function) else type(function).__name__
    raise HaloTheoryError(
        f"{named} is {'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}, not a function; "
        "write def loss(...) that calls it, with the arguments and hyperparameters named"
    )


def _source(function: Callable[..., Tensor]) -> tuple[str, int, dict[str, int]]:
    """Return the function's file, the line of its `def`, and the line of each argument, whatever decorates it."""
    function = inspect.unwrap(function)
    path = inspect.getsourcefile(function) or "<unknown>"
    first = function.__code__.co_firstlineno
    try:
        tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return _shown(path), first, {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == function.__name__:
            decorated = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if decorated == first:
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                given += [star for star in (node.args.vararg, node.args.kwarg) if star]
                return _shown(path), node.lineno, {argument.arg: argument.lineno for argument in given}
    return _shown(path), first, {}


def _shown(path: str) -> str:
    """Return the path relative to the working folder where it lies inside it."""
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except (OSError, ValueError):
        return os.path.normpath(path)


def _argument(parameter: inspect.Parameter, fail: Callable[[str, str], NoReturn]) -> str:
    name = parameter.name
    if name not in _KIND_OF and parameter.default is not parameter.empty:
        fail(f"hyperparameter '{name}' must be keyword-only; write a * before it: *, {name}={parameter.default}", name)
    if name not in _KIND_OF:
        permitted = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in ARGUMENTS.items())
        fail(
            f"unknown argument '{name}'{_did_you_mean(name, _KIND_OF)}; permitted are {permitted}; "
            "hyperparameters are keyword-only floats (*, beta=0.1)",
            name,
        )
    return name


def _hyperparameter(parameter: inspect.Parameter, fail: Callable[[str, str], NoReturn]) -> float:
    value = parameter.default
    if parameter.name in _KIND_OF:
        fail(f"'{parameter.name}' is an argument, not a hyperparameter; write it before the *", parameter.name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        shown = "no default" if value is parameter.empty else f"the default {value!r}"
        fail(f"hyperparameter '{parameter.name}' has {shown}; give it a float", parameter.name)
    if not math.isfinite(value):
        fail(f"hyperparameter '{parameter.name}' has the default {value}; give it a finite number", parameter.name)
    return float(value)


def _domains(function: Callable[..., Tensor], hyperparameters: Mapping[str, float]) -> dict[str, str]:
    """Return the text that each hyperparameter is annotated with, where it is."""
    annotations: dict[str, Any] = dict(inspect.get_annotations(inspect.unwrap(function)))
    with contextlib.suppress(NameError, TypeError, AttributeError, SyntaxError):  # names known to type checkers only
        annotations = get_type_hints(inspect.unwrap(function), include_extras=True)
    found: dict[str, str] = {}
    for name in hyperparameters:
        texts = [text for text in getattr(annotations.get(name), "__metadata__", ()) if isinstance(text, str)]
        if texts:
            found[name] = " and ".join(texts)
    return found


def _fits(value: float) -> bool:
    """Return whether a float32 is neither infinite nor, if it should not be, zero."""
    rounded = float(torch.tensor(value, dtype=torch.float32))
    return math.isfinite(rounded) and (rounded != 0) == (value != 0)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _did_you_mean(name: str, known: "Sequence[str] | Mapping[str, object]") -> str:
    near = difflib.get_close_matches(name, list(known), n=1) or [one for one in known if one == name.lower()]
    return f"; did you mean '{near[0]}'?" if near else ""


def _policy_arguments() -> str:
    return ", ".join(name for names in ARGUMENTS.values() for name in names if name.startswith("policy_"))


def _described(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _remedy(error: BaseException) -> str:
    """Return what to write in place of what takes the numbers out of PyTorch."""
    text = str(error)
    if any(word in text for word in ("numpy", ".tolist()", "__array__")):
        return "; stay within torch: the operation of the same name, or torch.where for a choice"
    return ""


def _line_in(error: BaseException, path: str) -> int | None:
    """Return the innermost line of the user's file in the error's traceback."""
    wanted, line, trace = Path(path).resolve(), None, error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).resolve() == wanted:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
