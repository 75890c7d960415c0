"""Run the `halotheory` commands that README.md and docs/*.md show, and compare what they print with the text.

    python docs/sessions.py            # exit status 1 where the text is out of date
    python docs/sessions.py --write    # bring the text up to date

A session is a fenced block marked `console`. A line `...` in it stands for output that is left out; such a session
is compared and never rewritten. Seconds are not compared. Only blocks whose commands all begin with `halotheory`, or
are `echo $?`, are run.
"""
# ruff: noqa: S603 (the commands are those of the documentation)

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
_SECONDS = re.compile(r"^\d+\.\d+ s$|(?<=\"seconds\": )[\d.]+", re.MULTILINE)


def commands(block: str) -> list[str]:
    """Return the commands of a session."""
    return [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]


def run(block: str) -> str:
    """Return the session as its commands produce it now."""
    lines, status = [], 0
    for command in commands(block):
        lines.append(f"$ {command}")
        if command == "echo $?":
            lines.append(str(status))
            continue
        program, *words = shlex.split(command)
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        status = done.returncode
        lines += (done.stdout + done.stderr).rstrip("\n").splitlines()
    return "\n".join(lines) + "\n"


def agree(shown: str, found: str) -> bool:
    """Return whether a session as shown is the one found, lines left out and seconds aside."""
    parts = _SECONDS.sub("SECONDS", shown).split("\n...\n")
    pattern = r"\n(?:.*\n)*?".join(re.escape(part) for part in parts)
    return re.fullmatch(pattern, _SECONDS.sub("SECONDS", found)) is not None


def main(write: bool) -> int:
    """Return 0 where every session agrees with its commands (or was rewritten), and 1 otherwise."""
    stale = 0
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        for block in _BLOCK.findall(text):
            if not all(command.startswith(("halotheory ", "echo $?")) for command in commands(block)):
                continue
            found = run(block)
            if agree(block, found):
                continue
            rewritten = write and "\n...\n" not in block
            if rewritten:
                text = text.replace(block, found)
                path.write_text(text, encoding="utf-8")
            stale += not rewritten
            print(f"{path.relative_to(ROOT)}: {'; '.join(commands(block))}: {'rewritten' if rewritten else 'differs'}")
            if not rewritten:
                print(found)
    return int(stale > 0)


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
