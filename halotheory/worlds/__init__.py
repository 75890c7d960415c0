"""Tabular worlds of prompts, outputs and people, in which any loss of the contract can be trained."""

from halotheory.worlds.annotators import (
    Annotators,
    bradley_terry,
    contradicting,
    intransitive,
    kahneman_tversky,
    kahneman_tversky_value,
    mixed,
    with_thumbs_of_comparisons,
)
from halotheory.worlds.biases import with_label_noise, with_length_bias, with_position_bias
from halotheory.worlds.feedback import (
    Feedback,
    Pairs,
    Thumbs,
    one_output_per_prompt,
    pairs,
    thumbs,
    thumbs_of_pairs,
    with_desirable_fraction,
)
from halotheory.worlds.measures import (
    best_probability,
    expected_reward,
    expected_rewards_of_groups,
    human_value,
    kl_from_reference,
    majority_agreement,
    minority_reward,
    win_rate,
)
from halotheory.worlds.optima import rlhf_optimum, two_output_dpo_optimum
from halotheory.worlds.optimizers import Adam, GradientDescent, RMSprop
from halotheory.worlds.phase import PhaseDiagram, phase_of_dynamics, phase_of_minimum
from halotheory.worlds.reference_point import ReferencePoint
from halotheory.worlds.training import Run, train, train_by_sampling
from halotheory.worlds.world import World, random_worlds, two_output_worlds

__all__ = [
    "Adam",
    "Annotators",
    "Feedback",
    "GradientDescent",
    "Pairs",
    "PhaseDiagram",
    "RMSprop",
    "ReferencePoint",
    "Run",
    "Thumbs",
    "World",
    "best_probability",
    "bradley_terry",
    "contradicting",
    "expected_reward",
    "expected_rewards_of_groups",
    "human_value",
    "intransitive",
    "kahneman_tversky",
    "kahneman_tversky_value",
    "kl_from_reference",
    "majority_agreement",
    "minority_reward",
    "mixed",
    "one_output_per_prompt",
    "pairs",
    "phase_of_dynamics",
    "phase_of_minimum",
    "random_worlds",
    "rlhf_optimum",
    "thumbs",
    "thumbs_of_pairs",
    "train",
    "train_by_sampling",
    "two_output_dpo_optimum",
    "two_output_worlds",
    "win_rate",
    "with_desirable_fraction",
    "with_label_noise",
    "with_length_bias",
    "with_position_bias",
    "with_thumbs_of_comparisons",
]
