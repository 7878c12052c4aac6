-- Known sets: benchmarks, seed tasks, canaries that somebody added (stillwatch corpora add). Of their text only hashes.
create or replace view corpora as
select
    corpus, -- its name
    items, -- records with text in its file
    findable, -- of them different ones that can be found again in requests
    duplicates, -- of them copies of another
    too_short, -- of them with too few words to be found
    alike, -- of them such that others of the set contain all that is kept of them
    added_at -- when it was added
from corpus;
