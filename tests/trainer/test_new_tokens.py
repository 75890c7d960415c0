"""Control tokens: added to tokenizer and model, saved, and known to whoever loads them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from halotheory.contract import load_loss
from tests.trainer.conftest import Ended
from tests.trainer.test_loop import config, prepared
from tests.trainer.tiny import make_model, make_tokenizer
from trainer.codec import Codec
from trainer.errors import TrainerError
from trainer.new_tokens import add_control_tokens, grow_vocabulary

CSFT = ["align", "--loss", "csft", "--model", "model", "--data", "thumbs.jsonl", "--learning-rate", "1e-3"]


def codec() -> Codec:
    return Codec(tokenizer=make_tokenizer(), bos=(1,), stops=(2,))


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("tied", [False, True])
def test_a_new_token_begins_as_the_mean_of_its_pieces(tied: bool) -> None:
    here, model = codec(), make_model(tie_word_embeddings=tied)
    pieces = here.encode(["<|good|>"])[0]
    old = model.get_output_embeddings().weight.detach().clone()
    new = add_control_tokens(config(loss="csft", data=""), load_loss("csft"), here)
    grow_vocabulary(model, new)
    (good,) = here.encode(["<|good|>"])[0]
    assert list(new) == [good, good + 1]
    for matrix in (model.get_input_embeddings().weight, model.get_output_embeddings().weight):
        torch.testing.assert_close(matrix[good], matrix[pieces].mean(dim=0))
        assert matrix.shape[0] == model.config.vocab_size == 64
    torch.testing.assert_close(model.get_output_embeddings().weight[: len(old)], old, rtol=0, atol=0)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight or not tied


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("settings", [{"loss": "kto"}, {"loss": "csft", "lora_rank": 2}])
def test_other_losses_and_adapters_add_none(settings: dict[str, object]) -> None:
    here = codec()
    assert add_control_tokens(config(data="", **settings), load_loss(str(settings["loss"])), here) == {}
    assert len(here.tokenizer) == len(make_tokenizer())


@pytest.mark.usefixtures("workplace")
def test_a_prompt_ends_with_one_token_more() -> None:
    table = prepared(loss="csft", data="thumbs.jsonl").table
    without = prepared(loss="kto", data="thumbs.jsonl").table
    assert (table.prompt_length - without.prompt_length).tolist() == [1] * len(table)


def test_the_tokens_are_saved_and_a_second_run_adds_no_others(workplace: Path, trainer: Callable[..., Ended]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert trainer(*CSFT, "--output", "out", "--max-steps", "2").status == 0
    assert trainer(*CSFT, "--model", "out/model", "--output", "again", "--max-steps", "1").status == 0
    for folder in ("out/model", "again/model"):
        tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
        assert tokenizer("<|good|><|bad|>", add_special_tokens=False)["input_ids"] == [52, 53]
        assert model.config.vocab_size == 64
        assert len(model.state_dict()["model.embed_tokens.weight"]) == 64
    ask = ["--model", "out/model", "--data", "thumbs.jsonl", "--suffix", "<|good|>", "--max-new-tokens", "4"]
    assert trainer("sample", *ask, "--output", "said.jsonl").status == 0
    assert json.loads((workplace / "said.jsonl").read_text().splitlines()[0])["completion"] is not None


@pytest.mark.usefixtures("workplace")
def test_a_tokenizer_with_gaps_or_of_another_model_is_refused() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    gaps = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "b": 3}, unk_token="<unk>"))
    here = Codec(tokenizer=PreTrainedTokenizerFast(tokenizer_object=gaps, unk_token="<unk>"), bos=(), stops=(0,))
    with pytest.raises(TrainerError, match=r"gives <\|good\|> the number of another token, 3"):
        add_control_tokens(config(loss="csft", data=""), load_loss("csft"), here)
    new = add_control_tokens(config(loss="csft", data=""), load_loss("csft"), codec())
    with pytest.raises(TrainerError, match="the tokenizer has 52 tokens and the model 30; give the model's own"):
        grow_vocabulary(make_model(vocabulary=30), new)
