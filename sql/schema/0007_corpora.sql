-- Known sets that people told: benchmarks, seed tasks, canaries. Of their text only hashes are kept.
create table corpus (
    corpus varchar not null,
    digest varchar not null,
    items bigint not null,
    findable bigint not null,
    duplicates bigint not null,
    too_short bigint not null,
    alike bigint not null,
    added_at timestamptz not null
);

-- An item that can be found: its smallest fragment, and the place of that among the smallest of the set, from 1 on.
create table corpus_item (
    corpus varchar not null,
    item bigint not null,
    least varchar,
    place bigint
);

-- What a request with the item is linked to (a fragment, a template) and no other item of the set has.
create table corpus_mark (
    corpus varchar not null,
    item bigint not null,
    kind varchar not null,
    thing_id varchar not null
);
