-- Sums of prompts' random features by account and hour: the distance between any two sets of prompts, without a prompt.

-- As the deltas brought them: can still be rewritten by a worker that starts again.
create table distribution_delta (
    account_id varchar not null,
    hour timestamptz not null,
    events bigint not null,
    prompt_sum bigint[] not null,
    source_partition integer not null,
    from_offset bigint not null
);

-- Those that are final. Not yet merged rows of one account and hour add up.
create table distribution_hour (
    account_id varchar not null,
    hour timestamptz not null,
    events bigint not null,
    prompt_sum bigint[] not null
);
