// One subscription over a WebSocket of its own, in the protocol graphql-transport-ws: a stream of answers.

const ID = '1';

// GraphiQL's stop button calls `return`, which on a plain generator would wait for the next answer.
export function subscribe(endpoint, request, headers, onAnswer) {
  const url = new URL(endpoint, location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const socket = new WebSocket(url, 'graphql-transport-ws');
  const say = (message) => socket.send(JSON.stringify(message));
  const { answers, put, end } = line(() => socket.close(1000));
  socket.onopen = () => say({ type: 'connection_init', payload: headers });
  socket.onmessage = ({ data }) => {
    const { type, payload } = JSON.parse(data);
    if (type === 'connection_ack') say({ id: ID, type: 'subscribe', payload: request });
    if (type === 'ping') say({ type: 'pong' });
    if (type === 'complete') end();
    if (type === 'next') {
      onAnswer(payload);
      put(payload);
    }
  };
  socket.onclose = ({ code, reason }) => {
    if (code !== 1000) put({ errors: [{ message: reason || 'The connection to the server was lost.', extensions: { code } }] });
    end();
  };
  return answers;
}

// What is put in at one end, to be waited for at the other.
function line(onReturn) {
  const waiting = [];
  let ended = false;
  let wake = () => {};
  const answers = {
    [Symbol.asyncIterator]: () => answers,
    async next() {
      while (waiting.length === 0 && !ended) await new Promise((resolve) => (wake = resolve));
      return waiting.length > 0 ? { done: false, value: waiting.shift() } : { done: true, value: undefined };
    },
    async return() {
      waiting.length = 0;
      end();
      onReturn();
      return { done: true, value: undefined };
    },
  };
  const put = (answer) => {
    if (!ended) waiting.push(answer);
    wake();
  };
  const end = () => {
    ended = true;
    wake();
  };
  return { answers, put, end };
}
