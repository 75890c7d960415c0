"""Options of a run that would be ignored: refused, so that nobody counts on them."""

import os
from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING

from trainer.errors import TrainerError

if TYPE_CHECKING:  # the first imports this file, the second PyTorch
    from halotheory.contract import Loss
    from trainer.config import AlignConfig, SampleConfig


def check_alone(config: "AlignConfig") -> None:
    """Refuse options that others of a run leave without effect.

    Raises:
        TrainerError: there is one.
    """
    decays, evaluates = config.schedule != "constant", config.eval_data is not None
    _refuse(
        config,
        [
            ("final_rate_ratio", decays, "--schedule constant does not decay"),
            ("reference_point_over", config.reference_point != "zero", "--reference-point zero is no mean"),
            ("eval_split", evaluates, "there is no --eval-data"),
            ("eval_split", not _is_file(config.eval_data), "--eval-data is a file, and only hub data sets have splits"),
        ],
    )
    check_split(config)


def check_split(config: "AlignConfig | SampleConfig") -> None:
    """Refuse a split of a file.

    Raises:
        TrainerError: it is given.
    """
    _refuse(config, [("split", not _is_file(config.data), "--data is a file, and only hub data sets have splits")])


def check_options(config: "AlignConfig", loss: "Loss") -> None:
    """Refuse options that a loss leaves without effect.

    Raises:
        TrainerError: there is one.
    """
    no_kl = f"{loss.name} does not name kl"
    _refuse(
        config,
        [
            ("reference_point", loss.needs_kl, no_kl),
            ("reference_point_over", loss.needs_kl, no_kl),
            ("reference_model", loss.needs_reference, f"{loss.name} names nothing of a reference model"),
        ],
    )


def _refuse(config: "AlignConfig | SampleConfig", fits: Iterable[tuple[str, bool, str]]) -> None:
    """Raise for the first option that is given, which is to say not at its default, and does not fit, with the why."""
    defaults = {one.name: one.default for one in fields(config)}
    for name, fitting, why in fits:
        value = getattr(config, name)
        if value != defaults[name] and not fitting:
            raise TrainerError(f"--{name.replace('_', '-')} {value} has no effect here: {why}; leave it out")


def _is_file(data: str | None) -> bool:
    return data is not None and os.path.isfile(data)
