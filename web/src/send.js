// One GraphQL request over HTTP: an answer for a query or a mutation, a stream of answers for a subscription.

export async function send(endpoint, request, headers, document, onAnswer) {
  const stop = new AbortController();
  const response = await fetch(endpoint, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      Accept: isSubscription(document, request.operationName)
        ? 'text/event-stream'
        : 'application/graphql-response+json, application/json',
      ...headers,
    },
    body: JSON.stringify(request),
    credentials: 'omit',
    signal: stop.signal,
  });
  if (response.headers.get('Content-Type')?.startsWith('text/event-stream')) return answers(response, stop, onAnswer);
  const answer = await answerOf(response);
  onAnswer(answer);
  return answer;
}

function isSubscription(document, operationName) {
  const operations = document?.definitions.filter(({ kind }) => kind === 'OperationDefinition') ?? [];
  const chosen = operations.find(({ name }) => name?.value === operationName) ?? operations[0];
  return chosen?.operation === 'subscription';
}

async function answerOf(response) {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return { errors: [{ message: `HTTP ${response.status}: ${text || response.statusText}` }] };
  }
}

// GraphiQL's stop button calls `return`, which on a plain generator would wait for the next answer.
function answers(response, stop, onAnswer) {
  const stream = readAnswers(response, stop.signal, onAnswer);
  stream.return = async () => {
    stop.abort();
    return { done: true, value: undefined };
  };
  return stream;
}

async function* readAnswers(response, stopped, onAnswer) {
  try {
    for await (const event of events(response.body)) {
      if (event.name === 'complete') return;
      if (event.name !== 'next') continue;
      const answer = JSON.parse(event.data);
      onAnswer(answer);
      yield answer;
    }
  } catch (error) {
    if (!stopped.aborted) throw error;
  }
}

// Server-sent events by hand, because EventSource can neither POST nor send a token.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (text + value).split(/\r?\n\r?\n/);
    text = blocks.pop();
    for (const block of blocks) yield { name: fieldOf(block, 'event'), data: fieldOf(block, 'data') };
  }
}

function fieldOf(block, name) {
  return block
    .split(/\r?\n/)
    .filter((line) => line.startsWith(`${name}:`))
    .map((line) => line.slice(name.length + 1).trimStart())
    .join('\n');
}
