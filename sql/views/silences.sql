-- Silences: alerts that fit all matchers are written and not told while one holds.
create or replace view silences as
select
    silence_id, -- its id
    matchers, -- FIELD=VALUE or FIELD!=VALUE; all must fit
    reason, -- why
    said_by, -- who said so
    said_at, -- when
    starts_at, -- from when on it holds
    ends_at, -- until when
    ended_by -- who ended it before its time; null: nobody
from silence;
