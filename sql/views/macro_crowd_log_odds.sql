-- What speaks against a crowd around a thing, as log-odds: prior, before more than the thing is known, and what its
-- members have in common. Newcomers, similar volumes, a client of their own (a share of them), what they ask for
-- (asked, in log-odds) and a large crowd are what a tool's launch explains: together they reach explained at most. It
-- does not explain that customers who seem to have nothing to do with each other pay, register or connect together
-- (shares of them). apart: how far the crowd is from being everybody, who have everything to themselves.
create or replace macro crowd_log_odds(
    prior, explained, customers, fewest, young_share, base_young, spread, mean_events, client, asked, apart,
    payment, email, network
) as
prior
+least(
    explained,
    3.0 * least(1, 2 * coalesce(greatest(0, young_share - base_young), 0))
    -- Similar volumes say something only when there are more than one or two requests to compare.
    + 1.5 * greatest(0, 1 - spread) * least(1, greatest(0, (mean_events - 1) / 2))
    + 1.5 * apart * client
    + asked
    + least(1, ln(customers / fewest) / 3)
)
-- A pool hides most of that, so a third of the crowd is as good as all of it.
+ apart * (2.5 * least(1, 3 * payment) + 2.5 * least(1, 3 * email) + 2.0 * least(1, 2 * network));
