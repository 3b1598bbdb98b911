"""The stores of secrets against moto: versions of connections, AS keys of downlinks, application servers."""

import pytest

from chalicelib.domain.connection import ConnectionSecrets
from chalicelib.entry.services import Services
from chalicelib.errors import Conflict, InvalidRequest, NotFound


def test_versions_of_a_secret_do_not_overwrite_each_other(services: Services) -> None:
    secrets = services.secret_store
    one = secrets.put("demo", "01A", ConnectionSecrets(password="one"))
    two = secrets.put("demo", "01A", ConnectionSecrets(password="two"))
    fresh = Services(services.settings).secret_store
    assert fresh.get("demo", "01A", one).password == "one"
    assert fresh.get("demo", "01A", two).password == "two"
    secrets.drop_version("demo", "01A", one)
    secrets.drop_version("demo", "01A", one)
    labels = services.secretsmanager.describe_secret(SecretId="iot-flow/demo/01A")["VersionIdsToStages"]
    assert labels[two] == [f"v-{two}", "AWSCURRENT"]
    assert not labels.get(one)
    secrets.delete("demo", "01A")
    secrets.delete("demo", "01A")
    with pytest.raises(NotFound):
        Services(services.settings).secret_store.get("demo", "01A", two)


def test_secrets_too_large_for_secrets_manager_are_an_invalid_request(services: Services) -> None:
    large = ConnectionSecrets(certificate="é" * 32768, private_key="x")
    with pytest.raises(InvalidRequest):
        services.secret_store.put("demo", "01A", large)


def test_equal_as_keys_share_a_name_and_are_deleted_with_the_connection(services: Services) -> None:
    name = services.secret_store.put_as_key("demo", "01A", "0011")
    again = Services(services.settings).secret_store
    assert again.put_as_key("demo", "01A", "0011") == name
    assert again.put_as_key("demo", "01A", "0022") != name
    assert Services(services.settings).secret_store.get_as_key(name) == "0011"
    assert "0011" not in name.split("/")
    services.secret_store.delete("demo", "01A")
    with pytest.raises(NotFound):
        Services(services.settings).secret_store.get_as_key(name)


def test_tenants_register_the_same_application_server_independently(services: Services) -> None:
    servers = services.application_server_store
    servers.put("demo", "AS", "key one")
    servers.put("other", "AS", "key two")
    with pytest.raises(Conflict):
        servers.put("demo", "AS", "key three")
    assert sorted(servers.keys("AS")) == [("demo", "key one"), ("other", "key two")]
    assert [server.as_id for server in servers.of_tenant("demo")] == ["AS"]
    servers.delete("demo", "AS")
    assert servers.keys("AS") == [("other", "key two")]
    with pytest.raises(NotFound):
        servers.delete("demo", "AS")
    servers.put("demo", "AS", "key four")
    assert sorted(servers.keys("AS")) == [("demo", "key four"), ("other", "key two")]
    assert servers.keys("") == servers.keys("x" * 9999) == []
