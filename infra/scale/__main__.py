"""``make scale``: what grows with the number of connections, measured with small and large numbers."""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore

from chalicelib.upkeep.survey import HEAVY, POLL_WEIGHT
from infra.bench.broker import bench_broker
from infra.local.aws.emulation import accepts
from infra.local.broker.installation import ensure_installed
from infra.local.tcp_ports import free_ports
from infra.local.waiting import wait_until
from infra.scale import ingress

_CALL = 0.008
"""Seconds of an AWS call."""
_RECONCILED = (100, 1_000, 10_000)
_RECONCILER_SECONDS, _RECONCILER_MEGABYTES = 20.0, 128.0
_POLLED = (1, 50, 200)
_POLL_SECONDS = 30
_POLL_MEGABYTES, _POLL_SHARE = 128.0, 0.05


def main() -> None:
    ensure_installed()
    _reconciler()
    _ingress()
    _consumer()


def _reconciler() -> None:
    for connections in _RECONCILED:
        with _canned(connections) as url:
            found = _run("infra.scale.reconcile_once", AWS_ENDPOINT_URL=url)
            listed = _run("infra.scale.list_once", AWS_ENDPOINT_URL=url)
        met = found["seconds"] < _RECONCILER_SECONDS and found["peakMegabytes"] < _RECONCILER_MEGABYTES
        print(
            f"reconciler, {connections} connections: {found['seconds']:.1f} s at {1000 * _CALL:.0f} ms a call, "
            f"{found['cpu']:.1f} s CPU, {found['peakMegabytes']:.0f} MB, {sum(found['calls'].values())} calls "
            f"{_verdict(met)}"
        )
        print(
            f"list of {connections} connections: first page {1000 * listed['first']:.0f} ms, "
            f"filter that only the oldest fits {1000 * listed['oldest']:.0f} ms, {listed['cpu']:.2f} s CPU"
        )


def _ingress() -> None:
    for connections, seconds in ingress.measure().items():
        each = seconds / connections
        print(
            f"ingress, {connections} connections: {1000 * seconds:.2f} ms CPU a report, {1000 * each:.2f} ms each "
            f"{_verdict(each < ingress.GOAL)}"
        )


def _consumer() -> None:
    with tempfile.TemporaryDirectory() as directory, bench_broker(Path(directory)) as broker:
        config = broker.config
        client = {"certificate": f"{directory}/tls/client.pem", "private_key": f"{directory}/tls/client.key"}
        bundle = Path(directory) / "bundle.pem"
        bundle.write_text(_public_authorities() + Path(config.ca_file).read_text(encoding="utf-8"), encoding="utf-8")
        kinds: dict[str, dict[str, str] | None] = {
            "TCP": None,
            "TLS": {},
            "TLS with a CA and a client certificate": {"trusted_ca_certificate": config.ca_file, **client},
            "TLS with a client certificate": client,
        }
        for (kind, files), connections in itertools.product(kinds.items(), _POLLED):
            if files is client and connections > POLL_WEIGHT // HEAVY:
                continue  # no poll has as many
            port = config.port if files is None else config.tls_port
            tls = {} if files is None else {"TLS": json.dumps(files), "SSL_CERT_FILE": str(bundle)}
            arguments = (str(port), str(connections), str(_POLL_SECONDS))
            found = _run("infra.scale.poll_once", *arguments, BENCH_PASSWORD=config.password, **tls)
            if "idleShare" not in found:
                raise SystemExit(f"{connections} connections did not open in {_POLL_SECONDS} s. Is the machine busy?")
            met = found["peakMegabytes"] < _POLL_MEGABYTES and found["idleShare"] < _POLL_SHARE
            print(
                f"consumer, {connections} connections, {kind}: {found['peakMegabytes']:.0f} MB, "
                f"{100 * found['idleShare']:.1f} % of a core idle, open after {found['openSeconds']:.1f} s with "
                f"{1000 * found['openCpu'] / connections:.1f} ms CPU each {_verdict(met)}"
            )


def _public_authorities() -> str:
    """Return the certificates of public authorities, as many as a system has: those that botocore brings."""
    return (Path(botocore.__file__).parent / "cacert.pem").read_text(encoding="utf-8")


def _verdict(met: bool) -> str:
    return "(goal met)" if met else "(goal MISSED)"


def _run(module: str, *arguments: str, **environment: str) -> Mapping[str, Any]:
    aws = {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    argv = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(argv, env={**os.environ, **aws, **environment}, check=True, stdout=subprocess.PIPE, text=True)
    results: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return results


@contextmanager
def _canned(connections: int) -> Iterator[str]:
    (port,) = free_ports(1)
    process = subprocess.Popen([sys.executable, "-m", "infra.scale.canned", str(port), str(connections), str(_CALL)])
    try:
        if not wait_until(lambda: accepts(port), 120):
            raise RuntimeError("The canned answers are not served.")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


if __name__ == "__main__":
    main()
