-- The history of each alert, event by event, and how far the telling of it got.
create or replace view alert_events as
select
    alert_event.alert_id, -- the alert
    alert_event.seq, -- which telling of it, from 1
    alert_event.type, -- alert.opened, alert.updated, alert.acknowledged, alert.resolved or alert.reopened
    alert_event.created_at, -- when
    alert_event.severity, -- as told then
    alert_event.accounts, -- accounts it was about then
    alert_event.score, -- as told then
    alert_event.message_id, -- webhook-id: one for all tries
    coalesce(told.delivery, 'not sent') as delivery, -- held, pending, failed, disabled, delivered (to all), not sent
    coalesce(told.attempts, 0) as attempts, -- tries so far, of all endpoints
    told.delivered_at, -- when the last of them took it
    told.last_status, -- HTTP status of the last try at the endpoint with most tries
    told.last_error -- why it failed
from alert_event
left join (
    select
        outbox.message_id,
        case
            when bool_or(coalesce(grouped.state, outbox.state) = 'held') then 'held'
            when bool_or(coalesce(grouped.state, outbox.state) = 'pending') then 'pending'
            when bool_or(coalesce(grouped.state, outbox.state) = 'failed') then 'failed'
            when bool_or(coalesce(grouped.state, outbox.state) = 'disabled') then 'disabled'
            when bool_and(outbox.state = 'skipped') then 'not sent'
            else 'delivered' -- by itself or with others
        end as delivery,
        sum(coalesce(grouped.attempts, outbox.attempts))::bigint as attempts,
        max(coalesce(grouped.delivered_at, outbox.delivered_at)) as delivered_at,
        arg_max(
            coalesce(grouped.last_status, outbox.last_status), (outbox.attempts, outbox.endpoint)
        ) as last_status,
        arg_max(coalesce(grouped.last_error, outbox.last_error), (outbox.attempts, outbox.endpoint)) as last_error
    from outbox
    left join outbox as grouped on outbox.told_in = grouped.message_id and outbox.endpoint = grouped.endpoint
    group by outbox.message_id
) as told on alert_event.message_id = told.message_id;
