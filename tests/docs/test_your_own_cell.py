"""docs/your-own-cell.md as it stands: its files are written, its commands run, and what it shows is what comes out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "your-own-cell.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Command(NamedTuple):
    """A line of a shell block, and what the text block after it shows, if there is one."""

    line: str
    shown: str


def blocks() -> list[tuple[str, str]]:
    return BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def files() -> dict[str, str]:
    """Every python block by the name in its first line."""
    return {code.splitlines()[0].removeprefix("# "): code for kind, code in blocks() if kind == "python"}


def commands() -> Iterator[Command]:
    found = blocks()
    for (kind, code), (after, shown) in zip(found, [*found[1:], ("", "")], strict=True):
        if kind == "sh":
            lines = code.splitlines()
            yield from (Command(line, "") for line in lines[:-1])
            yield Command(lines[-1], shown if after == "text" else "")


COMMANDS = list(commands())


def run(folder: Path, line: str) -> str:
    """What a command prints on both streams; it must succeed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONWARNINGS": "error"}
    done = subprocess.run(line.split(), cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def assert_shown(shown: str, printed: str) -> None:
    """Every line shown is printed; an ellipsis stands for anything."""
    for line in shown.splitlines():
        assert re.search(".*".join(re.escape(part) for part in line.split("…")), printed), f"{line!r} in\n{printed}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("own")
    (made / "examples").symlink_to(ROOT / "examples")
    for name, code in files().items():
        assert re.fullmatch(r"\w+\.py", name), f"the block that begins with {name!r} names no file"
        (made / name).write_text(code, encoding="utf-8")
    return made


def test_it_is_as_short_as_it_says():
    """Lines of code from the equations to the trained network, comments, docstrings and imports aside."""
    both = files()["gated_leak.py"].split('    """\n', 1)[1] + files()["stepped.py"]
    lines = [line.strip() for line in both.splitlines()]
    code = [line for line in lines if line and not line.startswith(("#", "import", "from", "print"))]
    assert len(code) <= 30


def test_every_kind_of_block_is_run():
    assert {kind for kind, _ in blocks()} == {"python", "sh", "text"}
    mentioned = " ".join(command.line for command in COMMANDS)
    assert all(name in mentioned for name in files())
    assert sum(bool(command.shown) for command in COMMANDS) == sum(kind == "text" for kind, _ in blocks())


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.line)
def test_commands_do_what_is_shown(command, folder):
    assert_shown(command.shown, run(folder, command.line))


def test_the_cell_of_the_page_is_in_no_library():
    from echoic.cells import registered_cells

    assert "GatedLeak" not in registered_cells()
