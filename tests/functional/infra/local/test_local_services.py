"""The local stack's own services: the network server's double, the LRC's side of uplinks, and the token issuer."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
import pytest
import urllib3

from chalicelib.adapters.thingpark.lrc_client import LrcNetworkServer
from chalicelib.errors import DownlinkDelayed, DownlinkRejected
from chalicelib.network_servers.thingpark.lrc_tokens import uplink_token_matches
from chalicelib.network_servers.thingpark.reports import parse_report
from infra.local.demo.run import uplink
from infra.local.http_service import Reply, Request, Respond, service
from infra.local.issuer import AUDIENCE, Issuer, IssuerService
from infra.local.network_server.double import NetworkServer, sent_report
from infra.local.network_server.lrc import Lrc, downlink_token
from infra.local.waiting import wait_until

KEY = "0123456789abcdef0123456789abcdef"
DOWNLINK = [
    ("DevEUI", "0018B20000000B20"),
    ("FPort", "2"),
    ("Payload", "0102ff"),
    ("AS_ID", "as-1"),
    ("Time", "2026-01-31T12:00:00.000+01:00"),
]


@contextmanager
def serving(respond: Respond) -> Iterator[str]:
    server = service(0, respond)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Api:
    """An API that answers reports with ``statuses`` first and then with 200."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.reports: list[dict[str, Any]] = []

    def respond(self, request: Request) -> Reply:
        if self.statuses:
            return Reply.of_json({}, self.statuses.pop(0))
        self.reports.append({"query": request.query, **json.loads(request.body)})
        return Reply.of_json({})


def test_downlink_is_accepted_listed_and_reported_even_if_the_api_fails_first(
    tmp_path: Path,
) -> None:
    api = Api(503, 500)
    with serving(api.respond) as api_url:
        double = NetworkServer(api_url, {"as-1": KEY}, tmp_path / "journal")
        double.start()
        with serving(double.respond) as url:
            LrcNetworkServer(url, 5).send_downlink([*DOWNLINK, ("CorrelationID", "AB12")], KEY)

            [shown] = urllib3.request("GET", f"{url}/downlinks").json()
            assert wait_until(lambda: bool(api.reports), 20)

    assert (shown["DevEUI"], shown["Payload"], shown["AS_ID"]) == ("0018B20000000B20", "0102ff", "as-1")
    assert shown["Time"] == "2026-01-31T12:00:00.000+01:00"
    sent = api.reports[0]["DevEUI_downlink_Sent"]
    assert (sent["DevEUI"], sent["FPort"], sent["CorrelationID"]) == ("0018B20000000B20", 2, "AB12")
    assert "AS_ID=as-1" in api.reports[0]["query"]


def test_wrong_key_is_refused_and_unknown_application_server_is_trusted(tmp_path: Path) -> None:
    double = NetworkServer("http://127.0.0.1:9", {"as-1": KEY}, tmp_path / "journal")
    with serving(double.respond) as url:
        with pytest.raises(DownlinkRejected, match=r"answered 403: Bad security token$"):
            LrcNetworkServer(url, 5).send_downlink(DOWNLINK, "another key")
        assert double.downlinks == []

        other = [(name, "as-2" if name == "AS_ID" else value) for name, value in DOWNLINK]
        LrcNetworkServer(url, 5).send_downlink(other, "another key")
        assert len(double.downlinks) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("DevEUI", "18"), ("FPort", "225"), ("FPort", "0"), ("Payload", "abc"), ("Confirmed", "yes"), ("Strange", "1")],
)
def test_invalid_parameters_are_refused(name: str, value: str, tmp_path: Path) -> None:
    items = [item for item in DOWNLINK if item[0] != name] + [(name, value)]
    double = NetworkServer("http://127.0.0.1:9", {"as-1": KEY}, tmp_path / "journal")
    with serving(double.respond) as url, pytest.raises(DownlinkRejected, match="400"):
        LrcNetworkServer(url, 5).send_downlink(items, KEY)


def test_double_injects_the_requested_number_of_failures(tmp_path: Path) -> None:
    double = NetworkServer("http://127.0.0.1:9", {}, tmp_path / "journal")
    with serving(double.respond) as url:
        urllib3.request("POST", f"{url}/behaviour", json={"status": 503, "times": 2})
        for _ in range(2):
            with pytest.raises(DownlinkDelayed, match="503"):
                LrcNetworkServer(url, 5).send_downlink(DOWNLINK, KEY)
        LrcNetworkServer(url, 5).send_downlink(DOWNLINK, KEY)


def test_restarted_double_keeps_downlinks_until_they_are_deleted(tmp_path: Path) -> None:
    def started() -> NetworkServer:
        double = NetworkServer("http://127.0.0.1:9", {}, tmp_path / "journal")
        double.start()
        return double

    first = started()
    with serving(first.respond) as url:
        LrcNetworkServer(url, 5).send_downlink(DOWNLINK, KEY)
    again = started()
    assert [each["Payload"] for each in again.downlinks] == ["0102ff"]
    assert again.downlinks == first.downlinks
    with serving(again.respond) as url:
        urllib3.request("DELETE", f"{url}/downlinks")
    assert started().downlinks == []


def test_example_token_of_the_interface_description_is_reproduced() -> None:
    # Source: ThingPark's description of the downlink interface, with its example key.
    items = [
        ("DevEUI", "000000000F1D8693"),
        ("FPort", "1"),
        ("Payload", "00"),
        ("AS_ID", "app1.sample.com"),
        ("Time", "2016-01-11T14:28:00.333+02:00"),
    ]
    expected = "ea8f31d2299cbece8e180a3012766c4df15fe3cf2e142d9fdf4035b5894ec886"
    assert downlink_token(items, "46ab678cd45df4a4e4b375Eacd096acc") == expected


@pytest.mark.parametrize(
    "report",
    [
        uplink("20635F0161000022", 7, 1),
        {
            "DevEUI_uplink": {
                "DevEUI": "20635F0161000022",
                "FCntUp": 1,
                "CustomerID": "1",
                "Time": "2026-01-31T12:00:00Z",
            }
        },
        sent_report({"DevEUI": "20635F0161000022", "FPort": "2"}, 3),
        {"DevEUI_location": {"DevEUI": "20635F0161000022", "CustomerID": "1", "Time": "2026-01-31T12:00:00Z"}},
        {"DevEUI_notification": {"DevEUI": "20635F0161000022", "CustomerID": "1", "Type": "join"}},
    ],
)
def test_connector_accepts_tokens_of_the_lrc(report: dict[str, Any]) -> None:
    items = Lrc("http://127.0.0.1:9", "as-1", KEY).parameters(report)
    parsed = parse_report(json.dumps(report).encode())
    token = dict(items)["Token"]
    assert uplink_token_matches(items, parsed, KEY, token)
    assert not uplink_token_matches(items, parsed, KEY + "0", token)


def test_token_is_verified_with_the_published_keys_of_the_issuer(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path, "http://127.0.0.1:1")
    with serving(IssuerService(issuer).respond) as url:
        configuration = urllib3.request("GET", f"{url}/.well-known/openid-configuration").json()
        assert configuration["jwks_uri"] == "http://127.0.0.1:1/jwks.json"
        keys = jwt.PyJWKClient(f"{url}/jwks.json")
        # Another process of the stack creates tokens with the same key.
        token = Issuer(tmp_path, "http://127.0.0.1:1").token("demo", ["connections:read"])
        claims = jwt.decode(
            token,
            keys.get_signing_key_from_jwt(token).key,
            algorithms=["RS256"],
            audience=AUDIENCE,
            issuer="http://127.0.0.1:1",
        )
    assert (claims["tenant"], claims["scope"]) == ("demo", "connections:read")
    assert claims["exp"] - claims["iat"] == 24 * 3600


def test_console_signs_in_with_a_code_that_works_once(tmp_path: Path) -> None:
    verifier = "a-verifier-of-the-console-that-is-long-enough"
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    ask = {
        "redirect_uri": "http://127.0.0.1:8000/console",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "state": "s",
    }
    with serving(IssuerService(Issuer(tmp_path, "http://127.0.0.1:1")).respond) as url:
        back = urllib3.request("GET", f"{url}/authorize", fields=ask, redirect=False).headers["Location"]
        found = dict(parse_qsl(urlsplit(back).query))
        assert found["state"] == "s"

        form = {"grant_type": "authorization_code", "code": found["code"], "code_verifier": verifier}
        answer = urllib3.request("POST", f"{url}/token", body=urlencode(form))
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert jwt.decode(answer.json()["access_token"], options={"verify_signature": False})["tenant"] == "demo"
        assert urllib3.request("POST", f"{url}/token", body=urlencode(form)).status == 400

        elsewhere = {**ask, "redirect_uri": "https://elsewhere.example/console"}
        assert urllib3.request("GET", f"{url}/authorize", fields=elsewhere, redirect=False).status == 400
