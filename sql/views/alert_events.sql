-- The history of each alert, event by event, and how far the telling of it got.
create or replace view alert_events as
select
    alert_event.alert_id, -- the alert
    alert_event.seq, -- which telling of it, from 1
    alert_event.type, -- alert.opened, alert.updated or alert.resolved
    alert_event.created_at, -- when
    alert_event.severity, -- as told then
    alert_event.accounts, -- accounts it was about then
    alert_event.score, -- as told then
    alert_event.message_id, -- webhook-id: one for all tries
    coalesce(outbox.state, 'not sent') as delivery, -- pending, delivered, failed, disabled, or not sent: no webhook
    coalesce(outbox.attempts, 0) as attempts, -- tries so far
    outbox.delivered_at, -- when the receiver took it
    outbox.last_status, -- HTTP status of the last try
    outbox.last_error -- why the last try failed
from alert_event
left join outbox on alert_event.message_id = outbox.message_id;
