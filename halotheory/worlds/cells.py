"""Examples of a tabular world, as indices and weights."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Cells:
    """C examples for each of W worlds; indices that are the same in all worlds are stored once.

    Attributes:
        prompts: x, (C,) or (W, C).
        outputs: x * Y + y of the one output, or of the chosen and the rejected one, each (C,) or (W, C).
        desirable: bool, of labelled outputs, (C,) or (W, C).
        advantages: of labelled outputs, (W, C).
        weights: the share of each example, (W, C); sums to one in each world.
    """

    prompts: Tensor
    outputs: tuple[Tensor, ...]
    desirable: Tensor | None
    advantages: Tensor | None
    weights: Tensor

    @property
    def is_paired(self) -> bool:
        """Whether these are pairs."""
        return len(self.outputs) == 2


def taken(table: Tensor, index: Tensor) -> Tensor:
    """Return the entries of each world's row, (W, C), of a table (W, N), at (C,) or (W, C)."""
    return table.index_select(1, index) if index.dim() == 1 else table.gather(1, index)


def added(table: Tensor, index: Tensor, values: Tensor) -> Tensor:
    """Return the table (W, N) with values (W, C) added at (C,) or (W, C)."""
    return table.index_add(1, index, values) if index.dim() == 1 else table.scatter_add(1, index, values)
