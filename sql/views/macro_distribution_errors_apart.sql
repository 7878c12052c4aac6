-- distribution_distance over distribution_error, from inner products of the sums: of a with itself, of b with itself,
-- of a with b. For many pairs: a sum less a part of it has the products aa - 2 ap + pp with itself and ab - pb with b.
-- Null for fewer than two prompts, or for one prompt again and again on both sides.
create or replace macro distribution_errors_apart(aa, a_events, bb, b_events, ab) as
distribution_errors_between(
    distribution_within(aa, a_events), a_events, distribution_within(bb, b_events), b_events, ab
);
