# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What the README shows runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def test_the_readme_s_python_block_runs_as_it_stands(tmp_path: Path) -> None:
    readme = Path(__file__).parents[2] / "README.md"
    section = readme.read_text().split("## In a Python service", 1)[1]
    block = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert block is not None
    program = tmp_path / "readme.py"
    program.write_text(block[1])
    ended = subprocess.run([sys.executable, "-W", "error", program], capture_output=True, text=True, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
