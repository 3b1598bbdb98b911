"""Checks of what API Gateway, SQS and Lambda do, which an emulation cannot show."""

import hashlib
import json
import secrets
import subprocess
from collections import Counter
from typing import Any
from urllib.parse import quote

import urllib3

from infra.deploy.operate.stage import Stage
from infra.deploy.verify.flows import DEVICES
from infra.deploy.verify.patient_api import Patience
from infra.deploy.verify.report import CheckFailed, NotRun
from infra.deploy.verify.site import Site
from infra.local.demo.run import uplink
from infra.local.network_server.lrc import Lrc
from infra.local.processes import ROOT

_OK, _UNAUTHORIZED = 200, 401
_MESSAGES = 200
_RECEIVES = 2000
_EMPTY_IN_A_ROW = 20


def unauthorized_header(site: Site) -> str:
    """A request without a token is 401 with WWW-Authenticate, which API Gateway may rename."""
    answer = urllib3.request("GET", f"{site.api_url}/connections", timeout=30, retries=False)
    if answer.status != _UNAUTHORIZED:
        raise CheckFailed(f"GET /connections without a token answered {answer.status}")
    for name in ("www-authenticate", "x-amzn-remapped-www-authenticate"):
        if name in answer.headers:
            return f"401 with {name}: {answer.headers[name]}"
    raise CheckFailed("the 401 has no WWW-Authenticate header")


def order_of_query_parameters(site: Site) -> str:
    """A report with the LRC's token is accepted with its parameters in the LRC's order, and in reverse on the way."""
    server = {"asId": f"verify-{secrets.token_hex(4)}", "asKey": secrets.token_hex(16)}
    site.api.call("POST", "/application-servers", server)
    try:
        found = {}
        lrc = Lrc(site.api_url, server["asId"], server["asKey"])
        for counter, (name, reverse) in enumerate((("as the LRC sends them", False), ("reversed", True)), 1):
            report = uplink(DEVICES[0], counter, 0)
            items = lrc.parameters(report)
            query = "&".join(f"{key}={quote(value, safe='')}" for key, value in (items[::-1] if reverse else items))
            found[name] = _post(f"{site.api_url}/uplinks?{query}", json.dumps(report).encode())
    finally:
        site.api.call("DELETE", f"/application-servers/{server['asId']}")
    if set(found.values()) != {_OK}:
        raise CheckFailed(f"the API answered {found}")
    return "accepted in the LRC's order and in reverse"


def _post(url: str, body: bytes) -> int:
    """Post a report without a token, and return the status."""

    def once() -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"}
        answer = urllib3.request("POST", url, body=body, headers=headers, timeout=30, retries=False)
        return answer.status, answer.data

    return Patience().repeat(once)[0]


def short_receives(site: Site) -> str:
    """Receives of a full queue are counted by their size; every message is received once."""
    sqs = site.stage.services.sqs
    name = site.stage.settings.queue(f"verify-{secrets.token_hex(4)}.fifo")
    attributes: Any = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    try:
        for start in range(0, _MESSAGES, 10):
            entries: list[Any] = [
                {"Id": str(n), "MessageBody": str(n), "MessageGroupId": str(n)} for n in range(start, start + 10)
            ]
            sqs.send_message_batch(QueueUrl=url, Entries=entries)
        sizes: Counter[int] = Counter()
        bodies: Counter[str] = Counter()
        empty = 0
        while sum(bodies.values()) < _MESSAGES and sizes.total() < _RECEIVES and empty < _EMPTY_IN_A_ROW:
            messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=300).get(
                "Messages", []
            )
            sizes[len(messages)] += 1
            empty = 0 if messages else empty + 1
            bodies.update(message["Body"] for message in messages)
    finally:
        sqs.delete_queue(QueueUrl=url)
    if len(bodies) != _MESSAGES or bodies.total() != _MESSAGES:
        raise CheckFailed(f"{len(bodies)} of {_MESSAGES} messages came, {bodies.total()} in all")
    short = sum(number for size, number in sizes.items() if 0 < size < 10)  # noqa: PLR2004  # SQS's largest batch
    return f"{sizes.total()} receives for {_MESSAGES} messages: {short} short, {sizes[0]} empty"


def deploy_twice(site: Site, wanted: bool) -> str:
    """A second deployment without changes leaves every function, mapping and API as it is."""
    if site.is_local:
        raise NotRun("the local stack runs from the source and is not deployed")
    if not wanted:
        raise NotRun("it deploys; give DEPLOY=1")
    _deploy(site.stage)
    before = _deployment(site.stage)
    _deploy(site.stage)
    after = _deployment(site.stage)
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    if changed:
        raise CheckFailed(f"the second deployment changed {', '.join(changed)}")
    return f"{len(after)} functions, mappings and APIs unchanged"


def _deploy(stage: Stage) -> None:
    argv = ["make", "deploy", f"STAGE={stage.name}"]
    done = subprocess.run(argv, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise CheckFailed(f"{' '.join(argv)} failed: {done.stdout.strip()[-500:]}")


def _deployment(stage: Stage) -> dict[str, str]:
    functions, gateway = stage.client("lambda"), stage.client("apigateway")
    found: dict[str, str] = {}
    for page in functions.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            if function["FunctionName"].startswith(stage.function_prefix):
                found[function["FunctionName"]] = f"{function['CodeSha256']} {function['LastModified']}"
    for page in functions.get_paginator("list_event_source_mappings").paginate():
        for mapping in page["EventSourceMappings"]:
            if f":{stage.function_prefix}" in mapping["FunctionArn"]:
                found[f"mapping {mapping['UUID']}"] = mapping["EventSourceArn"]
    for page in gateway.get_paginator("get_rest_apis").paginate():
        for api in page["items"]:
            if api["name"] in {stage.app_name, stage.function_prefix}:
                found[f"API {api['id']}"] = hashlib.sha256(api["name"].encode()).hexdigest()
    return found
