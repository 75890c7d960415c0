"""`evalkit run`."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from evalkit.commands.options import words


def run(
    model: Annotated[str, typer.Option(help="A model folder, a name on the hub, or a server's name of it.")],
    benchmarks: Annotated[
        str,
        typer.Option(
            help="gsm8k, bbh, mmlu, humaneval, a task or group of lm-eval, or a task file (.yaml); with commas between."
        ),
    ],
    output: Annotated[Path, typer.Option(help="The run folder.")],
    data_dir: Annotated[
        Path | None, typer.Option(help="A folder with the benchmarks' data: no network is used.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N items of each task.", min=1)] = None,
    num_fewshot: Annotated[
        int | None, typer.Option(help="Examples before each question, in place of the benchmark's own number.", min=0)
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Of generation; 0 is greedy. The benchmark's own by default.", min=0)
    ] = None,
    top_p: Annotated[float | None, typer.Option(help="Share of probability that is sampled from.")] = None,
    samples: Annotated[int, typer.Option(help="Answers per item; its score is their mean.", min=1)] = 1,
    backend: Annotated[str, typer.Option(help="What runs the model: hf, vllm, openai.")] = "hf",
    adapter: Annotated[str | None, typer.Option(help="Folder of a LoRA adapter.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Such as bfloat16. [default: the model's on a GPU, else float32]")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Such as cuda:1. [default: the GPU, if any]")] = None,
    batch_size: Annotated[str, typer.Option(help="Prompts at a time, or auto.")] = "8",
    base_url: Annotated[
        str | None, typer.Option(help="Of an OpenAI-compatible server; its key is read from OPENAI_API_KEY.")
    ] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Of a server's model, for benchmarks such as mmlu.")] = None,
    concurrency: Annotated[int, typer.Option(help="Requests at a time to a server.", min=1)] = 8,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a server's reply.", min=0.1)] = 300.0,
    max_retries: Annotated[int, typer.Option(help="Of a request to a server.", min=0)] = 5,
    model_arg: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An argument of lm-eval's model; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random; the default is lm-eval's.")] = 1234,
    chat_template: Annotated[
        bool, typer.Option("--chat-template/--no-chat-template", help="Render prompts by the chat template.")
    ] = False,
    prompt_suffix: Annotated[
        str | None,
        typer.Option(help="Text at the end of every prompt. [default: the control token that the model card names]"),
    ] = None,
    allow_code_execution: Annotated[
        bool, typer.Option("--allow-code-execution", help="Run the code that the model writes, in a sandbox.")
    ] = False,
    sandbox: Annotated[
        str, typer.Option(help="For that code: auto, bubblewrap, namespaces, or none, which isolates nothing.")
    ] = "auto",
    code_workers: Annotated[
        int | None, typer.Option(help="Programs that run at a time. [default: one per processor]", min=1)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Drop another run in the folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score a model on benchmarks through lm-eval; every item's answer and score are kept.

    Example: evalkit run --model runs/kto/model --benchmarks gsm8k,bbh --output evals/kto
    """
    from evalkit.running.run import run as score
    from evalkit.running.text import print_results

    if batch_size != "auto" and not batch_size.isdigit():
        raise typer.BadParameter(f"'{batch_size}' is neither a number nor auto", param_hint="--batch-size")
    results = score(
        model,
        words(benchmarks),
        output,
        data_dir=data_dir,
        limit=limit,
        num_fewshot=num_fewshot,
        temperature=temperature,
        top_p=top_p,
        samples=samples,
        backend=backend,
        adapter=adapter,
        revision=revision,
        dtype=dtype,
        device=device,
        batch_size=batch_size if batch_size == "auto" else int(batch_size),
        base_url=base_url,
        tokenizer=tokenizer,
        concurrency=concurrency,
        timeout=timeout,
        max_retries=max_retries,
        model_args=dict(_argument(text) for text in model_arg or []),
        seed=seed,
        chat_template=chat_template,
        prompt_suffix=prompt_suffix,
        allow_code_execution=allow_code_execution,
        sandbox=sandbox,
        code_workers=code_workers,
        overwrite=overwrite,
        show_progress=True,
    )
    if as_json:
        print(json.dumps(results, ensure_ascii=False, indent=2))
    else:
        print_results(results, sys.stdout)


def _argument(text: str) -> tuple[str, Any]:
    """Return the name and value of `name=value`, the value read as JSON where it is JSON."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise typer.BadParameter(f"'{text}' is not NAME=VALUE", param_hint="--model-arg")
    plain = {"True": "true", "False": "false", "None": "null"}.get(value, value)
    try:
        return name.strip(), json.loads(plain)
    except ValueError:
        return name.strip(), value
