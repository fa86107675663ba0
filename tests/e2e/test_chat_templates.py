"""Every chat template at hand x conversations: our text equals transformers' (tools/ has the work).

Needs the program chat_template_driver (built from tests/e2e/chat_template_driver.cc), named by
CHAT_TEMPLATE_DRIVER or beside LMDEPLOY_BIN.
"""
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))


@pytest.fixture(scope="module")
def driver_path():
    named = os.environ.get("CHAT_TEMPLATE_DRIVER")
    beside = pathlib.Path(os.environ.get("LMDEPLOY_BIN", ROOT / "build/bin/lmdeploy")).resolve().parent
    path = pathlib.Path(named) if named else beside / "chat_template_driver"
    if not path.exists():
        pytest.skip(f"{path} is not built (ninja chat_template_driver)")
    return str(path)


def test_templates_equal_transformers(driver_path):
    oracle = pytest.importorskip("chat_template_oracle")
    pytest.importorskip("transformers")
    templates = list(oracle.all_templates())
    assert len(templates) >= 4
    counts = oracle.compare(oracle.Driver(driver_path), templates, show=5)
    assert counts["differ"] == 0, counts
    assert counts["equal"] > 500


def test_random_templates_equal_jinja2(driver_path):
    pytest.importorskip("transformers")
    subprocess.run([sys.executable, str(ROOT / "tools/chat_template_fuzz.py"), "--driver", driver_path,
                    "--cases", "4000", "--seed", "11"], check=True, timeout=600)
