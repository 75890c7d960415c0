"""How text becomes tokens: where a prompt ends, where a completion ends, and what is cut of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from jinja2 import TemplateSyntaxError

from trainer.data import Row
from trainer.errors import TrainerError


@dataclass(frozen=True, kw_only=True)
class Codec:
    """How text becomes tokens: the same for training and generation.

    Attributes:
        tokenizer: a tokenizer of transformers.
        bos: what stands before every plain prompt: the BOS token if the tokenizer adds one, or nothing.
        stops: the tokens that end a completion, one at which the chat template ends a turn among them; the first is
            the one appended to plain text.
        template_from: where the chat template comes from, for errors.
    """

    tokenizer: Any
    bos: tuple[int, ...]
    stops: tuple[int, ...]
    template_from: str = "the tokenizer"

    def prompts(self, rows: Sequence[Row]) -> list[list[int]]:
        """Return the tokens of each row's prompt: exactly what generation sees."""
        texts = [self._prompt_text(row) for row in rows]
        return [
            ids if isinstance(row.values["prompt"], list) else self._with_bos(ids)
            for row, ids in zip(rows, self.encode(texts), strict=True)
        ]

    def completions(self, rows: Sequence[Row], column: str) -> list[list[int]]:
        """Return the tokens of each row's completion, ended by exactly one stop token.

        Tokenised apart from the prompt, so that no token straddles the boundary.
        """
        texts = [self._completion_text(row, column) for row in rows]
        return [self._ended(ids) for ids in self.encode(texts)]

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Return the tokens of texts, no special token added."""
        return self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []

    def _with_bos(self, ids: list[int]) -> list[int]:
        already = self.bos and tuple(ids[:1]) == self.bos
        return ids if already else [*self.bos, *ids]

    def _ended(self, ids: list[int]) -> list[int]:
        """Return tokens up to the first stop token behind the text; append one where there is none.

        Behind the text stand only stop tokens, space, and special tokens: `<|im_end|>`, a new line, `<|endoftext|>`.
        """
        if set(self.stops).isdisjoint(ids):
            return [*ids, self.stops[0]]
        end = None
        for at in reversed(range(len(ids))):
            if ids[at] in self.stops:
                end = at
            elif self.tokenizer.decode([ids[at]], skip_special_tokens=True).strip():
                break
        return [*ids, self.stops[0]] if end is None else ids[: end + 1]

    def _prompt_text(self, row: Row) -> str:
        prompt = row.values["prompt"]
        return prompt if isinstance(prompt, str) else self._render(row, prompt, add_generation_prompt=True)

    def _completion_text(self, row: Row, column: str) -> str:
        prompt, completion = row.values["prompt"], row.values[column]
        if isinstance(prompt, str):
            return completion
        messages = [{"role": "assistant", "content": completion}] if isinstance(completion, str) else completion
        head, whole = self._prompt_text(row), self._render(row, [*prompt, *messages])
        if not whole.startswith(head):
            at = next(at for at in range(len(head)) if head[: at + 1] != whole[: at + 1])
            raise TrainerError(
                f"{row.place}: the chat template writes the prompt differently once the {column} follows, "
                f"{_excerpt(whole, at)} in place of {_excerpt(head, at)}; "
                "give a template that does not, with --chat-template FILE.jinja"
            )
        return whole[len(head) :]

    def _render(self, row: Row, messages: list[dict[str, str]], **how: bool) -> str:
        if self.tokenizer.chat_template is None:
            raise TrainerError(
                f"{row.place}: the prompt is a conversation and the tokenizer has no chat template; "
                "give one with --chat-template FILE.jinja"
            )
        try:
            return self.tokenizer.apply_chat_template(messages, tokenize=False, **how)
        except TemplateSyntaxError as error:
            raise TrainerError(
                f"{self.template_from}: the chat template does not compile: line {error.lineno}: {error.message}; "
                "mend it, or give another with --chat-template FILE.jinja"
            ) from error
        except Exception as error:  # a template is a program: it adds text to numbers, or divides by 0
            raise TrainerError(f"{row.place}: the chat template refuses the conversation: {error}") from error


def turn_end(tokenizer: Any) -> int | None:
    """Return the special token with which a tokenizer's chat template ends the assistant's turn, if it does.

    Often it is no EOS: base models of Qwen2.5 end a text with `<|endoftext|>`, and their template a turn with
    `<|im_end|>`.
    """
    if tokenizer.chat_template is None:
        return None
    said = "said"
    conversation = [{"role": "user", "content": "asked"}, {"role": "assistant", "content": said}]
    try:
        text = tokenizer.apply_chat_template(conversation, tokenize=False)
    except Exception:  # a template is a program; the rows that it refuses are named when they come
        return None
    behind, found = text.rpartition(said)[2].strip(), said in text
    first, begins = (_leading_special(tokenizer, one) for one in (behind, text))
    return first[0] if found and first and first[0] not in begins else None  # else it is one that opens a turn


def _leading_special(tokenizer: Any, text: str) -> list[int]:
    """Return the special tokens that a text begins with."""
    special = {*tokenizer.all_special_ids, *(at for at, one in tokenizer.added_tokens_decoder.items() if one.special)}
    return list(takewhile(special.__contains__, tokenizer(text, add_special_tokens=False)["input_ids"]))


def _excerpt(text: str, at: int) -> str:
    return repr(text[at : at + 20]) if at < len(text) else "nothing"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long a sequence may be, in tokens; `prompt` None: whatever `total` leaves."""

    total: int
    prompt: int | None = None

    def completion_room(self, prompt_length: int) -> int:
        """Return the longest completion kept whole: a quarter of `total` stays for a prompt that is as long."""
        return self.total - min(prompt_length, self.prompt or self.total, self.total // 4)

    def cut_prompt(self, prompt: list[int], completion_length: int, bos: tuple[int, ...]) -> list[int]:
        """Return the prompt without its first tokens (BOS stays) so that it fits before the completion."""
        room = min(self.total - completion_length, self.prompt or self.total)
        if len(prompt) <= room:
            return prompt
        kept = bos if bos and tuple(prompt[: len(bos)]) == bos and room > len(bos) else ()
        return [*kept, *prompt[len(prompt) - room + len(kept) :]]
