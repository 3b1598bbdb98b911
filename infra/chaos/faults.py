"""Injects the chaos faults of a plan, one thread for each lane, and records their begin and end."""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import groupby
from pathlib import Path

import urllib3

from chalicelib.uplinks.drain_context import CHUNK_REPORTS
from infra.chaos.collector import pause_file
from infra.chaos.plan import Fault, Kind
from infra.chaos.records import Disturbance, Journal, Pause
from infra.chaos.stage import Place, Stage, make_exchange
from infra.local.waiting import wait_until

DISTURBANCES = "faults.jsonl"
PAUSES = "pauses.jsonl"
FORWARDERS = 8
"""Maximum of concurrent forwarders in the local stack. Each holds a chunk of reports."""
_BUSY_WORKERS = 4
_USER_TIME, _SYSTEM_TIME = 11, 12
"""Indexes of the fields after the command's name in /proc/PID/stat."""
_LEAVES_NO_DOUBT = (Kind.QUEUE_FULL, Kind.UPDATED, Kind.DEACTIVATED, Kind.CODEC_KILL)
_USUAL_WATERMARK = "0.4"
_TINY_WATERMARK = "0.0001"
_LEAST_GAP = 1.0
_LOOK = 0.1
_PATIENCE = 90.0


@dataclass(frozen=True)
class _Made:
    """Result of an injected fault. ``in_flight`` has the reports of each connection in flight at a kill."""

    note: str = ""
    in_flight: tuple[int, ...] | None = None


@dataclass
class Saboteur:
    """Runs a plan's faults.

    ``clock`` returns the plan's time in seconds. ``in_flight`` counts the reports of each connection that are received
    and not deleted. ``error`` is the first failure to inject or end a fault.
    """

    stage: Stage
    clock: Callable[[], float]
    in_flight: Callable[[], tuple[int, ...]]
    error: BaseException | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, faults: Sequence[Fault]) -> None:
        by_lane = sorted(faults, key=lambda fault: (fault.lane, fault.at))
        for lane, part in groupby(by_lane, key=lambda fault: fault.lane):
            thread = threading.Thread(target=self._run_lane, args=(list(part),), name=lane)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Ends running faults and starts no more."""
        self.stopping.set()
        for thread in self._threads:
            thread.join()

    def join(self) -> None:
        """Waits for the last fault to end. Raises the first error."""
        for thread in self._threads:
            thread.join()
        if self.error is not None:
            raise self.error

    def _run_lane(self, faults: Sequence[Fault]) -> None:
        for fault in faults:
            time.sleep(_LEAST_GAP)  # the planned gap to the fault before
            while self.clock() < fault.at and not self.stopping.wait(_LOOK):
                pass
            if self.stopping.is_set():
                return
            try:
                self._make(fault)
            except Exception as error:  # noqa: BLE001  # raised again by join
                with self._lock:
                    self.error = self.error or error
                return

    def _make(self, fault: Fault) -> None:
        name, connections = self._reach(fault)
        print(f"{fault.at:6.1f} s  {fault.kind}{name and ': '}{name}, {fault.seconds:.1f} s", flush=True)
        began = time.time()
        made = self._act(fault)
        limits = tuple(self._limit(fault, made, index) for index in connections)
        disturbance = Disturbance(fault.kind, name, connections, began, time.time(), limits, made.note)
        Journal(self.stage.directory / DISTURBANCES).write(disturbance)

    def _reach(self, fault: Fault) -> tuple[str, tuple[int, ...]]:
        """The target's name and the connections whose uplinks the fault may affect."""
        match fault.kind:
            case Kind.NETWORK_SERVER_KILL:
                return "", ()
            case Kind.CODEC_KILL:
                return "", tuple(place.index for place in self.stage.places)
            case Kind.WORKER_KILL:
                return str(fault.target), tuple(place.index for place in self.stage.places)
            case Kind.BROKER_KILL | Kind.BROKER_FREEZE | Kind.MEMORY_ALARM:
                node = int(fault.target)
                return f"broker {node + 1}", tuple(p.index for p in self.stage.places if p.node == node)
        return f"connection {fault.target}", (int(fault.target),)

    def _limit(self, fault: Fault, made: _Made, connection: int) -> int:
        """The maximum of duplicates of a connection that the fault can explain."""
        if fault.kind in _LEAVES_NO_DOUBT or (
            fault.kind is Kind.WORKER_KILL and not str(fault.target).startswith("forward")
        ):
            return 0
        if made.in_flight is None:
            return CHUNK_REPORTS * FORWARDERS
        held = made.in_flight[connection]
        return min(held, CHUNK_REPORTS) if fault.kind is Kind.WORKER_KILL else held

    def _act(self, fault: Fault) -> _Made:
        match fault.kind:
            case Kind.WORKER_KILL:
                return self._kill_worker(str(fault.target), fault.at)
            case Kind.NETWORK_SERVER_KILL | Kind.CODEC_KILL:
                server = fault.kind is Kind.NETWORK_SERVER_KILL
                return (self._kill_network_server if server else self._kill_codec)(fault.seconds)
            case Kind.BROKER_KILL:
                return self._kill_broker(int(fault.target), fault.seconds)
            case Kind.BROKER_FREEZE:
                return self._freeze_broker(int(fault.target), fault.seconds)
            case Kind.MEMORY_ALARM:
                return self._raise_alarm(int(fault.target), fault.seconds)
            case kind:
                act: Callable[[Place, float], _Made] = {
                    Kind.LOGIN_REFUSED: self._refuse_login,
                    Kind.EXCHANGE_GONE: self._delete_exchange,
                    Kind.QUEUE_FULL: self._fill_queue,
                    Kind.CUT: self._cut,
                    Kind.UPDATED: self._update,
                    Kind.DEACTIVATED: self._deactivate,
                }[kind]
                return act(self.stage.places[int(fault.target)], fault.seconds)

    # Brokers

    def _kill_broker(self, node: int, seconds: float) -> _Made:
        broker = self.stage.brokers[node]
        # A frozen broker accepts no more messages, so all that it accepted without a confirm or delete is in flight.
        broker.freeze()
        in_flight = self.in_flight()
        broker.kill()
        self.stopping.wait(seconds)
        broker.start()
        self.stage.management(node).ready()
        return _Made(in_flight=in_flight)

    def _freeze_broker(self, node: int, seconds: float) -> _Made:
        broker = self.stage.brokers[node]
        broker.freeze()
        try:
            self.stopping.wait(seconds)
        finally:
            broker.thaw()
        return _Made()

    def _raise_alarm(self, node: int, seconds: float) -> _Made:
        broker = self.stage.brokers[node]
        broker.ctl("set_vm_memory_high_watermark", _TINY_WATERMARK)
        try:
            self.stopping.wait(seconds)
        finally:
            broker.ctl("set_vm_memory_high_watermark", _USUAL_WATERMARK)
        return _Made()

    # Objects of a connection at its broker

    def _refuse_login(self, place: Place, seconds: float) -> _Made:
        management = self.stage.management(place.node)
        management.put(f"users/{place.user}", {"password": f"{place.password}!", "tags": ""})
        try:
            closed = management.close_connections_of(place.user)
            self.stopping.wait(seconds)
        finally:
            management.put(f"users/{place.user}", {"password": place.password, "tags": ""})
        return _Made(f"{closed} connections closed")

    def _delete_exchange(self, place: Place, seconds: float) -> _Made:
        management = self.stage.management(place.node)
        management.delete(f"exchanges/{place.vhost}/{place.exchange}")
        try:
            self.stopping.wait(seconds)
        finally:
            make_exchange(management, place)
        return _Made()

    def _fill_queue(self, place: Place, seconds: float) -> _Made:
        """Stops the collector and limits the queue to one message, so that it refuses all others."""
        management = self.stage.management(place.node)
        pause = pause_file(self.stage.directory, place.index)
        pause.touch()
        policy = f"policies/{place.vhost}/full"
        try:
            queue = f"queues/{place.vhost}/{place.queue}"
            wait_until(lambda: not (management.get(queue) or {}).get("consumer_details"), _PATIENCE, 0.2)
            definition = {"max-length": 1}
            management.put(policy, {"pattern": f"^{place.queue}$", "definition": definition, "apply-to": "queues"})
            self.stopping.wait(seconds)
        finally:
            management.delete(policy)
            pause.unlink()
        return _Made()

    def _cut(self, place: Place, seconds: float) -> _Made:
        proxy = self.stage.proxies[place.index]
        number = proxy.cut()
        try:
            self.stopping.wait(seconds)
        finally:
            proxy.mend()
        return _Made(f"{number} connections")

    # The connection itself

    def _update(self, place: Place, _seconds: float) -> _Made:
        document = {"configuration": {"description": f"changed at {time.time()}"}}
        self.stage.api.call("PATCH", f"/connections/{place.id}", document)
        return _Made()

    def _deactivate(self, place: Place, seconds: float) -> _Made:
        path = f"/connections/{place.id}"
        off_asked = time.time()
        self.stage.api.call("PATCH", path, {"active": False})
        off = time.time()
        try:
            self.stopping.wait(seconds)
        finally:
            on_asked = time.time()
            self.stage.api.call("PATCH", path, {"active": True})
            pause = Pause(place.index, off_asked, off, on_asked, time.time())
            Journal(self.stage.directory / PAUSES).write(pause)
        return _Made()

    # Processes of the stack

    def _kill_network_server(self, seconds: float) -> _Made:
        """Kills the double, which the stack restarts at once, and makes it answer 503 for the rest of the time."""
        until = time.monotonic() + seconds
        server = self.stage.info["networkServer"]
        os.kill(server["pid"], signal.SIGKILL)

        def answers() -> bool:
            try:
                busy = urllib3.request("POST", f"{server['url']}/behaviour", json={"status": 503}, retries=False)
            except urllib3.exceptions.HTTPError:
                return False
            return busy.status == HTTPStatus.OK

        if not wait_until(answers, _PATIENCE, 0.05):
            raise RuntimeError(f"The network server's double did not restart within {_PATIENCE:.0f} s.")
        self.stopping.wait(until - time.monotonic())
        urllib3.request("POST", f"{server['url']}/behaviour", json={}, retries=False)
        return _Made(f"pid {server['pid']}")

    def _kill_worker(self, function: str, at: float) -> _Made:
        found: list[int] = []

        def kill() -> bool:
            pids = self._workers_of(function)
            if not pids:
                return False
            # Most events go to few workers: the death of an idle one would show little.
            busy = sorted(pids, key=_cpu_ticks, reverse=True)[:_BUSY_WORKERS]
            pid = busy[int(at * 1000) % len(busy)]
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return False
            found.append(pid)
            return True

        if not wait_until(kill, _PATIENCE, 0.2):
            raise RuntimeError(f"Found no worker of {function} to kill within {_PATIENCE:.0f} s.")
        # The worker's messages stay in flight until their visibility timeout.
        return _Made(f"pid {found[0]}", self.in_flight())

    def _kill_codec(self, seconds: float) -> _Made:
        """Kills each process of the codec as soon as it exists, for the given time, so that few calls succeed."""
        killed = 0
        until = time.monotonic() + seconds
        patience = time.monotonic() + _PATIENCE
        while (time.monotonic() < until or not killed) and not self.stopping.is_set():
            for pid in self._workers_of("codec"):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                killed += 1
            if not killed and time.monotonic() > patience:
                raise RuntimeError(f"Found no process of the codec to kill within {_PATIENCE:.0f} s.")
            self.stopping.wait(_LOOK)
        return _Made(f"{killed} processes")

    def _workers_of(self, function: str) -> list[int]:
        return [pid for pid in self.stage.info["workers"]["pids"] if _function_of(pid) == function]


def _cpu_ticks(pid: int) -> int:
    """Return the CPU time of a process, 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except FileNotFoundError:
        return 0
    return int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])


def _function_of(pid: int) -> str:
    """The function that a worker runs, an empty string when the worker ended."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return arguments[arguments.index(b"--function") + 1].decode() if b"--function" in arguments else ""
