"""What two models answered to the same prompts: files read, and matched by the content of the prompt."""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError

PROMPTS = ("prompt", "instruction")
COMPLETIONS = ("completion", "output", "chosen")
"""The columns of prompts and answers, the first present counts: `chosen` is the SFT target of a preference file."""

Conversation = tuple[tuple[str, str], ...]
"""(role, text) of each turn; a plain prompt is one turn of the user."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """One answer to a prompt.

    Attributes:
        conversation: the prompt.
        text: the answer.
    """

    conversation: Conversation
    text: str

    @property
    def prompt_id(self) -> str:
        """The hash of the prompt's content: the same for a plain prompt and for one turn of a user."""
        return content_hash(self.conversation)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two answers to one prompt, to be compared.

    Attributes:
        id: the hash of the prompt; its second and later pairs have "#2", "#3", ... after it.
        conversation: the prompt.
        judged: the answer that the preference is for.
        against: the other.
    """

    id: str
    conversation: Conversation
    judged: str
    against: str

    @property
    def prompt_id(self) -> str:
        """The hash of the prompt: pairs that share it are no independent observations."""
        return self.id.partition("#")[0]


@dataclass(frozen=True, kw_only=True)
class Matched:
    """Pairs, and what has no counterpart.

    Attributes:
        pairs: in the order of the judged file.
        without_target: answers judged that have nothing to be compared with.
        ambiguous: answers whose prompt has several on both sides, in unequal number.
        only_target: prompts that only the other file has.
    """

    pairs: tuple[Pair, ...]
    without_target: int
    ambiguous: int
    only_target: int


def content_hash(*parts: Any) -> str:
    """Return 16 hexadecimal digits that tell contents apart."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()[:16]


def read_outputs(path: Path) -> list[Output]:
    """Return the answers in a file: JSON lines (gzipped or not) or a JSON array.

    Each row has `prompt` or `instruction`, and `completion`, `output` or, for the SFT target of a preference file,
    `chosen`; text, or lists of {role, content}.

    Raises:
        EvalkitError: a file that cannot be read, is empty, or has a row without prompt or answer.
    """
    outputs = []
    for place, row in read_rows(path):
        conversation = conversation_of(place, PROMPTS[0], column(place, row, PROMPTS))
        if not any(text for _, text in conversation):
            raise EvalkitError(f"{place}: the prompt is empty; remove the row")
        if row.get("label") is False:
            raise EvalkitError(f"{place}: 'label' is false: what people reject is no target; remove such rows")
        outputs.append(Output(conversation=conversation, text=answer_of(place, column(place, row, COMPLETIONS))))
    if not outputs:
        raise EvalkitError(f"{path}: holds no rows; expected JSON lines with prompt and completion")
    return outputs


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (file:line, row) of JSON lines, gzipped or not, or (file: row n, row) of a JSON array.

    Raises:
        EvalkitError: no such file, not UTF-8, not JSON, or a row that is not an object.
    """
    text = _text(path)
    if text.lstrip().startswith("["):
        for number, row in enumerate(_parsed(str(path), text), start=1):
            yield f"{path}: row {number}", _object(f"{path}: row {number}", row)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", _object(f"{path}:{number}", _parsed(f"{path}:{number}", line))


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EvalkitError(f"{path}: not UTF-8 text: {error.reason}; give JSON lines in UTF-8") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise EvalkitError(f"{path}: a broken gzip file: {error}") from error
    except OSError as error:
        raise EvalkitError(f"{path}: {error.strerror or error}") from error


def _parsed(place: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise EvalkitError(f"{place}: not JSON: {error.msg} (column {error.colno})") from error
    except (RecursionError, ValueError) as error:
        raise EvalkitError(f"{place}: JSON nested too deeply, or a number of thousands of digits") from error


def _object(place: str, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise EvalkitError(f"{place}: expected a JSON object, found {type(row).__name__}")
    return row


def column(place: str, row: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return the first of some columns that a row has.

    Raises:
        EvalkitError: it has none.
    """
    for name in names:
        if name in row:
            return row[name]
    raise EvalkitError(f"{place}: no {' or '.join(names)}; the columns are {', '.join(row) or 'none'}")


def conversation_of(place: str, name: str, value: Any) -> Conversation:
    """Return a prompt, text or a list of {role, content}, as a conversation.

    Raises:
        EvalkitError: neither.
    """
    if isinstance(value, str):
        return (("user", clean(value).strip()),)
    turns = []
    for turn in value if isinstance(value, list) else [None]:
        if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
            raise EvalkitError(f"{place}: '{name}' is neither text nor a list of {{role, content}}")
        if not isinstance(turn.get("content"), str):
            raise EvalkitError(f"{place}: a turn of '{name}' has no text as its content")
        turns.append((clean(turn["role"]).strip(), clean(turn["content"]).strip()))
    return tuple(turns)


def answer_of(place: str, value: Any) -> str:
    """Return an answer, text or a list of {role, content}, as text.

    Raises:
        EvalkitError: neither.
    """
    if isinstance(value, str):
        return clean(value)
    return "\n\n".join(text for _, text in conversation_of(place, "completion", value))


def shown(conversation: Conversation) -> str:
    """Return a conversation as text: one turn of the user as it is, others with their roles."""
    if len(conversation) == 1 and conversation[0][0] == "user":
        return conversation[0][1]
    return "\n\n".join(f"{role}: {text}" for role, text in conversation)


def clean(text: str) -> str:
    r"""Return the text with U+FFFD for lone surrogates (`\ud800` in JSON), which UTF-8 cannot hold."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def match(judged: Sequence[Output], against: Sequence[Output]) -> Matched:
    """Return the pairs of two files, by the content of the prompt.

    A prompt's k-th answer meets the other file's k-th where both have as many, and every answer meets the one answer
    where the other file has one, repeated or not.
    """
    ours, theirs = _by_prompt(judged), _by_prompt(against)
    targets = {prompt: _targets(texts, theirs.get(prompt, [])) for prompt, texts in ours.items()}
    seen: dict[str, int] = {}
    pairs, without, ambiguous = [], 0, 0
    for output in judged:
        prompt = output.prompt_id
        at = seen[prompt] = seen.get(prompt, 0) + 1
        found = targets[prompt]
        if found is None:
            ambiguous += 1
        elif not found:
            without += 1
        else:
            name = prompt if at == 1 else f"{prompt}#{at}"
            pairs.append(Pair(id=name, conversation=output.conversation, judged=output.text, against=found[at - 1]))
    only = sum(prompt not in ours for prompt in theirs)
    return Matched(pairs=tuple(pairs), without_target=without, ambiguous=ambiguous, only_target=only)


def _by_prompt(outputs: Sequence[Output]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for output in outputs:
        found.setdefault(output.prompt_id, []).append(output.text)
    return found


def _targets(ours: Sequence[str], theirs: Sequence[str]) -> list[str] | None:
    """Return what each of our answers is compared with: nothing where there is none, None where it is not clear."""
    if len(set(theirs)) == 1:
        return [theirs[0]] * len(ours)
    if theirs and len(theirs) != len(ours):
        return None
    return list(theirs)
