-- What a webhook that says that a session succeeded leads to (rule T4), as one statement by hand: the event is kept, the attempt succeeded, its
-- payment is active, the money is in the books and in the audit trail, the order is paid and its cart kept, and three changes are told.
--
-- pgbench sends nothing but numbers, so what the webhook would bring is in the table `told` under its number: the words, the ids, and the digest of
-- the audit trail's entry, all made before. Each client takes the next of its own numbers.
\set number :first + :taken * :clients + :client_id
\set taken :taken + 1
WITH told AS (
    SELECT * FROM bench.told WHERE number = :number
), attempt AS (
    UPDATE payment_attempt AS a
    SET status = 'SUCCEEDED', failure_code = NULL, failure_message = NULL, decline = NULL, updated_at = told.at
    FROM told
    WHERE a.external_id = told.external_id AND a.provider = 'sandbox' AND a.status IN ('PENDING', 'PROCESSING')
    RETURNING a.id, a.order_id, a.payment_id, a.reference, a.external_id, a.amount_minor, a.currency, a.cart_digest
), paid AS (
    UPDATE orders AS o
    SET status = 'PAID', paid_at = told.at, version = o.version + 1, updated_at = told.at
    FROM told, attempt AS a
    WHERE o.id = a.order_id AND o.status = 'AWAITING_PAYMENT' AND o.cart_digest = a.cart_digest
        AND o.total_minor = a.amount_minor AND o.currency = a.currency
    RETURNING o.id, o.cart, o.cart_digest
), payment AS (
    UPDATE payment AS p
    SET status = 'ACTIVE', version = p.version + 1, updated_at = told.at
    FROM told, attempt AS a
    WHERE p.id = a.payment_id
    RETURNING p.id
), event AS (
    INSERT INTO provider_event (provider, event_id, external_id, state, report, tries, received_at, applied_at)
    SELECT 'sandbox', event_id, external_id, 'APPLIED', report, 0, at, at FROM told
), booked AS (
    INSERT INTO payment_transaction (id, payment_id, kind, status, amount_minor, currency, attempt_id, reference,
        provider_reference, sends, checks, created_at, settled_at)
    SELECT told.transaction_id, a.payment_id, 'AUTHORIZE_AND_CAPTURE', 'SUCCEEDED', a.amount_minor, a.currency, a.id, a.reference,
        a.external_id, 1, 0, told.at, told.at
    FROM told, attempt AS a
    RETURNING id, payment_id, kind, status, amount_minor, currency
), entry AS (
    INSERT INTO payment_audit (payment_id, sequence, transaction_id, kind, status, amount_minor, currency, actor_kind, written_at, digest)
    SELECT b.payment_id, 1, b.id, b.kind, b.status, b.amount_minor, b.currency, 'PROVIDER', told.at, told.digest
    FROM told, booked AS b
), snapshot AS (
    INSERT INTO order_snapshot (order_id, cart, cart_digest, attempt_id, taken_at)
    SELECT o.id, o.cart, o.cart_digest, a.id, told.at
    FROM told, attempt AS a, paid AS o
)
INSERT INTO outbox (topic, order_id, subject_id, created_at)
SELECT change.topic, a.order_id, change.subject_id, told.at
FROM told, attempt AS a, payment AS p, paid AS o,
    LATERAL (VALUES ('PAYMENT_ATTEMPT', a.id), ('PAYMENT', p.id), ('ORDER', o.id)) AS change (topic, subject_id);
