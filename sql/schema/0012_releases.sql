-- What people said about when models were released, word by word, never deleted: the last word about a model counts.
create table release_word (
    seq bigint not null,
    model varchar not null,
    action varchar not null,
    released_at timestamptz,
    note varchar,
    said_by varchar not null,
    said_at timestamptz not null
);
