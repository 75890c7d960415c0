"""What became of the rows at each step: how many went in, came out and were dropped, and why."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from trainer.data import Row


class UnusableRowError(Exception):
    """Raised by a conversion of one row that cannot be used: the row is dropped, and counted under the reason given."""


@dataclass(kw_only=True)
class Step:
    """One operation and its counts; `rows` = used + dropped.

    Attributes:
        operation: what is done, as the report names it.
        rows: that went in.
        made: that came out.
        dropped: by reason: their number, and where the first is.
    """

    operation: str
    rows: int = 0
    made: int = 0
    dropped: dict[str, tuple[int, str]] = field(default_factory=dict)

    def drop(self, reason: str, place: str, rows: int = 1) -> None:
        """Count rows that are left out; `place` is where the first of them is."""
        count, first = self.dropped.get(reason, (0, place))
        self.dropped[reason] = (count + rows, first)

    @property
    def used(self) -> int:
        """Rows that went in and were not dropped."""
        return self.rows - sum(count for count, _ in self.dropped.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as JSON has them."""
        dropped = [{"reason": reason, "rows": count, "first": first} for reason, (count, first) in self.dropped.items()]
        return {
            "operation": self.operation,
            "rows": self.rows,
            "used": self.used,
            "made": self.made,
            "dropped": dropped,
        }


def each(rows: Iterable[Row], function: Callable[[Row], Iterable[Row]], step: Step) -> Iterator[Row]:
    """Yield what a function makes of each row, and count; rows for which it raises UnusableRowError are dropped."""
    for row in rows:
        step.rows += 1
        try:
            made = tuple(function(row))
        except UnusableRowError as reason:
            step.drop(str(reason), row.place)
            continue
        step.made += len(made)
        yield from made
