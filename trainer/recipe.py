"""YAML recipes: values by name, each with the line that it comes from, on top of another recipe or not."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.errors import TrainerError

EXTENDS = "extends"
"""The key of a recipe that a recipe builds on: a path, relative to its own folder."""

_DEEPEST = 2
"""Mappings within each other: the recipe, and its hyperparameters."""

_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"^[-+]?\d[\d_]*$|^0x[\da-fA-F_]+$|^0o[0-7_]+$", re.ASCII)
_FLOAT = re.compile(
    r"^[-+]?(\.\d+|\d[\d_]*(\.[\d_]*)?)([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$", re.ASCII
)
"""Numbers of YAML 1.2, and underscores. PyYAML reads 1.1, where 010 is 8, 1:30 is 90 and 1e-6 is text."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """A value of a recipe.

    Attributes:
        value: as YAML has it; a mapping holds a Given for each name.
        place: FILE:LINE.
    """

    value: Any
    place: str

    def plain(self) -> Any:
        """Return the value alone."""
        return {name: one.plain() for name, one in self.value.items()} if isinstance(self.value, dict) else self.value


def read(path: str, above: tuple[Path, ...] = ()) -> dict[str, Given]:
    """Return the values of a recipe, with the numbers of YAML 1.2: `1e-6` is one.

    A recipe with `extends` has all values of the other one but those that it gives itself; mappings are joined name by
    name.

    Args:
        path: a YAML file.
        above: the recipes that extend this one, the first of them first.

    Raises:
        TrainerError: no such file, malformed YAML, a name given twice, recipes that extend each other in a circle.
    """
    values = _values(_text(path), path)
    base = values.pop(EXTENDS, None)
    return values if base is None else joined(_base(base, Path(path), above), values)


def joined(under: Mapping[str, Given], over: Mapping[str, Given]) -> dict[str, Given]:
    """Return the values of both, those of `over` first; mappings name by name."""
    values = {**under, **over}
    for name in under.keys() & over.keys():
        if isinstance(under[name].value, dict) and isinstance(over[name].value, dict):
            values[name] = Given(value={**under[name].value, **over[name].value}, place=over[name].place)
    return values


def _base(base: Given, path: Path, above: tuple[Path, ...]) -> dict[str, Given]:
    if not isinstance(base.value, str):
        raise TrainerError(f"{base.place}: {EXTENDS} {base.plain()}: expected the path of one recipe")
    other, chain = path.parent / base.value, (*above, path)
    if not os.path.isfile(other):  # False also for a name that is too long
        raise TrainerError(
            f"{base.place}: {EXTENDS} {base.value}: no such file: {other}; paths begin at {path.parent}/"
        )
    if other.resolve() in {one.resolve() for one in chain}:
        circle = " extends ".join(str(one) for one in (*chain, other))
        raise TrainerError(f"{base.place}: {circle}: a circle; remove one {EXTENDS}")
    return read(str(other), chain)


def as_text(values: Mapping[str, Any]) -> str:
    """Return a recipe that `read` gives these values of, in their order."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes text that YAML 1.1 or 1.2 would read as something else."""

    _add_numbers(Dumper)
    return yaml.dump(dict(values), Dumper=Dumper, sort_keys=False)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise TrainerError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _values(text: str, path: str) -> dict[str, Given]:
    import yaml
    from yaml.reader import ReaderError

    loader = None
    try:
        loader = _loader(text)
        node = loader.get_single_node()
        if node is None:
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise TrainerError(f"{path}:1: expected lines of `name: value`")
        return _mapping(node, path, loader)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise TrainerError(f"{path}:{line}: the character U+{ord(text[error.position]):04X}: remove it") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise TrainerError(f"{path}:{line}: malformed YAML: {getattr(error, 'problem', error)}") from error
    except RecursionError as error:
        line = loader.line + 1 if loader else 1
        raise TrainerError(f"{path}:{line}: nested too deep; a recipe needs two levels at most") from error


def _mapping(node: Any, path: str, loader: Any, depth: int = 1) -> dict[str, Given]:
    values: dict[str, Given] = {}
    for key_node, value_node in node.value:
        place, key = f"{path}:{key_node.start_mark.line + 1}", key_node.value
        if not isinstance(key, str):
            raise TrainerError(f"{place}: expected lines of `name: value`")
        if key_node.tag == _TAG + "merge":
            raise TrainerError(f"{place}: '<<' is not read; write the values out, or use {EXTENDS}")
        if key in values:
            raise TrainerError(f"{place}: '{key}' is given twice; keep one")
        values[key] = Given(value=_value(value_node, f"{place}: {key}", path, loader, depth), place=place)
    return values


def _value(node: Any, where: str, path: str, loader: Any, depth: int) -> Any:
    import yaml

    if isinstance(node, yaml.MappingNode):
        if depth == _DEEPEST:  # an alias may even hold itself
            raise TrainerError(f"{where}: expected one value, not `name: value`")
        return _mapping(node, path, loader, depth + 1)
    try:
        return loader.construct_object(node, deep=True)
    except (ValueError, LookupError) as error:  # what PyYAML raises at `!!int abc`, `!!bool abc`
        told = node.value if isinstance(node.value, str) else "(a list)"
        raise TrainerError(
            f"{where} {_short(told)}: cannot be read as {node.tag.removeprefix(_TAG)}; write a plain value"
        ) from error


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


def _loader(text: str) -> Any:
    """Return a safe loader of text, booleans, numbers and lists; dates, which no setting is, are text."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    ours = {_TAG + name for name in ("int", "float", "timestamp")}
    Loader.yaml_implicit_resolvers = {
        first: [one for one in resolvers if one[0] not in ours]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _add_numbers(Loader)
    known = {_TAG + name for name in ("null", "bool", "float", "str", "seq")} | {None}
    Loader.yaml_constructors = {
        tag: construct for tag, construct in yaml.SafeLoader.yaml_constructors.items() if tag in known
    }
    Loader.add_constructor(_TAG + "int", _whole)
    return Loader(text)


def _add_numbers(kind: Any) -> None:
    """Let a loader or a dumper know the numbers of YAML 1.2."""
    kind.add_implicit_resolver(_TAG + "int", _INT, list("-+0123456789"))
    kind.add_implicit_resolver(_TAG + "float", _FLOAT, list("-+.0123456789"))


def _whole(loader: Any, node: Any) -> int:
    text = loader.construct_scalar(node)
    return int(text, 0 if text.startswith(("0x", "0o")) else 10)
