"""README and CONTRIBUTING agree with the code."""

import re
from pathlib import Path

from chalicelib.vocabulary import EventType, FailureReason

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_lists_every_failure_reason_with_its_sentence() -> None:
    table = README.split("## Failure reasons")[1].split("## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", table, flags=re.MULTILINE))
    assert rows == {reason.value: reason.sentence for reason in FailureReason}


def test_every_failure_reason_has_an_event_for_its_direction() -> None:
    downlinks = {
        FailureReason.INVALID,
        FailureReason.MALFORMED,
        FailureReason.PAYLOAD_NOT_ENCODABLE,
        FailureReason.DRIVER_FAILED,
        FailureReason.VALIDITY_PASSED,
        FailureReason.NO_APPLICATION_SERVER,
        FailureReason.REJECTED,
        FailureReason.NOT_HANDLED,
    }
    assert {reason.downlink_event for reason in downlinks} <= set(EventType)
    uplinks = set(FailureReason) - downlinks | {FailureReason.INVALID, FailureReason.NOT_HANDLED}
    assert {reason.uplink_event for reason in uplinks} <= set(EventType)


def test_files_that_the_guides_name_exist() -> None:
    for guide in ("README.md", "CONTRIBUTING.md", "docs/concepts.md"):
        text = (ROOT / guide).read_text(encoding="utf-8")
        for path in re.findall(r"`((?:chalicelib|infra|tests|docs)/[\w./-]+)`|\]\(([\w./-]+\.(?:md|png))\)", text):
            name = next(filter(None, path))
            assert (ROOT / guide).parent.joinpath(name).exists() or (ROOT / name).exists(), f"{guide}: {name}"
