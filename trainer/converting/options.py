"""Options that do not fit the data: refused, not ignored."""

from pathlib import Path

from trainer.config import DataConfig
from trainer.converting.pipeline import Flow
from trainer.errors import TrainerError


def check_options(config: DataConfig, flows: list[Flow]) -> None:
    """Refuse options that would be ignored.

    Raises:
        TrainerError: there is one, or sources do not fit together.
    """
    plans = [one.plan for one in flows]
    if len({plan.to for plan in plans}) > 1:
        told = ", ".join(f"{one.source.name} is {one.plan.to}" for one in flows)
        raise TrainerError(f"--to is missing: {told}; give --to paired or --to unpaired")
    read = {plan.read for plan in plans}
    paired = plans[0].to == "paired"
    pairs = paired or any(plan.first == "paired" for plan in plans)
    made = any(plan.grouped for plan in plans)
    thumbs = not paired and any(plan.first == "scored" for plan in plans)
    files = all(Path(one.source.name).is_file() for one in flows)
    fits = [
        ("--lang", config.lang, "oasst" in read, "only oasst rows have a language"),
        (
            "--signal",
            config.signal != "auto",
            any(plan.signal for plan in plans),
            "only oasst and ultrafeedback have one",
        ),
        ("--min-score-ratio", config.min_score_ratio, "shp" in read, "only shp pairs have two scores"),
        ("--threshold", config.threshold is not None, thumbs, "no thumbs are made of scores"),
        ("--pairs", config.pairs != "all", made, "no pairs are made of answers"),
        ("--max-pairs-per-prompt", config.max_pairs_per_prompt, pairs, "there are no pairs"),
        ("--keep-desirable", config.keep_desirable is not None, not paired, "pairs have no labels; give --to unpaired"),
        (
            "--keep-undesirable",
            config.keep_undesirable is not None,
            not paired,
            "pairs have no labels; give --to unpaired",
        ),
        ("--split", config.split, not files, "only hub data sets and folders have splits"),
    ]
    for flag, given, fitting, why in fits:
        if given and not fitting:
            raise TrainerError(f"{flag} has no effect here: {why}; leave it out")
    if config.weights:
        shares(config.weights, len(flows))


def shares(text: str, sources: int) -> list[float]:
    """Return the numbers of --weights.

    Raises:
        TrainerError: they are none above 0, or not one for each source.
    """
    try:
        found = [float(word) for word in text.split(",")]
    except ValueError as error:
        raise TrainerError(f"--weights {text}: expected numbers with commas, such as 0.7,0.3") from error
    if not all(0 < share < float("inf") for share in found):
        raise TrainerError(f"--weights {text}: every weight must be a number above 0")
    if len(found) != sources:
        raise TrainerError(f"--weights {text}: {len(found)} weights for {sources} --data; give one for each")
    return found
