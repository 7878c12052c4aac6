-- distribution_distance over distribution_error, from inner products of the sums: of a with itself, of b with itself,
-- of a with b. For many pairs: a sum less a part of it has the products aa - 2 ap + pp with itself and ab - pb with b.
-- Null for fewer than two prompts, or for one prompt again and again on both sides.
create or replace macro distribution_errors_apart(aa, a_events, bb, b_events, ab) as
(
    (aa / 516128 - a_events) / (a_events * (a_events - 1))
    + (bb / 516128 - b_events) / (b_events * (b_events - 1))
    - 2 * ab / 516128 / a_events / b_events
) / nullif(
    sqrt(2 / 16) * (
        abs(1 - (aa / 516128 - a_events) / (a_events * (a_events - 1))) / a_events
        + abs(1 - (bb / 516128 - b_events) / (b_events * (b_events - 1))) / b_events
    ),
    0
);
