"""Where a webhook may connect: addresses of receivers, and what stands behind their names."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.destination import Destination, DestinationError, Reach, check_url, forbidden, permitted

NOTHING = Reach()
INSIDE = Reach.of(["10.1.0.0/16", "::1", "127.0.0.1", "alerts.internal:9093", "hooks.internal"], http=True)


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "shown"),
    [
        ("https://hooks.example/a?b=c#d", "hooks.example", 443, "/a?b=c", "https://hooks.example"),
        ("HTTPS://Hooks.Example.:8443", "hooks.example", 8443, "/", "https://hooks.example:8443"),
        ("https://bücher.example/x", "xn--bcher-kva.example", 443, "/x", "https://xn--bcher-kva.example"),
        ("https://[2606:4700::1111]/x", "2606:4700::1111", 443, "/x", "https://[2606:4700::1111]"),
        ("https://1.1.1.1/x", "1.1.1.1", 443, "/x", "https://1.1.1.1"),
    ],
)
def test_addresses_of_receivers_are_taken_apart(url: str, host: str, port: int, target: str, shown: str) -> None:
    found = check_url(url, NOTHING)
    assert (found.scheme, found.host, found.port, found.target, found.shown) == ("https", host, port, target, shown)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "not an address"),
        ("hooks.example/a", "scheme"),
        ("//hooks.example/a", "no scheme"),
        ("ftp://hooks.example/a", "ftp scheme"),
        ("gopher://hooks.example:443/_POST", "gopher scheme"),
        ("file:///etc/passwd", "file scheme"),
        ("http://hooks.example/a", "plain http"),
        ("https://user:pass@hooks.example/a", "a user's name"),
        ("https://hooks.example@127.0.0.1/", "a user's name"),
        ("https://@127.0.0.1/", "a user's name"),
        ("https://hooks.example:22/", "port 22"),
        ("https://hooks.example:6379/", "port 6379"),
        ("https://hooks.example:99999/", "not an address"),
        ("https://hooks.example:x/", "not an address"),
        ("https://[::1/", "not an address"),
        ("https://[::g]/", "not an address"),
        ("https:///a", "no host"),
        ("https://ho oks.example/", "not an address"),
        ("https://hooks.example/a\r\nX-Evil: 1", "not an address"),
        ("https://hooks.example\\@127.0.0.1/", "not an address"),
        ("https://hooks_.example/", "no host"),
        ("https://-hooks.example/", "no host"),
        ("https://\N{FULLWIDTH SOLIDUS}.example/", "n"),
        ("https://hooks.example/\N{SNOWMAN}", "not ASCII"),
        ("https://hooks.example/" + "a" * 2048, "not an address"),
        ("https://" + "a." * 130 + "example/", "no host"),
        ("https://169.254.169.254/latest", "this machine's link"),
        ("https://127.0.0.1/", "this machine"),
        ("https://[::1]/", "this machine"),
        ("https://[64:ff9b::a00:1]/", "an address inside"),
        ("https://10.1.2.3/", "an address inside"),
    ],
)
def test_other_addresses_are_refused_with_the_next_step(url: str, said: str) -> None:
    with pytest.raises(DestinationError, match=said) as caught:
        check_url(url, NOTHING)
    assert caught.value.next_step
    assert not caught.value.passing
    assert "pass" not in caught.value.message


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",  # carriers' own (RFC 6598)
        "100.100.100.200",  # Alibaba's metadata
        "169.254.169.254",  # the metadata of most clouds
        "168.63.129.16",  # Azure's, in public space
        "192.0.0.192",  # Oracle's
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",  # Amazon's metadata over IPv6
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:a9fe:a9fe",
        "::127.0.0.1",
        "64:ff9b::7f00:1",  # NAT64 of 127.0.0.1
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",  # 6to4 of 127.0.0.1
        "2002:a9fe:a9fe::1",
        "2001:0:7f00:1::",  # Teredo, its server inside
        "2606:4700::5efe:a00:1",  # ISATAP of 10.0.0.1
        "not an address",
        "",
    ],
)
def test_what_is_inside_is_not_connected_to(address: str) -> None:
    assert forbidden(address, NOTHING)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_the_public_internet_is(address: str) -> None:
    assert not forbidden(address, NOTHING)


@given(st.ip_addresses(v=4))
def test_an_address_within_an_address_is_judged_as_itself(address: IPv4Address) -> None:
    alone = bool(forbidden(str(address), NOTHING))
    mapped = ip_address((0xFFFF << 32) | int(address))
    translated = ip_address((0x64FF9B << 96) | int(address))
    assert bool(forbidden(str(mapped), NOTHING)) == alone
    # Behind a translator nothing inside is reached; whether it is used at all is the registry's word.
    assert forbidden(str(translated), NOTHING) or not alone


def test_what_is_allowed_is_connected_to_and_nothing_else() -> None:
    assert not forbidden("10.1.2.3", INSIDE)
    assert not forbidden("127.0.0.1", INSIDE)
    assert forbidden("10.2.0.1", INSIDE)
    assert forbidden("127.0.0.2", INSIDE)
    # Only as itself: not by way of a translator.
    assert forbidden("64:ff9b::a01:203", INSIDE)
    # A name that is allowed may lead inside, and never to where clouds keep credentials.
    assert not forbidden("10.2.0.1", INSIDE, by_name=True)
    assert forbidden("169.254.169.254", INSIDE, by_name=True)
    assert forbidden("168.63.129.16", INSIDE, by_name=True)
    assert forbidden("fe80::1", INSIDE, by_name=True)
    # Unless somebody allows the very address.
    assert not forbidden("169.254.10.1", Reach.of(["169.254.10.1"]))


def test_allowed_names_may_have_any_port() -> None:
    assert check_url("http://alerts.internal:9093/x", INSIDE).port == 9093
    assert check_url("http://hooks.internal:1234/x", INSIDE).port == 1234
    assert check_url("http://127.0.0.1:5000/x", INSIDE).host == "127.0.0.1"
    assert check_url("http://[::1]:5000/x", INSIDE).shown == "http://[::1]:5000"
    with pytest.raises(DestinationError, match="port 9094"):
        check_url("https://alerts.internal:9094/x", INSIDE)


@pytest.mark.parametrize("entry", ["", "10.0.0.0/33", "https://a.example", "a b", "a.example:0", "a.example:x", "*"])
def test_an_entry_that_is_neither_network_nor_name(entry: str) -> None:
    with pytest.raises(DestinationError, match="neither a network nor a name"):
        Reach.of([entry])


def _resolving(*answers: list[str]) -> tuple[list[tuple[str, int]], object]:
    asked: list[tuple[str, int]] = []
    left = list(answers)

    def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return left.pop(0) if len(left) > 1 else left[0]

    return asked, resolve


TARGET = Destination("https", "hooks.example", 443, "/")


def test_one_address_inside_refuses_the_name() -> None:
    _, resolve = _resolving(["1.1.1.1", "10.0.0.1"])
    with pytest.raises(DestinationError, match=r"hooks.example is an address inside") as caught:
        permitted(TARGET, NOTHING, resolve)  # type: ignore[arg-type]
    assert caught.value.passing
    assert "10.0.0.1" not in str(caught.value)


def test_each_try_asks_again() -> None:
    asked, resolve = _resolving(["1.1.1.1", "1.1.1.1"], ["127.0.0.1"])
    assert permitted(TARGET, NOTHING, resolve) == ["1.1.1.1"]  # type: ignore[arg-type]
    with pytest.raises(DestinationError, match="this machine"):
        permitted(TARGET, NOTHING, resolve)  # type: ignore[arg-type]
    assert asked == [("hooks.example", 443)] * 2


def test_a_name_without_an_address_may_have_one_later() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise OSError(host, port)

    with pytest.raises(DestinationError, match="has no address") as caught:
        permitted(TARGET, NOTHING, unknown)
    assert caught.value.passing
