-- What it took to be named at the last look; no row: nothing was looked at yet.
select
    tests,
    heavy,
    false_discovery_rate,
    named,
    named_heavy,
    e_value_needed,
    e_value_needed_heavy,
    reference
from naming;
