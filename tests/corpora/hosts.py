"""Hosts by kind: addresses that no broker may have in every spelling, what is no host, names that lead to the same, and
hosts that are as good as any."""

from collections.abc import Callable
from ipaddress import IPv4Address

LOCAL = (
    "127.0.0.1", "127.8.9.10", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200",
)  # fmt: skip


def _parts(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]


def _low(text: str) -> int:
    return int(IPv4Address(text)) & 0xFFFFFF


def _groups(text: str) -> str:
    return f"{int(IPv4Address(text)) >> 16:x}:{int(IPv4Address(text)) & 0xFFFF:x}"


def _wide(text: str) -> str:
    return "".join(chr(ord(character) + 0xFEE0) if character.isdigit() else character for character in text)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "dotted": lambda text: text,
    "decimal number": lambda text: str(int(IPv4Address(text))),
    "hexadecimal number": lambda text: f"0x{int(IPv4Address(text)):08x}",
    "octal number": lambda text: f"0{int(IPv4Address(text)):o}",
    "hexadecimal parts": lambda text: ".".join(f"0x{part:X}" for part in _parts(text)),
    "octal parts": lambda text: ".".join(f"0{part:o}" for part in _parts(text)),
    "octal parts with many zeros": lambda text: ".".join(f"00000{part:o}" for part in _parts(text)),
    "two parts": lambda text: f"{_parts(text)[0]}.{_low(text)}",
    "three parts": lambda text: f"{_parts(text)[0]}.{_parts(text)[1]}.{_low(text) & 0xFFFF}",
    "mixed bases": lambda text: f"0x{_parts(text)[0]:x}.0{_parts(text)[1]:o}.{_low(text) & 0xFFFF}",
    "dot at the end": lambda text: f"{text}.",
    "full-width digits": _wide,
    "ideographic dots": lambda text: text.replace(".", "\u3002"),
    "IPv4-mapped": lambda text: f"[::ffff:{text}]",
    "IPv4-mapped, hexadecimal": lambda text: f"[0:0:0:0:0:FFFF:{_groups(text)}]",
    "IPv4-compatible": lambda text: f"[::{text}]",
    "NAT64": lambda text: f"[64:ff9b::{_groups(text)}]",
    "6to4": lambda text: f"[2002:{_groups(text)}::1]",
}

ADDRESSES: dict[str, tuple[str, ...]] = {
    "unspecified": ("0.0.0.0", "0", "0x0", "00", "0.0", "[::]", "[0:0:0:0:0:0:0:0]", "0.1.2.3"),  # noqa: S104
    "IPv6 loopback": ("[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::0:1]", "[::1%lo]", "[::0.0.0.1]"),
    "IPv6 link-local": ("[fe80::1]", "[FE80::1]", "[febf::1]", "[fe80::1%eth0]", "[fe80::a9fe:a9fe]"),
    "IPv6 site-local and unique local": ("[fec0::1]", "[fc00::1]", "[fd12:3456::1]", "[fdff::1]"),
    "IPv6 multicast": ("[ff02::1]", "[ff05::2]", "[ff0e::1]"),
    "IPv6 of documentation and benchmarks": ("[2001:db8::1]", "[3fff::1]", "[2001:2::1]", "[100::1]"),
    "IPv6 tunnels": ("[2001::1]", "[2001:0:4136:e378:8000:63bf:3fff:fdd2]", "[64:ff9b:1::1]"),
    "metadata": ("169.254.170.2", "168.63.129.16", "192.0.0.192", "[fd00:ec2::254]", "[fd20:ce::254]"),
    "IPv4 multicast": ("224.0.0.1", "239.255.255.250", "232.1.1.1"),
    "broadcast and reserved": ("255.255.255.255", "4294967295", "0xffffffff", "240.0.0.1", "254.1.1.1"),
    "carrier-grade NAT": ("100.64.0.1", "100.127.255.254"),
    "IPv4 of documentation and benchmarks": ("192.0.2.1", "198.51.100.7", "203.0.113.9", "198.18.0.1", "198.19.9.9"),
    "6to4 and its relay": ("192.88.99.1", "[2002:808:808::1]"),
    "edges of private networks": ("10.0.0.0", "10.255.255.255", "172.31.255.255", "192.168.255.255", "127.255.255.254"),
}
"""Not public, and literal: refused when a connection is saved, and when it is opened."""

MALFORMED: dict[str, tuple[str, ...]] = {
    "scheme": ("amqp://127.0.0.1", "amqps://broker.example.com", "http://169.254.169.254/", "file:///etc/passwd"),
    "userinfo": ("user@127.0.0.1", "user:secret@127.0.0.1", "broker.example.com@127.0.0.1", "@127.0.0.1"),
    "path, query, fragment": ("127.0.0.1/x", "broker.example.com/", "127.0.0.1?x", "127.0.0.1#x", "127.0.0.1\\x"),
    "port": ("127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:+1", "127.0.0.1:\u0661", "127.0.0.1:1:2"),
    "brackets": ("[::1", "::1]", "[::1]x", "[[::1]]", "[127.0.0.1]", "[localhost]", "[]", "::1", "::ffff:127.0.0.1"),
    "blanks and control characters": (
        " 127.0.0.1", "127.0.0.1 ", "127.0.0.1\n", "\t127.0.0.1", "127.0.0.1\r\nx", "127.0.0.1\0", "127.0. 0.1",
        "127.0.0.1\u00a0", "\u200b127.0.0.1",
    ),
    "numbers that are no address": ("256.0.0.1", "127.0.0.256", "4294967296", "1.2.3.4.5", "08.0.0.1", "127.0.0.09"),
    "labels": ("a..b", ".local", "-a.example", "a-.example", f"{'a' * 64}.example", ".".join(["a" * 60] * 5), "."),
    "lists": ("127.0.0.1,8.8.8.8", "8.8.8.8;127.0.0.1", "8.8.8.8|127.0.0.1", "127.0.0.0/8"),
    "encoded": ("127%2e0%2e0%2e1", "%6cocalhost", "&#49;27.0.0.1", "${jndi:ldap://127.0.0.1}", "$(hostname)"),
}  # fmt: skip
"""No hosts at all: refused when a connection is saved."""

NAMES: dict[str, tuple[str, ...]] = {
    "loopback": ("localhost", "LOCALHOST", "localhost.", "localhost.localdomain", "ip6-localhost", "any.localhost"),
    "clouds' metadata": (
        "metadata.google.internal",
        "metadata",
        "instance-data.ec2.internal",
        "metadata.azure.internal",
    ),
    "inner networks": (
        "broker.internal",
        "broker.local",
        "broker.lan",
        "kubernetes.default.svc",
        "host.docker.internal",
    ),
    "addresses within names": ("127.0.0.1.nip.io", "10-0-0-1.sslip.io", "0x7f000001.example.com", "www.127-0-0-1.test"),
    "other scripts": ("b\u00fccher.example", "xn--bcher-kva.example", "\u2460.example", "\u0440\u0444.example"),
    "harmless": ("broker.example.com", "BROKER.example.com", "broker.example.com.", "a.b.c.d.example"),
}
"""Well-formed: taken when a connection is saved, and judged by the address that they stand for when it is opened."""

PUBLIC: dict[str, tuple[str, ...]] = {
    "IPv4": ("8.8.8.8", "1.1.1.1", "9.9.9.9", "52.95.110.1", "193.0.6.139", "5.6.7.8", "223.255.255.254"),
    "edges": ("9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0",
              "169.253.255.255", "169.255.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
              "198.17.255.255", "198.20.0.0", "168.63.129.17"),
    "other spellings of IPv4": ("134744072", "0x08080808", "010.010.010.010", "8.526344", "8.8.2056", "8.8.8.8."),
    "IPv6": ("[2606:4700::1111]", "[2001:4860:4860::8888]", "[2620:fe::fe]", "[2A00:1450:4001::1]", "[2400:cb00::1]"),
    "IPv4 within IPv6": ("[::ffff:8.8.8.8]", "[64:ff9b::808:808]", "[::FFFF:808:808]"),
    "with a port": ("8.8.8.8:5671", "broker.example.com:1", "broker.example.com:65535", "[2606:4700::1111]:5671"),
    "names": ("broker.example.com", "rabbit.cloudamqp.com", "b-1.mq.eu-west-1.amazonaws.com", "example", "a.bc",
              "xn--bcher-kva.example", "b\u00fccher.example", "my_broker.example.com", "broker.example.com.",
              "1and1.example", "3com.com", "127-0-0-1.example", "10.example.com", f"{'a' * 63}.example", "a--b.example",
              "localhost.example.com", "internal.example.com", "0x7f.example"),
}  # fmt: skip


def spelled() -> dict[str, tuple[str, ...]]:
    """Every forbidden literal, the local ones in every spelling."""
    return {kind: tuple(spell(text) for text in LOCAL) for kind, spell in SPELLINGS.items()} | ADDRESSES
