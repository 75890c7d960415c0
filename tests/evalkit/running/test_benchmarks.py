"""Benchmarks by name: the whole of each, and the nearest name for one that is unknown."""

from functools import partial
from pathlib import Path

import pytest

from evalkit.errors import EvalkitError
from evalkit.running.benchmarks import find_benchmarks
from evalkit.running.run import run


def test_the_packaged_benchmarks_are_the_papers() -> None:
    gsm8k, bbh, mmlu = find_benchmarks(["gsm8k", "bbh", "mmlu"])
    assert [len(benchmark.subtasks) for benchmark in (gsm8k, bbh, mmlu)] == [1, 27, 57]
    assert (gsm8k.subtasks[0].task, gsm8k.subtasks[0].subset) == ("gsm8k_cot", "")
    assert {subtask.task for subtask in bbh.subtasks} == {f"bbh_cot_fewshot_{s.subset}" for s in bbh.subtasks}
    assert {subtask.task for subtask in mmlu.subtasks} == {f"mmlu_{subtask.subset}" for subtask in mmlu.subtasks}
    assert not any(benchmark.local for benchmark in (gsm8k, bbh, mmlu))


GROUP = """\
group: sums
task: [sums_small, arithmetic]
"""


@pytest.fixture
def index(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval's index of a folder of ours: that of all packaged tasks takes seconds."""
    import lm_eval.tasks

    (task.parent / "group.yaml").write_text(GROUP)
    items = str(task.parent / "items.jsonl")
    task.write_text(task.read_text().replace("items.jsonl", items))
    (task.parent / "small.yaml").write_text(f"include: {task}\ntask: sums_small\n")
    manager = partial(lm_eval.tasks.TaskManager, include_defaults=False, include_path=str(task.parent))
    monkeypatch.setattr(lm_eval.tasks, "TaskManager", manager)


@pytest.mark.usefixtures("index")
def test_an_unknown_name_is_answered_with_the_nearest_of_lm_eval() -> None:
    with pytest.raises(EvalkitError, match="unknown benchmark 'sums_smal'; did you mean 'sums_small'"):
        find_benchmarks(["sums_smal"])


@pytest.mark.usefixtures("index")
def test_a_group_of_lm_eval_is_a_benchmark_with_its_tasks_as_subsets(model: Path, tmp_path: Path) -> None:
    (sums,) = find_benchmarks(["sums"])
    assert [(subtask.subset, subtask.num_rows) for subtask in sums.subtasks] == [("sums_small", 30), ("arithmetic", 30)]
    results = run(str(model), ["sums"], tmp_path / "run")
    found = results["benchmarks"]["sums"]
    assert found["n"] == 60
    assert found["method"] == "Wilson, stratified by 2 subsets"
    assert results["warnings"] == [
        "sums: lm-eval gives this group no score of its own; the score is the mean over all items"
    ]
    again = run(str(model), ["sums"], tmp_path / "run")["benchmarks"]["sums"]
    assert again == found


def score_of_lm_eval(name: str, model: Path) -> float:
    import lm_eval
    import lm_eval.tasks

    found = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(model), "dtype": "float32"},
        device="cpu",
        batch_size=8,
        tasks=[name],
        task_manager=lm_eval.tasks.TaskManager(),  # that of `index`
        bootstrap_iters=0,
    )
    return dict(found or {})["results"][name]["exact_match,none"]


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    ("weighted", "method"),
    [("true", "Wilson, stratified by 2 subsets"), ("false", "Wilson, macro average of 2 subsets")],
)
def test_a_group_scores_what_lm_eval_makes_of_it(
    weighted: str, method: str, model: Path, task: Path, tmp_path: Path
) -> None:
    (task.parent / "few.jsonl").write_text(
        '{"question": "4 is", "answer": "4"}\n' * 7 + '{"question": "", "answer": ""}\n'
    )
    small = task.parent / "small.yaml"
    small.write_text(small.read_text() + f"dataset_kwargs: {{data_files: {{test: {task.parent / 'few.jsonl'}}}}}\n")
    aggregate = f"aggregate_metric_list: [{{metric: exact_match, weight_by_size: {weighted}}}]\n"
    (task.parent / "group.yaml").write_text(GROUP + aggregate)
    found = run(str(model), ["sums"], tmp_path / "run")["benchmarks"]["sums"]
    assert found["score"] == pytest.approx(score_of_lm_eval("sums", model), abs=1e-12)
    subsets = [found["subsets"][name]["score"] for name in ("sums_small", "arithmetic")]
    assert subsets[0] != subsets[1]
    assert found["n"] == 38
    assert found["method"].startswith(method)


@pytest.mark.usefixtures("index")
def test_a_task_without_a_score_per_item_is_refused(model: Path, task: Path, tmp_path: Path) -> None:
    task.write_text(task.read_text().replace("aggregation: mean", "aggregation: median"))
    with pytest.raises(EvalkitError, match=r"arithmetic: no metric that is a mean over items.* has exact_match"):
        run(str(model), ["arithmetic"], tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("humaneval", "runs code that the model writes; allow it with --allow-code-execution"),
        ("humaneval_instruct", "runs code that the model writes; allow it with --allow-code-execution"),
        ("humaneval_64", "running code unprotected: refused; use humaneval or humaneval_instruct, with --samples K"),
    ],
)
def test_code_is_not_run(name: str, message: str) -> None:
    with pytest.raises(EvalkitError, match=message):
        find_benchmarks(["gsm8k", name])
