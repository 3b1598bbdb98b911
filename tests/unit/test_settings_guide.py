"""The guide to deploying names every setting, and none that is not there."""

import re

from chalicelib.config import Settings
from infra.local.processes import ROOT


def test_the_table_of_settings_is_complete() -> None:
    guide = (ROOT / "infra" / "README.md").read_text(encoding="utf-8")
    section = guide.split("## 3. Settings")[1].split("## 4.")[0]
    assert set(re.findall(r"^\| `([A-Z_]+)`", section, re.MULTILINE)) == {
        name.upper() for name in Settings.model_fields
    }
