-- How each rule that ever ran fares. A rule that fails rests for a minute, then longer; after five failures in a row it
-- is off for a day, or until its files change.
create or replace view rule_health as
select
    rule_id, -- the name of its files
    status as state, -- ok, failed or off
    failures, -- in a row
    last_error as reason, -- why it failed; null: it works
    evaluated_until, -- event time up to which it has looked
    dirty_since, -- event time from which late data waits to be looked at; null: none does
    matches, -- in the last window that it looked at
    last_run_at -- when it last looked or failed
from rule_state;
