-- Entries of tallies have their count above the code: count << 12 | code instead of code << 32 | count. What is zero of
-- an entry is on top then, and takes no room. docs/decisions/0025-counts-above-codes.md.
update pane_delta set tally = list_transform(tally, lambda entry: ((entry & 4294967295) << 12) | (entry >> 32));

-- Large tables are written anew: an update would hold in memory which rows it replaces until it is committed.
create table pane_anew (
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

insert into pane_anew by name
select
    kind,
    entity_id,
    window_start,
    events,
    errors,
    rate_limited,
    refused,
    input_tokens,
    output_tokens,
    cached_tokens,
    reasoning_tokens,
    input_tokens_sq,
    output_tokens_sq,
    latency_ms,
    latency_events,
    single_turn,
    tool_events,
    streamed,
    sampled_n,
    logprobs,
    seeded,
    capped,
    first_seen,
    last_seen,
    list_transform(tally, lambda entry: ((entry & 4294967295) << 12) | (entry >> 32)) as tally,
    ip_sketch,
    prompt_sketch
from pane;

drop table pane;
alter table pane_anew rename to pane;

create table hour_anew (
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

insert into hour_anew by name
select
    kind,
    entity_id,
    window_start,
    events,
    errors,
    rate_limited,
    refused,
    input_tokens,
    output_tokens,
    cached_tokens,
    reasoning_tokens,
    input_tokens_sq,
    output_tokens_sq,
    latency_ms,
    latency_events,
    single_turn,
    tool_events,
    streamed,
    sampled_n,
    logprobs,
    seeded,
    capped,
    first_seen,
    last_seen,
    list_transform(tally, lambda entry: ((entry & 4294967295) << 12) | (entry >> 32)) as tally,
    ip_sketch,
    prompt_sketch
from hour;

drop table hour;
alter table hour_anew rename to hour;

create table day_anew (
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

insert into day_anew by name
select
    kind,
    entity_id,
    window_start,
    events,
    errors,
    rate_limited,
    refused,
    input_tokens,
    output_tokens,
    cached_tokens,
    reasoning_tokens,
    input_tokens_sq,
    output_tokens_sq,
    latency_ms,
    latency_events,
    single_turn,
    tool_events,
    streamed,
    sampled_n,
    logprobs,
    seeded,
    capped,
    first_seen,
    last_seen,
    list_transform(tally, lambda entry: ((entry & 4294967295) << 12) | (entry >> 32)) as tally,
    ip_sketch,
    prompt_sketch
from day;

drop table day;
alter table day_anew rename to day;
