"""Reference log-probabilities: computed once, kept by what they are of, and never another model's."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from tests.trainer.test_batch import CPU
from tests.trainer.test_forest import SHARED, model, sequences
from tests.trainer.tiny import make_model
from trainer.batch import Sequences
from trainer.errors import TrainerError
from trainer.padded import pad
from trainer.policy import Policy
from trainer.reference import (
    Folder,
    default_folder,
    empty,
    fingerprint,
    keys,
    score,
    tokens_at_a_time,
    unscored,
)

CROSSED = sequences([([30], [8, 9]), ([5, 6, 7], [31, 32, 33])])


class Counted:
    """A model's forward pass that counts the sequences that it scores."""

    def __init__(self) -> None:
        self.policy, self.scored = Policy(model()), 0

    def __call__(self, sequences: Sequences) -> torch.Tensor:
        self.scored += len(sequences)
        return self.policy(pad(sequences, CPU))

    def asked(self, folder: Folder, *wanted: Sequences, **how: Any) -> Any:
        return score(
            self, lambda sequences: sequences, wanted, folder, Accelerator(cpu=True), **{"budget": 2048, **how}
        )


@pytest.mark.parametrize("by_token", [False, True])
def test_what_is_asked_twice_is_computed_once_also_by_a_later_run(tmp_path: Path, by_token: bool) -> None:
    folder, model = Folder(path=tmp_path, by_token=by_token), Counted()
    found = model.asked(folder, SHARED, CROSSED, SHARED)
    assert model.scored == 5  # of the six sequences two are alike
    expected = model.policy(pad(SHARED, CPU)).detach()
    torch.testing.assert_close(found(SHARED), expected if by_token else expected.sum(dim=1))
    later = Counted()
    again = later.asked(folder, CROSSED, SHARED)
    assert later.scored == 0
    assert torch.equal(again(SHARED), found(SHARED))
    assert torch.equal(again(CROSSED), found(CROSSED))


@pytest.mark.parametrize("length", [0, 9, 200])
def test_a_part_that_a_crash_left_broken_counts_as_absent(tmp_path: Path, length: int) -> None:
    folder = Folder(path=tmp_path, by_token=False)
    expected = Counted().asked(folder, SHARED)(SHARED)
    (part,) = tmp_path.glob("*.npz")
    part.write_bytes(part.read_bytes()[:length])
    again = Counted()
    assert torch.equal(again.asked(folder, SHARED)(SHARED), expected)
    assert again.scored == 3


def test_what_was_computed_before_a_crash_is_not_computed_again(tmp_path: Path) -> None:
    folder, model = Folder(path=tmp_path, by_token=False), Counted()

    def fails(sequences: Sequences) -> torch.Tensor:
        if model.scored:
            raise KeyboardInterrupt
        return model(sequences)

    with pytest.raises(KeyboardInterrupt):
        score(fails, lambda one: one, [SHARED, CROSSED], folder, Accelerator(cpu=True), budget=8, seconds=0)
    first = model.scored
    assert 0 < first < 5
    again = Counted()
    again.asked(folder, SHARED, CROSSED, budget=8)
    assert again.scored == 5 - first


def test_what_was_not_asked_is_not_answered(tmp_path: Path) -> None:
    found = Counted().asked(Folder(path=None, by_token=False), SHARED)
    with pytest.raises(KeyError, match="2 sequences that the reference model has not scored"):
        found(CROSSED)


def test_without_a_place_to_keep_them_they_are_computed_each_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").write_text("a file")
    for _ in range(2):
        counted = Counted()
        counted.asked(Folder(path=tmp_path / "home" / "sums", by_token=False), SHARED, budget=8, seconds=0)
        assert counted.scored == 3
        (warning,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
        assert warning.startswith(f"warning: {tmp_path}/home/sums cannot be written: Not a directory; what the refer")
        assert warning.endswith("is not kept for later runs; give --reference-cache FOLDER, or none")


def test_a_place_that_fills_up_keeps_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Any, **_: Any) -> None:
        file.write(b"a part of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    usual, named = (Folder(path=tmp_path, by_token=False, named=name) for name in (None, "mine"))
    Counted().asked(usual, SHARED)
    monkeypatch.setattr(np, "savez", full)
    Counted().asked(usual, SHARED, CROSSED, budget=8, seconds=0)
    assert capsys.readouterr().err.count("cannot be written: No space left on device") == 1
    with pytest.raises(TrainerError, match=r"--reference-cache mine: .* cannot be written: No space left on device"):
        Counted().asked(named, SHARED, CROSSED)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]


def test_a_named_folder_must_be_written_to_only_where_something_is_new(tmp_path: Path) -> None:
    class ReadOnly(Folder):
        def refusal(self) -> str:
            return "Read-only file system"

    Counted().asked(Folder(path=tmp_path, by_token=False), SHARED)
    read_only = ReadOnly(path=tmp_path, by_token=False, named="mine")
    Counted().asked(read_only, SHARED)
    told = rf"--reference-cache mine: {tmp_path} cannot be written: Read-only file system; give another folder, or none"
    with pytest.raises(TrainerError, match=told):
        Counted().asked(read_only, SHARED, CROSSED)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_what_is_not_finite_ends_the_run_and_is_not_kept(tmp_path: Path, value: float) -> None:
    class Broken(Counted):
        def __call__(self, sequences: Sequences) -> torch.Tensor:
            return torch.full_like(super().__call__(sequences), value)

    with pytest.raises(TrainerError, match=r"log-probabilities that are not finite.*take bfloat16 or float32"):
        Broken().asked(Folder(path=tmp_path, by_token=False), SHARED)
    assert not list(tmp_path.iterdir())


def test_the_fingerprint_changes_with_weights_configuration_and_arithmetic_only() -> None:
    one = fingerprint(make_model(), torch.float32)
    assert fingerprint(make_model(), torch.float32) == one
    changed = make_model()
    with torch.no_grad():
        changed.model.norm.weight[3] += 1e-6
    others = [
        fingerprint(changed, torch.float32),
        fingerprint(make_model(rope_theta=1e6), torch.float32),
        fingerprint(make_model(), torch.bfloat16),
        fingerprint(make_model(), torch.bfloat16, sharded=True),
    ]
    assert len({one, *others}) == 5
    assert fingerprint(make_model(), torch.float32, sharded=True) == one


def test_keys_tell_where_the_prompt_ends() -> None:
    split = sequences([([5, 6], [7]), ([5], [6, 7])])
    assert len(np.unique(keys(split), axis=0)) == 2


def test_sequences_of_one_prompt_come_together_within_the_budget() -> None:
    batches = list(unscored([SHARED, CROSSED], empty(False), budget=9, packed=True))
    assert sum(map(len, batches)) == 5
    for batch in batches:
        prompts = {prompt.tobytes(): len(prompt) for prompt in batch.prompts}
        assert sum(prompts.values()) + int(batch.completion_lengths.sum()) <= 9


def test_padded_rows_of_like_length_come_together_with_their_padding_in_the_budget() -> None:
    """One long completion would widen all rows beside it: here 40 tokens among 100 sequences of 4 to 8."""
    wanted = sequences([([n, n], list(range(2 + n % 5))) for n in range(100)] + [([7], list(range(39)))])
    batches = list(unscored([wanted], empty(False), budget=64, packed=False))
    assert sum(map(len, batches)) == 101
    lengths = [[len(x) + len(y) for x, y in zip(one.prompts, one.completions, strict=True)] for one in batches]
    assert all(len(one) * max(one) <= 64 for one in lengths)
    assert len(batches) <= 12


def test_padded_rows_leave_room_for_their_logits() -> None:
    assert tokens_at_a_time("cuda", 128256, packed=True) == 16384
    assert tokens_at_a_time("cuda", 128256, packed=False) * 128256 <= 2**29
    assert tokens_at_a_time("cpu", 32000, packed=False) == tokens_at_a_time("cpu", 32000, packed=True) == 2048


def test_the_cache_is_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/halotheory/reference")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache/halotheory/reference"


def test_a_user_without_a_home_keeps_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert default_folder() is None


def test_a_folder_that_may_not_be_entered_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shut(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "glob", shut)  # as Python 3.11's does below a home of another user
    assert len(Folder(path=tmp_path, by_token=False).read().keys) == 0
