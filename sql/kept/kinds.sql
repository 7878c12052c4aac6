-- What kinds of requests accounts sent in the hours that are kept: for asked_kinds.
select
    account_id,
    request_kind,
    requests
from asked_kinds(getvariable('kept_since'), getvariable('kept_upto'));
