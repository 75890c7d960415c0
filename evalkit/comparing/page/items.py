"""The items of a page: those on which runs differ, cut so that the page stays of a size that a browser opens."""

import json
import os.path
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from evalkit.comparing.compare import Comparison
from evalkit.comparing.differing import NO_TEXTS, Differing, differing

BUDGET = 24_000_000
"""Characters of items that a page holds."""
_LIMITS = (6000, 2500, 1000, 400, 150, 0)
"""Characters of one text, from the most generous on, until the items fit."""
_DIRECTIONS = {code: f"[U+{code:04X}]" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_LONG_BEGINNING = 200
"""From so many characters on, what all prompts of a subset begin with is kept once."""


@dataclass(frozen=True, kw_only=True)
class ItemData:
    """What the page's list of items shows.

    Attributes:
        json: for a script element; nothing in it can end the element.
        count: items in it.
        left_out: items that differ, and are not in it.
        text_limit: characters after which a text is cut; 0 where there are no texts.
        cut: texts that were.
    """

    json: Markup
    count: int
    left_out: int
    text_limit: int
    cut: int


def item_data(comparison: Comparison, *, budget: int = BUDGET) -> ItemData:
    """Return the differing items with prompts and answers, within a budget of characters.

    The beginning that all prompts of a subset share (a few-shot example, say) is kept once. Texts are cut in their
    middle, to the first of some limits at which all items fit; if none does, the items at the end are left out.
    """
    found = list(differing(comparison))
    attempts = (_Packed(comparison, found, limit) for limit in _LIMITS)
    packed = next(attempt for attempt in attempts if attempt.size <= budget or attempt.limit == 0)
    kept = packed.within(budget)
    return ItemData(
        json=packed.json(kept), count=kept, left_out=len(found) - kept, text_limit=packed.limit, cut=packed.cut
    )


class _Packed:
    """The items as lists, each text at most `limit` characters long."""

    def __init__(self, comparison: Comparison, found: Sequence[Differing], limit: int) -> None:
        self.limit, self.cut = limit, 0
        self.runs = list(comparison.runs)
        self.places = list(dict.fromkeys((one.benchmark, one.subset) for one in found))
        number = {place: index for index, place in enumerate(self.places)}
        self.beginnings = _beginnings(found) if limit else {}
        self.directions = {one.benchmark: _higher_is_better(one) for one in found}
        self.items = [self._item(one, number[one.benchmark, one.subset]) for one in found]
        self.sizes = [len(json.dumps(item, ensure_ascii=False)) for item in self.items]
        self.size = sum(self.sizes)

    def _item(self, one: Differing, place: int) -> list[Any]:
        prompts = {run: (item.texts or NO_TEXTS).prompt for run, item in one.items.items()}
        same = len({text for text in prompts.values() if text}) < 2
        beginning = self.beginnings.get((one.benchmark, one.subset), "") if same else ""
        answers = []
        for run in self.runs:
            item = one.items.get(run)
            if item is None:
                answers.append(None)
                continue
            texts = item.texts or NO_TEXTS
            own_prompt = "" if same else self._cut(texts.prompt)
            score = None if item.score is None else round(item.score, 6)
            shown = (texts.response, texts.prediction, item.error)
            answers.append([score, *map(self._cut, shown), own_prompt])
        prompt = self._cut(one.prompt[len(beginning) :]) if same else ""
        return [place, one.id, prompt, self._cut(one.target), answers]

    def _cut(self, text: str) -> str:
        if len(text) <= self.limit:
            return text
        self.cut += bool(text)
        if not self.limit:
            return ""
        head = self.limit * 2 // 5  # the question stands at a prompt's end, the answer at a response's: keep more of it
        left_out = len(text) - self.limit
        return f"{text[:head]}\n[... {left_out} characters left out ...]\n{text[len(text) - self.limit + head :]}"

    def within(self, budget: int) -> int:
        """Return how many items fit."""
        total = 0
        for number, size in enumerate(self.sizes):
            total += size
            if total > budget:
                return number
        return len(self.sizes)

    def json(self, count: int) -> Markup:
        beginnings = [self.beginnings.get(place, "") for place in self.places]
        places = [[*place, self.directions[place[0]]] for place in self.places]
        value = {"runs": self.runs, "places": places, "beginnings": beginnings, "items": self.items[:count]}
        return script_json(value)


def script_json(value: Any) -> Markup:
    """Return JSON for a script element: no `<`, `>`, `&`, U+2028 or U+2029 is left in it, nor a lone surrogate.

    Characters that turn the direction of what follows, so that an answer reads as another, become visible names.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).translate(_DIRECTIONS)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    text = text.encode("utf-8", "replace").decode("utf-8")
    return Markup(text)  # noqa: S704 (what a browser could read as markup is escaped above)


def _higher_is_better(one: Differing) -> bool:
    return next(iter(one.items.values())).higher_is_better


def _beginnings(found: Sequence[Differing]) -> dict[tuple[str, str], str]:
    """Return, by benchmark and subset, what all prompts begin with, up to a line's end, where that is long."""
    prompts: dict[tuple[str, str], list[str]] = {}
    for one in found:
        prompts.setdefault((one.benchmark, one.subset), []).append(one.prompt)
    shared = {}
    for place, texts in prompts.items():
        if len(texts) > 1:
            common = os.path.commonprefix([min(texts), max(texts)])  # noqa: RUF071 (characters are meant)
            common = common[: common.rfind("\n") + 1]
            if len(common) >= _LONG_BEGINNING:
                shared[place] = common
    return shared
