// The ids of the last answers, so that one example can go on where the one before it ended.
// They live as long as the browser's tab. Of tokens only a lock's is kept, which is good for minutes; a caller's is kept nowhere.

const KEY = 'orderpay:remembered';
const ID_KINDS = { ord_: 'orderId', att_: 'attemptId', pay_: 'paymentId', rec_: 'caseId' };

export const remembered = JSON.parse(sessionStorage.getItem(KEY) ?? '{}');

export function remember(data) {
  const seen = {};
  look(data, seen);
  // An attempt of one order must not be taken for that of another.
  if (seen.orderId && seen.orderId !== remembered.orderId) for (const key of Object.keys(remembered)) delete remembered[key];
  Object.assign(remembered, seen);
  sessionStorage.setItem(KEY, JSON.stringify(remembered));
}

function look(value, seen) {
  if (value === null || typeof value !== 'object') return;
  // A list of several does not say which one is meant.
  if (Array.isArray(value) && value.length > 1) return;
  note(value, seen);
  for (const part of Object.values(value)) look(part, seen);
}

function note({ id, externalId, redirectUrl, payment, token }, seen) {
  if (payment && token) seen.lockToken = token;
  const kind = ID_KINDS[String(id).slice(0, 4)];
  if (!kind) return;
  seen[kind] = id;
  if (kind !== 'attemptId') return;
  if (externalId) seen.externalId = externalId;
  if (redirectUrl !== undefined) seen.redirectUrl = /^https?:\/\//.test(redirectUrl) ? redirectUrl : null;
}

// Puts what is remembered in place of `{{orderId}}` and the like, in all strings of the variables.
export function fillIn(variables) {
  let missing;
  const values = {
    ...remembered,
    pageUrl: location.origin + location.pathname,
    get uuid() {
      return randomUuid();
    },
  };
  const filled = JSON.parse(JSON.stringify(variables ?? {}), (_, value) =>
    typeof value !== 'string'
      ? value
      : value.replace(/\{\{(\w+)\}\}/g, (placeholder, key) => {
          const found = values[key];
          if (!found) missing = placeholder;
          return found;
        }),
  );
  return { variables: filled, missing };
}

// crypto.randomUUID is there on secure origins only, and a page in development may be opened by a bare address.
function randomUuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
