-- When models were released, as somebody said (stillwatch releases add): one row a model, what was said last.
create or replace view releases as
select
    model, -- as requests name it
    released_at, -- event time; ahead of what was seen: it counts from then on
    note, -- what was said with it
    said_by, -- who said so
    said_at -- when
from release_words
where last_word and action = 'add';
