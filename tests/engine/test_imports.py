from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    ["segstudio.engine.host", "segstudio.engine.inline", "segstudio.refine.api", "segstudio.engine.refine_main"],
)
def test_the_window_and_the_refine_process_never_load_torch_or_the_crf_library(module):
    code = f"import sys, {module}; print(*(m for m in ('torch', 'pydensecrf', 'PySide6') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""
