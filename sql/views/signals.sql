-- Every measured oddity: which rule saw it, about whom, how strong, in which window. Signals alone name nobody.
create or replace view signals as
select
    rule_id,
    evidence,
    dimension,
    entity_id,
    account_id,
    group_key,
    strength,
    reason,
    window_start,
    window_end,
    first_seen,
    last_seen
from signal;
