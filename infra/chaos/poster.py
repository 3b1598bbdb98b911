"""Posts reports like the LRC: one at a time for each device, with retries after 5xx and time-outs.

It runs as a separate process, ``python -m infra.chaos.poster DIRECTORY REPORTS DEVICES SECONDS SEED``, and ends when
all reports are acknowledged.
"""

import hashlib
import json
import random
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3

from infra.chaos.records import Journal, Post
from infra.chaos.stage import read_stage
from infra.local.network_server.lrc import Lrc, timestamp

POSTS = "posts.jsonl"
THREADS = 8
_TIMEOUT = 10.0
_PAUSE = 0.3
_OK, _SERVER_ERROR = 200, 500


def device_of(number: int) -> str:
    return f"C4A05C0DE0{number:06X}"


def report(device: str, counter: int) -> dict[str, Any]:
    return {
        "DevEUI_uplink": {
            "Time": timestamp(datetime.now(UTC)),
            "DevEUI": device,
            "FPort": 2,
            "FCntUp": counter,
            "payload_hex": f"{counter:08x}",
            "LrrRSSI": -83.0,
            "LrrSNR": 9.5,
            "SpFact": 9,
            "CustomerID": "100000507",
            "CustomerData": {"name": "Zähler", "tags": ["site=Paris"]},
        }
    }


def sequence(reports: int, devices: int, seed: int) -> list[tuple[int, int]]:
    """(device, counter) in posting order: rounds over all devices, each round shuffled."""
    chance = random.Random(seed)  # noqa: S311  # must be repeatable
    found: list[tuple[int, int]] = []
    counter = 0
    while len(found) < reports:
        turn = list(range(devices))
        chance.shuffle(turn)
        found += [(device, counter) for device in turn[: reports - len(found)]]
        counter += 1
    return found


class Poster:
    def __init__(self, lrc: Lrc, journal: Journal) -> None:
        self._lrc = lrc
        self._journal = journal
        self._failed: list[str] = []

    def run(self, wanted: Sequence[tuple[int, int]], seconds: float) -> None:
        """Spreads the posts over ``seconds``. Raises RuntimeError when the API refuses one."""
        began = time.monotonic()
        pace = seconds / max(1, len(wanted))
        parts = [[(i * pace, *each) for i, each in enumerate(wanted) if each[0] % THREADS == n] for n in range(THREADS)]
        threads = [threading.Thread(target=self._run_part, args=(began, part)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failed:
            raise RuntimeError(f"{len(self._failed)} reports were refused, such as {self._failed[0]}")

    def _run_part(self, began: float, part: Sequence[tuple[float, int, int]]) -> None:
        for at, device, counter in part:
            time.sleep(max(0.0, began + at - time.monotonic()))
            self._post(device_of(device), counter)

    def _post(self, device: str, counter: int) -> None:
        document = report(device, counter)
        digest = hashlib.sha256(json.dumps(document).encode()).hexdigest()
        began = time.time()
        # Recorded before the post, too: a report without an answer may still arrive.
        self._journal.write(Post(device, counter, digest, began, None, 0))
        attempts = 0
        while True:
            attempts += 1
            try:
                status = self._lrc.post(document)
            except urllib3.exceptions.HTTPError as error:
                status = _SERVER_ERROR
                print(f"{device} {counter}: {error}", flush=True)
            if status == _OK:
                self._journal.write(Post(device, counter, digest, began, time.time(), attempts))
                return
            if status < _SERVER_ERROR:
                self._failed.append(f"{device} {counter}: {status}")
                return
            print(f"{device} {counter}: {status}, retrying", flush=True)
            time.sleep(_PAUSE)


def main() -> None:
    directory = Path(sys.argv[1])
    reports, devices, seconds, seed = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
    info = read_stage(directory).info
    server = info["applicationServer"]
    lrc = Lrc(info["apiUrl"], server["asId"], server["asKey"], timeout=_TIMEOUT)
    Poster(lrc, Journal(directory / POSTS)).run(sequence(reports, devices, seed), seconds)


if __name__ == "__main__":
    main()
