"""Outputs and log-ratios: what the symbols of a pair, of a batch and of a detached part become."""

import sympy

from halotheory import losses
from halotheory.contract import loss_of
from halotheory.reading.outputs import KL, by_value, in_log_ratios, moving, outputs, swapped
from halotheory.tracing.operations import detach
from halotheory.tracing.trace import argument_symbol, trace

PAIR = outputs(trace(loss_of(losses.dpo)))
SINGLE = outputs(trace(loss_of(losses.kto)), batch=2)


def test_a_pair_has_a_chosen_and_a_rejected_output_of_one_example() -> None:
    assert [(output.role, output.own) for output in PAIR] == [("chosen", True), ("rejected", True)]
    assert PAIR[0].policy == argument_symbol("policy_chosen_logps", 0)
    assert PAIR[1].reference == argument_symbol("reference_rejected_logps", 0)
    assert PAIR[0].length == argument_symbol("chosen_lengths", 0)


def test_a_batch_of_single_outputs_lists_the_own_output_first() -> None:
    assert [(str(output.log_ratio), output.own) for output in SINGLE] == [("log_ratio", True), ("log_ratio_1", False)]


def test_log_pi_becomes_log_ratio_and_log_reference_also_where_it_is_detached() -> None:
    y = PAIR[0]
    term = (y.policy - y.reference) * detach(y.policy)
    assert by_value(in_log_ratios(term, PAIR)).expand() == (y.log_ratio * (y.log_ratio + y.reference)).expand()


def test_kl_moves_with_theta_only_where_it_is_given() -> None:
    assert moving(SINGLE, kl=True)[-1] == KL
    assert KL not in moving(SINGLE, kl=False)


def test_swapping_exchanges_the_outputs_of_a_pair_and_swapping_twice_is_nothing() -> None:
    chosen, rejected = PAIR
    term = sympy.exp(chosen.log_ratio) / chosen.length - rejected.reference
    assert swapped(term, PAIR) == sympy.exp(rejected.log_ratio) / rejected.length - chosen.reference
    assert swapped(swapped(term, PAIR), PAIR) == term


def test_a_single_output_has_no_partner_to_swap_with() -> None:
    assert swapped(SINGLE[0].log_ratio, SINGLE) == SINGLE[0].log_ratio
