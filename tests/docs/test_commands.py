"""docs/cli.md lists every command of trainer and evalkit with its options, and no other.

The commands of halotheory are shown there by their --help, which docs/sessions.py compares.
"""

import re
from pathlib import Path

import pytest
from typer.main import get_command

import evalkit.cli
import trainer.cli

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
COMMANDS = {
    f"{program} {name}": {option for parameter in command.params for option in parameter.opts if option[:2] == "--"}
    for program, app in (("trainer", trainer.cli.app), ("evalkit", evalkit.cli.app))
    for name, command in get_command(app).commands.items()  # pyright: ignore[reportAttributeAccessIssue]
}
EVERYWHERE = {"--debug"}  # said once, at the beginning of the page
OF_ALIGN = {"trainer sft", "trainer plan"}  # said as what they have besides, and have not


def listed(command: str) -> set[str]:
    """Return the options in the first column of a command's table; of a switch the page names on or off."""
    table = re.search(rf"^\|[^|]* of `{command.split()[1]}` \|.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table, f"no table of {command}"
    rows = table.group(1).splitlines()[1:]
    return {f"--{option}" for row in rows for option in re.findall(r"`--(?:no-)?([a-z-]+)", row.split("|")[1])}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_the_page_names_every_command(command: str) -> None:
    assert f"| `{command}` |" in PAGE


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - OF_ALIGN))
def test_a_commands_table_has_its_options_and_no_other(command: str) -> None:
    assert listed(command) == COMMANDS[command] - EVERYWHERE


def test_sft_and_plan_have_the_options_of_align_but_for_those_named() -> None:
    align = COMMANDS["trainer align"]
    for sentence, command in (("`sft` has the\noptions", "trainer sft"), ("`plan` has the options", "trainer plan")):
        without = re.search(re.escape(sentence) + r" of `align`[^.]*?(?:without|there is no) ([^.]*)\.", PAGE)
        assert without, command
        own = listed(command) if command == "trainer plan" else set()
        assert align - set(re.findall(r"`(--[a-z-]+)", without.group(1))) | own == COMMANDS[command]
