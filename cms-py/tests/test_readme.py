# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What the README shows runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


README = Path(__file__).parents[2] / "README.md"
SECTION = README.read_text().split("## In a Python service", 1)[1].split("\n## ", 1)[0]
BLOCKS = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_what_the_readme_shows_of_python_runs_as_it_stands(block: str, tmp_path: Path) -> None:
    program = tmp_path / "readme.py"
    program.write_text(block)
    ended = subprocess.run([sys.executable, "-W", "error", program], capture_output=True, text=True, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_readme_shows_something() -> None:
    assert len(BLOCKS) == 2
