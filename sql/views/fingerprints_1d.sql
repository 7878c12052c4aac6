-- What each entity did on each day (UTC).
-- in_flight is the mean number of requests at a time (latency over the length of the window); distinct_ips and
-- distinct_prompts are estimates; tally is for tally_quantile(tally, 1 input tokens | 2 output tokens | 3 latency, q).
create or replace view fingerprints_1d as
select
    kind, -- account, api_key, end_user, template, system_prompt, client, network, reasoning_blob
    entity_id, -- templates, system prompts and blobs: 16 hexadecimal digits of a hash
    window_start, -- UTC
    least(sum(events), 9223372036854775807)::bigint as events, -- requests
    least(sum(errors), 9223372036854775807)::bigint as errors, -- status 400 and above
    least(sum(rate_limited), 9223372036854775807)::bigint as rate_limited, -- status 429
    least(sum(refused), 9223372036854775807)::bigint as refused, -- by policy
    least(sum(input_tokens), 9223372036854775807)::bigint as input_tokens, -- sum
    least(sum(output_tokens), 9223372036854775807)::bigint as output_tokens, -- sum
    least(sum(cached_tokens), 9223372036854775807)::bigint as cached_tokens, -- sum; part of the input
    least(sum(reasoning_tokens), 9223372036854775807)::bigint as reasoning_tokens, -- sum; part of the output
    least(sum(input_tokens_sq), 9223372036854775807)::bigint as input_tokens_sq, -- squared
    least(sum(output_tokens_sq), 9223372036854775807)::bigint as output_tokens_sq, -- squared
    least(sum(latency_ms), 9223372036854775807)::bigint as latency_ms, -- sum
    least(sum(latency_events), 9223372036854775807)::bigint as latency_events, -- that told it
    least(sum(single_turn), 9223372036854775807)::bigint as single_turn, -- of two messages at most
    least(sum(tool_events), 9223372036854775807)::bigint as tool_events, -- tools were offered
    least(sum(streamed), 9223372036854775807)::bigint as streamed, -- asked for a stream
    least(sum(sampled_n), 9223372036854775807)::bigint as sampled_n, -- n > 1
    least(sum(logprobs), 9223372036854775807)::bigint as logprobs, -- asked for log probabilities
    least(sum(seeded), 9223372036854775807)::bigint as seeded, -- gave a seed
    least(sum(capped), 9223372036854775807)::bigint as capped, -- ended at max_tokens
    min(first_seen) as first_seen, -- event time of the first request
    max(last_seen) as last_seen, -- event time of the last
    sum(latency_ms)::double / 86400000 as in_flight, -- on average
    sketch_distinct(sketch_merge(flatten(list(ip_sketch)))) as distinct_ips, -- estimate; accounts and keys
    sketch_distinct(sketch_merge(flatten(list(prompt_sketch)))) as distinct_prompts, -- estimate; accounts and keys
    tally_merge(flatten(list(tally))) as tally, -- for tally_quantile, tally_counts and request_kinds
    sketch_merge(flatten(list(ip_sketch))) as ip_sketch, -- for sketch_merge and sketch_distinct
    sketch_merge(flatten(list(prompt_sketch))) as prompt_sketch -- likewise
from (
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
        tally,
        ip_sketch,
        prompt_sketch
    from day
    union all
    select
        kind,
        entity_id,
        time_bucket(interval '24 hours', pane, timestamptz '1970-01-01 00:00:00+00') as window_start,
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
        tally,
        ip_sketch,
        prompt_sketch
    from pane_delta
) as rows_of_both
group by kind, entity_id, window_start;
