-- Every measured oddity: which rule saw it, about whom, how strong, in which window. Signals alone name nobody.
create or replace view signals as
select
    rule_id, -- the rule that saw it
    evidence, -- timing, content, …: strengths of one kind never add up; unscored: counts towards no score
    dimension, -- kind of entity it is about
    entity_id, -- what it was seen of
    account_id, -- the account it speaks against
    group_key, -- what its accounts share; accounts with one key may be a campaign
    strength, -- 0 to 1
    reason, -- what was seen of the account, for a person
    group_reason, -- what was seen of all that share group_key; null: nothing is said
    window_start, -- start of the window it was seen in, UTC
    window_end, -- end of that window
    first_seen, -- event time of the first request that shows it
    last_seen -- event time of the latest
from signal;
