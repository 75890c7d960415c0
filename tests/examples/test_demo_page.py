"""The demo's page, rendered from a small made-up story."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from commands import Finished
from page import Answer, Demonstration, Feedback, Item, Story, inline, p_value, render

VERDICT = {
    "loss": "kto",
    "verdict": "halo",
    "strict": True,
    "relaxations": [],
    "hyperparameters": {"beta": 0.5},
    "holds_for": "every beta > 0",
    "construction": {
        "implied_reward": "log_ratio",
        "normalizer": "1",
        "value_function": "1/(1 + exp(-beta*z))",
        "reference_point": "kl = E_Q[r] with Q the policy",
        "sign": "-1 for desirable, +1 for undesirable",
        "constant": "1 for desirable, 0 for undesirable",
    },
    "conditions": [
        {
            "name": "non_constant",
            "status": "proved",
            "method": "two values",
            "statement": "v(0) < v(1)",
            "witness": None,
        }
    ],
    "notes": [],
    "seconds": 1.0,
}
REFUTED = {
    **VERDICT,
    "verdict": "not_halo",
    "construction": None,
    "conditions": [
        {"name": "concave_in_gains", "status": "refuted", "method": "exact", "statement": "no", "witness": {"z": "1"}}
    ],
}
LINES = [
    {"step": step, "loss": 1.0, "reward_desirable": step, "reward_undesirable": -step, "kl": 0.0, "kl_raw": -0.1}
    | {"nats_per_token": 1 / step}
    for step in (1, 2, 3)
]
SVG = '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9pt" height="5pt" viewBox="0 0 9 5"></svg>'


def score(run: str, share: float) -> dict[str, object]:
    return {"run": run, "score": share, "n": 200, "interval": [share - 0.05, share + 0.05], "method": "wilson"}


def comparison(run: str, difference: float, p: float) -> dict[str, object]:
    return {
        "run": run,
        "baseline": "sft",
        "difference": difference,
        "interval": [difference - 0.1, difference + 0.1],
    } | {
        "wins": 60,
        "losses": 4,
        "p_value": p,
        "p_adjusted": p,
        "test": "mid-p McNemar",
        "significant": p < 0.05,
    }


@pytest.fixture
def story() -> Story:
    return Story(
        seed=0,
        careful_share=0.4,
        never_carries_scores=0.3,
        demonstrations=2000,
        examples=[Demonstration(prompt="Ann has 1 <b>", text="1+1=2 #### 2", right=True)],
        verdicts={"kto": VERDICT, "dpo": VERDICT, "my_loss": REFUTED},
        values_svg=SVG,
        feedback=Feedback(up=1300, down=700, pairs=400, prompts=500),
        metrics=dict.fromkeys(("sft", "kto", "dpo", "my_loss"), LINES),
        comparison={
            "scores": [score("sft", 0.3), score("kto", 0.8), score("dpo", 0.9), score("my_loss", 0.25)],
            "comparisons": [
                comparison("kto", 0.5, 1e-9),
                comparison("dpo", 0.6, 1e-12),
                comparison("my_loss", -0.05, 0.2),
            ],
            "caveats": ["One training run each."],
        },
        items=[Item(prompt="A", target="2", answers=[Answer(model="sft", text="#### 3", right=False)])],
        regressions=[],
        commands=[Finished(line="trainer sft --model base", seconds=12.3)],
        versions={"Python": "3.11"},
    )


def test_the_page_tells_the_numbers(story: Story):
    html = render(story)
    assert "2 of the 3 aligned models beat the supervised one" in " ".join(html.split())
    p_of_kto = "1.0\u202f×\u202f10<sup>−9</sup>"
    for shown in ("+50.0", "−5.0", p_of_kto, "1,300 thumbs up", "65.0\u202f%", "60 : 4"):
        assert shown in html
    assert html.count("✓ significant") == 2
    assert html.count("✗ not a HALO") == 1
    assert "trainer sft --model base" in html


def test_a_page_without_an_improvement_says_so(story: Story):
    none = [comparison(run, 0.01, 0.7) for run in ("kto", "dpo", "my_loss")]
    html = render(replace(story, comparison={**story.comparison, "comparisons": none}, items=[]))
    assert "None of the aligned models beats" in html


def test_the_page_fetches_nothing_and_escapes_what_models_write(story: Story):
    html = render(story)
    assert "<script" not in html
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", html)
    assert "url(http" not in html
    assert "Ann has 1 &lt;b&gt;" in html


def test_the_page_is_the_same_for_the_same_story(story: Story):
    assert render(story) == render(story)


def test_an_inlined_picture_is_well_formed_scales_and_has_a_name():
    root = ElementTree.fromstring(inline(SVG, "a picture"))
    assert root.get("width") is None
    assert root.get("viewBox") == "0 0 9 5"
    assert root.get("aria-label") == "a picture"


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (0.0421, "0.042"),
        (1.0, "1.000"),
        (0.00012, "1.2\u202f×\u202f10<sup>−4</sup>"),
        (0.0, "&lt; 10<sup>−300</sup>"),
    ],
)
def test_p_values_are_printed_as_in_papers(p: float, shown: str):
    assert p_value(p) == shown
