-- What the named accounts of a campaign share, and what it is worth. An account's odds of belonging are prior_odds of
-- the campaign times e to the sum, over kinds, of its weightiest thing, or of weight_missing where it has none of one.
create or replace view campaign_things as
select
    campaign_id, -- the campaign
    thing, -- as kind:id: a group_key of signals, or a payment or email_domain of the facts about accounts
    kind, -- prompts and their passages say the same and are one kind: said
    joins, -- it is one of campaign_keys; else it only says who belongs
    named_accounts, -- named accounts of the campaign that have it
    unrelated, -- how many unrelated accounts are expected to: one with a signal of it counts 1 - score, others count 1
    everyone, -- of how many accounts that is
    weight, -- log of how many times as often a named account has it as an unrelated one
    weight_missing -- the same of having nothing of this kind; 0 for a payment or email_domain that is not known
from campaign_thing;
