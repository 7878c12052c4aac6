"""Who sends: accounts with their facts, keys, networks and clients."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from pipeline.events.schema import UTC_MICROSECONDS
from pipeline.simulate.seeds import hex_ids

FACTS: Final = pl.Schema(
    {
        "account_id": pl.String(),
        "created_at": UTC_MICROSECONDS,
        "plan": pl.String(),
        "quota": pl.Int64(),
        "payment_hash": pl.String(),
        "email_domain": pl.String(),
        "organisation": pl.String(),
        "country": pl.String(),
        "status": pl.String(),
    }
)
# user agent, JA4, SDK and weight: what API clients look like. Versions are the ones in use, fingerprints are made up.
CLIENTS: Final = (
    ("OpenAI/Python 2.8.1", "t13d1517h2_8daaf6152771_b0da82dd1658", "openai-python/2.8.1", 26),
    ("OpenAI/JS 6.9.0", "t13d1714h1_5b57614c22b0_7baf387fc6ff", "openai-node/6.9.0", 18),
    ("Anthropic/Python 0.74.0", "t13d1517h2_8daaf6152771_eca864cca44a", "anthropic-python/0.74.0", 17),
    ("Anthropic/JS 0.70.1", "t13d1714h1_5b57614c22b0_8e6e362c5eac", "anthropic-typescript/0.70.1", 11),
    ("python-requests/2.32.5", "t13d1812h1_85036bcba153_375ca2c5e164", None, 8),
    ("LangChain/1.0.7", "t13d1517h2_8daaf6152771_4b5e5c2cf8a1", "langchain/1.0.7", 7),
    ("node-fetch/3.3.2", "t13d1714h1_5b57614c22b0_f3b1c7a1d0e2", None, 5),
    ("Go-http-client/2.0", "t13d1312h2_f57a46bbacb6_ab7e3b40a677", None, 5),
    ("okhttp/5.3.0", "t13d1611h2_46e7e9700bed_eeeea6562960", None, 3),
)
CAMPAIGN_CLIENT: Final = ("aiohttp/3.9.1", "t13d1210h1_3fcd1a44f3e3_0d8feac7bc37", None)
# ASN, country, first two octets: a block an AS; the addresses stand for nobody.
NETWORKS: Final = (
    (7922, "US", "73.5"), (7018, "US", "99.7"), (701, "US", "71.9"), (3320, "DE", "91.3"), (3215, "FR", "90.2"),
    (2856, "GB", "86.1"), (4134, "CN", "61.4"), (4837, "CN", "123.8"), (45609, "IN", "106.5"), (28573, "BR", "177.6"),
    (4766, "KR", "121.2"), (2516, "JP", "106.1"), (12322, "FR", "82.6"), (6830, "NL", "84.2"), (3352, "ES", "88.4"),
    (16509, "US", "54.3"), (15169, "US", "34.8"), (8075, "US", "20.5"), (14061, "US", "159.6"), (24940, "DE", "95.2"),
)  # fmt: skip
DATACENTRES: Final = slice(15, 20)
MAIL: Final = ("gmail.com", "outlook.com", "proton.me", "icloud.com", "qq.com", "gmx.de", "orange.fr")


@dataclass(frozen=True, slots=True)
class Group:
    """Accounts of one cohort. Arrays run parallel to ``accounts``; ``facts`` has the columns of FACTS."""

    accounts: list[str]
    keys: list[str]
    facts: pl.DataFrame
    network: np.ndarray[tuple[int], np.dtype[np.int64]]
    subnet: np.ndarray[tuple[int], np.dtype[np.int64]]
    client: np.ndarray[tuple[int], np.dtype[np.int64]]


def make_group(
    rng: np.random.Generator,
    count: int,
    start: datetime,
    *,
    age_days: tuple[float, float] = (2, 1500),
    organisation: str | None = None,
    company_share: float = 0.3,
) -> Group:
    """Accounts whose ages are log-uniform between two bounds; about ``company_share`` of them are companies.

    ``organisation`` makes all of them accounts of one, with one payment and one mail domain.
    """
    accounts = hex_ids(rng, count, "acct_", 12)
    ages = np.exp(rng.uniform(np.log(age_days[0]), np.log(age_days[1]), count))
    company = rng.random(count) < company_share
    names = hex_ids(rng, count, "org-", 6)
    network = rng.integers(0, len(NETWORKS), count)
    mail = rng.integers(0, len(MAIL), count)
    payments = hex_ids(rng, count, "pay_", 16)
    plan = np.where(company, 2, rng.integers(0, 2, count))
    facts = pl.DataFrame(
        {
            "account_id": accounts,
            "created_at": [start - timedelta(days=float(age)) for age in ages],
            "plan": [("free", "pro", "scale")[i] for i in plan],
            "quota": [(200_000, 2_000_000, 50_000_000)[i] for i in plan],
            "payment_hash": [payments[0]] * count if organisation else payments,
            "email_domain": [
                f"{organisation.lower()}.example"
                if organisation
                else f"{names[i]}.example"
                if company[i]
                else MAIL[mail[i]]
                for i in range(count)
            ],
            "organisation": [organisation or (names[i] if company[i] else None) for i in range(count)],
            "country": [NETWORKS[i][1] for i in network],
            "status": ["active"] * count,
        },
        schema=FACTS,
    )
    weights = np.array([client[3] for client in CLIENTS], dtype=np.float64)
    return Group(
        accounts=accounts,
        keys=hex_ids(rng, count, "key_", 14),
        facts=facts,
        network=network,
        subnet=rng.integers(0, 256, count),
        client=rng.choice(len(CLIENTS), count, p=weights / weights.sum()),
    )
