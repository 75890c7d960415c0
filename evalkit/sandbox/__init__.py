"""Running code that a model wrote where it can do no harm."""

from evalkit.sandbox.checking import check_function, stub
from evalkit.sandbox.probe import KINDS, find_sandbox
from evalkit.sandbox.records import Ending, Limits, Outcome
from evalkit.sandbox.sandbox import Sandbox

__all__ = ["KINDS", "Ending", "Limits", "Outcome", "Sandbox", "check_function", "find_sandbox", "stub"]
