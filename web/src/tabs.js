// What GraphiQL keeps between visits, and the examples that it opens with on the first one.

// Other GraphiQL pages on this host and port keep theirs under other names.
const PREFIX = 'orderpay:';
const keys = () => Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));

export const storage = {
  getItem: (key) => localStorage.getItem(PREFIX + key),
  setItem: (key, value) => localStorage.setItem(PREFIX + key, value),
  removeItem: (key) => localStorage.removeItem(PREFIX + key),
  clear: () => keys().forEach((key) => localStorage.removeItem(key)),
  get length() {
    return keys().length;
  },
};

export const examplesAsTabs = (examples) =>
  examples.map(({ query, variables }) => ({ query, variables: variables.trim() === '{}' ? null : variables }));

// The history and the theme stay.
export function forgetTabs() {
  for (const name of ['tabState', 'query', 'variables', 'headers', 'operationName']) storage.removeItem(`graphiql:${name}`);
}
