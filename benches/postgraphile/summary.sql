-- What a payment's transactions add up to, as PostGraphile can show it: a function of the payment. It lies in a schema of the benchmark's own.
CREATE SCHEMA peer;

CREATE TYPE peer.summary AS (authorized bigint, captured bigint, refunded bigint);

CREATE FUNCTION peer.payment_summary(payment public.payment) RETURNS peer.summary LANGUAGE sql STABLE AS $$
    SELECT
        COALESCE(sum(CASE kind WHEN 'AUTHORIZE' THEN amount_minor WHEN 'REVERSE_AUTHORIZE' THEN -amount_minor END), 0)::bigint,
        COALESCE(sum(CASE
            WHEN kind IN ('CAPTURE', 'AUTHORIZE_AND_CAPTURE') THEN amount_minor
            WHEN kind = 'REFUND' THEN -amount_minor
        END), 0)::bigint,
        COALESCE(sum(CASE kind WHEN 'REFUND' THEN amount_minor END), 0)::bigint
    FROM public.payment_transaction
    WHERE payment_id = payment.id AND status = 'SUCCEEDED'
        AND (management_state IS NULL OR management_state IN ('REVERSAL_CANDIDATE', 'AUTOMATIC_REVERSAL_NOT_ALLOWED'))
$$;
