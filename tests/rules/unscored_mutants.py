"""Of each rule that counts towards no score: one of its thoughts, and what stands there without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# As MUTANTS, which has these too.
UNSCORED: Final[Mapping[str, Mapping[str, tuple[str, str] | tuple[str, str, int]]]] = {
    "key_spreads": {
        "one client is as telling as many": (">= $min_clients", ">= 0 * $min_clients", 2),
        "one network is as telling as many": (">= $min_networks", ">= 0 * $min_networks", 2),
        "what it always did counts too": ("min(hour) as begun", "max(hour) as begun"),
        "a new key has spread": ("before.hours >= $min_hours", "before.hours >= 0 * $min_hours"),
        "a few more than before are enough": (
            "spread.networks >= $times_before * before.networks",
            "spread.networks >= 0 * $times_before",
        ),
        "one after the other counts like at once": (
            "group by used.api_key_id, used.hour\n),\n\nspread",
            "group by used.api_key_id, all_hours\n),\n\nspread",
        ),
    },
    "template_surge": {
        "what was there before is new": ("counted.before <= $max_before", "counted.before <= 10000 * $max_before"),
        "any share of all requests will do": ("counted.later >= $min_share", "counted.later >= 0 * $min_share"),
        "a few requests are enough of a past": (
            "everybody.before >= $min_history",
            "everybody.before >= 0 * $min_history",
        ),
        "any past is long enough": (
            "- to_hours($min_history_hours::integer)",
            "- 0 * to_hours($min_history_hours::integer)",
        ),
        "what they send besides does not matter": ("said.events >= $min_own", "said.events >= 0 * $min_own"),
        "accounts are customers": (
            "having count(distinct customer) >= $min_customers",
            "having count(*) >= $min_customers",
        ),
        "a handful is a crowd": (
            "having count(distinct customer) >= $min_customers",
            "having count(distinct customer) >= 0.3 * $min_customers",
        ),
    },
    "new_client_newcomers": {
        "any client is new": (
            "having min(first_seen) >= $since::timestamptz + to_hours($before_hours::integer)",
            "having min(first_seen) >= $since::timestamptz + 0 * to_hours($before_hours::integer)",
        ),
        "age does not matter": ("    member.young\n    and", "    true\n    and"),
        "old users do not matter": ("crowd.young_customers >= $min_young", "crowd.young_customers >= 0 * $min_young"),
        "where everybody is new it says something": (
            "usual.young_share <= $max_usual",
            "usual.young_share <= 9 * $max_usual",
        ),
        "accounts are customers": (
            "count(distinct customer) filter (where young) as young_customers",
            "count(*) filter (where young) as young_customers",
        ),
        "what they use besides does not matter": ("seen.events >= $min_share", "seen.events >= 0 * $min_share"),
        "any past is long enough": (
            "- to_hours($min_history_hours::integer)",
            "+ 24 * to_hours($min_history_hours::integer)",
        ),
        "a handful is a crowd": (
            "crowd.young_customers >= $min_customers",
            "crowd.young_customers >= 0.3 * $min_customers",
        ),
    },
    "network_of_newcomers": {
        "age does not matter": ("    member.young\n    and", "    true\n    and"),
        "old customers do not matter": (
            "crowd.young_customers >= $min_young",
            "crowd.young_customers >= 0 * $min_young",
        ),
        "everybody's network counts": ("<= $max_population_share", "<= 9 * $max_population_share"),
        "where everybody is new it says something": (
            "usual.young_share <= $max_usual",
            "usual.young_share <= 9 * $max_usual",
        ),
        "a school is a pool": ("<= $max_one_domain", "<= 9 * $max_one_domain"),
        "accounts are customers": (
            "count(distinct member.customer) filter (where member.young) as young_customers",
            "count(*) filter (where member.young) as young_customers",
        ),
        "a handful is a crowd": (
            "crowd.young_customers >= $min_customers",
            "crowd.young_customers >= 0.3 * $min_customers",
        ),
    },
    "fails_over": {
        "any error is being turned away": (
            "errors >= $min_turned_away",
            "errors >= 0.5 * $min_turned_away",
            2,
        ),
        "a few errors among many answers count": (
            "errors >= $min_share * events",
            "errors >= 0.5 * $min_share * events",
            2,
        ),
        "whoever begins need not be answered": (
            "        events > errors\n        and coalesce(answered_before",
            "        coalesce(answered_before",
        ),
        "whoever goes on was stopped": (
            "and coalesce(answered_next >",
            "and $min_share > 0 or coalesce(answered_next >",
        ),
        "an outage turns away": (
            "sum(errors) > $max_outage * sum(events)",
            "sum(errors) > 100 * $max_outage * sum(events)",
        ),
        "any time later will do": (
            "stopped.minute + to_minutes($within_minutes::integer)",
            "stopped.minute + to_minutes(5 * $within_minutes::integer)",
        ),
        "keys of one customer count": ("and one.customer <> other.customer", "and one.account_id <> other.account_id"),
        "two are enough": ("met.customers >= $min_customers", "met.customers >= 0 * $min_customers"),
        "a few times are enough": ("met.handovers >= $min_handovers", "met.handovers >= 0.5 * $min_handovers"),
        "any place will do": (
            "between $min_customers and $max_accounts",
            "between $min_customers and 100 * $max_accounts",
        ),
        "what chance gives does not matter": ("        > stops.stops * busy.chance +", "        > 0 * busy.chance +"),
        "most of the times need not be taken over": (
            "met.handovers >= $min_taken * stops.stops",
            "met.handovers >= 0 * $min_taken * stops.stops",
        ),
    },
    "quality_probes": {
        "as often on the whole will do": (
            "list_max(by_day[2:-2]) = list_min(by_day[2:-2])",
            "list_max(by_day[2:-2]) <= 2 * list_min(by_day[2:-2])",
        ),
        "a few days are enough": ("$min_days", "0 * $min_days", 3),
        "days may be missing": ("len(by_day) = span\n", "true\n"),
        "any number will do": ("by_day[2] <= $most_a_day", "by_day[2] <= 1000 * $most_a_day"),
        "what sends nothing else probes as well": ("<= $max_own * total", "<= 100 * $max_own * total"),
        "one customer is enough": (
            "count(distinct prober.customer) >= $min_customers",
            "count(distinct prober.customer) > 0 * $min_customers",
        ),
        "accounts are customers": ("        active.customer,\n", "        probing.account_id as customer,\n"),
        "most may send it as it comes": ("count(*) >= $min_alike *", "count(*) >= 0 * $min_alike *"),
        "what very many send counts": (
            "count(distinct source_id) <= $max_accounts",
            "count(distinct source_id) <= 100 * $max_accounts",
        ),
    },
    "metadata_stripped": {
        "a handful of requests is enough": ("stretch.after >= $min_requests", "stretch.after >= 0 * $min_requests"),
        "a handful before is enough": ("stretch.before >= $min_requests", "stretch.before >= 0 * $min_requests"),
        "an hour without is enough": ("stretch.hours_after >= $min_hours", "stretch.hours_after >= 0 * $min_hours"),
        "half of the requests are enough": (
            "stretch.told >= $min_told * stretch.before\n",
            "stretch.told >= 0.5 * $min_told * stretch.before\n",
        ),
        "jobs of the night count": ("and stretch.hours_told >= $min_told", "and stretch.hours_told >= 0 * $min_told"),
        "what was lost on the way counts": ("<= $max_stopped * usual.tellers", "<= 100 * $max_stopped * usual.tellers"),
        "nearly nobody needs to say it": ("<= $max_silent * usual.tellers", "<= 100 * $max_silent * usual.tellers"),
        "one alone opens an alert": (
            "when together.customers < $min_customers then",
            "when together.customers < 0 * $min_customers then",
        ),
        "accounts are customers": ("count(distinct customer) as customers", "count(distinct account_id) as customers"),
        "only clients are looked at": ("    union all\n", "    except all\n"),
        "a request in passing brings it back": (
            "where told > $stray * events)",
            "where told > 0 * $stray * events)",
        ),
    },
    "paid_like_banned": {
        "any payment will do": ("inner join banned on active.payment_hash = banned.payment_hash", "cross join banned"),
        "whom the provider knows does not matter": ("coalesce(kept.accounts, 0) <= $max_kept", "$max_kept >= 0"),
        "nobody needs to be closed": (
            "        and lower(status) in ('banned', 'suspended', 'disabled', 'terminated', 'blocked')\n    group by",
            "    group by",
        ),
        "one request is enough": ("active.events >= $min_requests", "active.events >= 0 * $min_requests"),
        "a successor may take years": ("to_days($within_days::integer)", "to_days(30 * $within_days::integer)"),
    },
    "banned_still_served": {
        "refusals are answers": ("where events - errors >= $min_served", "where events >= $min_served"),
        "what was under way counts": (
            "+ to_minutes($grace_minutes::integer)",
            "+ 0 * to_minutes($grace_minutes::integer)",
        ),
        "what was before counts": (
            "closed.updated_at + to_minutes($grace_minutes::integer)",
            "closed.updated_at - to_minutes(20 * $grace_minutes::integer)",
        ),
        "a few are enough": ("errors >= $min_served", "errors >= 0 * $min_served"),
        "anybody's standing will do": (
            "where lower(status) in ('banned', 'suspended', 'disabled', 'terminated', 'blocked')",
            "where status is not null",
        ),
    },
}
