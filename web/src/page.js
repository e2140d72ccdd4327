// The page around GraphiQL: who is calling, what the last answers said, and the examples in their tabs.
// It needs no build step. GraphiQL and React come as globals, from this server or from the public address.
import { examplesAsTabs, forgetTabs, storage } from './tabs.js';
import { remember, remembered, fillIn } from './memory.js';
import { isSubscription, send } from './send.js';
import { subscribe } from './subscribe.js';

const settings = JSON.parse(document.getElementById('orderpay-settings').textContent);
const element = (id) => document.getElementById(id);

const NOBODY = { name: 'Nobody (no token)', description: 'Not signed in.', token: '' };
const OWN_TOKEN = { name: 'A token of your own …', description: '', token: '' };
const callers = [...settings.callers, NOBODY, OWN_TOKEN];
const CALLER_KEY = 'orderpay:caller';

function start() {
  offerCallers();
  element('start-over').addEventListener('click', startOver);
  element('token').addEventListener('change', show);
  element('caller').addEventListener('change', () => {
    sessionStorage.setItem(CALLER_KEY, caller().name);
    show();
    if (caller() === OWN_TOKEN) element('token').focus();
  });
  showRemembered();
  tell(notices());
  if (window.GraphiQL) show();
  else element('graphiql').firstElementChild.textContent = 'GraphiQL could not be loaded.';
}

function offerCallers() {
  const chosen = sessionStorage.getItem(CALLER_KEY);
  element('caller').append(...callers.map(({ name }) => new Option(name, name, false, name === chosen)));
}

function caller() {
  return callers[element('caller').selectedIndex];
}

let root;

// A fetcher of another identity makes GraphiQL ask for the schema again, which differs by caller.
function show() {
  const own = caller() === OWN_TOKEN;
  for (const part of [element('token'), ...element('token').labels]) part.hidden = !own;
  element('caller-about').textContent = caller().description;

  root ??= ReactDOM.createRoot(element('graphiql'));
  root.render(
    React.createElement(
      GraphiQL,
      {
        fetcher: fetcherFor(own ? element('token').value.trim() : caller().token),
        defaultTabs: examplesAsTabs(settings.examples),
        defaultEditorToolsVisibility: 'variables',
        shouldPersistHeaders: false,
        showPersistHeadersSettings: false,
        storage,
      },
      React.createElement(GraphiQL.Logo, null, ' '),
    ),
  );
}

function fetcherFor(token) {
  const authorization = token ? { Authorization: `Bearer ${token.replace(/^Bearer\s+/i, '')}` } : {};
  return async (request, options = {}) => {
    const { variables, missing } = fillIn(request.variables);
    if (missing) return { errors: [{ message: `${missing} is not known yet: run an example before this one that answers with it.` }] };
    const headers = { ...authorization, ...options.headers };
    const ask = isSubscription(options.documentAST, request.operationName) ? subscribe : send;
    return ask(settings.endpoint, { ...request, variables }, headers, (answer) => {
      if (request.operationName === 'IntrospectionQuery') return;
      remember(answer.data);
      showRemembered();
    });
  };
}

const CHIPS = { orderId: 'order', attemptId: 'attempt', externalId: 'session', paymentId: 'payment', caseId: 'case' };

function showRemembered() {
  const known = Object.keys(CHIPS).filter((key) => remembered[key]);
  element('remembered').replaceChildren(...known.map((key) => chip(CHIPS[key], remembered[key], key)));
  const pay = element('pay-link');
  pay.hidden = !remembered.redirectUrl;
  if (remembered.redirectUrl) pay.href = remembered.redirectUrl;
  else pay.removeAttribute('href');
}

function chip(label, value, key) {
  const button = document.createElement('button');
  const code = document.createElement('code');
  code.textContent = value.length > 14 ? `…${value.slice(-6)}` : value;
  button.append(`${label} `, code);
  button.type = 'button';
  button.className = 'chip';
  button.dataset.key = key;
  button.title = `${value}\nIn variables: "{{${key}}}". Press to copy.`;
  button.setAttribute('aria-label', `Copy the ${label} id ${value}`);
  button.addEventListener('click', async () => {
    await navigator.clipboard?.writeText(value);
    button.classList.add('copied');
    setTimeout(() => button.classList.remove('copied'), 900);
  });
  return button;
}

function notices() {
  const all = [];
  if (settings.loadedFrom.length > 0) {
    const { host } = new URL(settings.loadedFrom[0]);
    all.push(
      window.GraphiQL
        ? `This server was built without npm, so GraphiQL is loaded from ${host}, in fixed versions with checked content.`
        : `This server was built without npm, so GraphiQL is loaded from ${host}, which cannot be reached from here.`,
    );
  }
  if (new URLSearchParams(location.search).has('returned')) {
    all.push('You are back from the payment page. Close this tab, and run “OrderNow” in the one before.');
  }
  return all;
}

function tell(messages) {
  element('notice').textContent = messages.join(' ');
  element('notice').hidden = messages.length === 0;
}

function startOver() {
  forgetTabs();
  location.reload();
}

start();
