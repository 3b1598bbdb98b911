"""Outcomes of checks."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pika.exceptions
import urllib3
from botocore.exceptions import BotoCoreError, ClientError

from infra.local.errors import StackFailed


class NotRun(Exception):
    """A check that cannot run here. Its text completes "not run, because ..."."""


class CheckFailed(Exception):
    """A check whose expectation does not hold. Its text is what was found."""


@dataclass(frozen=True)
class Check:
    """A check: its name, and a function that returns what it found. It raises NotRun or CheckFailed."""

    name: str
    run: Callable[[], str]


def run_all(checks: Sequence[Check]) -> int:
    """Run checks in their order, print a line for each, and return the number of failed ones."""
    failed = 0
    for check in checks:
        began = time.monotonic()
        try:
            line = f"passed   {check.name}: {check.run()}"
        except NotRun as reason:
            line = f"not run  {check.name}: not run, because {reason}"
        except (CheckFailed, StackFailed) as error:
            failed += 1
            line = f"FAILED   {check.name}: {_with_notes(error, str(error))}"
        except (urllib3.exceptions.HTTPError, pika.exceptions.AMQPError, OSError) as error:
            failed += 1
            line = f"FAILED   {check.name}: {_with_notes(error, f'{type(error).__name__}: {error}')}"
        except (ClientError, BotoCoreError) as error:
            failed += 1
            line = f"FAILED   {check.name}: {_with_notes(error, f'AWS: {type(error).__name__}')}"
        print(f"{line} ({time.monotonic() - began:.1f} s)", flush=True)
    return failed


def _with_notes(error: Exception, text: str) -> str:
    return "; ".join([text, *getattr(error, "__notes__", [])])
