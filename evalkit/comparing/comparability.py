"""What must be alike for scores to be comparable, and what is said where it is not."""

import json
from collections.abc import Iterator, Mapping, Sequence
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
    ("chat_template_hash", "wording of the chat template"),
    ("limit", "limit"),
    ("temperature", "temperature"),
    ("generation", "sampling of answers"),
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
    said += _definitions(runs, benchmarks)
    for task, versions in _versions(runs, benchmarks).items():
        if len(set(versions.values())) > 1:
            said.append(f"{task}: the runs differ in the task's version ({_listed(versions)}).")
    return said


def _values(runs: Mapping[str, Evaluation], key: str) -> dict[str, str]:
    found = {name: run.settings[key] for name, run in runs.items() if key in run.settings}
    if key == "chat_template_hash":  # of the model's own template, which does not matter where it is not used
        found = {name: value for name, value in found.items() if runs[name].settings.get("chat_template")}
    return {name: _shown(value) for name, value in found.items()}


def _shown(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str) if isinstance(value, dict | list) else str(value)


def _definitions(runs: Mapping[str, Evaluation], benchmarks: Sequence[str]) -> Iterator[str]:
    """Yield a sentence per benchmark with tasks of one version that were defined, or fed, differently."""
    digests: dict[str, set[str]] = {}
    for run in runs.values():
        tasks = run.settings.get("tasks")
        for task, digest in tasks.items() if isinstance(tasks, dict) else ():
            digests.setdefault(str(task), set()).add(str(digest))
    for benchmark in benchmarks:
        own = {task: found for task, found in digests.items() if task.split("--")[0] == benchmark}
        differ = sum(len(found) > 1 for found in own.values())
        if differ:
            yield f"{benchmark}: the definition or the data of {differ} of {len(own)} tasks differs between the runs."


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
