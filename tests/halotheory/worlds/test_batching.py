import pytest
import torch

from halotheory import losses
from halotheory.contract import load_loss, loss_of
from halotheory.errors import HaloTheoryError
from halotheory.worlds.batching import minibatch_loss, population_loss, settings_of

AVERAGING = {"bco", "beta_dpo", "kto_without_reference"}


def mean_of_kto(policy_logps, reference_logps, desirable, kl, *, beta=0.1):
    z = beta * (policy_logps - reference_logps - kl)
    return torch.where(desirable, torch.sigmoid(-z), torch.sigmoid(z)).mean()


def ratio_of_sums(policy_logps, reference_logps, desirable, *, beta=0.1):
    rewards = beta * (policy_logps - reference_logps)
    up = desirable.to(rewards.dtype)
    return (rewards - (rewards * up).sum() / up.sum()) ** 2


def deviation(policy_logps, reference_logps, *, beta=0.1):
    rewards = beta * (policy_logps - reference_logps)
    return (rewards - rewards.median().detach()).abs()


def by_branch(policy_logps, *, beta=0.1):
    return policy_logps * (2.0 if beta > 0.095 else 3.0)


@pytest.mark.parametrize("name", losses.__all__)
def test_only_losses_with_a_batch_mean_see_other_examples(name):
    assert population_loss(load_loss(name)).way == ("averaged" if name in AVERAGING else "together")


@pytest.mark.parametrize("function", [mean_of_kto, ratio_of_sums])
def test_means_and_sums_over_the_batch_are_those_of_each_world(function):
    assert population_loss(loss_of(function)).way == "averaged"


def test_a_median_has_no_population():
    loss = loss_of(deviation)
    assert minibatch_loss(loss).way in {"mapped", "one by one"}
    with pytest.raises(HaloTheoryError, match="train_by_sampling"):
        population_loss(loss)


@pytest.mark.parametrize("function", [mean_of_kto, ratio_of_sums, deviation, by_branch])
def test_a_world_of_a_minibatch_has_the_loss_of_its_own_batch(function):
    loss = loss_of(function)
    generator = torch.Generator().manual_seed(0)
    arguments = {
        "policy_logps": -torch.rand(4, 6, generator=generator).double(),
        "reference_logps": -torch.rand(4, 6, generator=generator).double(),
        "desirable": torch.tensor([[True, False, True, False, True, False]]).expand(4, 6),
        "kl": torch.full((4, 6), 0.1).double(),
    }
    beta = torch.tensor([0.1, 0.09, 0.3, 0.3]).double()
    weights = torch.full((4, 6), 1 / 6, dtype=torch.float64)
    found, slopes = minibatch_loss(loss)(arguments, weights, {"beta": beta}, slopes_of=["policy_logps"])
    for world in range(4):
        own = {name: tensor[world].clone() for name, tensor in arguments.items()}
        own["policy_logps"].requires_grad_()
        alone = loss.with_settings({"beta": float(beta[world])})(**own).mean()
        alone.backward()
        torch.testing.assert_close(found[world], alone.detach(), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(slopes["policy_logps"][world], own["policy_logps"].grad, rtol=1e-12, atol=1e-14)


def test_a_loss_that_branches_on_a_hyperparameter_gets_plain_numbers():
    assert not population_loss(loss_of(by_branch)).takes_tensors
    assert population_loss(load_loss("kto")).takes_tensors


def test_an_infinite_slope_of_no_weight_stays_out():
    loss = population_loss(load_loss("unlikelihood"))
    arguments = {"policy_logps": torch.tensor([[0.0, -1.0]]).double(), "desirable": torch.tensor([[False, True]])}
    value, slopes = loss(arguments, torch.tensor([[0.0, 1.0]]).double(), {}, slopes_of=["policy_logps"])
    assert value.tolist() == [1.0]
    assert slopes["policy_logps"].tolist() == [[0.0, -1.0]]


BAD = [
    ({"gamma": 1.0}, "has no hyperparameter 'gamma'"),
    ({"label_smoothing": torch.tensor([0.1, 0.6])}, "outside of its domain"),
    ({"beta": torch.ones(3)}, "settings['beta'] has shape (3,); give (2,)"),
]


@pytest.mark.parametrize(("settings", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_settings_are_named(settings, message):
    with pytest.raises(HaloTheoryError) as caught:
        settings_of(load_loss("cdpo"), settings, torch.zeros(2, 1))
    assert message in str(caught.value)
