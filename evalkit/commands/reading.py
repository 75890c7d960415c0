"""The options of the commands that read evaluations."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from evalkit.commands.options import words
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    from evalkit.comparing.reading import ReadOptions


def require_scipy() -> None:
    """Refuse to start without what the statistics need.

    Raises:
        EvalkitError: scipy is not installed.
    """
    if find_spec("scipy") is None:
        raise EvalkitError("scipy is not installed; install what evaluation needs: pip install 'halotheory[eval]'")


def read_options(columns: str, metric: str, answer_filter: str, *, texts: bool) -> "ReadOptions":
    """Return how files of other tools are read.

    Raises:
        EvalkitError: a part of --columns that is not FIELD=COLUMN.
    """
    from evalkit.comparing.reading import ReadOptions

    pairs = [word.partition("=") for word in words(columns)]
    for field, equals, column in pairs:
        if not (field and equals and column):
            raise EvalkitError(f"--columns {columns}: write FIELD=COLUMN, such as id=question_id,score=correct")
    return ReadOptions(
        metric=metric or None,
        answer_filter=answer_filter or None,
        columns={field: column for field, _, column in pairs},
        texts=texts,
    )
