-- What accounts asked in the hours that are kept: for account_distributions.
select
    account_id,
    events,
    prompt_sum
from account_distributions(getvariable('kept_since'), getvariable('kept_upto'));
