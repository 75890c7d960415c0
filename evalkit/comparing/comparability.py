"""What must be alike for scores to be comparable, and what is said where it is not."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.comparing.evaluation import Evaluation
from evalkit.comparing.matching import Matched
from evalkit.errors import EvalkitError

# settings that decide what a score means: two judges are two scales
_REFUSED = (
    ("judge", "judge"),
    ("judge_model", "judge"),
    ("template", "prompt of the judge"),
    ("baseline", "baseline of the judge"),
)

# settings that move scores, though their scale is the same
_WARNED = (
    ("chat_template", "chat template"),
    ("limit", "limit"),
    ("temperature", "temperature"),
    ("samples", "samples per item"),
    ("num_fewshot", "number of examples in the prompt"),
    ("prompt_suffix", "prompt suffix"),
    ("system_prompt", "system prompt"),
    ("orders", "orders shown to the judge"),
    ("backend", "backend"),
    ("dtype", "number format"),
    ("lm_eval", "version of lm-eval"),
)


def check_comparable(runs: Mapping[str, Evaluation], benchmarks: Sequence[str]) -> None:
    """Refuse runs whose scores are on different scales: other judges, baselines of judges, or versions of a task.

    Raises:
        EvalkitError: naming what differs.
    """
    for key, what in _REFUSED:
        values = _values(runs, key)
        if len(set(values.values())) > 1:
            raise EvalkitError(
                f"the runs differ in {what} ({_listed(values)}): their scores are on different scales; score both "
                "alike, or compare all the same with --allow-differences"
            )
    for task, values in _versions(runs, benchmarks).items():
        if len(set(values.values())) > 1:
            raise EvalkitError(
                f"{task}: the runs were scored by different versions of the task ({_listed(values)}); score both by "
                "one, or compare all the same with --allow-differences"
            )


def check_same_questions(matched: Matched, pair: tuple[str, str], benchmark: str) -> None:
    """Refuse judged runs where the judge was asked against other outputs, or about something else.

    Raises:
        EvalkitError: naming how many.
    """
    if benchmark.startswith("judge:") and matched.different_prompts:
        raise EvalkitError(
            f"{', '.join(pair)}: {benchmark}: {matched.different_prompts} of {len(matched.keys)} prompts were judged "
            "against other outputs or by another question; judge both alike, or compare all the same with "
            "--allow-differences"
        )


def differences(runs: Mapping[str, Evaluation], benchmarks: Sequence[str]) -> list[str]:
    """Return a sentence per setting in which the runs differ; what a source does not record is no difference."""
    said = []
    for key, what in (*_REFUSED, *_WARNED):
        values = _values(runs, key)
        if len(set(values.values())) > 1:
            said.append(f"The runs differ in {what} ({_listed(values)}).")
    for task, versions in _versions(runs, benchmarks).items():
        if len(set(versions.values())) > 1:
            said.append(f"{task}: the runs differ in the task's version ({_listed(versions)}).")
    return said


def _values(runs: Mapping[str, Evaluation], key: str) -> dict[str, str]:
    found = {name: run.settings[key] for name, run in runs.items() if key in run.settings}
    return {name: _shown(value) for name, value in found.items()}


def _shown(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str) if isinstance(value, dict | list) else str(value)


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {value[:80]}" for name, value in values.items())


def _versions(runs: Mapping[str, Evaluation], benchmarks: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return, by task of the benchmarks, the version by run."""
    found: dict[str, dict[str, str]] = {}
    for name, run in runs.items():
        versions = run.settings.get("versions")
        for task, version in versions.items() if isinstance(versions, dict) else ():
            if task.split("/")[0] in benchmarks:
                found.setdefault(task, {})[name] = str(version)
    return found
