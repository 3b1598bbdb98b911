"""Fuzzes all that reads what others wrote, for a given time: ``make fuzz SECONDS=600 SEED=1``.

Inputs are mutated from the corpora. A crash is any exception but the one that a reader declares, a broken invariant, or
a pattern that is compiled or evaluated for more than 50 ms of the processor's time. The input goes to standard output.
"""

import argparse
import json
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from chalicelib.domain.connectors.amqp091 import AmqpConfiguration
from chalicelib.domain.routing_keys import compile_pattern
from chalicelib.domain.topic_patterns import binding_key, dev_eui_word
from chalicelib.domain.validation.broker_addresses import literal_address
from chalicelib.domain.validation.certificates import check_ca, check_certificate_pair
from chalicelib.domain.validation.connections import parse_connection
from chalicelib.domain.validation.pem import normalise_pem
from chalicelib.errors import DownlinkInvalid, InvalidRequest, NotRoutable, PatternError, PemError
from chalicelib.network_servers.thingpark.downlinks import parse_downlink, query_parameters, valid_until
from chalicelib.network_servers.thingpark.reports import parse_report
from chalicelib.uplinks.outgoing import amqp_headers, body_of, expired, message_id
from tests.corpora.hosts import MALFORMED, NAMES, PUBLIC, spelled
from tests.corpora.pem_texts import MANGLED, NOW, PAIRS, PASTED, WRONG_CERTIFICATES, WRONG_KEYS, certificate, key_text
from tests.corpora.topic_patterns import FIELDS, HOSTILE, PATTERNS, hostile_reports
from tests.timing import thread_seconds

MAX_SECONDS = 0.05
"""Processor time for one pattern to be compiled, or one report to be evaluated."""
MAX_PATTERN = 1024
"""Characters; validation lets no longer one pass."""
ATTEMPTS = 3
"""Attempts of a measurement; the least counts, because the machine has other work."""

_SNIPPETS = (
    "{", "}", "|", "'", '"', "[", "]", "(", ")", "?", "@", "$", "..", ".", "*", "/", "\\", "=~", "==", "&&", "||", "!",
    "[?(@ =~ /", "/)]", "(a+)+", "{1000}", "$..", "[*]", "[0:9:2]", "\0", "\n", "\r\n", "\\n", "\ud800", "\U0001f600",
    "\u3002", "-----BEGIN CERTIFICATE-----", "-----END ", "--", "=", ":", ",", "null", "true", "NaN", "1e400", "-0",
    "9" * 400, "[" * 200, '{"a":' * 50, "\ufeff", "\u202e", "%", "0x", "\\u0000", '"DevEUI":', '"FPort":',
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 224, 225, 2**63, 10**400, 1.5, 1e308,
    "", " ", "0", "*****", "TCP", "SSL", "1h", [], {},
    [[]], ["x"] * 300, {"a": {"b": {"c": 1}}}, "\0", "\ud800", "x" * 3000, "70B3D50000000001", "2026-11-24T02:00:00Z",
    "9999-12-31T23:59:59+14:00", "0001-01-01T00:00:00-14:00", "\u0661",
)  # fmt: skip
_CONFIGURATION: dict[str, Any] = {
    "hostName": "broker.example.com",
    "protocol": "SSL",
    "uplinkTopicPattern": "things.{DevEUI}.up",
    "downlinkTopicPattern": "things.{DevEUI}.down",
}
_FIELDS = sorted({field.alias or name for name, field in AmqpConfiguration.model_fields.items()})
_ALARM = {
    "startTime": "2026-11-24T02:00:00Z", "endTime": "2026-11-24T03:00:00Z", "timezone": "Europe/Paris",
    "recurrence": [{"frequency": "weekly", "byDays": ["MO"]}], "uplinkRateMinPerHour": 1, "message": "low",
}  # fmt: skip
_DOWNLINK = {
    "DevEUI": "70B3D50000000001", "FPort": 1, "payload_hex": "0a0b", "Confirmed": "1", "FlushDownlinkQueue": 0,
    "ValidityTime": "60", "FCntDn": 3, "CorrelationID": "a1", "AS_ID": "as", "AS_KEY": "0" * 32,
}  # fmt: skip


class Slow(AssertionError):
    """A pattern took too long."""


class Undeclared(AssertionError):
    """A reader refused in another way than it says."""


class Inputs:
    """Mutated texts, documents and bytes, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311  # repeatable is what it has to be
        self.patterns = [pattern for entries in PATTERNS.values() for pattern, _ in entries]
        self.patterns += [pattern for entries in HOSTILE.values() for pattern in entries]
        self.reports = [FIELDS, *hostile_reports().values()]
        self.hosts = [h for kinds in (spelled(), MALFORMED, NAMES, PUBLIC) for hosts in kinds.values() for h in hosts]
        whole = [certificate(make()) for make, _ in PAIRS.values()]
        whole += [key_text(make(), form) for make, form in PAIRS.values()]
        whole += [make() for make, _ in (*WRONG_CERTIFICATES.values(), *WRONG_KEYS.values())]
        self.pems = [paste(text) for text in whole for paste in PASTED.values()]
        self.pems += [mangle(text) for text in whole[:10] for mangle, _ in MANGLED.values()]

    def text(self, corpus: list[str], limit: int) -> str:
        text = self.random.choice(corpus)
        for _ in range(self.random.randrange(5)):
            text = self._mutated(text, corpus)[:limit]
        return text

    def _mutated(self, text: str, corpus: list[str]) -> str:
        at, to = sorted((self.random.randint(0, len(text)), self.random.randint(0, len(text))))
        changes = (
            lambda: text[:at] + self.random.choice(_SNIPPETS) + text[at:],
            lambda: text[:at] + text[to:],
            lambda: text[:to] + text[at:],
            lambda: text[:at] + text[at:to] * self.random.randint(2, 20) + text[to:],
            lambda: text[:at] + chr(self.random.choice((0x20, 0x80, 0x10000)) + self.random.randrange(96)) + text[to:],
            lambda: text[:at] + self.random.choice(corpus)[at:],
            lambda: text[:at] + text[at:to][::-1] + text[to:],
        )
        return self.random.choice(changes)()

    def document(self, document: Any, depth: int = 0) -> Any:
        """The document with some of its values exchanged, removed or added."""
        if self.random.random() < 0.05:  # one of twenty
            return self.random.choice(_VALUES)
        if isinstance(document, dict):
            changed = {name: self.document(value, depth + 1) for name, value in document.items()}
            if changed and self.random.random() < 0.1:  # one of ten
                changed.pop(self.random.choice(list(changed)))
            if self.random.random() < 0.03:  # one of thirty
                changed[self.random.choice(_SNIPPETS)] = self.random.choice(_VALUES)
            return changed
        return [self.document(value, depth + 1) for value in document] if isinstance(document, list) else document

    def body(self, document: Any) -> bytes:
        text = json.dumps(self.document(document), ensure_ascii=self.random.random() < 0.5)  # a coin
        if self.random.random() < 0.5:  # a coin
            text = self._mutated(text, [text])
        data = text.encode("utf-8", "surrogatepass")
        if data and self.random.random() < 0.1:  # one of ten
            at = self.random.randrange(len(data))
            data = data[:at] + bytes([self.random.randrange(256)]) + data[at + 1 :]
        return data

    def configuration(self) -> AmqpConfiguration:
        return AmqpConfiguration.model_validate(
            {
                **_CONFIGURATION,
                "sendMetadata": self.random.random() < 0.5,  # a coin
                "sendRawDecodedFormat": self.random.random() < 0.5,  # a coin
                "uplinkTimeValidity": self.random.choice((None, "30s", "7d")),
            }
        )


Target = Callable[[Inputs, list[Any]], None]
"""Appends each input to the list before using it, so that a crash can be reported with its inputs."""


def _evaluate(call: Callable[[], Any]) -> Callable[[], bool]:
    def evaluated() -> bool:
        try:
            call()
        except (PatternError, NotRoutable):
            return False
        return True

    return evaluated


def _least(what: str, call: Callable[[], bool]) -> bool:
    spent: list[float] = []
    for _ in range(ATTEMPTS):
        with thread_seconds(spent):
            good = call()
        if spent[-1] <= MAX_SECONDS:
            return good
    raise Slow(f"{what} took {min(spent):.3f} s of the processor's time")


def patterns(inputs: Inputs, fed: list[Any]) -> None:
    text = inputs.text(inputs.patterns, MAX_PATTERN)
    fed.append(text)
    uncached = compile_pattern.__wrapped__
    if not _least("compiling", _evaluate(lambda: uncached(text))):
        return
    compiled = compile_pattern(text)
    for number in {0, inputs.random.randrange(len(inputs.reports))}:
        _least(f"evaluating on report {number}", _evaluate(lambda number=number: compiled.key(inputs.reports[number])))  # type: ignore[misc]
    _evaluate(lambda: binding_key(text))()
    _evaluate(lambda: dev_eui_word(text, inputs.text(inputs.patterns, 255)))()


def pems(inputs: Inputs, fed: list[Any]) -> None:
    text, key = inputs.text(inputs.pems, 70_000), inputs.text(inputs.pems, 70_000)
    fed += [text, key]
    for violation in check_certificate_pair(text, key, NOW) + check_ca(text, NOW):
        assert violation.detail.endswith("."), violation
    try:
        normal = normalise_pem(text)
    except PemError:
        return
    if "ENCRYPTED" not in text:
        assert normalise_pem(normal) == normal


def configurations(inputs: Inputs, fed: list[Any]) -> None:
    chosen = {name: inputs.random.choice(_VALUES) for name in inputs.random.sample(_FIELDS, inputs.random.randrange(5))}
    if inputs.random.random() < 0.5:  # a coin
        chosen["hostName"] = inputs.text(inputs.hosts, 300)
    if inputs.random.random() < 0.3:  # one of three
        chosen["uplinkTopicPattern"] = inputs.text(inputs.patterns, 3000)
    document = {
        "connectorId": "actility-amqp-0.9.1-iot",
        "name": "Plant",
        "configuration": {**_CONFIGURATION, **chosen},
    }
    document = inputs.document({**document, "alarms": [_ALARM]})
    fed.append(document)
    try:
        parse_connection(document, stored=None, now=NOW)
    except InvalidRequest as refused:
        if not refused.violations:
            raise Undeclared("refused without a reason") from refused
    literal_address(inputs.text(inputs.hosts, 300))


def reports(inputs: Inputs, fed: list[Any]) -> None:
    uplink = {**FIELDS, "Time": "2026-11-24T02:00:00.000+00:00", "payload_hex": "0a", "payload": {"t": [1.50, "x"]}}
    root = inputs.random.choice(("DevEUI_uplink", "DevEUI_uplink", "DevEUI_location", "DevEUI_x", "BS_alarm"))
    body = inputs.body({root: uplink})
    fed.append(body)
    try:
        report = parse_report(body)
    except InvalidRequest:
        return
    configuration = inputs.configuration()
    fed.append(configuration)
    json.loads(body_of(report, configuration))
    assert body_of(report, configuration).encode("utf-8") in body
    expired(report, configuration.uplink_time_validity, NOW)
    amqp_headers(report, "01C")
    assert message_id("01C", report) == message_id("01C", parse_report(body))


def downlinks(inputs: Inputs, fed: list[Any]) -> None:
    body, key = inputs.body({"DevEUI_downlink": _DOWNLINK}), inputs.text(["things.70B3D50000000001.down"], 255)
    fed += [body, key]
    try:
        downlink = parse_downlink(body, key, "things.{DevEUI}.down", inputs.configuration())
    except DownlinkInvalid:
        return
    valid_until(downlink, NOW)
    query_parameters(downlink, "as", "2026-11-24T02:00:00.000+00:00")


TARGETS: tuple[Target, ...] = (patterns, pems, configurations, reports, downlinks)


def fuzz(seconds: float, seed: int, targets: tuple[Target, ...] = TARGETS) -> int:
    """Takes the targets in turn, once at least, until the time is over; how many different crashes there were."""
    inputs, executions, crashes = Inputs(seed), Counter[str](), Counter[str]()
    patterns(inputs, [])  # imports what is imported late, which is not the pattern's violation
    end = told = time.monotonic()
    end += seconds
    while not executions or time.monotonic() < end:
        for target in targets:
            fed: list[Any] = []
            executions[target.__name__] += 1
            try:
                target(inputs, fed)
            except Exception as error:  # noqa: BLE001  # any is what is looked for
                place = traceback.extract_tb(error.__traceback__)[-1]
                name = f"{target.__name__}: {type(error).__name__} at {place.filename}:{place.lineno}"
                crashes[name] += 1
                if crashes[name] == 1:
                    print(f"CRASH {name}: {error!s:.300}\n  input: {fed!a:.4000}", flush=True)
        if time.monotonic() - told > 60:  # a line a minute
            told = time.monotonic()
            print(f"{end - told:.0f} s left, {executions.total()} executions, {len(crashes)} crashes", flush=True)
    print(", ".join(f"{name} {count}" for name, count in executions.items()))
    print(f"{executions.total()} executions in {seconds:.0f} s with seed {seed}: {len(crashes)} crashes")
    return len(crashes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    sys.exit(min(1, fuzz(arguments.seconds, arguments.seed)))
