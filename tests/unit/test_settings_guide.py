"""The deployment guide lists exactly the settings that exist."""

import re

from chalicelib.config import Settings
from infra.local.processes import ROOT


def test_deployment_guide_lists_exactly_the_settings() -> None:
    guide = (ROOT / "infra" / "README.md").read_text(encoding="utf-8")
    section = guide.split("## 3. Settings")[1].split("## 4.")[0]
    assert set(re.findall(r"^\| `([A-Z_]+)`", section, re.MULTILINE)) == {
        name.upper() for name in Settings.model_fields
    }
