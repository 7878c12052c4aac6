-- Each message for each endpoint, and how far its delivery got.
create or replace view webhook_deliveries as
select
    outbox.endpoint, -- its name; one made of its address (end_…) for that of the settings
    outbox.message_id, -- webhook-id: one for all tries and endpoints
    outbox.alert_id, -- the alert that it is about
    outbox.seq, -- which telling of it
    outbox.type, -- alert.opened, alert.updated and so on; alerts.grouped: several
    outbox.state, -- held, skipped, grouped, pending, delivered, failed or disabled (it said 410 Gone)
    outbox.held_for, -- why it is held: a silence, a campaign's alert, mute hours or its group; null: it is not
    outbox.told_in, -- the message that told it with others; null: none did
    outbox.attempts, -- tries so far
    outbox.created_at, -- when it was written
    outbox.next_attempt_at, -- when it is tried, where it is pending
    outbox.delivered_at, -- when the endpoint took it
    outbox.last_status, -- HTTP status of the last try; null: no answer
    outbox.last_error, -- why the last try failed
    outbox.last_response -- the beginning of what was answered
from outbox;
