"""Runs the drivers of a device catalogue with their own examples: ``make catalogue DIR=folder``.

``folder`` has ``vendors/*/drivers/*`` with ``examples.json``, ``driver.yaml`` and the code, as the public catalogue
actility/device-catalog has them. Results are compared as ``chalicelib.domain.drivers.examples`` explains.
"""

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chalicelib.adapters.codec.handler import CodecHandler
from chalicelib.adapters.codec.processes import Worker
from chalicelib.domain.drivers.driver import Operation, Signature, code_hash
from chalicelib.domain.drivers.examples import OPERATIONS, differences

GOAL = 0.97
"""Minimum share of drivers that give all of their examples."""
_SIGNATURE = re.compile(r"^signature:[ \t]*['\"]?([a-z-]+)", re.MULTILINE)
_BATCH = 50


@dataclass
class Tally:
    """The result of one driver. ``faults``: a line for each example that it did not give."""

    name: str
    signature: str
    size: int
    examples: int = 0
    milliseconds: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def run(folder: Path, handler: CodecHandler) -> Iterator[Tally]:
    """Yield the results of all drivers with examples."""
    for path in sorted(folder.glob("vendors/*/drivers/*/examples.json")):
        yield _driver(path.parent, json.loads(path.read_text(encoding="utf-8-sig")), handler)


def _driver(folder: Path, examples: Sequence[dict[str, Any]], handler: CodecHandler) -> Tally:
    name = f"{folder.parents[1].name}/{folder.name}"
    code = _code(folder)
    found = _SIGNATURE.search((folder / "driver.yaml").read_text(encoding="utf-8"))
    signature = Signature(found[1]) if found else Signature.LORA_ALLIANCE
    tally = Tally(name, signature, len(code.encode()))
    jobs = [
        {
            "driver": code_hash(code),
            "signature": signature,
            "operation": OPERATIONS[example["type"]],
            "input": example["input"],
            "whole": True,
        }
        for example in examples
    ]
    tally.examples = len(jobs)
    answers: list[dict[str, Any]] = []
    while len(answers) < len(jobs):
        request = {"messages": jobs[len(answers) : len(answers) + _BATCH], "codes": {code_hash(code): code}}
        answers += handler.handle(request)["answers"]
    for example, answer in zip(examples, answers, strict=True):
        tally.milliseconds.append(answer.get("milliseconds", 0.0))
        if fault := _fault(example, answer):
            tally.faults.append(f"{example.get('description', '')}: {fault}")
    return tally


def _fault(example: dict[str, Any], answer: dict[str, Any]) -> str | None:
    if "result" not in answer:
        return str((answer.get("failure") or {"message": "no result"})["message"])
    operation: Operation = OPERATIONS[example["type"]]
    found = differences(example.get("output"), json.loads(answer["result"]), time.time(), operation)
    if not found:
        return None
    return f"{len(found)} difference(s), first {json.dumps(found[0].to_json())[:300]}"


def _code(folder: Path) -> str:
    """Return the code of a driver: the main file of its package, or what is there."""
    names = ["index.js", "main.js"]
    package = folder / "package.json"
    if package.exists():
        names.insert(0, str(json.loads(package.read_text(encoding="utf-8")).get("main") or "index.js"))
    return next((folder / name).read_text(encoding="utf-8") for name in names if (folder / name).exists())


def show(tallies: Sequence[Tally], *, verbose: bool) -> float:
    """Print a table by signature and the drivers that failed; return the share of drivers with all examples."""
    print(f"{'signature':<16}{'drivers':>9}{'with all':>10}{'examples':>10}{'given':>8}")
    for signature, number in Counter(tally.signature for tally in tallies).most_common():
        own = [tally for tally in tallies if tally.signature == signature]
        _row(signature, number, own)
    _row("all", len(tallies), tallies)
    for tally in tallies:
        for fault in tally.faults[: None if verbose else 1]:
            print(f"  {tally.name} ({len(tally.faults)} of {tally.examples}): {fault}")
    times = sorted(each for tally in tallies for each in tally.milliseconds)
    if times:
        middle, late = times[len(times) // 2], times[int(0.99 * len(times))]
        print(f"Time of an example: {middle:.1f} ms at the median, {late:.1f} ms at the 99th percentile")
    share = sum(not tally.faults for tally in tallies) / max(1, len(tallies))
    print(f"{share:.1%} of the drivers give all of their examples, goal {GOAL:.0%}: {_verdict(share)}")
    return share


def _row(name: str, number: int, tallies: Sequence[Tally]) -> None:
    examples = sum(tally.examples for tally in tallies)
    given = examples - sum(len(tally.faults) for tally in tallies)
    whole = sum(not tally.faults for tally in tallies)
    print(f"{name:<16}{number:>9}{whole:>10}{examples:>10}{given:>8}")


def _verdict(share: float) -> str:
    return "met" if share >= GOAL else "MISSED"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.measurements.catalogue", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--verbose", action="store_true", help="print every example that failed, not the first")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        print(f"{arguments.folder} is no folder. Use: make catalogue DIR=folder", file=sys.stderr)
        return 1
    worker = Worker()
    try:
        tallies = list(run(arguments.folder, CodecHandler(worker)))
    finally:
        worker.stop()
    if not tallies:
        print(f"{arguments.folder} has no vendors/*/drivers/*/examples.json.", file=sys.stderr)
        return 1
    return 0 if show(tallies, verbose=arguments.verbose) >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
