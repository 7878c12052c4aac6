-- How often people found a rule right: verdicts on alerts by the rules that carried them; the last verdict counts.
create or replace view rule_verdicts as
with verdict as (
    select
        alert_id,
        arg_max(value, seq) as value,
        arg_max(rules, seq) as rules
    from alert_word
    where action = 'verdict'
    group by alert_id
),

one as (
    select
        unnest(rules) as rule_id,
        value
    from verdict
)

select
    rule_id, -- the rule
    count(*) as judged, -- alerts that it carried and somebody judged
    count_if(value = 'true') as found_true, -- those found true
    count_if(value = 'false') as found_false, -- those found false
    count_if(value = 'benign-known') as found_benign, -- those with an innocent explanation
    count_if(value = 'true') / count(*) as precision -- share found true; of a few it says little
from one
group by rule_id;
