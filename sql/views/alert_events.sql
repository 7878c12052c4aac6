-- The history of each alert, event by event, and how far the telling of it got.
create or replace view alert_events as
select
    alert_event.alert_id,
    alert_event.seq,
    alert_event.type,
    alert_event.created_at,
    alert_event.severity,
    alert_event.accounts,
    alert_event.score,
    alert_event.message_id,
    coalesce(outbox.state, 'not sent') as delivery,
    coalesce(outbox.attempts, 0) as attempts,
    outbox.delivered_at,
    outbox.last_status,
    outbox.last_error
from alert_event
left join outbox on alert_event.message_id = outbox.message_id;
