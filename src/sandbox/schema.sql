-- The sandbox's own store. Times are milliseconds since 1970, amounts whole numbers of the currency's smallest unit.
-- Whoever changes the shape of a table here says in upgrade.rs how an earlier one gets it.

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

CREATE TABLE IF NOT EXISTS sandbox_transaction (
    id                    TEXT    NOT NULL PRIMARY KEY,
    -- The caller's name for the transaction. Its uniqueness is what makes a repeated request harmless.
    reference             TEXT    NOT NULL CONSTRAINT sandbox_transaction_reference_is_unique UNIQUE,
    kind                  TEXT    NOT NULL CONSTRAINT sandbox_transaction_kind_is_known CHECK (kind IN (
        'authorize', 'authorize_and_capture', 'capture', 'reverse_authorize', 'refund', 'detached_credit')),
    amount                INTEGER NOT NULL CONSTRAINT sandbox_transaction_amount_is_positive CHECK (amount > 0),
    currency              TEXT    NOT NULL CONSTRAINT sandbox_transaction_currency_has_three_letters CHECK (length(currency) = 3),
    method                TEXT    NOT NULL,
    -- As the caller named it, whether there is such a thing or not.
    parent                TEXT,
    parent_session_id     TEXT    REFERENCES sandbox_session (id),
    parent_transaction_id TEXT    REFERENCES sandbox_transaction (id),
    status                TEXT    NOT NULL CONSTRAINT sandbox_transaction_status_is_known
        CHECK (status IN ('pending', 'succeeded', 'failed')),
    amount_moved          INTEGER CONSTRAINT sandbox_transaction_moved_is_positive CHECK (amount_moved > 0),
    amount_released       INTEGER CONSTRAINT sandbox_transaction_released_is_positive CHECK (amount_released > 0),
    failure               TEXT    CONSTRAINT sandbox_transaction_failure_is_known CHECK (failure IN (
        'card_declined', 'invalid_method', 'parent_unsuitable', 'amount_too_large', 'not_supported')),
    decline               TEXT    CONSTRAINT sandbox_transaction_decline_is_known CHECK (decline IN ('soft', 'hard')),
    settles_at            INTEGER,
    telling               TEXT    CONSTRAINT sandbox_transaction_telling_is_known
        CHECK (telling IN ('in_order', 'backwards', 'thrice', 'never')),
    webhook_url           TEXT    NOT NULL,
    created_at            INTEGER NOT NULL,
    CONSTRAINT sandbox_transaction_parent_if_it_acts_on_one
        CHECK ((kind IN ('capture', 'reverse_authorize', 'refund')) = (parent IS NOT NULL)),
    CONSTRAINT sandbox_transaction_touches_its_parent_unless_failed
        CHECK ((parent IS NOT NULL AND status <> 'failed') = (coalesce(parent_session_id, parent_transaction_id) IS NOT NULL)),
    CONSTRAINT sandbox_transaction_has_one_parent CHECK (parent_session_id IS NULL OR parent_transaction_id IS NULL),
    CONSTRAINT sandbox_transaction_only_refunds_touch_sessions CHECK (parent_session_id IS NULL OR kind = 'refund'),
    -- What is known depends on the state, and on nothing else.
    CONSTRAINT sandbox_transaction_moved_if_succeeded CHECK ((status = 'succeeded') = (amount_moved IS NOT NULL)),
    CONSTRAINT sandbox_transaction_released_by_a_capture
        CHECK (amount_released IS NULL OR (status = 'succeeded' AND kind = 'capture')),
    CONSTRAINT sandbox_transaction_failure_if_failed CHECK ((status = 'failed') = (failure IS NOT NULL)),
    CONSTRAINT sandbox_transaction_decline_if_declined
        CHECK (coalesce(failure IN ('card_declined', 'invalid_method'), FALSE) = (decline IS NOT NULL)),
    CONSTRAINT sandbox_transaction_settles_if_pending CHECK ((status = 'pending') = (settles_at IS NOT NULL)),
    CONSTRAINT sandbox_transaction_telling_if_pending CHECK ((status = 'pending') = (telling IS NOT NULL))
);
CREATE INDEX IF NOT EXISTS sandbox_transaction_by_settlement ON sandbox_transaction (settles_at) WHERE status = 'pending';
CREATE INDEX IF NOT EXISTS sandbox_transaction_by_parent_session ON sandbox_transaction (parent_session_id)
    WHERE parent_session_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS sandbox_transaction_by_parent_transaction ON sandbox_transaction (parent_transaction_id)
    WHERE parent_transaction_id IS NOT NULL;

-- References whose first request was lost or broken on purpose: the next one is carried out.
CREATE TABLE IF NOT EXISTS sandbox_first_request (
    reference TEXT    NOT NULL PRIMARY KEY,
    at        INTEGER NOT NULL
);

-- What money really did. Rows are only ever added.
CREATE TABLE IF NOT EXISTS sandbox_movement (
    id             TEXT    NOT NULL PRIMARY KEY,
    session_id     TEXT    REFERENCES sandbox_session (id),
    transaction_id TEXT    REFERENCES sandbox_transaction (id),
    kind           TEXT    NOT NULL CONSTRAINT sandbox_movement_kind_is_known CHECK (kind IN (
        'authorize', 'authorize_and_capture', 'capture', 'reverse_authorize', 'refund', 'detached_credit', 'release')),
    amount         INTEGER NOT NULL CONSTRAINT sandbox_movement_amount_is_positive CHECK (amount > 0),
    currency       TEXT    NOT NULL,
    at             INTEGER NOT NULL,
    CONSTRAINT sandbox_movement_is_of_one_thing CHECK ((session_id IS NULL) <> (transaction_id IS NULL)),
    CONSTRAINT sandbox_movement_happens_once_in_a_session UNIQUE (session_id, kind),
    CONSTRAINT sandbox_movement_happens_once_in_a_transaction UNIQUE (transaction_id, kind)
);

-- The outbox: one row for each event that the shop must hear of, in the order in which it shall hear of them.
CREATE TABLE IF NOT EXISTS sandbox_event (
    position    INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    -- The id of the session or the transaction that it tells of.
    subject     TEXT    NOT NULL,
    webhook_url TEXT    NOT NULL,
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
CREATE INDEX IF NOT EXISTS sandbox_event_by_subject ON sandbox_event (subject, position) WHERE state = 'due';
