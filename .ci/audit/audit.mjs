// Asks a running server everything that the project graphql-http asks of GraphQL over HTTP: what it must, what it should, and what it may.
// Each is held to here, so each that is not ok is named with its reason, and the exit code is 1.
//
//   node audit.mjs URL TOKEN
import { serverAudits } from 'graphql-http';

const ALL = 61;

const [url, token] = process.argv.slice(2);
if (!token) {
  console.error('usage: node audit.mjs URL TOKEN');
  process.exit(2);
}

// Nobody is let in without a token, and the audits know of none.
function fetchFn(address, { headers, ...request } = {}) {
  return fetch(address, { ...request, headers: { ...headers, authorization: `Bearer ${token}` } });
}

const results = [];
for (const audit of serverAudits({ url, fetchFn })) {
  results.push(await audit.fn());
}
const ok = results.filter(({ status }) => status === 'ok').length;
for (const { id, name, status, reason, response } of results.filter(({ status }) => status !== 'ok')) {
  console.log(`${status} ${id} ${name}: ${reason}`);
  const answer = response && !response.bodyUsed ? await response.text() : '';
  if (response) console.log(`  answered with ${response.status}: ${answer}`);
}
console.log(`${ok} of ${results.length} audits are ok`);
if (ok !== ALL || results.length !== ALL) {
  console.log(`all ${ALL} should be`);
  process.exitCode = 1;
}
