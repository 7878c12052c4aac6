-- The kind of request that a bucket of a tally's fifth feature stands for. docs/request-kinds.md.
create or replace macro request_kind(bucket) as list_extract(
    [
        'ordinary',
        'reasoning_elicitation',
        'rubric_grading',
        'output_rewriting',
        'instruction_generation',
        'benchmark_item'
    ],
    bucket::bigint + 1
);
