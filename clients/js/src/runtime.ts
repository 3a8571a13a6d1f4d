/**
 * What the client takes from its surroundings: time, timers, randomness and the WebSocket constructor.
 *
 * Place in the data path: every other file gets these as arguments, so that tests run in virtual time and without sockets.
 */

/** Time, timers and randomness. The default is the platform's; tests pass their own. */
export interface Runtime {
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  /** Calls `callback` once, `ms` milliseconds from now. */
  setTimeout(callback: () => void, ms: number): unknown;
  /** Forgets a timer; one that has fired, or `undefined`, is ignored. */
  clearTimeout(timer: unknown): void;
  /** A number in [0, 1). Spreads clients over time and makes keys; it guards no secret. */
  random(): number;
  /** Calls `callback` when the network is back, until the function that comes back is called. Browsers only. */
  onOnline?(callback: () => void): () => void;
}

/** The part of a WebSocket that the client uses: the browser's, Node's (from version 22), `ws` and undici have it. */
export interface WebSocketLike {
  readonly readyState: number;
  readonly bufferedAmount: number;
  // `any` on purpose: each implementation has event types of its own, and of these only `data`, `code` and
  // `reason` are read.
  onopen: ((event: any) => any) | null;
  onmessage: ((event: any) => any) | null;
  onerror: ((event: any) => any) | null;
  onclose: ((event: any) => any) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  /** `ws` only: ends the connection without waiting for the other side. */
  terminate?(): void;
}

/** How to make one. */
export type WebSocketConstructor = new (url: string, protocols: string) => WebSocketLike;

/** The platform's own. */
export const systemRuntime: Runtime = {
  now: () => performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, Math.min(ms, TIMER_MS_MAX)),
  clearTimeout: (timer) => clearTimeout(timer as number | undefined),
  random: () => Math.random(),
  onOnline: (callback) => {
    globalThis.addEventListener?.("online", callback);
    return () => globalThis.removeEventListener?.("online", callback);
  },
};

/** Platforms fire a longer timer at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;
