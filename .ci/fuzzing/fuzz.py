"""Sends operations that schemathesis makes up to a running server, as one kind of caller, and names each answer that no caller should get.

    fuzz.py NAME URL EXAMPLES SEED SERVICE_TOKEN SCHEMA_TOKEN [TOKEN]

The operations are those of the schema that SCHEMA_TOKEN's caller sees; they are sent with TOKEN, or with none. Three of four fit the schema, the
fourth breaks it in one place. A good part of the values is such that it leads somewhere: SERVICE_TOKEN makes some orders and tells the ids of what there is.
"""

import json
import math
import random
import re
import sys
import time
from collections import Counter

import graphql
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.graphql import nodes

# What tells of the inside.
LEAK = re.compile(r"sqlx|sea_orm|SELECT |INSERT |panicked|src/|/home/|/tmp/|backtrace|postgres", re.IGNORECASE)
# Every code that an error may have, but for INTERNAL, which is our own fault, and UNAVAILABLE and OVERLOADED, which one client at a time never meets.
CODES = {
    "BAD_REQUEST",
    "FORBIDDEN",
    "INVALID_INPUT",
    "LIMIT_EXCEEDED",
    "NOT_FOUND",
    "REFUSED",
    "UNAUTHENTICATED",
}
SLOW = 1.0
# So many operations are sent before new orders are made.
ROUND = 1000
ENDS = re.compile(r"archive|cancel|claim|revoke", re.IGNORECASE)
IDS = "{ orders(first: 40) { nodes { id payments { id } paymentAttempts { id externalId } } } }"
ORDER = """mutation ($owner: OrderOwnerInput!, $key: String!) { createOrder(input: { owner: $owner, idempotencyKey: $key,
    cart: { currency: "EUR", lines: [{ sku: "TEA-250", name: "Green tea", quantity: 2, unitPrice: "12.50" }] } }) { order { id } } }"""
PAYMENT = """mutation ($order: ID!, $key: String!) { createPayment(input: { orderId: $order, provider: "sandbox", methodToken: "tok_ok",
    amount: { amount: "25.00", currency: "EUR" }, idempotencyKey: $key }) { payment { id } } }"""
OWNERS = [{"kind": "USER", "id": "ada"}, {"kind": "ANONYMOUS", "id": "guest-1"}]


def ids(url, token, name):
    """Makes orders with a payment to be moved for Ada and a guest; the ids of all there is."""

    def ask(query, **variables):
        request = {"query": query, "variables": variables}
        answer = requests.post(url, json=request, headers={"Authorization": f"Bearer {token}"}, timeout=30).json()
        return answer["data"]

    for number in range(6):
        key = f"prepared-{name}-{number}"
        order = ask(ORDER, owner=OWNERS[number % 2], key=key)["createOrder"]["order"]["id"]
        ask(PAYMENT, order=order, key=key)
    return sorted(set(re.findall(r'"(?:id|externalId)": "([^"]+)"', json.dumps(ask(IDS)))))


def register(known):
    """Says what values are tried. Each is at times one that leads somewhere, at times anything at all."""

    def either(likely, anything):
        return st.one_of(likely, likely, likely, anything).map(nodes.String)

    text = st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF))
    amounts = st.decimals(min_value=-10, max_value=100, places=2).map(str)
    odd_amounts = st.sampled_from(["0", "-0", "1e3", "NaN", " 1", "92233720368547758.07", "99999999999999999999999999999", "0.001", "1.", ".5", "+1"])
    names = ["ada", "grace", "guest-1", "checkout"]
    words = ["sandbox", "tok_ok", "tok_async", "tok_declined_soft", "http://127.0.0.1/back", "key-1", "key-2", "TEA-250", "", "x" * 256]
    instants = ["2026-11-21T09:30:00.000Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "2026-02-30T00:00:00Z", "+262142-12-31T23:59:59Z"]
    schemathesis.graphql.scalar("ID", either(st.sampled_from(known + names), text))
    schemathesis.graphql.scalar("String", either(st.sampled_from(words + known), text))
    schemathesis.graphql.scalar("Int", st.one_of(st.integers(-1, 101), st.integers(-(2**31), 2**31 - 1)).map(nodes.Int))
    schemathesis.graphql.scalar("Decimal", either(amounts, odd_amounts | text))
    schemathesis.graphql.scalar("CurrencyCode", either(st.sampled_from(["EUR", "EUR", "EUR", "JPY", "KWD", "XXX", "eur"]), text))
    schemathesis.graphql.scalar("DateTime", either(st.datetimes().map(lambda at: at.isoformat() + "Z"), st.sampled_from(instants) | text))
    pairs = st.lists(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), max_size=3, unique=True).flatmap(
        lambda keys: st.tuples(*(text for _ in keys)).map(lambda values: list(zip(keys, values)))
    )
    schemathesis.graphql.scalar("Metadata", pairs.map(metadata))


def metadata(pairs):
    fields = [
        graphql.ObjectFieldNode(name=graphql.NameNode(value=key), value=graphql.StringValueNode(value=value))
        for key, value in pairs
    ]
    return graphql.ObjectValueNode(fields=tuple(fields))


class Steering:
    """Puts values that lead somewhere in place of some of those that were made up."""

    VALUE = re.compile(r'\b(\w+): ("(?:[^"\\\n]|\\.)*"|-?\d+|null)')

    def __init__(self, known, number):
        self.random = random.Random(number)

        def of(*kinds):
            return [json.dumps(each) for each in known if each.startswith(kinds)] or ["null"]

        self.likely = {
            "orderId": of("ord_"),
            "paymentId": of("pay_"),
            "externalId": of("ses_"),
            "lockToken": ["null"],
            "expectedVersion": ["null", "null", "1", "2"],
            "provider": ['"sandbox"'],
            "methodToken": ['"tok_ok"', '"tok_ok"', '"tok_async"', '"tok_declined_hard"'],
            "currency": ['"EUR"'],
            "returnUrl": ["null", '"http://127.0.0.1/back"'],
            "parentTransactionId": ["null"],
            "first": ["null", "1", "20"],
            "last": ["null"],
            "after": ["null"],
            "before": ["null"],
            "page": ["null"],
        }

    def steered(self, document):
        """The same operation, which more likely does something. A mutation also asks what was wrong."""
        end = "  }\n}"
        if document.startswith("mutation") and document.endswith(end):
            document = f"{document.removesuffix(end)}    why: problem {{ code }}\n{end}"
        # One in four stays as it is.
        return self.VALUE.sub(self.value, document) if self.random.random() < 0.75 else document

    def value(self, found):
        name = found[1]
        if self.random.random() < 0.05:
            return found[0]
        if name == "amount":
            return f'amount: "{self.random.randint(1, 2600) / 100:.2f}"'
        if name == "idempotencyKey":
            return f'idempotencyKey: "key-{self.random.randint(1, 100_000)}"'
        return f"{name}: {self.random.choice(self.likely[name])}" if name in self.likely else found[0]


class Answers:
    """What came back, counted, and what should not have."""

    def __init__(self, name, url, token):
        self.name, self.url = name, url
        self.session = requests.Session()
        self.session.headers.update({"Authorization": f"Bearer {token}"} if token else {})
        self.sent, self.slow, self.slowest = 0, 0, 0.0
        self.counts, self.findings, self.examples = Counter(), Counter(), {}

    def ask(self, document):
        begun = time.monotonic()
        answer = self.session.post(self.url, json={"query": document}, timeout=60)
        took = time.monotonic() - begun
        self.sent += 1
        self.slow += took > SLOW
        self.slowest = max(self.slowest, took)
        for fault in self.faults(answer):
            self.findings[fault] += 1
            self.examples.setdefault(fault, (document, answer.text))

    def faults(self, answer):
        if answer.status_code >= 500:
            yield f"status {answer.status_code}"
        if leak := LEAK.search(answer.text):
            yield f"leak of {leak[0]!r}"
        try:
            body = answer.json()
        except ValueError:
            yield "no JSON"
            return
        errors = body.get("errors") or []
        for error in errors:
            code = error.get("extensions", {}).get("code")
            self.counts[code] += 1
            if code not in CODES:
                yield f"an error with the code {code}"
        if not errors:
            self.counts["no error"] += 1
        for problem in re.findall(r'"why":\{"code":"(\w+)"', answer.text):
            self.counts[f"problem {problem}"] += 1

    def told(self):
        counts = ", ".join(f"{count} {what}" for what, count in self.counts.most_common())
        print(f"{self.name}: {self.sent} operations; {self.slow} took more than {SLOW} s, the slowest {self.slowest:.2f} s; {counts}")
        for fault, count in self.findings.items():
            document, text = self.examples[fault]
            print(f"{self.name}: {count} times {fault}\n--- the first one\n{document}\n--- was answered\n{text[:2000]}")


def fuzz(operation, mode, examples, number, ask):
    """Sends so many operations of this root field, in this mode."""
    quiet = settings(
        max_examples=examples, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )

    @seed(number)
    @quiet
    @given(operation.as_strategy(generation_mode=mode))
    def each(case):
        ask(case.body)

    each()


def main():
    name, url, examples, number, service, seen_by, *token = sys.argv[1:]
    schema = schemathesis.graphql.from_url(url, headers={"Authorization": f"Bearer {seen_by}"})
    # What ends orders and payments comes last, so that the others find some.
    operations = sorted((found.ok() for found in schema.get_all_operations()), key=lambda operation: bool(ENDS.search(operation.label)))
    answers = Answers(name, url, token[0] if token else None)
    rounds = max(1, int(examples) // ROUND)
    each = max(4, math.ceil(int(examples) / rounds / len(operations)))
    for turn in range(int(number), int(number) + rounds):
        known = ids(url, service, f"{name}-{turn}")
        register(known)
        steering = Steering(known, turn)
        for operation in operations:
            fuzz(operation, GenerationMode.POSITIVE, each * 3 // 4, turn, lambda document: answers.ask(steering.steered(document)))
            fuzz(operation, GenerationMode.NEGATIVE, each - each * 3 // 4, turn, answers.ask)
    answers.told()
    return 1 if answers.findings else 0


if __name__ == "__main__":
    sys.exit(main())
