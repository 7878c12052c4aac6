"""Where a request came from, in comparable form: the network of an address, and the client as one readable id."""

from __future__ import annotations

import ipaddress
from typing import Final

import polars as pl
import polars_hash as plh

CLIENT_CHARS: Final = 160
_HASH_CHARS: Final = 17  # a tilde and 16 hexadecimal digits


def networks(ip: pl.Series, asn: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Addresses in their shortest form (what is none stays as it came), and their networks.

    A network is the /24 or /48 of the address, or ``AS…`` where there is no readable address but an ASN.
    """
    values = ip.unique().drop_nulls()
    pairs = [_read(value) for value in values]
    address = ip.replace_strict(
        values, pl.Series([a for a, _ in pairs], dtype=pl.String), default=None, return_dtype=pl.String
    )
    network = ip.replace_strict(
        values, pl.Series([n for _, n in pairs], dtype=pl.String), default=None, return_dtype=pl.String
    )
    system = pl.DataFrame({"asn": asn, "network": network}).select(
        pl.coalesce("network", pl.format("AS{}", "asn")).alias("network")
    )
    return address, system.to_series()


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
