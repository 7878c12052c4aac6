-- What it took to be named at the last look: one row. e_value_needed = tests / (false_discovery_rate * named
-- * weight), where accounts that send much weigh tests / 4 heavy (25 at most), others 3 tests / 4 (tests - heavy).
create or replace view naming as
select
    tests, -- accounts that could have been named: those with requests in the last seven days, at least 1,000
    heavy, -- how many of them send 250 requests a day or more: a quarter of the rate is kept for these
    false_discovery_rate, -- rules.false_discovery_rate: accepted share of innocents among the named
    named, -- how many are named
    e_value_needed, -- the e-value from which on accounts are named that do not send much; null: nobody is
    e_value_needed_heavy, -- the e-value from which on accounts are named that send much; null: nobody is
    knowledge, -- what arrived of prompts in the last seven days: full, hashes or metadata
    reference, -- version of the reference that scores were held against
    updated_at -- when that was
from naming_state;
