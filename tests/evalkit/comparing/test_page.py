"""The page in a real browser: it opens from disk, asks nothing of a network, and hostile answers stay text.

The tests need Debian's chromium (or HALOTHEORY_CHROMIUM) and the Python package playwright; they are skipped without.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.cli import app
from evalkit.command import run_command
from evalkit.comparing.compare import compare
from evalkit.comparing.page.build import write_page
from evalkit.comparing.page.items import item_data, script_json
from evalkit.comparing.page.strips import axis
from evalkit.comparing.reading import ReadOptions
from evalkit.errors import EvalkitError
from tests.evalkit.conftest import write_rows

HOSTILE = [
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<!--<script>",
    "{{ 7 * 7 }} {% raw %}",
    '"><svg onload=document.title=1>',
    "\u2028\u2029 \ud800 \x00 ]]> &lt;b&gt;",
    "javascript:document.title='owned'",
]


def made(folder: Path, name: str, seed: int, *, n: int = 240, texts: Callable[[int], str] | None = None) -> Path:
    """A run of two benchmarks, one of three subsets, with prompts that begin alike."""
    random = np.random.default_rng(seed)
    easy = np.random.default_rng(0).normal(size=n)
    right = (easy + random.normal(size=n) + 0.2 * seed > 0).astype(int)
    beginning = "The following are questions with answers.\n\nQ: one?\nA: yes.\n\n" * 8
    rows: list[dict[str, Any]] = []
    for i in range(n):
        said = texts(i) if texts else f"The answer of {name} to {i} is {'right' if right[i] else 'wrong'}."
        benchmark, subset = ("bbh", f"task{i % 3}") if i % 4 else ("gsm8k", "")
        row = {"benchmark": benchmark, "subset": subset, "id": f"item{i:04d}", "score": int(right[i]), "metric": "acc"}
        rows.append(
            row | {"prompt": f"{beginning}Q: number {i}?\nA:", "response": said, "prediction": "x", "target": "y"}
        )
    rows[5] |= {"score": None, "error": "timed out", "response": None}
    write_rows(folder / name / "samples.jsonl", rows)
    (folder / name / "results.json").write_text("{}")
    (folder / name / "config.yaml").write_text(f"model: {name}\nchat_template: {'true' if seed else 'false'}\n")
    return folder / name


def page_of(runs: list[Path], path: Path, **options: Any) -> Path:
    write_page(path, compare(runs, read=ReadOptions(texts=True), **options))
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    pytest.importorskip("playwright")
    from playwright.sync_api import sync_playwright

    found = os.environ.get("HALOTHEORY_CHROMIUM") or shutil.which("chromium")
    if not found:
        pytest.skip("no chromium: apt-get install chromium, or set HALOTHEORY_CHROMIUM")
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield running
        running.close()


Opener = Callable[..., Any]


@pytest.fixture
def opened(browser: Any) -> Iterator[Opener]:
    """Open a page; at the end no message, no error and no request but the page itself may have been seen."""
    pages: list[Any] = []
    seen: list[str] = []

    def open_page(path: Path, **context: Any) -> Any:
        page = browser.new_context(**context).new_page()
        page.on("console", lambda message: seen.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("request", lambda request: None if request.url == path.as_uri() else seen.append(request.url))
        page.goto(path.as_uri())
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert seen == []


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    runs = [made(folder, name, seed) for seed, name in enumerate(("sft", "kto", "dpo"))]
    return page_of(runs, folder / "page.html", all_pairs=True)


def open_item(page: Any, at: int) -> None:
    """Open an item of the list and wait for what is written into it then: an event says so, after the click."""
    page.locator("#list > li > details > summary").nth(at).click()
    page.locator("#list > li").nth(at).locator(".answers").first.wait_for()


def count(page: Any) -> int:
    return int(page.locator("#count").inner_text().split()[0])


def wait_for(page: Any, reached: Callable[[int], bool]) -> None:
    """Wait until the number of items is as it should be; the search waits for the last key."""
    deadline = time.monotonic() + 10
    while not reached(count(page)):
        assert time.monotonic() < deadline
        page.wait_for_timeout(20)


def test_everything_a_comparison_says_is_on_the_page(page: Path, opened: Opener) -> None:
    shown = opened(page)
    text = shown.locator("main").inner_text()
    comparison = compare([page.parent / name for name in ("sft", "kto", "dpo")], all_pairs=True)
    for one in comparison.compared:
        assert f"{one.paired.difference:+.4f}" in text
        assert f"{one.paired.wins}:{one.paired.losses}" in text
    for caveat in comparison.caveats:
        assert " ".join(caveat.split()) in " ".join(text.split())
    assert shown.locator("table.matrix").count() == 2
    assert shown.locator("table.matrix").first.locator("td.empty").count() == 3
    assert shown.locator("#subsets details").count() == 3
    assert "chat template" in text


def test_items_are_filtered_searched_and_opened(page: Path, opened: Opener) -> None:
    shown = opened(page)
    whole = count(shown)
    assert 50 < whole < 240
    assert shown.locator("#list > li").count() == 50
    shown.locator("#pair").select_option(label="kto, sft")
    shown.locator("#direction").select_option(label="kto scores higher")
    comparison = compare([page.parent / "sft", page.parent / "kto"])
    assert count(shown) == sum(one.paired.wins for one in comparison.compared)
    shown.locator("#direction").select_option(label="sft scores higher")
    assert count(shown) == sum(one.paired.losses for one in comparison.compared)
    shown.locator("#benchmark").select_option("bbh")
    shown.locator("#subset").select_option("task1")
    bbh = next(one for one in comparison.compared if one.benchmark == "bbh")
    lost = [key for key, a, b in zip(bbh.matched.keys, bbh.matched.first, bbh.matched.second, strict=True) if a < b]
    assert count(shown) == sum(subset == "task1" for subset, _ in lost)
    for name in ("subset", "benchmark", "pair"):
        shown.locator(f"#{name}").select_option("")
    shown.locator("#direction").select_option("failed")
    assert count(shown) == 1
    open_item(shown, 0)
    assert "timed out" in shown.locator("#list").inner_text()
    shown.locator("#direction").select_option("any")
    (known,) = [key[1] for key in lost[:1]]
    shown.locator("#search").fill(f"ANSWER of dpo {known}")
    wait_for(shown, lambda number: number == 1)
    shown.locator("#search").fill("no such words anywhere")
    wait_for(shown, lambda number: number == 0)


def test_answers_stand_side_by_side_with_the_prompt(page: Path, opened: Opener) -> None:
    shown = opened(page, viewport={"width": 1200, "height": 900})
    open_item(shown, 3)
    item = shown.locator("#list > li").nth(3)
    assert re.search(r"Q: number \d+\?", item.locator(".asked > pre").first.inner_text())
    assert "what all prompts of this subset begin with" in item.inner_text()
    boxes = [item.locator(".answers section").nth(run).bounding_box() for run in range(3)]
    assert len({round(box["y"]) for box in boxes}) == 1
    assert len({round(box["x"]) for box in boxes}) == 3
    assert [f"The answer of {name}" in item.inner_text() for name in ("sft", "kto", "dpo")] == [True] * 3


def test_the_keyboard_is_enough(page: Path, opened: Opener) -> None:
    shown = opened(page)
    shown.locator("#search").focus()
    shown.keyboard.press("Tab")
    shown.keyboard.press("Enter")
    assert shown.locator("#list details[open]").count() == 1
    shown.locator("#next").focus()
    shown.keyboard.press("Enter")
    assert shown.locator("#where").inner_text().startswith("51 to")
    heading = shown.locator("#subsets table.sortable").first.locator("th button").nth(4)
    heading.focus()
    shown.keyboard.press("Enter")
    cells = shown.locator("#subsets table.sortable").first.locator("tbody tr td:nth-child(5)").all_inner_texts()
    assert cells == sorted(cells, key=float)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_narrow_and_wide_and_is_readable_in_light_and_dark(
    scheme: str, width: int, page: Path, opened: Opener
) -> None:
    shown = opened(page, viewport={"width": width, "height": 800}, color_scheme=scheme)
    open_item(shown, 0)
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    colours = shown.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    light, dark = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    assert (light > 600 > 120 > dark) if scheme == "dark" else (dark > 600 > 120 > light)


def test_hostile_texts_are_inert(tmp_path: Path, opened: Opener) -> None:
    runs = [made(tmp_path, name, seed, texts=lambda i: HOSTILE[i % len(HOSTILE)]) for seed, name in enumerate("ab")]
    name = "<script>alert(1)</script>"
    page = page_of([f"{name}={runs[0]}", runs[1]], tmp_path / "page.html")  # type: ignore[list-item]
    shown = opened(page)
    assert shown.title() == f"b against {name}"
    for i in range(20):
        open_item(shown, i)
    text = shown.locator("#list").inner_text()
    for hostile in (*HOSTILE[:5], HOSTILE[6]):
        assert hostile in text
    assert shown.evaluate("document.scripts.length") == 2
    assert shown.locator("img, #list svg, main script, iframe").count() == 0
    assert shown.title() == f"b against {name}"


def test_the_policy_forbids_every_script_but_the_pages_own(page: Path, tmp_path: Path, browser: Any) -> None:
    attacked = tmp_path / "attacked.html"
    injected = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    attacked.write_text(page.read_text().replace("</header>", f"{injected}</header>"))
    shown = browser.new_page()
    messages: list[str] = []
    shown.on("console", lambda message: messages.append(message.text))
    shown.goto(attacked.as_uri())
    shown.wait_for_selector("#list > li")
    assert shown.title() != "owned"
    assert sum("Content Security Policy" in message for message in messages) >= 2
    shown.close()


def test_it_prints_without_its_controls(page: Path, opened: Opener) -> None:
    shown = opened(page, viewport={"width": 718, "height": 1000})  # of A4 between the usual margins
    shown.emulate_media(media="print")
    ends = shown.locator("table").evaluate_all("tables => tables.map(table => table.getBoundingClientRect().right)")
    assert max(ends) <= 719
    assert not shown.locator("#filters").is_visible()
    assert shown.locator("#scores").is_visible()
    assert shown.pdf()[:4] == b"%PDF"


def test_without_scripts_the_numbers_are_there(page: Path, opened: Opener) -> None:
    shown = opened(page, java_script_enabled=False)
    assert "needs JavaScript" in shown.locator("#no-script").inner_text()
    assert shown.locator("#scores tbody tr").count() == 6


@pytest.mark.slow
def test_three_runs_of_the_size_of_mmlu_open_and_filter_at_once(tmp_path: Path, opened: Opener) -> None:
    runs = [made(tmp_path, name, seed, n=14042) for seed, name in enumerate(("sft", "kto", "dpo"))]
    page = page_of(runs, tmp_path / "page.html", all_pairs=True)
    assert page.stat().st_size < 10e6
    began = time.perf_counter()
    shown = opened(page)
    shown.wait_for_selector("#list > li")
    assert time.perf_counter() - began < 10  # 0.7 s on an idle machine
    assert count(shown) > 5000
    shown.locator("#search").fill("to 14000 is")
    wait_for(shown, lambda number: number < 2)


def test_report_writes_a_page_of_one_run_and_of_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (made(tmp_path, name, seed) for seed, name in enumerate("ab"))
    for words in ([a], [a, b], [a, b, "--baseline", b]):
        path = tmp_path / "out" / "page.html"
        assert run_command(app, ["report", *map(str, words), "--output", str(path), "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["bytes"] == path.stat().st_size
    assert run_command(app, ["compare", str(a), str(b), "--html", str(tmp_path / "c.html")]) == 0
    assert "kto" not in (tmp_path / "c.html").read_text()


def test_a_page_keeps_within_its_budget_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    runs = [made(tmp_path, name, seed, texts=lambda i: "long " * 3000) for seed, name in enumerate("ab")]
    comparison = compare(runs, read=ReadOptions(texts=True))
    whole, small, tiny = (item_data(comparison, budget=budget) for budget in (10**9, 60_000, 3_000))
    assert (whole.text_limit, whole.left_out) == (6000, 0)
    assert whole.cut == 2 * whole.count - 2  # every answer of two runs, but for the item that both failed
    assert small.text_limit < 1000
    assert small.count == whole.count
    assert len(small.json) < 70_000
    assert (tiny.text_limit, tiny.left_out > 0) == (0, True)
    assert "characters left out" in small.json
    write_page(tmp_path / "page.html", comparison, budget=3_000)
    assert f"{tiny.left_out} more differing items do not fit into the page" in (tmp_path / "page.html").read_text()


def test_a_page_is_written_where_a_file_may_stand_and_nowhere_else(tmp_path: Path) -> None:
    comparison = compare([made(tmp_path, name, seed) for seed, name in enumerate("ab")])
    (tmp_path / "there.html").write_text("before")
    (tmp_path / "link.html").symlink_to(tmp_path / "there.html")
    write_page(tmp_path / "link.html", comparison)
    assert (tmp_path / "link.html").is_symlink()
    assert "b against a" in (tmp_path / "there.html").read_text()
    for path, message in ((tmp_path, "not a file"), (tmp_path / "there.html" / "x", "cannot be written")):
        with pytest.raises(EvalkitError, match=message):
            write_page(path, comparison)
    with pytest.raises(EvalkitError, match="/dev/null: not a file"):
        write_page(Path("/dev/null"), comparison)


def test_differing_items_are_written_whole(tmp_path: Path) -> None:
    runs = [made(tmp_path, name, seed) for seed, name in enumerate("ab")]
    words = ["compare", *map(str, runs), "--items", str(tmp_path / "items.jsonl")]
    assert run_command(app, words) == 0
    rows = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    comparison = compare(runs)
    assert len(rows) == sum(one.paired.wins + one.paired.losses for one in comparison.compared) + 1
    (failed,) = [row for row in rows if row["runs"]["a"]["score"] is None]
    assert failed["runs"]["a"]["error"] == "timed out"
    assert all(row["runs"]["a"]["score"] != row["runs"]["b"]["score"] for row in rows if row is not failed)
    assert rows[0]["prompt"].startswith("The following are questions")


def test_what_stands_in_a_script_cannot_end_it() -> None:
    for text in HOSTILE:
        shown = str(script_json([text]))
        assert not re.search("[<>&\u2028\u2029]", shown)
        assert json.loads(shown) == [text.encode("utf-8", "replace").decode()]


@pytest.mark.parametrize(
    ("numbers", "zero", "ends"),
    [
        ([0.5955, 0.6268], False, (0.59, 0.63)),
        ([-0.03, 0.012], True, (-0.05, 0.05)),
        ([0.0], True, (-0.01, 0.01)),
        ([1.0, 1.0], False, (1.0, 1.001)),
        ([0.0, 1.0], False, (0.0, 1.0)),
    ],
)
def test_axes_have_round_ends_that_hold_the_numbers(
    numbers: list[float], zero: bool, ends: tuple[float, float]
) -> None:
    on = axis(numbers, zero=zero)
    assert (on.low, on.high) == pytest.approx(ends)
    assert all(0 <= on.place(number) <= 1000 for number in numbers)


def test_a_text_cannot_turn_its_direction() -> None:
    assert script_json(["no \u202eesrever", "\u2066x\u2069"]) == '["no [U+202E]esrever","[U+2066]x[U+2069]"]'
