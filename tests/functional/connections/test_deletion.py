"""Deletion of connections with all their data, even when a step fails."""

import pytest

from chalicelib.entry.services import Services
from chalicelib.vocabulary import ConnectionState
from tests.functional.connection_cases import NOTHING, Failing, create, expect_problem, failed, finish, left_behind
from tests.functional.doubles import Api, RecordingRemover


@pytest.mark.parametrize("path", ["/connections/{id}", "/connections?id={id}"])
def test_delete_removes_all_data_of_connection(api: Api, services: Services, path: str) -> None:
    made = create(api)
    services.failed_messages.add("demo", made["id"], [failed()])
    services.secret_store.put_as_key("demo", made["id"], "0011")
    deleted = api.call("DELETE", path.replace("{id}", made["id"]))
    assert (deleted.status, deleted.body) == (204, b"")
    assert left_behind(services) == NOTHING
    assert services.failed_messages.page("demo", made["id"], 5, None) == ([], None)
    expect_problem(api.call("DELETE", path.replace("{id}", made["id"])), 404)


@pytest.mark.parametrize("state", ConnectionState)
def test_delete_removes_downlink_queue_in_any_state(api: Api, services: Services, state: ConnectionState) -> None:
    # Given: any state, because a fault such as a missing permission (CLOSED) may not prevent the removal
    made = create(api)
    stored = services.connection_store.get("demo", made["id"])
    after = stored.model_copy(update={"state": state, "epoch": stored.epoch + 1})
    assert services.connection_store.update_breaker(after, stored.epoch)

    # When
    assert api.call("DELETE", f"/connections/{made['id']}").status == 204

    # Then
    remover = services.queue_remover
    assert isinstance(remover, RecordingRemover)
    assert remover.removed == [(made["id"], "mypassword")]


def test_delete_without_id_is_refused(api: Api) -> None:
    create(api)
    for path in ("/connections", "/connections?id="):
        expect_problem(api.call("DELETE", path), 422)
    assert len(api.call("GET", "/connections").json) == 1


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("part", "method"),
    [
        ("connection_store", "delete"),
        ("uplink_queues", "delete"),
        ("secret_store", "delete"),
        ("failed_messages", "purge"),
        ("connection_store", "forget_pending"),
    ],
)
def test_failed_delete_can_be_repeated_or_is_finished_by_reconciler(
    api: Api, services: Services, part: str, method: str, after: bool
) -> None:
    real = getattr(services, part)
    first, second = create(api)["id"], create(api)["id"]
    for repeated, connection_id in ((True, first), (False, second)):
        setattr(services, part, Failing(real, method, after=after))
        services.__dict__.pop("connections", None)
        services.__dict__.pop("connections_api", None)
        expect_problem(api.call("DELETE", f"/connections/{connection_id}"), 503)
        setattr(services, part, real)
        services.__dict__.pop("connections", None)
        services.__dict__.pop("connections_api", None)
        if repeated or (method == "delete" and part == "connection_store" and not after):
            answer = api.call("DELETE", f"/connections/{connection_id}")
            assert answer.status == (404 if method == "forget_pending" and after else 204)
        else:
            finish(services)
    assert left_behind(services) == NOTHING
