"""Human-aware losses: decide whether a loss is one, with a proof, a counterexample or an honest "undecided"."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from halotheory.checking import check
    from halotheory.contract import Loss, load_loss
    from halotheory.errors import HaloTheoryError

__version__ = "0.1.0"
__all__ = ["HaloTheoryError", "Loss", "check", "load_loss"]

# Loaded on first use, so that `import halotheory` and `--help` stay fast.
_WHERE = {
    "HaloTheoryError": "halotheory.errors",
    "Loss": "halotheory.contract",
    "check": "halotheory.checking",
    "load_loss": "halotheory.contract",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'halotheory' has no attribute '{name}'")
    return getattr(import_module(_WHERE[name]), name)
