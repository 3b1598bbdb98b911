"""A double of the network server (ThingPark LRC): accepts downlinks, lists them, and reports them as sent.

- ``POST /thingpark/lrc/rest/downlink`` works as in the LRC.
- ``GET /downlinks`` lists the accepted downlinks, oldest first. ``DELETE /downlinks`` clears the list.
- ``POST /behaviour`` with ``{"status": 503}``, ``{"delay": 2}`` or ``{"times": 3}`` injects failures; ``{}`` ends them.
- ``POST /application-servers`` with ``{"asId", "asKey"}`` adds a key.

It accepts a downlink of an unknown application server without checking the token, and does not report it. After a
restart it still has the accepted downlinks, because it writes them to a file before it answers. It loses the injected
failures, the added keys and the pending reports.
"""

import argparse
import hmac
import json
import os
import queue
import re
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import urllib3

from infra.local.http_service import Reply, Request, run, service
from infra.local.network_server.lrc import Lrc, downlink_token, timestamp

APPLICATION_SERVERS_VARIABLE = "NETWORK_SERVER_KEYS"
"""JSON in the environment of the process, ``{asId: asKey}``: other users could read a command line."""
_DOWNLINK = "/thingpark/lrc/rest/downlink"
_RULES = {
    "DevEUI": r"[0-9A-Fa-f]{16}",
    "FPort": r"[1-9]\d{0,2}",
    "Payload": r"([0-9A-Fa-f]{2}){0,250}",
    "Confirmed": r"[01]",
    "FlushDownlinkQueue": r"[01]",
    "ValidityTime": r"\d+|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "FCntDn": r"\d{1,10}",
    "AS_ID": r".{1,255}",
    "Time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "CorrelationID": r"[0-9A-Fa-f]{1,16}",
    "Token": r"[0-9A-Fa-f]{64}",
}
_MANDATORY = ("DevEUI", "FPort", "Payload", "AS_ID", "Time", "Token")
_LARGEST_PORT = 224
_REPORT_ATTEMPTS = 12
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0
_SERVER_ERROR = 500


@dataclass
class Behaviour:
    """An injected failure of the next ``times`` downlinks, of all with None."""

    status: int | None = None
    delay: float = 0.0
    times: int | None = None


@dataclass
class NetworkServer:
    """The state of the double. ``keys`` are those of the known application servers. ``journal`` has a line of JSON for
    each accepted downlink."""

    api_url: str
    keys: dict[str, str]
    journal: Path
    downlinks: list[dict[str, Any]] = field(default_factory=list)
    behaviour: Behaviour = field(default_factory=Behaviour)
    _sent: "queue.SimpleQueue[tuple[str, dict[str, Any]]]" = field(default_factory=queue.SimpleQueue)
    _counters: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Reads the accepted downlinks of an earlier run and starts to report sent ones."""
        if self.journal.exists():
            self.downlinks += [json.loads(line) for line in self.journal.read_text(encoding="utf-8").splitlines()]
        threading.Thread(target=self._report_all, daemon=True).start()

    def respond(self, request: Request) -> Reply:
        match request.method, request.path:
            case "POST", path if path == _DOWNLINK:
                return self._downlink(request.query)
            case "GET", "/downlinks":
                with self._lock:
                    return Reply.of_json(list(self.downlinks))
            case "DELETE", "/downlinks":
                with self._lock:
                    self.journal.unlink(missing_ok=True)
                    self.downlinks.clear()
                return Reply.of_json({})
            case "POST", "/behaviour":
                with self._lock:
                    self.behaviour = Behaviour(**json.loads(request.body or b"{}"))
                return Reply.of_json({})
            case "POST", "/application-servers":
                document = json.loads(request.body)
                self.keys[document["asId"]] = document["asKey"]
                return Reply.of_json({}, 201)
        return Reply.of_json({"error": "not found"}, 404)

    def _downlink(self, query: str) -> Reply:
        status = self._behave()
        if status is not None:
            return _page(status, "Injected failure")
        # The LRC decodes URLs, not forms, so a plus stays a plus.
        pairs = [part.partition("=") for part in query.split("&") if part]
        items = [(unquote(name), unquote(value)) for name, _, value in pairs]
        fault = parameter_fault(items)
        if fault is not None:
            return _page(400, fault)
        parameters = dict(items)
        as_id = parameters["AS_ID"]
        signed = [item for item in items if item[0] != "Token"]
        known = self.keys.get(as_id)
        if known is not None and not hmac.compare_digest(downlink_token(signed, known), parameters["Token"].lower()):
            return _page(403, "Bad security token")
        with self._lock:
            self._accept({**parameters, "receivedAt": timestamp(datetime.now(UTC))})
            number = self._counters[parameters["DevEUI"]] = self._counters.get(parameters["DevEUI"], 0) + 1
        if known is not None:
            self._sent.put((as_id, sent_report(parameters, number)))
        return _page(200, "Request queued by LRC")

    def _accept(self, downlink: dict[str, Any]) -> None:
        with self.journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(downlink) + "\n")
        self.downlinks.append(downlink)

    def _behave(self) -> int | None:
        """Applies the injected delay. Returns the injected status, None without one."""
        with self._lock:
            behaviour = self.behaviour
            if behaviour.times is not None:
                if behaviour.times <= 0:
                    return None
                behaviour.times -= 1
        if behaviour.delay:
            time.sleep(behaviour.delay)
        return behaviour.status

    def _report_all(self) -> None:
        while True:
            as_id, report = self._sent.get()
            self._report(Lrc(self.api_url, as_id, self.keys[as_id]), report)

    def _report(self, lrc: Lrc, report: dict[str, Any]) -> None:
        """Delivers a report. Retries when the API does not answer or answers 5xx."""
        pause = _FIRST_PAUSE
        for _ in range(_REPORT_ATTEMPTS):
            try:
                status = lrc.post(report)
                said = f"answered {status}"
            except urllib3.exceptions.HTTPError as error:
                status, said = _SERVER_ERROR, f"did not answer: {error}"
            if status < _SERVER_ERROR:
                print(f"DevEUI_downlink_Sent: the API {said}", flush=True)
                return
            print(f"DevEUI_downlink_Sent: the API {said}; again in {pause} s", flush=True)
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        print("DevEUI_downlink_Sent: given up", flush=True)


def parameter_fault(items: list[tuple[str, str]]) -> str | None:
    """The first error in the parameters of a downlink, None when they are valid."""
    parameters = dict(items)
    if len(parameters) < len(items):
        return "Duplicate parameter"
    for name in _MANDATORY:
        if name not in parameters:
            return f"Mandatory parameter {name} is missing"
    for name, value in items:
        if name not in _RULES:
            return f"Unknown parameter {name}"
        if not re.fullmatch(_RULES[name], value, re.ASCII):
            return f"Bad value of parameter {name}"
    if int(parameters["FPort"]) > _LARGEST_PORT:
        return "Bad value of parameter FPort"
    return None


def sent_report(parameters: dict[str, str], number: int) -> dict[str, Any]:
    """The LRC's report after a downlink went out over the radio."""
    fields = {
        "Time": timestamp(datetime.now(UTC)),
        "DevEUI": parameters["DevEUI"].upper(),
        "FPort": int(parameters["FPort"]),
        "FCntDn": int(parameters.get("FCntDn") or number),
        "FCntUp": number,
        "Lrcid": "00000201",
        "SpFact": 9,
        "SubBand": "G0",
        "Channel": "LC2",
        "Lrrid": "10000B5E",
        "DeliveryStatus": 1,
        "CustomerID": "100000042",
        "CustomerData": {"name": "local network server"},
        "TransmissionSlot": 1,
        "Frequency": 868.3,
    }
    if "CorrelationID" in parameters:
        fields["CorrelationID"] = parameters["CorrelationID"]
    return {"DevEUI_downlink_Sent": fields}


def _page(status: int, text: str) -> Reply:
    return Reply(status, f"<html><body>{text}</body></html>".encode(), "text/html")


def main() -> None:
    parser = argparse.ArgumentParser(description=Path(__file__).stem)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--api-url", required=True, help="where reports are posted")
    parser.add_argument("--journal", type=Path, required=True, help="file for accepted downlinks")
    arguments = parser.parse_args()
    keys = json.loads(os.environ.get(APPLICATION_SERVERS_VARIABLE, "{}"))
    double = NetworkServer(arguments.api_url, keys, arguments.journal)
    double.start()
    run(service(arguments.port, double.respond))


if __name__ == "__main__":
    main()
