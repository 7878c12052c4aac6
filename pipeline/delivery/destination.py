"""Where a webhook may connect: the public internet over https, and whatever else somebody allowed by name.

A receiver's address is written by a user of the system and reached from inside its network: without a check it is a
way to ask the metadata service for credentials, or an internal service for anything (server-side request forgery).
What is checked is the address that is connected to, at every try, not the name: a name may resolve to something else
the next time.

Source: OWASP, Server-Side Request Forgery Prevention Cheat Sheet; IANA special-purpose address registries (RFC 6890).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal, Self
from urllib.parse import urlsplit

import idna

from pipeline.errors import StillwatchError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]  # a name and port to the addresses that the system gives, as text

MAX_URL: Final = 2048
PORTS: Final = {"https": frozenset({443, 8443}), "http": frozenset({80, 8080})}
_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)*\.?")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x20\x7f\\]")

_ALLOW: Final = "a receiver inside has to be allowed by network or name (webhook.allow)"
# Public by registry and yet no receiver: what clouds answer their own machines at.
_OF_CLOUDS: Final = (ip_network("168.63.129.16/32"),)
# Of special purpose by registry, and not known to every Python as such.
_SPECIAL: Final = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20", "5f00::/16")))
# IPv6 addresses in which an IPv4 address stands that a translator connects to.
_NAT64: Final = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))
_COMPATIBLE: Final = ip_network("::/96")
_ISATAP: Final = 0x5EFE


class DestinationError(StillwatchError):
    """A receiver's address that is not connected to. The message names no more than the host.

    ``passing``: another try may find another address behind the name; otherwise none will do any good.
    """

    exit_code = 65

    def __init__(self, message: str, *, next_step: str, passing: bool = False) -> None:
        super().__init__(message, next_step=next_step)
        self.passing = passing


@dataclass(frozen=True, slots=True)
class Reach:
    """What is allowed beside https to the public internet.

    Attributes:
        http: plain http too.
        networks: addresses inside that may be connected to.
        hosts: names, each with a port or with any (None), whose addresses may be inside and whose port may be odd;
            never an address of this machine's link, where clouds keep their credentials.
    """

    http: bool = False
    networks: tuple[Network, ...] = ()
    hosts: frozenset[tuple[str, int | None]] = frozenset()

    @classmethod
    def of(cls, allowed: Sequence[str], *, http: bool = False) -> Self:
        """From what stands in the settings: networks (``10.1.0.0/16``, ``::1``), names (``alerts.internal:9093``).

        Raises:
            DestinationError: an entry is neither.
        """
        networks: list[Network] = []
        hosts: set[tuple[str, int | None]] = set()
        for entry in allowed:
            try:
                networks.append(ip_network(entry.strip()))
                continue
            except ValueError:
                pass
            name, colon, port = entry.strip().lower().rpartition(":")
            if not colon:
                name, port = port, ""
            if not _NAME.fullmatch(name) or (colon and not (port.isdecimal() and 0 < int(port) < 65536)):
                raise DestinationError(
                    f"{entry[:80]!r} is neither a network nor a name",
                    next_step="write 10.1.0.0/16, 127.0.0.1 or alerts.internal:9093",
                )
            hosts.add((name.rstrip("."), int(port) if port else None))
        return cls(http, tuple(networks), frozenset(hosts))

    def names(self, host: str, port: int) -> bool:
        """This name is allowed, whatever its address."""
        return (host, port) in self.hosts or (host, None) in self.hosts


@dataclass(frozen=True, slots=True)
class Destination:
    """A receiver's address, taken apart and checked as far as that goes without asking for its name."""

    scheme: Literal["https", "http"]
    host: str  # lower case, ASCII
    port: int
    target: str  # path and query as sent

    @property
    def shown(self) -> str:
        """For people: scheme, host and port. Paths hold secrets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        standard = (self.scheme, self.port) in (("https", 443), ("http", 80))
        return f"{self.scheme}://{host}" + ("" if standard else f":{self.port}")


def check_url(url: str, reach: Reach) -> Destination:
    """Take a receiver's address apart.

    Raises:
        DestinationError: it is none, or one that is never connected to: plain http, a user's name in it, an odd port,
            an address (not a name) that is not to be connected to.
    """
    if not url or len(url) > MAX_URL or _UNPRINTABLE.search(url):
        raise _refused("not an address of a receiver", "give https://host/path, at most 2,048 characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _refused("not an address of a receiver", "give https://host/path") from None
    scheme = parts.scheme.lower()
    if scheme not in ("https", "http"):
        raise _refused(f"{scheme[:20] or 'no'} scheme", "a receiver is reached over https")
    if scheme == "http" and not reach.http:
        raise _refused("plain http", "use https, or allow http for a receiver of your own (webhook.allow_http)")
    if "@" in parts.netloc:
        raise _refused("a user's name in the address", "give the receiver's secret as a secret, not in the address")
    host = _host(parts.hostname or "")
    port = port or (443 if scheme == "https" else 80)
    kind = forbidden(host, reach, by_name=reach.names(host, port)) if _address(host) is not None else ""
    if kind:
        raise _refused(f"{host} is {kind}", _ALLOW)
    if port not in PORTS[scheme] and not reach.names(host, port) and not _inside(host, reach):
        raise _refused(f"port {port}", "use 443 or 8443, or allow the host by name (webhook.allow)")
    # The fragment is the browser's own, never sent.
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii():
        raise _refused("letters in the path that are not ASCII", "percent-encode them")
    return Destination("https" if scheme == "https" else "http", host, port, target)


def permitted(destination: Destination, reach: Reach, resolve: Resolve) -> list[str]:
    """The addresses behind a destination, every one of them allowed. Blocks for as long as the name server takes.

    One that is not allowed refuses all: whoever answers for the name means to get inside, and chooses the order.

    Raises:
        DestinationError: a name that resolves to nothing, or to something that is not to be connected to.
    """
    try:
        found = list(dict.fromkeys(resolve(destination.host, destination.port)))
    except OSError:
        found = []
    if not found:
        raise _refused(f"{destination.host} has no address", "look whether the name is right", passing=True)
    by_name = reach.names(destination.host, destination.port)
    for text in found:
        kind = forbidden(text, reach, by_name=by_name)
        if kind:
            raise _refused(f"{destination.host} is {kind}", _ALLOW, passing=True)
    return found


def forbidden(text: str, reach: Reach, *, by_name: bool = False) -> str:
    """What kind of address this is, if none to connect to; empty: it may be.

    Args:
        text: an address as the resolver gives it; a scope (``%eth0``) makes it one of the link.
        reach: what is allowed beside the public internet.
        by_name: the name was allowed: only addresses of the link are refused then.
    """
    if "%" in text:
        return "an address of this machine's link"
    try:
        address = ip_address(text)
    except ValueError:
        return "no address"
    # Whoever allows a network means what is in it, and nothing that only arrives there through a translator.
    if _among(address, reach.networks):
        return ""
    # A mapped address is its IPv4 one, to the system too.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    for one in (mapped or address, *_within(address)):
        if one.is_link_local or _among(one, _OF_CLOUDS):
            return "an address of this machine's link"
        if not by_name and (not one.is_global or one.is_multicast or one.is_reserved or _among(one, _SPECIAL)):
            return _kind(one)
    return ""


def _among(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _kind(address: Address) -> str:
    if address.is_loopback:
        return "this machine"
    if address.is_unspecified:
        return "no address in particular"
    if address.is_multicast:
        return "a multicast address"
    return "an address inside"


def _within(address: Address) -> list[IPv4Address]:
    """IPv4 addresses that an IPv6 one stands for: mapped, compatible, 6to4, Teredo, NAT64, ISATAP."""
    if isinstance(address, IPv4Address):
        return []
    found: list[IPv4Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    low = IPv4Address(int(address) & 0xFFFFFFFF)
    if any(address in network for network in (*_NAT64, _COMPATIBLE)):
        found.append(low)
    if (int(address) >> 32) & 0xFDFFFFFF == _ISATAP:
        found.append(low)
    return [one for one in found if one is not None]


def _host(host: str) -> str:
    host = host.lower().rstrip(".")
    if ":" in host:
        try:
            return str(IPv6Address(host))
        except ValueError:
            raise _refused("no host in the address", "give https://host/path") from None
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode()
        except idna.IDNAError:
            raise _refused("a host that is no name", "give https://host/path") from None
    if not host or len(host) > 253 or not _NAME.fullmatch(host):
        raise _refused("no host in the address", "give https://host/path")
    return host


def _address(host: str) -> Address | None:
    """The host where it is written as an address; None: it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _inside(host: str, reach: Reach) -> bool:
    """The host is written as an address that is allowed."""
    address = _address(host)
    return address is not None and _among(address, reach.networks)


def _refused(what: str, next_step: str, *, passing: bool = False) -> DestinationError:
    return DestinationError(f"not connected to: {what}", next_step=next_step, passing=passing)
