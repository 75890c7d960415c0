"""How fast the trainer is and how much memory it takes, against TRL on the same steps and against bare products.

python tests/benchmarks/trainer.py [--quick] [--data PAIRS.jsonl] [--loss kto dpo] [--shape body head]
    [--dtype float32 bfloat16] [--batch 8] [--rounds 5] [--json] [--markdown docs/benchmarks-trainer.inc]
    [--stored JSON ...]

Every side of a round is a process of its own; every other round takes the sides in reverse (A B B A). Timed are the
optimizer steps after the warm-up, in CPU seconds of all threads (on a GPU: wall). A ratio is the median over the
rounds, with the least and the largest. TRL gets our model, tokens, order, precision and optimizer.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

from trainer_setting import SHAPES, Measured, Setting, load_measured

ROOT = Path(__file__).resolve().parents[2]
DATA = Path("preference") / "hh_harmless" / "paired_text.jsonl.gz"

SIDES = ("ours", "trl", "trl sorted", "trl as shipped", "floor")
"""Ours first: it writes down the steps that the others take."""

NOTES = {
    "trl": "reference log-probabilities before the first step, no gradient checkpointing; on a CPU the benchmark puts "
    "in a head of completion positions only (one product, one cross-entropy, no metrics), faster than TRL can be set",
    "trl sorted": "the same, all of the data sorted by length into batches, of which it takes evenly spaced ones",
    "trl as shipped": "the same as trl, with TRL's own head; on a CPU it projects every position",
    "floor": "matrix products of the shapes that the needed tokens need, each prompt once, forward and backward",
}

SPEED = {"kto": 2.8, "dpo": 4.0}
SORTED, MEMORY, LOSS = 1.7, 0.5, 1e-5
FLOOR = {"float32": 1.2, "bfloat16": 1.5}
"""The targets: ratios to TRL of speed (random order, sorted) and memory, difference of losses, ratio to the floor."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One setting and what its processes found, by side, in the order of the rounds; `failed` where one broke."""

    setting: Setting
    found: dict[str, list[Measured]] = field(default_factory=dict)
    failed: str = ""

    def seconds(self, side: str) -> list[float]:
        """Return the time of each round: CPU seconds, on a GPU wall seconds."""
        on_gpu = self.setting.device == "cuda"
        return [one.wall if on_gpu else one.processor for one in self.found[side]]

    def rate(self, side: str) -> float:
        """Return useful tokens per second, the median of the rounds."""
        times = self.seconds(side)
        return statistics.median(one.tokens / took for one, took in zip(self.found[side], times, strict=True))

    def ratios(self, side: str) -> list[float]:
        """Return our useful tokens per second over those of another side, round by round."""
        return self._over(self.seconds("ours"), side, self.seconds(side))

    def wall_ratios(self, side: str) -> list[float]:
        """Return the same of wall times."""
        ours, others = ([one.wall for one in self.found[name]] for name in ("ours", side))
        return self._over(ours, side, others)

    def _over(self, ours: Sequence[float], side: str, others: Sequence[float]) -> list[float]:
        pairs = zip(self.found["ours"], ours, self.found[side], others, strict=True)
        return [(one.tokens / took) / (other.tokens / taken) for one, took, other, taken in pairs]

    def peak(self, side: str) -> float:
        """Return the peak of memory in MB, the median of the rounds."""
        return statistics.median(one.peak for one in self.found[side]) / 1e6

    def largest_difference(self) -> float:
        """Return the largest difference between our loss and TRL's at any step of any round."""
        rounds = zip(self.found["ours"], self.found["trl"], strict=True)
        steps = ((a, b) for one, other in rounds for a, b in zip(one.losses, other.losses, strict=True))
        return max(abs(a - b) for a, b in steps)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table to print, as text or as markdown."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Return the table with its columns aligned."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        padded = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([self.title, *(line.rstrip() for line in padded)])

    def markdown(self) -> str:
        """Return the table in markdown."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join([f"**{self.title}**", "", *("| " + " | ".join(line) + " |" for line in lines)])


class CannotMeasureError(Exception):
    """The data or the device is not there."""


def main() -> int:
    """Measure and print; 1 where a process failed or losses in float32 differ, 2 where data or a GPU is missing."""
    options = _options()
    try:
        compared = _stored(options.stored) if options.stored else list(_compare_all(options))
    except CannotMeasureError as error:
        print(error, file=sys.stderr)
        return 2
    measured = [each for each in compared if not each.failed]
    tables = [_speed(measured), _floor(measured), _memory(measured), _losses(measured)]
    if options.json:
        print(json.dumps({"machine": _machine(options), "settings": compared}, indent=2, default=asdict))
    else:
        print("\n\n".join([_machine(options), _key(), *(table.text() for table in tables)]))
    if options.markdown:
        pages = "\n\n".join([_machine(options), _key(), *(table.markdown() for table in tables)])
        options.markdown.write_text(pages + "\n", encoding="utf-8")
    for each in compared:
        if each.failed:
            print(f"failed: {each.setting.name}: {each.failed}", file=sys.stderr)
    exact = [each for each in measured if each.setting.dtype == "float32" and {"ours", "trl"} <= set(each.found)]
    return int(len(measured) < len(compared) or any(each.largest_difference() > LOSS for each in exact))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="one round of few steps, body and float32: to develop with"
    )
    parser.add_argument("--data", type=Path, help="pairs of plain texts; the default is harmless-base")
    parser.add_argument("--loss", nargs="+", choices=["kto", "dpo"], default=["kto", "dpo"])
    parser.add_argument("--shape", nargs="+", choices=[*SHAPES], help="the model (default: body head)")
    parser.add_argument("--dtype", nargs="+", choices=[*FLOOR], help="(default: both; with cuda bfloat16)")
    parser.add_argument("--lora-rank", type=int, help="train an adapter (default: all weights); 8b fits no other way")
    parser.add_argument("--batch", nargs="+", type=int, default=[8], help="examples of a step; even numbers")
    parser.add_argument("--side", nargs="+", choices=SIDES[1:], help="what ours is compared with (default: all)")
    parser.add_argument("--rounds", type=int, help="(default: 5)")
    parser.add_argument("--warmup", type=int, help="steps before the clock starts (default: 2)")
    parser.add_argument("--steps", type=int, help="steps that are timed (default: 8)")
    parser.add_argument("--threads", type=int, default=1, help="of torch, on both sides")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="with cuda: --shape 1b or 8b")
    parser.add_argument("--json", action="store_true", help="print one object in place of the tables")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there too")
    parser.add_argument("--stored", nargs="+", type=Path, metavar="JSON", help="measure nothing: join runs of --json")
    options = parser.parse_args()
    for name, short, usual in [("rounds", 1, 5), ("warmup", 1, 2), ("steps", 2, 8)]:
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} {value}: give at least 1")
        setattr(options, name, value or (short if options.quick else usual))
    on_gpu = options.device == "cuda"
    options.shape = options.shape or (["1b"] if on_gpu else ["body"] if options.quick else ["body", "head"])
    options.dtype = options.dtype or (["bfloat16"] if on_gpu else ["float32"] if options.quick else [*FLOOR])
    unfit = {*(["trl as shipped"] if on_gpu else []), *(["floor"] if options.lora_rank else [])}
    options.side = options.side or [side for side in SIDES[1:] if side not in unfit]
    if options.lora_rank and "floor" in options.side:
        parser.error("--side floor: counts the products of training all weights; leave it out with --lora-rank")
    for batch in options.batch:
        if batch < 2 or batch % 2:
            parser.error(f"--batch {batch}: give an even number, so that pairs fill the steps of thumbs")
    return options


def _stored(files: Sequence[Path]) -> list[Compared]:
    """Return the settings that runs with --json have written; a night can be cut into hours."""
    settings = [one for file in files for one in json.loads(file.read_text(encoding="utf-8"))["settings"]]
    return [
        Compared(
            setting=Setting(**one["setting"]),
            found={side: [Measured(**each) for each in found] for side, found in one["found"].items()},
            failed=one["failed"],
        )
        for one in settings
    ]


# Measuring


def _compare_all(options: argparse.Namespace) -> Iterator[Compared]:
    """Yield every setting, measured.

    Raises:
        CannotMeasureError: data or a GPU is missing.
    """
    data = options.data or Path(os.environ.get("HALOTHEORY_DATA", ROOT.parent / "shared" / "data")) / DATA
    if not data.is_file():
        raise CannotMeasureError(f"skipped: no such file: {data}; set HALOTHEORY_DATA, or give pairs with --data FILE")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for number, (loss, shape, dtype, batch) in enumerate(
            itertools.product(options.loss, options.shape, options.dtype, options.batch)
        ):
            setting = Setting(
                loss=loss,
                shape=shape,
                dtype=dtype,
                batch=batch,
                warmup=options.warmup,
                steps=options.steps,
                device=options.device,
                lora_rank=options.lora_rank,
                folder=str(work / str(number)),
                model=str(work / f"model-{shape}"),
            )
            yield _compare(setting, data.resolve(), options)


def _compare(setting: Setting, data: Path, options: argparse.Namespace) -> Compared:
    """Return what every side found in every round of one setting."""
    folder = Path(setting.folder)
    folder.mkdir()
    setting.save(folder / "setting.json")
    made = _child(["trainer_setup", str(folder / "setting.json"), str(data)], folder, options.threads)
    if made.returncode == 2:
        raise CannotMeasureError(made.stderr.strip().splitlines()[-1])
    if made.returncode:
        return Compared(setting=setting, failed=_last_line(made))
    sides = [side for side in SIDES if side == "ours" or side in options.side]
    found: dict[str, list[Measured]] = {side: [] for side in sides}
    for number in range(options.rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            print(f"{setting.name}: round {number + 1} of {options.rounds}, {side}", file=sys.stderr, flush=True)
            result = folder / f"{side}-{number}.json"
            module = ["trainer_floor"] if side == "floor" else ["trainer_peer", side]
            ended = _child([*module, str(folder / "setting.json"), str(result)], folder, options.threads)
            if ended.returncode:
                return Compared(setting=setting, failed=f"{side}: {_last_line(ended)}")
            found[side].append(load_measured(result))
    return Compared(setting=setting, found=found)


def _child(words: Sequence[str], folder: Path, threads: int) -> subprocess.CompletedProcess[str]:
    """Run one module of the benchmark, from the root of the checkout, and return how it ended."""
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        settings = {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "MALLOC_TRIM_THRESHOLD_": str(2**32),  # freed memory is kept: otherwise page faults are half of the time
            "MALLOC_MMAP_THRESHOLD_": str(2**30),
            "CI": "1",  # TRL sends telemetry without
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_CACHE": cache,  # each process computes its own reference log-probabilities
            "XDG_CACHE_HOME": cache,
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", f"tests.benchmarks.{words[0]}", *words[1:]]
        first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]  # on several GPUs TRL asks for a launcher
        environment = {**os.environ, **settings, "CUDA_VISIBLE_DEVICES": first}
        return subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)


def _last_line(ended: subprocess.CompletedProcess[str]) -> str:
    lines = ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"]
    return lines[-1]


# Printing


def _gpu() -> str:
    """Return the GPU's name, from a process of its own: this one takes none of the GPU's memory."""
    command = [sys.executable, "-c", "import torch; print(torch.cuda.get_device_name())"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip() or "no GPU"


def _machine(options: argparse.Namespace) -> str:
    device = _gpu() if options.device == "cuda" else "cpu"
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl"))
    return (
        f"{platform.system()}, {os.cpu_count()} cores, {options.threads} thread(s), {device}; "
        f"Python {platform.python_version()}, {versions}. "
        f"{options.rounds} round(s) of {options.warmup} + {options.steps} steps."
    )


def _key() -> str:
    return "\n".join(f"- {side}: {note}." for side, note in NOTES.items())


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _judged(value: float, target: float, *, least: bool) -> str:
    met = value >= target if least else value <= target
    return f"{target:g}, {'met' if met else 'missed'}"


def _speed(compared: Sequence[Compared]) -> Table:
    header = ["setting", "ours", "trl", "ratio", "target", "of wall times", "sorted", "target", "as shipped"]
    rows = []
    for each in compared:
        row = [each.setting.name, f"{each.rate('ours'):.0f}"]
        if "trl" in each.found:
            ratios, target = each.ratios("trl"), SPEED[each.setting.loss]
            row += [f"{each.rate('trl'):.0f}", _spread(ratios)]
            row += [_judged(statistics.median(ratios), target, least=True), _spread(each.wall_ratios("trl"))]
        else:
            row += [""] * 4
        if "trl sorted" in each.found:
            ratios = each.ratios("trl sorted")
            row += [_spread(ratios), _judged(statistics.median(ratios), SORTED, least=True)]
        else:
            row += [""] * 2
        row.append(_spread(each.ratios("trl as shipped")) if "trl as shipped" in each.found else "")
        rows.append(row)
    return Table(
        title="Useful tokens per CPU second (cuda: per second), and ours over theirs", header=header, rows=rows
    )


def _floor(compared: Sequence[Compared]) -> Table:
    rows = []
    for each in compared:
        if "floor" not in each.found:
            continue
        steps, ratios = each.setting.steps, [1 / ratio for ratio in each.ratios("floor")]
        mine, floor = (statistics.median(each.seconds(side)) for side in ("ours", "floor"))
        work = each.found["floor"][0].operations
        target = _judged(statistics.median(ratios), FLOOR[each.setting.dtype], least=False)
        row = [each.setting.name, f"{mine / steps:.3f}", f"{floor / steps:.3f}", f"{work / floor / 1e9:.0f}"]
        rows.append([*row, _spread(ratios), target])
    header = ["setting", "ours", "floor", "floor's GFLOP/s", "ratio", "target"]
    return Table(title="CPU seconds of a step (cuda: seconds), against the bare products", header=header, rows=rows)


def _memory(compared: Sequence[Compared]) -> Table:
    rows = []
    for each in compared:
        if "trl" not in each.found:
            continue
        ratio = each.peak("ours") / each.peak("trl")
        shipped = f"{each.peak('trl as shipped'):.0f}" if "trl as shipped" in each.found else ""
        row = [each.setting.name, f"{each.peak('ours'):.0f}", f"{each.peak('trl'):.0f}", shipped, f"{ratio:.2f}"]
        rows.append([*row, _judged(ratio, MEMORY, least=False)])
    title = (
        "Peak memory above an idle process with the same imports, MB: model, optimizer, reference cache, activations"
    )
    return Table(title=title, header=["setting", "ours", "trl", "as shipped", "ours / trl", "target"], rows=rows)


def _losses(compared: Sequence[Compared]) -> Table:
    rows = []
    for each in compared:
        if "trl" not in each.found:
            continue
        losses, difference = each.found["ours"][0].losses, each.largest_difference()
        target = _judged(difference, LOSS, least=False) if each.setting.dtype == "float32" else "-"
        point = f"{each.found['ours'][0].reference_point:.4f}" if each.setting.loss == "kto" else "-"
        rows.append([each.setting.name, f"{losses[0]:.4f}", f"{losses[-1]:.4f}", point, f"{difference:.1e}", target])
    header = ["setting", "first", "last", "largest z0", "largest difference", "target"]
    return Table(title="The loss of each step, ours against TRL's, warm-up included", header=header, rows=rows)


if __name__ == "__main__":
    sys.exit(main())
