"""Addresses of brokers: parsing of all spellings, and the addresses that no connection may use."""

import re
import unicodedata
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_NEVER_PUBLIC: tuple[Network, ...] = (
    _COMPATIBLE,  # IPv4-compatible: no such host exists, some stacks unwrap it
    IPv6Network("2001::/23"),  # protocol assignments, among them Teredo: a tunnel to an address that cannot be checked
    IPv6Network("2002::/16"),  # 6to4: a tunnel over relays that exist no longer (RFC 7526)
    IPv6Network("64:ff9b:1::/48"),  # NAT64 of a local network
    ip_network("192.88.99.0/24"),  # 6to4 relays
    ip_network("168.63.129.16/32"),  # Azure's metadata and DNS, a public address that is local everywhere
    ip_network("100.64.0.0/10"),  # carrier-grade NAT; Alibaba's metadata lives there
    # Some releases of Python count the networks below as global.
    ip_network("192.0.0.0/24"),  # protocol assignments; Oracle's metadata lives there
    IPv6Network("3fff::/20"),  # documentation, since RFC 9637
    IPv6Network("5f00::/16"),  # segment routing within a provider, RFC 9602
)
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_PORT = re.compile(r"[0-9]{1,5}")
_SEPARATOR = re.compile(r"[,;|\uff0c\u3001]")
"""What stands between hosts where users list several."""
_HOST_AND_PORTS = re.compile(r"[^:\[\]]*[^:\[\]0-9a-fA-F][^:\[\]]*(?::[^:\[\]]*)+")
"""Text with colons whose first part cannot be a group of an IPv6 address."""
_DOTS = str.maketrans({"\u3002": ".", "\uff0e": ".", "\uff61": "."})


def forbidden(address: Address, allowed: Sequence[Network]) -> bool:
    """Return whether connections to this address are forbidden: loopback, link-local, private, multicast, metadata,
    unspecified, reserved, or an IPv6 address that embeds such an IPv4 address.

    ``allowed`` lists networks that are permitted nevertheless.
    """
    faces = [address, *_embedded(address)]
    if any(face in network for face in faces for network in allowed):
        return False
    return any(_local(face) for face in faces)


def literal_address(host: str) -> Address | None:
    """Return the address that ``host`` spells, or None for a name.

    Accepts every spelling that a resolver accepts: also decimal, hexadecimal, octal, short and full-width.
    """
    text = _plain(host).partition("%")[0].removesuffix(".")
    try:
        return ip_address(text)
    except ValueError:
        return _inet_aton(text)


def parse_host_port(text: str, default_port: int) -> tuple[str, int]:
    """Split ``host``, ``host:port``, ``[IPv6]`` or ``[IPv6]:port`` into host and port.

    Raises ValueError with a sentence for the user.
    """
    if _SEPARATOR.search(text):
        raise ValueError("Write one host: a connection has one broker, or one name in front of a cluster's nodes.")
    if "://" in text:
        raise ValueError("Write the host without a scheme, such as broker.example.com or broker.example.com:5671.")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not isinstance(literal_address(host), IPv6Address):
            raise ValueError("Only an IPv6 address may stand in brackets, such as [2001:db8::1]:5671.")
        if rest and not rest.startswith(":"):
            raise ValueError("Only :port may follow an IPv6 address in brackets.")
        return host, _port(rest[1:]) if rest else default_port
    if text.count(":") > 1 and _HOST_AND_PORTS.fullmatch(text):
        raise ValueError("Write one host with one port, such as broker.example.com:5671.")
    if text.count(":") > 1:
        raise ValueError("Write an IPv6 address in brackets, such as [2001:db8::1]:5671.")
    host, colon, port = text.partition(":")
    _check_host(host)
    return host, _port(port) if colon else default_port


def _check_host(host: str) -> None:
    if not host:
        raise ValueError("The host is missing.")
    if literal_address(host) is not None:
        return
    try:
        name = host.encode("idna").decode("ascii").removesuffix(".")
    except UnicodeError as error:
        raise ValueError("This is not the name of a host: a part between dots has 1 to 63 characters.") from error
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):  # noqa: PLR2004  # RFC 1035
        raise ValueError("This is not the name of a host: it may contain only letters, digits, hyphens and dots.")
    if labels[-1].isdigit():
        raise ValueError("This is neither the name of a host nor an address: a host name cannot end in a number.")


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= 65535:  # noqa: PLR2004  # the range of TCP ports
        raise ValueError("The port must be a number from 1 to 65535.")
    return int(text)


def _plain(host: str) -> str:
    return unicodedata.normalize("NFKC", host.translate(_DOTS)).strip()


def _inet_aton(text: str) -> IPv4Address | None:
    """Parse one to four parts, each decimal, octal or hexadecimal; the last one fills the remaining bytes."""
    parts = text.split(".")
    if len(parts) > 4:  # noqa: PLR2004  # an IPv4 address has no more bytes
        return None
    numbers = [_number(part) for part in parts]
    value = 0
    for position, number in enumerate(numbers):
        last = position == len(numbers) - 1
        width = 8 * (4 - position) if last else 8
        if number is None or number >= 1 << width:
            return None
        value = value | number if last else value | number << 8 * (3 - position)
    return IPv4Address(value)


def _number(text: str) -> int | None:
    if re.fullmatch(r"0[xX][0-9a-fA-F]*", text):
        return int(text[2:] or "0", 16)
    if re.fullmatch(r"0[0-7]*", text):
        return int(text, 8)
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,9}", text) else None


def _embedded(address: Address) -> list[IPv4Address]:
    if isinstance(address, IPv4Address):
        return []
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    if address.sixtofour:
        return [address.sixtofour]
    if address.teredo:
        return list(address.teredo)
    if address in _NAT64 or address in _COMPATIBLE:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    return []


def _local(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped or address in _NAT64:
            return False  # the caller checks the embedded IPv4 address
        if address.is_site_local:
            return True
    return (
        not address.is_global
        or address.is_multicast
        or address.is_reserved
        or any(address in network for network in _NEVER_PUBLIC)
    )
