"""Posts reports like the LRC: one at a time for each device, with retries after 5xx and time-outs.

It runs as a separate process, ``python -m infra.chaos.poster DIRECTORY REPORTS DEVICES SECONDS SEED KIND``, and ends
when all reports are acknowledged. KIND is ``equal``, or ``varied`` for reports with tags, models and measurements.
"""

import hashlib
import json
import random
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
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
EQUAL, VARIED = "equal", "varied"
_SITES = ("Paris", "Lyon")
_MODELS = ("1:TemperatureService, 2:SwissPostDevice", "1:SwissPostDevice", "")
_SHORT = 11
"""Every eleventh report of a device has too few bytes for the driver."""


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


def varied_report(number: int, counter: int, seed: int) -> tuple[dict[str, Any], str]:
    """Return a report and its text. The numbers of device and seed decide its tags, its models and the text's form."""
    document = report(device_of(number), counter)
    fields, other = document["DevEUI_uplink"], number + seed
    tags = [f"site={_SITES[other % len(_SITES)]}"]
    tags += ["leak"] if other % 7 == 0 else []
    tags += [("LevelSensor", "LEVELSENSOR")[number % 2]] if other % 5 < 2 else []  # noqa: PLR2004  # two of five devices
    fields["CustomerData"] = {"name": "Zähler", "tags": tags}
    if model := _MODELS[other % len(_MODELS)]:
        fields["ModelCfg"] = model
    temperature = (7 * number + 13 * counter) % 1000 - 500
    payload = bytes(7) if (number + counter) % _SHORT else b""
    if payload:
        payload = struct.pack(">HHBh", counter, number, 255 - counter % 256, temperature)
    fields["payload_hex"] = payload.hex() or "ee"
    match number % 3:
        case 0:
            return document, json.dumps(document)
        case 1:
            return document, json.dumps(document, ensure_ascii=False, separators=(" ,", "\t:  "))
    # Texts that a parser would change when it writes them again.
    text = json.dumps(document, indent=1).replace('"LrrSNR": 9.5,', '"LrrSNR": 9.500e0, "LrrESP": -1e400,')
    return document, f"{text}\n"


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
    """Posts the reports that ``make`` returns, with their texts, for the numbers of device and counter."""

    def __init__(
        self, lrc: Lrc, journal: Journal, make: Callable[[int, int], tuple[dict[str, Any], str]], *, keep: bool
    ) -> None:
        self._make = make
        self._keep = keep
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
            time.sleep(max(0.0, began + at - time.monotonic()))  # the planned time of the report
            self._post(device, counter)

    def _post(self, number: int, counter: int) -> None:
        device = device_of(number)
        document, text = self._make(number, counter)
        body = text.encode()
        # Recorded before the post, too: a report without an answer may still arrive.
        post = Post(device, counter, hashlib.sha256(body).hexdigest(), time.time(), None, 0, text if self._keep else "")
        self._journal.write(post)
        attempts = 0
        while True:
            attempts += 1
            try:
                status = self._lrc.post(document, body=body)
            except urllib3.exceptions.HTTPError as error:
                status = _SERVER_ERROR
                print(f"{device} {counter}: {error}", flush=True)
            if status == _OK:
                self._journal.write(replace(post, ended=time.time(), attempts=attempts))
                return
            if status < _SERVER_ERROR:
                self._failed.append(f"{device} {counter}: {status}")
                return
            print(f"{device} {counter}: {status}, retrying", flush=True)
            time.sleep(_PAUSE)


def main() -> None:
    directory = Path(sys.argv[1])
    reports, devices, seconds, seed = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
    varied = sys.argv[6] == VARIED
    info = read_stage(directory).info
    server = info["applicationServer"]
    lrc = Lrc(info["apiUrl"], server["asId"], server["asKey"], timeout=_TIMEOUT)

    def make(number: int, counter: int) -> tuple[dict[str, Any], str]:
        if varied:
            return varied_report(number, counter, seed)
        document = report(device_of(number), counter)
        return document, json.dumps(document)

    Poster(lrc, Journal(directory / POSTS), make, keep=varied).run(sequence(reports, devices, seed), seconds)


if __name__ == "__main__":
    main()
