-- The store as the first version made it, which knew no transactions, word for word; at the end what it held.

CREATE TABLE IF NOT EXISTS sandbox_session (
    id              TEXT    NOT NULL PRIMARY KEY,
    -- The caller's name for the session. Its uniqueness is what makes a repeated create harmless.
    reference       TEXT    NOT NULL CONSTRAINT sandbox_session_reference_is_unique UNIQUE,
    amount          INTEGER NOT NULL CONSTRAINT sandbox_session_amount_is_positive CHECK (amount > 0),
    currency        TEXT    NOT NULL CONSTRAINT sandbox_session_currency_has_three_letters CHECK (length(currency) = 3),
    status          TEXT    NOT NULL CONSTRAINT sandbox_session_status_is_known
        CHECK (status IN ('open', 'processing', 'succeeded', 'failed', 'cancelled', 'expired')),
    amount_received INTEGER,
    decline         TEXT    CONSTRAINT sandbox_session_decline_is_known CHECK (decline IN ('soft', 'hard')),
    settles_at      INTEGER,
    return_url      TEXT,
    webhook_url     TEXT    NOT NULL,
    description     TEXT,
    client_secret   TEXT    NOT NULL,
    expires_at      INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    -- What is known depends on the state, and on nothing else.
    CONSTRAINT sandbox_session_received_if_succeeded CHECK ((status = 'succeeded') = (amount_received IS NOT NULL)),
    CONSTRAINT sandbox_session_decline_if_failed CHECK ((status = 'failed') = (decline IS NOT NULL)),
    CONSTRAINT sandbox_session_settles_if_processing CHECK ((status = 'processing') = (settles_at IS NOT NULL))
);
CREATE INDEX IF NOT EXISTS sandbox_session_by_expiry ON sandbox_session (expires_at) WHERE status = 'open';
CREATE INDEX IF NOT EXISTS sandbox_session_by_settlement ON sandbox_session (settles_at) WHERE status = 'processing';

-- What money really did. Rows are only ever added.
CREATE TABLE IF NOT EXISTS sandbox_movement (
    id         TEXT    NOT NULL PRIMARY KEY,
    session_id TEXT    NOT NULL REFERENCES sandbox_session (id),
    kind       TEXT    NOT NULL CONSTRAINT sandbox_movement_kind_is_known CHECK (kind IN ('authorize_and_capture')),
    amount     INTEGER NOT NULL CONSTRAINT sandbox_movement_amount_is_positive CHECK (amount > 0),
    currency   TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    CONSTRAINT sandbox_movement_happens_once UNIQUE (session_id, kind)
);

-- The outbox: one row for each event that the shop must hear of, in the order in which it shall hear of them.
CREATE TABLE IF NOT EXISTS sandbox_event (
    position    INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    session_id  TEXT    NOT NULL REFERENCES sandbox_session (id),
    -- As it was when the event happened: a delivery tomorrow must not tell of a later state.
    body        TEXT    NOT NULL,
    state       TEXT    NOT NULL CONSTRAINT sandbox_event_state_is_known CHECK (state IN ('due', 'delivered', 'abandoned')),
    copies_left INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    CONSTRAINT sandbox_event_delivered_if_no_copy_left CHECK ((state = 'delivered') = (copies_left = 0))
);
CREATE INDEX IF NOT EXISTS sandbox_event_by_due ON sandbox_event (due_at) WHERE state = 'due';
CREATE INDEX IF NOT EXISTS sandbox_event_by_session ON sandbox_event (session_id, position) WHERE state = 'due';

INSERT INTO sandbox_session (id, reference, amount, currency, status, amount_received, webhook_url, client_secret, expires_at, created_at)
VALUES ('ses_paid', 'paid', 4200, 'EUR', 'succeeded', 4200, 'HOOK', 'sec_1', 1700000000000, 1700000000000),
       ('ses_open', 'open', 100, 'EUR', 'open', NULL, 'HOOK', 'sec_2', 4000000000000, 1700000000001);
INSERT INTO sandbox_movement (id, session_id, kind, amount, currency, at)
VALUES ('mov_1', 'ses_paid', 'authorize_and_capture', 4200, 'EUR', 1700000000002);
INSERT INTO sandbox_event (session_id, body, state, copies_left, attempts, due_at, created_at)
VALUES ('ses_paid', '{"id":"evt_1"}', 'delivered', 0, 0, 1700000000000, 1700000000000),
       ('ses_paid', '{"id":"evt_2"}', 'abandoned', 1, 99, 1700000000000, 1700000000000),
       ('ses_paid', '{"id":"evt_3"}', 'due', 1, 2, 1700000000000, 4000000000000),
       ('ses_paid', '{"id":"evt_4"}', 'due', 2, 0, 1700000000000, 4000000000000);
