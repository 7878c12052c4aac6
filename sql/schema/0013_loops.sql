-- Sampled passages of what the model said and of what was sent to it, by account and hour: an output that comes back as
-- an input shows, without a word of it.

-- As the deltas brought them: can still be rewritten by a worker that starts again.
create table loop_delta (
    account_id varchar not null,
    hour timestamptz not null,
    output boolean not null,
    passage ubigint not null,
    events bigint not null,
    first_seen timestamptz not null,
    source_partition integer not null,
    from_offset bigint not null
);

-- Those that are final. Not yet merged rows of one account, hour, side and passage add up.
create table loop_hour (
    account_id varchar not null,
    hour timestamptz not null,
    output boolean not null,
    passage ubigint not null,
    events bigint not null,
    first_seen timestamptz not null
);
