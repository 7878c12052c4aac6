"""Where a request came from, in comparable form: the network of an address, and the client as one readable id."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

import polars as pl
import polars_hash as plh

CLIENT_CHARS: Final = 160
_HASH_CHARS: Final = 17  # a tilde and 16 hexadecimal digits
_OCTET: Final = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_FIRST_THREE: Final = rf"^((?:{_OCTET}\.){{3}}){_OCTET}$"  # of a plain IPv4 address


def networks(ip: pl.Series, asn: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Addresses in their shortest form (what is none stays as it came), and their networks.

    A network is the /24 or /48 of the address, or ``AS…`` where there is no readable address but an ASN.
    """
    found = pl.DataFrame({"ip": ip, "asn": asn}).with_columns(network=pl.col("ip").str.extract(_FIRST_THREE) + "0/24")
    # What is no plain IPv4 address is read one by one, each of a batch's once.
    if found["network"].null_count() > ip.null_count():
        others = found.filter(pl.col("ip").is_not_null() & pl.col("network").is_null())["ip"].unique()
        read = pl.DataFrame(
            [(value, *_read(value)) for value in others],
            schema={"ip": pl.String, "address": pl.String, "of": pl.String},
            orient="row",
        )
        found = found.join(read, on="ip", how="left", maintain_order="left").with_columns(
            ip=pl.coalesce("address", "ip"), network=pl.coalesce("network", "of")
        )
    system = found.select(pl.coalesce("network", pl.format("AS{}", "asn")).alias("network"))
    return found["ip"].alias(ip.name), system.to_series()


def clients(events: pl.DataFrame) -> pl.Series:
    """``user_agent · ja4 · sdk`` of those that are there; a longer one is cut and told apart by a hash."""
    joined = pl.concat_str([pl.col(name) for name in ("user_agent", "ja4", "sdk")], separator=" · ", ignore_nulls=True)
    none = pl.all_horizontal(pl.col("user_agent", "ja4", "sdk").is_null())
    whole = events.select(pl.when(~none).then(joined).alias("client"))
    if (whole["client"].str.len_chars().max() or 0) <= CLIENT_CHARS:  # type: ignore[operator]
        return whole.to_series()
    digest = plh.col("client").chash.sha2_256().str.slice(0, _HASH_CHARS - 1)
    short = pl.format("{}~{}", pl.col("client").str.slice(0, CLIENT_CHARS - _HASH_CHARS), digest)
    return whole.select(
        pl.when(pl.col("client").str.len_chars() > CLIENT_CHARS).then(short).otherwise("client").alias("client")
    ).to_series()


@lru_cache(maxsize=65_536)
def _read(text: str) -> tuple[str, str | None]:
    """A port, a zone or brackets around the address are taken off; of a forwarded list the first is the client."""
    first = text.split(",", 1)[0].strip()
    if first.startswith("["):
        first = first[1:].split("]", 1)[0]
    elif first.count(":") == 1:
        first = first.split(":", 1)[0]
    try:
        address = ipaddress.ip_address(first)
    except ValueError:
        return text[:64], None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            bare = ipaddress.IPv6Address(int(address))
            return str(bare), str(ipaddress.IPv6Network((int(bare), 48), strict=False))
        address = address.ipv4_mapped
    return str(address), str(ipaddress.IPv4Network((int(address), 24), strict=False))
