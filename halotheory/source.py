"""The source code of a loss, found without running it."""

import ast
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from halotheory.errors import HaloTheoryError

_LONGEST = 120  # lines of a file that is shown whole


@dataclass(frozen=True, kw_only=True)
class Source:
    """Code to show.

    Attributes:
        path: the file.
        line: the line of the file at which the code begins.
        code: the text.
    """

    path: str
    line: int
    code: str


def source_of(spec: str, loss: str) -> Source:
    """Return the code of a loss: its whole file where that is short, else the function alone.

    Args:
        spec: as given to `halotheory check`: a built-in's name, a file, or `file.py:name`.
        loss: the verdict's name of it, which ends in the function's name.

    Raises:
        HaloTheoryError: the code cannot be found.
    """
    name = loss.rpartition(":")[2]
    if ".py" in spec:
        path = Path(spec.partition(".py")[0] + ".py")
        shown = str(path)
        candidates = [path]
    else:
        package = importlib.util.find_spec("halotheory.losses")
        assert package is not None
        assert package.submodule_search_locations is not None
        candidates = sorted(Path(package.submodule_search_locations[0]).glob("*.py"))
        shown = ""
    for path in candidates:
        try:
            text = path.read_text(encoding="utf-8")
            tree = ast.parse(text)
        except (OSError, SyntaxError, UnicodeDecodeError) as error:
            raise HaloTheoryError(f"{path}: cannot be read: {error}") from error
        lines = text.splitlines()
        if shown and len(lines) <= _LONGEST:
            return Source(path=shown, line=1, code=text.rstrip("\n"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                code = "\n".join(lines[first - 1 : node.end_lineno])
                return Source(path=shown or f"halotheory/losses/{path.name}", line=first, code=code)
    raise HaloTheoryError(f"{spec}: no function '{name}' found in its source")
