-- What a person knows about an account, word by word, never deleted: the last word about an account is the one that
-- counts. `seq` orders them, since a wall clock may be set back.
create table clearance (
    seq bigint not null,
    account_id varchar not null,
    action varchar not null,
    reason varchar,
    until timestamptz,
    said_by varchar not null,
    said_at timestamptz not null
);

-- What was told as a fact so far becomes the first word about each account.
insert into clearance
select
    row_number() over (order by updated_at, account_id) as seq,
    account_id,
    'clear' as action,
    cleared_reason as reason,
    null as until,
    'accounts import' as said_by,
    updated_at as said_at
from account_fact
where cleared_reason is not null;

alter table account_fact drop column cleared_reason;
