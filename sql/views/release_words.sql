-- Everything that was ever said about when models were released (stillwatch releases), word by word.
create or replace view release_words as
select
    model, -- as requests name it
    action, -- add: it was released at released_at; remove: that is taken back
    released_at, -- event time; null: taken back
    note, -- what was said with it
    said_by, -- who said so
    said_at, -- when
    seq, -- the order in which it was said, over all models
    row_number() over (partition by model order by seq desc) = 1 as last_word -- nothing was said of it since
from release_word;
