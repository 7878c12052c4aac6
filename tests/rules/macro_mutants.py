"""Macros with one of their thoughts taken out, and the rules whose cases must notice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# What several rules ask, each broken in one way: of which rules a case must fail.
MACROS: Final[Mapping[str, tuple[str, str, str, tuple[str, ...]]]] = {
    "organisations do not count as one customer": (
        "macro_active_accounts",
        "            organisation,\n            if(",
        "            if(",
        ("shared_prompt", "known_set_in_shards"),
    ),
    "one payment for a mail domain is no customer": (
        "macro_active_accounts",
        "                payment_hash is not null\n",
        "                false\n",
        ("shared_prompt", "known_set_in_shards"),
    ),
    "what a launch explains is not limited": (
        "macro_crowd_log_odds",
        "    explained,\n    3.0",
        "    explained + 100,\n    3.0",
        ("shared_prompt", "shared_source"),
    ),
    "everybody's age is not looked at": (
        "macro_crowd_log_odds",
        "young_share - base_young)",
        "young_share - 0)",
        ("shared_prompt", "shared_client"),
    ),
    "nobody's age is looked at": (
        "macro_crowd_log_odds",
        "    3.0 * least(",
        "    0.0 * least(",
        ("shared_prompt", "shared_client", "shared_source"),
    ),
    "volumes are not compared": (
        "macro_crowd_log_odds",
        "+ 1.5 * greatest(0, 1 - spread)",
        "+ 0.0 * greatest(0, 1 - spread)",
        ("shared_prompt",),
    ),
    "any volumes are similar": (
        "macro_crowd_log_odds",
        "+ 1.5 * greatest(0, 1 - spread)",
        "+ 1.5 * greatest(0, 1)",
        ("shared_prompt", "shared_client"),
    ),
    "payments and mail domains are not looked at": (
        "macro_crowd_log_odds",
        "(2.5 * least(1, 3 * payment) + 2.5 * least(1, 3 * email) + ",
        "(0 * payment + 0 * email + ",
        ("shared_prompt", "shared_source"),
    ),
    "any few are a crowd": (
        "macro_crowds",
        "having count(*) filter (where speaks) >= fewest",
        "having count(*) filter (where speaks) >= 0 * fewest",
        ("shared_prompt", "shared_source"),
    ),
    "each account of a customer speaks": (
        "macro_crowds",
        ") = 1 as speaks",
        ") > 0 as speaks",
        ("shared_prompt",),
    ),
    "one school is several places": (
        "macro_crowds",
        "'network' and not told_apart.largest",
        "'network'",
        ("shared_prompt",),
    ),
    "a campus is as many places as it has networks": (
        "macro_crowds",
        "network_place(trait_holder.trait_id)",
        "trait_holder.trait_id",
        ("shared_prompt",),
    ),
    "one mail domain is several places": (
        "macro_crowds",
        "'email domain' and not told_apart.largest",
        "'email domain'",
        ("shared_prompt",),
    ),
    "what others have too is the crowd's own": (
        "macro_crowds",
        "in_crowd.accounts >= own_share * trait_holder.accounts",
        "own_share > 0",
        ("shared_prompt",),
    ),
}
