-- What it took to be named at the last look: one row. Accounts that send much are a list of their own, all others are
-- another, each at half of the rate: e_value_needed = tests / (false_discovery_rate / 2 * (named - named_heavy)), and
-- e_value_needed_heavy = greatest(heavy, tests / 100, 50) / (false_discovery_rate / 2 * named_heavy).
create or replace view naming as
select
    tests, -- accounts that could have been named: those with requests in the last seven days, at least 1,000
    heavy, -- how many of them send 250 requests a day or more
    false_discovery_rate, -- rules.false_discovery_rate: accepted share of innocents among the named
    named, -- how many are named
    named_heavy, -- how many of them send much, and are compared with others that do
    e_value_needed, -- the e-value from which on accounts are named that do not send much; null: nobody is
    e_value_needed_heavy, -- the e-value from which on accounts are named that send much; null: nobody is
    knowledge, -- what arrived of prompts in the last seven days: full, hashes or metadata
    reference, -- version of the reference that scores were held against
    updated_at -- when that was
from naming_state;
