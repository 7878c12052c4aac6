"""Of each rule, and of what rules share: one of its thoughts, and what stands there without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.rules.unscored_mutants import UNSCORED

# What is taken out: (text of the SQL, what stands there instead). Each text stands there exactly once,
# or as often as told: what is decided last may also keep most out of what takes long before that.
MUTANTS: Final[Mapping[str, Mapping[str, tuple[str, str] | tuple[str, str, int]]]] = {
    "shared_prompt": {
        "any share of an account's requests will do": (
            "$min_share_passage, $min_share) * requests",
            "$min_share_passage, 0 * $min_share) * requests",
        ),
        "only who says nothing else counts": (
            "if(kind = 'fragment', $min_share_passage,",
            "if(kind = 'fragment', 20 * $min_share_passage,",
        ),
        "one request in passing counts": ("$min_share_passage), 0.5)", "$min_share_passage), 0)"),
        "what is asked for does not matter": ("$asking * asking,", "0 * $asking * asking,"),
        "what a launch explains is not limited": ("            $explained,\n", "            $explained + 100,\n"),
        "a handful of requests counts like many": ("spoken.events / (spoken.events + 0.1) / (1", "1.2 / (1"),
        "who quotes what a pool quotes is of it": (
            "$carried * any_value(said.accounts)",
            "9 * $carried * any_value(said.accounts)",
        ),
    },
    "asks_for_reasoning": {
        "a handful counts like hundreds": ("* (1 - exp(-told / $scale))", "* (1 - exp(-$scale))"),
        "any share of an account's requests will do": (">= $min_share * events", ">= 0 * $min_share * events"),
        "grades are as telling as reasoning": ("* $cap_others)", "* $cap * least(1, 2 * $cap_others))"),
        "what is ordinary asks too": ("not in ('ordinary', 'benchmark_item')", "<> 'benchmark_item'"),
    },
    "shared_client": {
        "everybody's client is rare": (
            "<= $max_population_share * all_accounts",
            "<= 100 * $max_population_share * all_accounts",
        ),
        "it may name by itself": ("    $cap * member.share", "    1.4 * $cap * member.share"),
    },
    "shared_source": {
        "only who asks very much is compared": (
            "where said.events >= $min_prompts",
            "where said.events >= 6 * $min_prompts",
        ),
        "a thing that everybody has is rare": (
            "<= $max_population_share * (select",
            "<= 100 * $max_population_share * (select",
        ),
        "any two who have a thing will do": (
            "    group by kind, thing_id\n    having count(distinct customer) >= $min_holders\n",
            "    group by kind, thing_id\n    having count(*) >= 1 + 0 * $min_holders\n",
        ),
        "what everybody asks is a source": ("median(from_others - from_others_of_it) >= $apart", "$apart > 0"),
        "who asks as everybody does is of the crowd": (
            "from_others - from_source >= $apart)",
            "from_others > -100 * $apart)",
        ),
        "who has nothing else in common is named for what he asks": (
            "            else $alone\n",
            "            else 1 + 0 * $alone\n",
        ),
        "nobody asks the same by chance": (
            "(own - own_of_source) * by_chance",
            "0 * (own - own_of_source) * by_chance",
        ),
        "a handful tells how many ask the same by chance": ("other >= $min_unlike", "other >= 0 * $min_unlike"),
        "whoever has a source of his own is of any other": ("when seen.account_id is null and", "when"),
        "what only the largest place has in common counts": (
            "                    bound.customer is not null\n",
            "                    true\n",
        ),
        "the largest place is never the crowd's": (
            "                        2, 0.1 *",
            "                        2000, 0.1 *",
        ),
        "of who has nothing else a dozen will do": (
            "asker.events >= $min_prompts_alone",
            "asker.events >= 0 * $min_prompts_alone",
            2,
        ),
        "whatever one asks one is of the crowd": (
            "from_source <= $alike",
            "from_source <= 100 * $alike",
            3,
        ),
        "any volume is the crowd's": (
            "between candidate.usual_events / $volumes and candidate.usual_events * $volumes",
            "between 0 and 100 * candidate.usual_events * $volumes",
        ),
        "an agent asks like a person": ("abs(asker.tools - candidate.usual_tools) <= 0.25", "true"),
        "a conversation is as good as single requests": (
            "abs(asker.single - candidate.usual_single) <= 0.25",
            "true",
        ),
        "any age is the crowd's": (">= $other_age,", ">= 0 * $other_age,"),
        "what a launch explains is not limited": ("            $explained,\n", "            $explained + 100,\n"),
    },
    "closed_loop_pool": {
        "latency does not matter": ("        sum(latency_ms) as busy_ms,\n", "        sum(events) as busy_ms,\n"),
        "one account counts like a pool": (
            "if(carrier.accounts = 1, $cap_alone, $cap_pool)",
            "if($cap_alone > 0, $cap_pool, 0)",
        ),
        "who is steady alone takes turns too": ("any_value(alone.entity_id) is not null as alone", "false as alone"),
        "hardly anybody carries a pool": (">= $min_carriers", ">= 100 * $min_carriers"),
    },
    "known_set_in_shards": {
        "whoever has all of a set has a part of it": ("<= $max_part * any_value", "<= 10 * $max_part * any_value"),
        "any few are a crowd": ("count(*) >= $min_customers", "count(*) > 0 * $min_customers"),
        "any little of a set will do": ("together >= $min_together", "together >= 0 * $min_together"),
        "a handful hides who has larger parts": ("* 2 ** i)", "* 1 ** i)"),
        "who sends what many send stays": ("<= expected + 3 * sqrt(expected + 1)", "<= 1000 * expected + 1000"),
        "stretches sent in order count like single items": (
            "least(expected, (customers - 1) * estimated / findable)",
            "expected",
        ),
        "who meets the others counts as well": ("greatest(0, 1 - own_meetings / own_expected)", "1"),
        "nobody needs to be known": ("if(active.known, $cap, $cap_unknown)", "greatest($cap, $cap_unknown)"),
        "it may name by itself": ("if(active.known, $cap,", "if(active.known, 1.2 * $cap,"),
        "whom we set aside is forgotten": ("* customers / all_customers as surprise", "as surprise"),
    },
    "new_model_pivot": {
        "a release of any day counts": (
            "where released_at >= $since::timestamptz + to_hours($hours_before::integer)",
            "where $hours_before > 0",
        ),
        "a handful of requests counts": (
            "compared.before >= $min_requests\n        and compared.after >= $min_requests",
            "compared.after >= 0 * $min_requests",
        ),
        "any share of requests is a move": (
            "        and compared.share >= $min_share\n",
            "        and compared.share >= 0 * $min_share\n",
        ),
        "who tries it beside the rest has moved": ("compared.kept <= $max_kept", "compared.kept <= 100 * $max_kept"),
        "who used it before its release has turned": ("side.moved and not side.is_after", "false"),
        "what others do does not matter": (
            "everyone.turned / everyone.customers / $common_share,",
            "0 * $common_share,",
        ),
        "an alias that moves takes nobody along": (
            "alike.turned / alike.customers / $common_share_alike",
            "0 * $common_share_alike",
        ),
        "of few who used the same model enough is known": (
            "and alike.customers >= $min_customers",
            "and alike.customers >= 0 * $min_customers",
        ),
        "the luckiest is told": ("turned.surprise - ln(turned.all_customers)", "turned.surprise - 0"),
        "who pays together has nothing in common": (
            "if(linked.customers is null, $cap, $cap_together)",
            "least($cap, $cap_together)",
        ),
        "the largest card counts too": (") > 1\n),\n\nlinked", ") > 0\n),\n\nlinked"),
        "a card that others have too is their own": (">= $own_share * holder.customers", ">= 0 * $own_share"),
        "one account may be as sure as several": ("is null, $cap, $cap_together)", "is null, 3 * $cap, $cap_together)"),
    },
    "technique_sweep": {
        "any few refusals will do": ("swept.refused >= $min_refused\n", "swept.refused >= 0 * $min_refused\n"),
        "one request again and again is a sweep": (
            "variant.variants >= $min_variants",
            "variant.variants >= 0 * $min_variants",
        ),
        "whoever uses a published prompt found it": (
            "swept.scaled >= $min_tried * swept.events_of_anybody",
            "swept.scaled >= 0 * $min_tried",
        ),
        "nothing needs to be scaled": (
            "        and swept.scaled >= $min_scaled\n        and swept.scaled >= $min_growth * swept.tries\n",
            "        and swept.scaled >= 0 * $min_growth\n",
        ),
        "what it sends besides does not matter": (">= $min_share *", ">= 0 * $min_share *", 2),
        "any refusals are a sweep": (
            "greatest($min_refused_share, $times_usual * sum(refused) / sum(events))",
            "least($min_refused_share, 0 * $times_usual)",
        ),
        "what is refused of everybody does not matter": (
            "greatest($min_refused_share, $times_usual * sum(refused) / sum(events))",
            "greatest($min_refused_share, 0 * $times_usual)",
        ),
        "refusals may go on": ("/ judged.refused_share / $max_left)", "* 0 / $max_left)"),
        "what was refused itself was a try": (" * greatest(0, 1 - own.events_then / account_hour.events)", ""),
        "one customer is as bad as several": ("(judged.customers - 1) / 3", "judged.customers * 9"),
        "accounts are customers": (
            "count(distinct trier.customer)",
            "count(distinct trier.account_id)",
        ),
    },
    "full_speed_new_account": {
        "age does not matter": (
            "<= accounts.created_at + to_days($young_days::integer)",
            "<= accounts.created_at + to_days(1000 * $young_days::integer)",
        ),
        "a ramp does not matter": ("where rate_first >= $max_ramp * rate_last", "where $max_ramp > 0"),
        "speed does not matter": (
            "sum(prints.events) >= $min_rate * count(*)",
            "sum(prints.events) >= 100 * $min_rate * count(*)",
        ),
    },
    "never_idle": {
        "a pause does not matter": ("idle.longest_idle <= $max_idle_hours", "$max_idle_hours >= 0"),
        "day and night may differ": ("lasting.unevenness <= $max_unevenness", "$max_unevenness > 0"),
        "what peers do does not matter": (
            "rarity(placed.chance, $noticed, $rare)",
            "rarity(1 / (placed.others + 1), $noticed, $rare)",
        ),
        "how many peers there are does not matter": ("            $min_peers\n", "            0 * $min_peers\n"),
        "newcomers make usual what they do": ("accounts.created_at >", "false and accounts.created_at >"),
        "half a day is enough": ("where hours >= $min_hours", "where hours >= 0.1 * $min_hours"),
        "who asks the same again and again counts too": ("$min_different * candidate.events", "0 * $min_different"),
        "only the busiest count": ("lasting.per_hour >= $min_per_hour", "lasting.per_hour >= 10 * $min_per_hour"),
        "it may name by itself": ("$cap * candidate.rarity", "2.5 * $cap * candidate.rarity"),
    },
    "many_networks": {
        "one after the other counts like at once": ("max(in_hour.things)", "sum(in_hour.things)"),
        "one client is as telling as many": ("coalesce(clients.rarity, 0)", "1"),
        "what peers do does not matter": ("rarity(far_chance", "rarity(0.00001"),
        "how many peers there are does not matter": ("            $min_peers\n", "            0 * $min_peers\n"),
        "how far the next one is does not matter": ("rarity(far_chance", "rarity(chance"),
        "newcomers make usual what they do": ("accounts.created_at >", "false and accounts.created_at >"),
        "a few networks are enough": (">= $min_networks", ">= 0.5 * $min_networks"),
        "what half of all show is unusual": ("$times_usual * placed.usual", "0 * $times_usual"),
        "who sends keys is looked at as an account too": ("having not bool_or(target_kind = 'api_key')", "having true"),
        "it may name by itself": ("$cap * placed.rarity", "2.5 * $cap * placed.rarity"),
    },
    "sampling_profile": {
        "a handful of requests is enough": (
            "having sum(events) >= $min_events",
            "having sum(events) > 0 * $min_events",
        ),
        "a summariser is one too": ("profile.times >= $min_times", "$min_times > 0"),
        "what is done once says much": ("greatest($now_and_then, ", "greatest(0.1 * $now_and_then, "),
        "a few requests say as much as many": (
            "+ $prior * usual.share) / (habit.events + $prior)",
            ") / (habit.events + 0 * $prior)",
        ),
        "one habit may say everything": ("            $most_each,\n", "            10 * $most_each,\n"),
        "what peers do does not matter": ("rarity(far_chance", "rarity(0.00001"),
        "how many peers there are does not matter": ("            $min_peers\n", "            0 * $min_peers\n"),
        "how far the next one is does not matter": ("rarity(far_chance", "rarity(chance"),
        "newcomers make usual what they do": ("accounts.created_at >", "false and accounts.created_at >"),
        "it may name by itself": ("$cap * placed.rarity", "2.5 * $cap * placed.rarity"),
    },
    "beyond_plan": {
        "age does not matter": ("where subscribed.newcomer and", "where"),
        "what a plan is made for does not matter": ("coalesce(of_quota.rarity, 0)", "1"),
        "without a quota nothing is unusual": ("if(subscribed.quota is null, 1,", "if(subscribed.quota is null, 0,"),
        "what peers do does not matter": ("rarity(far_chance", "rarity(0.00001"),
        "how many peers there are does not matter": ("            $min_peers\n", "            0 * $min_peers\n"),
        "how far the next one is does not matter": ("rarity(far_chance", "rarity(chance"),
        "a few long requests are enough": (">= $min_events", ">= 0 * $min_events"),
        "ten times as much is enough": ("$times_usual * usual", "0 * $times_usual"),
        "it may name by itself": ("$cap * rarity", "4 * $cap * rarity"),
    },
    "outputs_fed_back": {
        "what very many send counts like what one sends": ("loop.outputs / loop.audience", "1.0 * loop.outputs"),
        "two are a pool": ("least(1, (others + 1) / ($pool + 1))", "least(1, $pool)"),
        "any share of an account's requests will do": (
            "weight / ($share * events)",
            "weight / (0.001 * $share * events)",
        ),
        "one customer's accounts are several customers'": (
            "receiver.customer <> sender.customer as",
            "receiver.account_id <> sender.account_id as",
        ),
        "strangers of whom nothing is known are told apart": ("receiver.known and sender.known", "true"),
        "own answers in passing count": ("of_own / ($own_share * events)", "1000 * of_own / ($own_share * events)"),
        "own answers count like those of others": ("$cap_own * least", "2 * $cap_own * least"),
    },
    "replayed_reasoning": {
        "organisations do not count as one customer": ("            accounts.organisation,\n", ""),
        "one payment for a mail domain is no customer": ("accounts.payment_hash is not null and paid.by_one", "false"),
        "a mail domain is one customer, whoever pays": ("min(payment_hash) = max(payment_hash)", "true"),
        "nobody needs to be known": ("held.known and shared.known_customers > 1", "true"),
        "two are as bad as many": ("least(1, (others + 1) / ($pool + 1))", "least(1, $pool)"),
        "a manual counts like a secret": ("sqrt(2 / shared.customers)", "1"),
        "whose block it was is as bad as who sends it again": (
            "if(held.customer = shared.origin, $own_weight, 1)",
            "if($own_weight >= 0, 1, 1)",
        ),
        "it may name by itself": ("$cap * (1 - exp(-told_apart))", "1.15 * $cap * (1 - exp(-told_apart))"),
    },
    **UNSCORED,
}
