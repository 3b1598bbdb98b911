"""Drivers for the tests of the API."""

from typing import Any

from chalicelib.domain.drivers.driver import Driver, code_hash
from chalicelib.entry.services import Services
from tests.functional.doubles import Api

CODE = """// A driver that we wrote: a temperature and a battery.
function decodeUplink(input) {
  if (input.bytes.length < 3) return { errors: ["The payload is too short."] };
  const buffer = Buffer.from(input.bytes);
  return { data: { temperature: buffer.readInt16BE(0) / 100, battery: buffer[2] }, warnings: [] };
}
function decodeDownlink(input) {
  return { data: { interval: input.bytes[0] } };
}
function encodeDownlink(input) {
  if (typeof input.data.interval !== "number") throw new Error("interval is missing");
  return { bytes: [input.data.interval], fPort: 10, warnings: [] };
}
"""
DRIVER: dict[str, Any] = {
    "id": "mycompany:level-sensor:1",
    "name": "Level sensor",
    "signature": "lora-alliance",
    "code": CODE,
    "models": [{"producerId": "mycompany", "moduleId": "level-sensor", "version": "1"}],
}


def post_driver(api: Api, **fields: Any) -> Any:
    answer = api.call("POST", "/drivers", DRIVER | fields)
    assert answer.status == 201, answer.body
    return answer.json


def add_driver(services: Services, driver_id: str, tenant: str = "demo", code: str = CODE, **fields: Any) -> Driver:
    """Store a driver under an id, which the API need not accept."""
    record = {"name": "stored", "created_at": "", "updated_at": "", **fields}
    made = Driver(tenant=tenant, id=driver_id, code_hash=code_hash(code), code_size=len(code), **record)
    services.driver_store.create(made, code, 200)
    return made
