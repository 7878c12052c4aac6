-- What accounts said often in the hours that are kept: for often_said, of these shares and of larger ones.
select
    kind,
    thing_id,
    account_id,
    events,
    first_seen,
    last_seen
from often_said(getvariable('kept_since'), getvariable('kept_upto'), 0.04, 0.5);
