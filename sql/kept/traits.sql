-- Which clients and networks accounts had in the hours that are kept: for crowds.
select distinct
    source_id,
    target_kind,
    target_id
from link_rows(getvariable('kept_since'), getvariable('kept_upto'))
where target_kind in ('client', 'network');
