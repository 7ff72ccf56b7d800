/** The token of this tab, asked for when the service refuses to answer without one. */

const NAME = 'headwater-token';

type Listener = () => void;
const listeners = new Set<Listener>();

let asked: { answered: Promise<void>; answer: () => void } | null = null;
let refused = false;
let letIn: () => void;
/** Resolves once the service has answered a request, with a token or without need of one. */
const admitted = new Promise<void>((resolve) => {
  letIn = resolve;
});

export const access = {
  admitted,

  token: (): string | null => sessionStorage.getItem(NAME),

  /** What a dialog is to show: nothing, the question, or the question after a refusal. */
  state: (): 'idle' | 'asked' | 'refused' =>
    asked === null ? 'idle' : refused ? 'refused' : 'asked',

  subscribe(listener: Listener): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },

  give(token: string): void {
    sessionStorage.setItem(NAME, token);
    asked?.answer();
    asked = null;
    tell();
  },
};

/** `fetch` with the token; waits for one when it is missing, and for a service that is still starting. */
export async function fetchWithAccess(
  input: RequestInfo | URL,
  init?: RequestInit,
): Promise<Response> {
  for (;;) {
    const token = access.token();
    const headers = new Headers(init?.headers);
    if (token) headers.set('Authorization', `Bearer ${token}`);
    const response = await fetch(input, { ...init, headers });
    if (response.status === 503) await new Promise((resolve) => setTimeout(resolve, 1_000));
    else if (response.status !== 401) {
      letIn();
      return response;
    } else if (token === access.token()) await ask(token !== null);
  }
}

function ask(after: boolean): Promise<void> {
  if (asked === null) {
    let answer = () => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    asked = { answered, answer };
    refused = after;
    tell();
  }
  return asked.answered;
}

function tell(): void {
  for (const listener of listeners) listener();
}
