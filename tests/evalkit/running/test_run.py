"""Runs: the same scores as bare lm-eval, nothing lost, nothing silently left out."""

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from evalkit.errors import EvalkitError
from evalkit.running.run import run

ModelMaker = Callable[..., Path]


def read_rows(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "samples.jsonl").read_text(encoding="utf-8").splitlines()]


def bare_lm_eval(model: Path, data: Path, folder: Path, limit: int) -> dict[str, Any]:
    """Return what lm-eval's `simple_evaluate` finds when told of the local files in its own way."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    tasks = Path(str(lm_eval.__file__)).parent / "tasks"
    local: dict[Path, dict[str, Path]] = {tasks / "gsm8k/gsm8k-cot.yaml": {"test": data / "gsm8k/test.jsonl"}}
    for path in (tasks / "bbh/cot_fewshot").glob("[!_]*.yaml"):
        local[path] = {"test": data / f"bbh/{path.stem}.jsonl"}
    for path in (tasks / "mmlu/default").glob("mmlu_*.yaml"):
        local[path] = {s: data / f"mmlu/{s}/{path.stem.removeprefix('mmlu_')}.jsonl" for s in ("dev", "test")}
    groups = [tasks / "bbh/cot_fewshot/_bbh_cot_fewshot.yaml", *(tasks / "mmlu/default").glob("_mmlu*.yaml")]
    for i, path in enumerate([*local, *groups]):
        config: dict[str, Any] = {"include": str(path)}
        if path in local:
            files = {split: str(file) for split, file in local[path].items()}
            config |= {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}}
        (folder / f"{i}.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    results = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(model), "dtype": "float32"},
        device="cpu",
        batch_size=1,
        tasks=["gsm8k_cot", "bbh_cot_fewshot", "mmlu"],
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        limit=limit,
        bootstrap_iters=1,
    )
    assert results is not None
    return dict(results)


def check_equal_to_bare_lm_eval(model: Path, data: Path, tmp_path: Path, limit: int) -> list[float]:
    results = run(str(model), ["gsm8k", "bbh", "mmlu"], tmp_path / "run", data_dir=data, limit=limit, batch_size=1)
    bare_folder = tmp_path / "bare"
    bare_folder.mkdir()
    bare = bare_lm_eval(model, data, bare_folder, limit)
    rows = read_rows(tmp_path / "run")
    assert len(rows) == 85 * limit
    filters = {"gsm8k": "strict-match", "bbh": "get-answer", "mmlu": "none"}
    for row in rows:
        samples = [s for s in bare["samples"][row["task"]] if s["filter"] == filters[row["benchmark"]]]
        sample = next(s for s in samples if s["doc_id"] == row["doc_id"])
        metric = "acc" if row["benchmark"] == "mmlu" else "exact_match"
        assert row["score"] == sample[metric]
        assert {key: row[key] for key in ("doc_hash", "prompt_hash", "target_hash")} == {
            key: sample[key] for key in ("doc_hash", "prompt_hash", "target_hash")
        }
        responses = [response[0] for response in sample["resps"]]
        expected = [r[0] for r in responses] if row["benchmark"] == "mmlu" else responses[0]
        assert row["response"] == expected
    found = results["benchmarks"]
    assert found["bbh"]["score"] == pytest.approx(bare["results"]["bbh_cot_fewshot"]["exact_match,get-answer"])
    assert found["mmlu"]["score"] == pytest.approx(bare["results"]["mmlu"]["acc,none"])
    assert found["gsm8k"]["score"] == bare["results"]["gsm8k_cot"]["exact_match,strict-match"]
    flexible = bare["results"]["gsm8k_cot"]["exact_match,flexible-extract"]
    assert found["gsm8k"]["other_scores"]["exact_match,flexible-extract"] == flexible
    assert [len(found[name].get("subsets", [""])) for name in ("gsm8k", "bbh", "mmlu")] == [1, 27, 57]
    assert found["gsm8k"]["num_fewshot"] == 8
    assert {s["num_fewshot"] for s in found["bbh"]["subsets"].values()} == {3}
    assert {s["num_fewshot"] for s in found["mmlu"]["subsets"].values()} == {0}
    return [row["score"] for row in rows]


def test_scores_equal_bare_lm_eval_item_by_item(model: Path, made_up_data: Path, tmp_path: Path) -> None:
    scores = check_equal_to_bare_lm_eval(model, made_up_data, tmp_path, limit=2)
    assert {0.0, 1.0} == set(scores)


def test_scores_equal_bare_lm_eval_on_the_real_items(model: Path, data_dir: Path, tmp_path: Path) -> None:
    check_equal_to_bare_lm_eval(model, data_dir, tmp_path, limit=1)


def test_a_task_file_is_scored_with_data_beside_it_wherever_the_command_starts(
    model: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    results = run(str(model), [str(task)], tmp_path / "run")
    found, rows = results["benchmarks"]["arithmetic"], read_rows(tmp_path / "run")
    assert [row["score"] for row in rows] == [float(row["response"] == row["target"]) for row in rows]
    assert (found["n"], found["metric"]) == (30, "exact_match,none")
    assert found["score"] == sum(row["score"] for row in rows) / 30
    assert 0 < found["score"] < 1
    assert found["interval"][0] < found["score"] < found["interval"][1]


def test_a_finished_run_is_returned_without_touching_the_model(
    model: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evalkit.running import run as running

    first = run(str(model), [str(task)], tmp_path / "run", limit=2)
    monkeypatch.setattr(running, "load", None)
    assert run(str(model), [str(task)], tmp_path / "run", limit=2, batch_size=2) == first


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"limit": 3}, "limit was 2, is 3"),
        ({"seed": 1}, "seed was 1234, is 1"),
        ({"chat_template": True}, "chat_template was False, is True"),
    ],
)
def test_another_setting_in_the_same_folder_is_refused(
    model: Path, task: Path, tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    run(str(model), [str(task)], tmp_path / "run", limit=2)
    before = (tmp_path / "run" / "results.json").read_bytes()
    settings: dict[str, Any] = {"limit": 2} | change
    with pytest.raises(EvalkitError, match=named):
        run(str(model), [str(task)], tmp_path / "run", **settings)
    assert (tmp_path / "run" / "results.json").read_bytes() == before


def test_another_model_or_other_data_in_the_same_folder_are_refused(
    model: Path, other_model: Path, task: Path, tmp_path: Path
) -> None:
    run(str(model), [str(task)], tmp_path / "run", limit=2)
    with pytest.raises(EvalkitError, match="model_fingerprint was"):
        run(str(other_model), [str(task)], tmp_path / "run", limit=2)
    with (task.parent / "items.jsonl").open("a") as file:
        file.write('{"question": "1 more", "answer": "2"}\n')
    with pytest.raises(EvalkitError, match="tasks: arithmetic"):
        run(str(model), [str(task)], tmp_path / "run", limit=2)
    again = run(str(other_model), [str(task)], tmp_path / "run", limit=2, overwrite=True)
    assert again["benchmarks"]["arithmetic"]["n"] == 2


def test_nothing_tries_the_network_when_model_and_data_are_local(
    model: Path, made_up_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **settings: object) -> None:
        raise AssertionError(f"tried the network: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    results = run(str(model), ["gsm8k", "bbh"], tmp_path / "run", data_dir=made_up_data, limit=1)
    assert results["benchmarks"]["bbh"]["n"] == 27


def test_repeated_items_keep_apart(model: Path, task: Path, tmp_path: Path) -> None:
    items = task.parent / "items.jsonl"
    items.write_text('{"question": "a", "answer": "4"}\n' * 3 + '{"answer": "4", "question": "a"}\n', encoding="utf-8")
    run(str(model), [str(task)], tmp_path / "run")
    ids = [row["id"] for row in read_rows(tmp_path / "run")]
    assert ids == [ids[0], f"{ids[0]}#2", f"{ids[0]}#3", f"{ids[0]}#4"]


def test_the_chat_template_is_used_and_recorded(
    make_model: ModelMaker, task: Path, made_up_data: Path, tmp_path: Path, model: Path
) -> None:
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    chatty = make_model(tmp_path / "chatty", seed=0, chat_template=template)
    run(str(chatty), [str(task)], tmp_path / "run", limit=1, chat_template=True)
    assert read_rows(tmp_path / "run")[0]["prompt"] == "<user>0 is<assistant>"
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["chat_template"] is True
    run(str(chatty), ["gsm8k"], tmp_path / "gsm8k", data_dir=made_up_data, limit=1, chat_template=True)
    prompt = read_rows(tmp_path / "gsm8k")[0]["prompt"]
    assert (prompt.count("<user>"), prompt.count("<assistant>")) == (9, 9)  # eight examples, each a turn
    with pytest.raises(EvalkitError, match="no chat template"):
        run(str(model), [str(task)], tmp_path / "other", limit=1, chat_template=True)


def test_prompts_that_lose_their_beginning_are_counted(make_model: ModelMaker, task: Path, tmp_path: Path) -> None:
    short = make_model(tmp_path / "short", seed=0, places=24)
    items = [{"question": question, "answer": "4"} for question in ("x", "q" * 40, "z" * 40)]
    (task.parent / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    results = run(str(short), [str(task)], tmp_path / "run")
    assert results["benchmarks"]["arithmetic"]["truncated"] == 2
    assert results["warnings"] == [
        "arithmetic: 2 of 3 prompts are longer than the model's context and lost their beginning"
    ]


def test_a_model_without_room_for_the_answer_is_refused(make_model: ModelMaker, task: Path, tmp_path: Path) -> None:
    short = make_model(tmp_path / "short", seed=0, places=8)
    with pytest.raises(EvalkitError, match="generates up to 8 tokens, and the model has 8 places"):
        run(str(short), [str(task)], tmp_path / "run")


def test_overwriting_keeps_the_old_run_until_the_new_one_has_begun(
    model: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evalkit.running import run as running

    def broken(*arguments: object, **settings: object) -> None:
        raise EvalkitError("the model cannot be loaded")

    before = run(str(model), [str(task)], tmp_path / "run", limit=2)
    with monkeypatch.context() as patch:
        patch.setattr(running, "load", broken)
        with pytest.raises(EvalkitError, match="cannot be loaded"):
            run(str(model), [str(task)], tmp_path / "run", limit=3, overwrite=True)
    assert run(str(model), [str(task)], tmp_path / "run", limit=2) == before
    assert run(str(model), [str(task)], tmp_path / "run", limit=3, overwrite=True)["limit"] == 3
    assert len(read_rows(tmp_path / "run")) == 3


def test_a_run_leaves_a_foreign_folder_alone(model: Path, task: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(EvalkitError, match="not empty, and not a run"):
        run(str(model), [str(task)], folder)
    run(str(model), [str(task)], tmp_path / "run", limit=1)
    shutil.copy(folder / "thesis.txt", tmp_path / "run")
    run(str(model), [str(task)], tmp_path / "run", limit=2, overwrite=True)
    assert (tmp_path / "run" / "thesis.txt").read_text() == "years of work"
