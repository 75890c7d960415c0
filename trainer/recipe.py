"""YAML recipes: values by name, each with the line that it comes from, on top of another recipe or not."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.errors import TrainerError

EXTENDS = "extends"
"""The key of a recipe that a recipe builds on: a path, relative to its own folder."""


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
    """Return the values of a recipe; `1e-6` is a number.

    A recipe with `extends` has all values of the other one but those that it gives itself; mappings are joined name by
    name.

    Args:
        path: a YAML file.
        above: the recipes that extend this one, the first of them first.

    Raises:
        TrainerError: no such file, malformed YAML, a name given twice, recipes that extend each other in a circle.
    """
    import yaml

    loader = _loader(Path(path))
    try:
        node = loader.get_single_node()
        if node is None:
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise TrainerError(f"{path}:1: expected lines of `name: value`")
        values = _mapping(node, path, loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise TrainerError(f"{path}:{line}: malformed YAML: {getattr(error, 'problem', error)}") from error
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
    if not other.is_file():
        raise TrainerError(
            f"{base.place}: {EXTENDS} {base.value}: no such file: {other}; paths begin at {path.parent}/"
        )
    if other.resolve() in {one.resolve() for one in chain}:
        circle = " extends ".join(str(one) for one in (*chain, other))
        raise TrainerError(f"{base.place}: {circle}: a circle; remove one {EXTENDS}")
    return read(str(other), chain)


def _mapping(node: Any, path: str, loader: Any) -> dict[str, Given]:
    import yaml

    values: dict[str, Given] = {}
    for key_node, value_node in node.value:
        place, key = f"{path}:{key_node.start_mark.line + 1}", key_node.value
        if not isinstance(key, str):
            raise TrainerError(f"{place}: expected lines of `name: value`")
        if key in values:
            raise TrainerError(f"{place}: '{key}' is given twice; keep one")
        inner = isinstance(value_node, yaml.MappingNode)
        value = _mapping(value_node, path, loader) if inner else loader.construct_object(value_node, deep=True)
        values[key] = Given(value=value, place=place)
    return values


def _loader(path: Path) -> Any:
    """Return a safe loader for which 1e-6 is a number (PyYAML's own wants 1.0e-6)."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    number = re.compile(r"^[-+]?(\d[\d_]*)(\.\d*)?[eE][-+]?\d+$|^[-+]?\.\d+[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789."))
    try:
        return Loader(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TrainerError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
