"""Spellings of broker addresses, and the ones that are refused."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from chalicelib.domain.validation.broker_addresses import forbidden, literal_address, parse_host_port


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "127.8.9.10", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",  # noqa: S104
        "224.0.0.1",
        "255.255.255.255", "100.100.100.200", "168.63.129.16", "192.0.2.1", "240.0.0.1", "192.88.99.1", "192.0.0.192",
        "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "::127.0.0.1", "::8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
        "2002:7f00:1::", "2002:a00:1::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "3fff::1",
        "5f00::1", "2002:808:808::1", "2001:1::1", "2001:4:112::1", "64:ff9b:1::808:808",
    ],
)  # fmt: skip
def test_what_is_not_public_is_forbidden(text: str) -> None:
    assert forbidden(ip_address(text), [])


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2001:4860:4860::8888"]
)
def test_public_addresses_may_be_reached(text: str) -> None:
    assert not forbidden(ip_address(text), [])


@pytest.mark.parametrize("counted_as_global", [True, False])
@pytest.mark.parametrize("text", ["2002:808:808::1", "2002:7f00:1::", "2001:1::1", "64:ff9b:1::808:808", "192.0.0.9"])
def test_a_network_that_releases_of_python_judge_differently_is_forbidden(
    text: str, counted_as_global: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IPv4Address, "is_global", counted_as_global)
    monkeypatch.setattr(IPv6Address, "is_global", counted_as_global)
    assert forbidden(ip_address(text), [])


@pytest.mark.parametrize("text", ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"])
def test_an_allowed_network_may_be_reached_however_it_is_wrapped(text: str) -> None:
    assert not forbidden(ip_address(text), [ip_network("127.0.0.0/8")])
    assert forbidden(ip_address("10.0.0.1"), [ip_network("127.0.0.0/8")])


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "2130706433", "0x7f000001", "0x7F.0.0.1", "0177.0.0.1", "017700000001", "127.1", "127.0.1",
        "\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021", "127.0.0.1.", " 127.0.0.1",
    ],
)  # fmt: skip
def test_every_spelling_of_an_address_is_recognised(text: str) -> None:
    assert literal_address(text) == ip_address("127.0.0.1")


@pytest.mark.parametrize("text", ["localhost", "broker.example.com", "1.2.3.4.5", "256.0.0.1", "0x", "1e3", "08.0.0.1"])
def test_names_are_not_addresses(text: str) -> None:
    assert literal_address(text) is None or text == "0x"


def test_ipv6_is_recognised_with_its_zone() -> None:
    assert literal_address("fe80::1%eth0") == ip_address("fe80::1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("broker", ("broker", 5671)),
        ("broker.example.com:1234", ("broker.example.com", 1234)),
        ("127.1:80", ("127.1", 80)),
        ("[2001:db8::1]", ("2001:db8::1", 5671)),
        ("[2001:db8::1]:99", ("2001:db8::1", 99)),
        ("b\u00fccher.example:1", ("b\u00fccher.example", 1)),
        ("my_broker.example.com.", ("my_broker.example.com.", 5671)),
    ],
)
def test_host_and_port_are_split(text: str, expected: tuple[str, int]) -> None:
    assert parse_host_port(text, 5671) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", ":5672", "host:", "host:0", "host:65536", "host:+1", "host:\u0661", "host:1x", "::1", "[::1", "[::1]x",
        "[::1]:", "[host]:1", "amqp://host", "ho st", "host/path", "user@host", "a..b", "-a.example", "a" * 64 + ".b",
        "256.1.1.1", "host\n", "ho\0st", ".".join(["a" * 60] * 5),
    ],
)  # fmt: skip
def test_what_is_no_host_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[A-Z].*\.$"):
        parse_host_port(text, 5672)


@pytest.mark.parametrize(
    "text",
    [
        "r1:5672,r2:5672", "r1,r2", "r1;r2", "8.8.8.8|8.8.4.4", "amqp://r1:5672,r2:5672", "[::1],[::2]",
        "r1:5672\uff0cr2:5672", "broker:5672:5671", "r1:5672:r2:5672",
    ],
)  # fmt: skip
def test_several_hosts_are_refused_with_a_sentence_that_asks_for_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"^Write one host"):
        parse_host_port(text, 5672)


@pytest.mark.parametrize("text", ["::1", "2606:4700::1111", "fe80::1%lo"])
def test_bare_ipv6_address_is_refused_with_the_advice_of_brackets(text: str) -> None:
    with pytest.raises(ValueError, match="brackets"):
        parse_host_port(text, 5672)
