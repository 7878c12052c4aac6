-- What people said about accounts they know, word by word; the last word about an account counts.
create or replace view clearances as
select
    account_id, -- about whom
    action, -- clear: it has an innocent explanation; unclear: that is taken back
    reason, -- the explanation, for a person
    until, -- what is seen of it from then on counts again; null: until it is taken back
    said_by, -- who said so; accounts import: it came with the facts
    said_at, -- when
    seq, -- the order in which it was said, over all accounts
    row_number() over (partition by account_id order by seq desc) = 1 as last_word -- nothing was said of it since
from clearance;
