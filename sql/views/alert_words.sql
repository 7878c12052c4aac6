-- What people said about alerts, word by word.
create or replace view alert_words as
select
    alert_id, -- about which
    action, -- ack, unack, assign, note, verdict or resolve
    value, -- to whom it was assigned, or the verdict
    note, -- what was said with it
    rules, -- of a verdict: rules whose signals carried the alert then
    said_by, -- who said so
    said_at, -- when
    seq -- the order in which it was said, over all alerts
from alert_word;
