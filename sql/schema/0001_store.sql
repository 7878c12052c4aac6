-- What is counted, from which offsets, and what is known about accounts. No primary keys on large tables: DuckDB 1.5.5
-- never gives back the space of rows deleted from a table that has one.

-- Panes as the deltas brought them: can still be rewritten by a worker that starts again.
create table pane_delta (
    kind varchar not null,
    entity_id varchar not null,
    pane timestamptz not null,
    events bigint not null,
    errors bigint not null,
    rate_limited bigint not null,
    refused bigint not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cached_tokens bigint not null,
    reasoning_tokens bigint not null,
    input_tokens_sq bigint not null,
    output_tokens_sq bigint not null,
    latency_ms bigint not null,
    latency_events bigint not null,
    single_turn bigint not null,
    tool_events bigint not null,
    streamed bigint not null,
    sampled_n bigint not null,
    logprobs bigint not null,
    seeded bigint not null,
    capped bigint not null,
    first_seen timestamptz not null,
    last_seen timestamptz not null,
    tally ubigint[] not null,
    ip_sketch ubigint[] not null,
    prompt_sketch ubigint[] not null,
    source_partition integer not null,
    from_offset bigint not null
);

-- Panes that are final.
create table pane (
    kind varchar not null,
    entity_id varchar not null,
    window_start timestamptz not null,
    events bigint not null,
    errors bigint not null,
    rate_limited bigint not null,
    refused bigint not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cached_tokens bigint not null,
    reasoning_tokens bigint not null,
    input_tokens_sq bigint not null,
    output_tokens_sq bigint not null,
    latency_ms bigint not null,
    latency_events bigint not null,
    single_turn bigint not null,
    tool_events bigint not null,
    streamed bigint not null,
    sampled_n bigint not null,
    logprobs bigint not null,
    seeded bigint not null,
    capped bigint not null,
    first_seen timestamptz not null,
    last_seen timestamptz not null,
    tally ubigint[] not null,
    ip_sketch ubigint[] not null,
    prompt_sketch ubigint[] not null
);

-- The same by hour: the sum of what was folded. Not yet merged rows of one entity and hour add up.
create table hour (
    kind varchar not null,
    entity_id varchar not null,
    window_start timestamptz not null,
    events bigint not null,
    errors bigint not null,
    rate_limited bigint not null,
    refused bigint not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cached_tokens bigint not null,
    reasoning_tokens bigint not null,
    input_tokens_sq bigint not null,
    output_tokens_sq bigint not null,
    latency_ms bigint not null,
    latency_events bigint not null,
    single_turn bigint not null,
    tool_events bigint not null,
    streamed bigint not null,
    sampled_n bigint not null,
    logprobs bigint not null,
    seeded bigint not null,
    capped bigint not null,
    first_seen timestamptz not null,
    last_seen timestamptz not null,
    tally ubigint[] not null,
    ip_sketch ubigint[] not null,
    prompt_sketch ubigint[] not null
);

-- The same by day.
create table day (
    kind varchar not null,
    entity_id varchar not null,
    window_start timestamptz not null,
    events bigint not null,
    errors bigint not null,
    rate_limited bigint not null,
    refused bigint not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cached_tokens bigint not null,
    reasoning_tokens bigint not null,
    input_tokens_sq bigint not null,
    output_tokens_sq bigint not null,
    latency_ms bigint not null,
    latency_events bigint not null,
    single_turn bigint not null,
    tool_events bigint not null,
    streamed bigint not null,
    sampled_n bigint not null,
    logprobs bigint not null,
    seeded bigint not null,
    capped bigint not null,
    first_seen timestamptz not null,
    last_seen timestamptz not null,
    tally ubigint[] not null,
    ip_sketch ubigint[] not null,
    prompt_sketch ubigint[] not null
);

-- Links as the deltas brought them.
create table link_delta (
    hour timestamptz not null,
    source_kind varchar not null,
    source_id varchar not null,
    target_kind varchar not null,
    target_id varchar not null,
    events bigint not null,
    output_tokens bigint not null,
    first_seen timestamptz not null,
    last_seen timestamptz not null,
    source_partition integer not null,
    from_offset bigint not null
);

-- Links that are final, by hour.
create table link_hour (
    hour timestamptz not null,
    source_kind varchar not null,
    source_id varchar not null,
    target_kind varchar not null,
    target_id varchar not null,
    events bigint not null,
    output_tokens bigint not null,
    first_seen timestamptz not null,
    last_seen timestamptz not null
);

-- The same by day.
create table link_day (
    day timestamptz not null,
    source_kind varchar not null,
    source_id varchar not null,
    target_kind varchar not null,
    target_id varchar not null,
    events bigint not null,
    output_tokens bigint not null,
    first_seen timestamptz not null,
    last_seen timestamptz not null
);

-- How many rows a window of a folded table has: merged ones (base) and ones added since, which decides what is merged
-- when; and when it was last written, from which its retention counts. A bucket is a kind and a part of its entities by
-- hash (account/3, account>client/0), or empty for windows that are never merged.
create table window_rows (
    level varchar not null,
    window_start timestamptz not null,
    bucket varchar not null,
    base bigint not null,
    added bigint not null,
    written_at timestamptz not null
);

-- One row a delta that can still be rewritten; what is folded is one row a partition, with the sums of its deltas.
create table delta_log (
    source_partition integer not null,
    generation bigint not null,
    from_offset bigint not null,
    to_offset bigint not null,
    events bigint not null,
    duplicates bigint not null,
    late bigint not null,
    watermark timestamptz,
    emitted_at timestamptz not null,
    applied_at timestamptz not null,
    folded boolean not null
);

-- Where each source partition stands.
create table partition_state (
    source_partition integer not null,
    generation bigint not null,
    applied_to bigint,
    folded_to bigint not null,
    committed bigint not null,
    watermark timestamptz,
    idle boolean not null,
    last_word_at timestamptz not null
);

-- Where reading goes on after a restart; epoch tells one broker's log from another's.
create table consumer_offset (
    topic varchar not null,
    source_partition integer not null,
    next_offset bigint not null,
    epoch varchar not null
);

-- Offsets of a source partition that no delta covers: events are missing.
create table hole (
    source_partition integer not null,
    expected_offset bigint not null,
    found_offset bigint not null,
    seen_at timestamptz not null,
    past_epoch boolean not null
);

-- What could not be read. past_epoch: from a broker that was made anew since; its offsets say nothing any more.
create table dead_letter (
    source_topic varchar,
    source_partition integer,
    source_offset bigint,
    item integer,
    format varchar,
    reason varchar not null,
    detail varchar,
    payload blob,
    payload_bytes bigint,
    event_id varchar,
    seen_at timestamptz not null,
    past_epoch boolean not null
);

-- What is known about accounts from elsewhere.
create table account_fact (
    account_id varchar not null,
    created_at timestamptz,
    plan varchar,
    quota bigint,
    payment_hash varchar,
    email_domain varchar,
    organisation varchar,
    country varchar,
    status varchar,
    cleared_reason varchar,
    updated_at timestamptz not null
);

-- What was folded of each account, for all time. Not yet merged rows of one account add up.
create table account_seen (
    account_id varchar not null,
    first_seen timestamptz not null,
    last_seen timestamptz not null,
    events bigint not null,
    errors bigint not null,
    refused bigint not null,
    input_tokens bigint not null,
    output_tokens bigint not null
);
