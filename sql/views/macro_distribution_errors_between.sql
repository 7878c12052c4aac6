-- distribution_errors_apart of very many pairs: what is of one set alone, distribution_within, comes once a set.
create or replace macro distribution_errors_between(a_within, a_events, b_within, b_events, ab) as
(a_within + b_within - 2 * ab / 516128 / a_events / b_events)
/ nullif(sqrt(2 / 16) * (abs(1 - a_within) / a_events + abs(1 - b_within) / b_events), 0);
