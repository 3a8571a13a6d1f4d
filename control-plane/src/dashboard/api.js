// Single calls of the control plane's API, with the operator's token.

/** Where the token is: in this tab, until it is closed. */
const KEPT_AS = "tidegate-token";

export const token = {
  get: () => sessionStorage.getItem(KEPT_AS) ?? "",
  set: (text) => sessionStorage.setItem(KEPT_AS, text),
  forget: () => sessionStorage.removeItem(KEPT_AS),
};

/** An answer that is none, or says no: an `application/problem+json` (RFC 9457), or what stands in for it. */
export class Problem extends Error {
  /** HTTP status, 0 where there was no answer. */
  status;
  /** A word for programs, as docs/control-plane.md lists them. */
  code;
  /** The whole body. */
  body;

  constructor(status, body) {
    super(wordsOf(status, body));
    this.status = status;
    this.code = body.code ?? "";
    this.body = body;
  }

  static async of(response) {
    const body = await response.json().catch(() => ({}));
    return new Problem(response.status, body !== null && typeof body === "object" ? body : {});
  }
}

/** Resolves with the answer's JSON; rejects with a [`Problem`]. */
export async function call(method, path, body, headers = {}) {
  const response = await ask(path, {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  if (!response.ok) throw await Problem.of(response);
  return response.status === 204 ? undefined : response.json().catch(() => undefined);
}

/** What the token allows: `view`, `operate` or `admin`; "" before the first answer, or where nobody has to sign in. */
export function role() {
  return allowed;
}

/** `fetch` with the token; rejects with a [`Problem`] where no answer comes. */
export async function ask(path, options) {
  const secret = token.get();
  const headers = { accept: "application/json", ...options.headers, ...(secret && { authorization: `Bearer ${secret}` }) };
  try {
    // Relative: a proxy may serve this page below a path of its own.
    const response = await fetch(path, { ...options, headers, cache: "no-store" });
    allowed = response.headers.get("tidegate-role") ?? allowed;
    return response;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: error.name === "TimeoutError" ? `no answer within ${PATIENCE_MS / 1000} s` : "no connection to the control plane" });
  }
}

/** What is wrong, the numbers behind it, and what to do. */
function wordsOf(status, { title, detail, details }) {
  const said = [title, detail].filter((part) => typeof part === "string" && part).join(": ") || `The answer was HTTP ${status}.`;
  const numbers = Object.entries(details ?? {}).filter(([, value]) => typeof value !== "object").map(([name, value]) => `${inWords(name)}: ${value}`);
  return [said, numbers.join(" · "), TODO[status]].filter(Boolean).join("\n");
}

/** `freeConnections` as people write it. */
function inWords(key) {
  return key.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

/** What to do where the answer cannot know it. */
const TODO = {
  0: "It may be restarting; another replica can be asked the same.",
  401: "Sign in with a token of the control plane.",
  429: "Wait a moment, then try again.",
  503: "Wait a moment, then try again.",
};
let allowed = "";
const PATIENCE_MS = 15_000;
