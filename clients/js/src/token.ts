/**
 * The token: gets it, keeps it while it is good, and renews it before it ends.
 *
 * Place in the data path: `link.ts` asks for it before each connection, and lends it the connection for `refresh`.
 */

import { TidegateError } from "./errors.js";
import type { Runtime } from "./runtime.js";
import type { TokenProvider, TokenReason } from "./types.js";

/** What the keeper needs of the connection. */
export interface TokenUser {
  /** Sends `refresh`; resolves with the new lifetime in milliseconds, if there is one. */
  sendRefresh(token: string): Promise<number | null | undefined>;
  handleRefreshFailed(error: TidegateError): void;
}

export class TokenKeeper {
  readonly #provider: TokenProvider | undefined;
  readonly #runtime: Runtime;
  readonly #timeoutMs: number;
  readonly #user: TokenUser;
  #token: string | undefined;
  #endsAtMs = Infinity;
  #acceptedAtMs = -Infinity;
  /** When it was got, if the server has not yet said yes to it. */
  #untriedSinceMs: number | undefined;
  #refused = false;
  #refreshing = false;
  #timer: unknown;

  constructor(token: string | TokenProvider | undefined, runtime: Runtime, timeoutMs: number, user: TokenUser) {
    if (typeof token === "function") this.#provider = token;
    else this.#token = token;
    this.#runtime = runtime;
    this.#timeoutMs = timeoutMs;
    this.#user = user;
  }

  /** A token for `connect`; undefined for an anonymous client. */
  async current(): Promise<string | undefined> {
    if (!this.#provider) return this.#token;
    // One that was got before a long outage may have ended unseen. Then its refusal would tell nothing about the next.
    const nowMs = this.#runtime.now();
    const isStale = nowMs >= this.#endsAtMs || nowMs - (this.#untriedSinceMs ?? nowMs) > FRESH_MS;
    if (this.#token === undefined || isStale) await this.#fetch(this.#refused ? "refused" : "connect");
    return this.#token;
  }

  /** The server took it, and `connect` or `refresh` told how long it lasts. */
  handleAccepted(expiresInMs: number | null | undefined): void {
    this.#untriedSinceMs = undefined;
    this.#refused = false;
    this.#acceptedAtMs = this.#runtime.now();
    this.#endsAtMs = expiresInMs == null ? Infinity : this.#acceptedAtMs + expiresInMs;
    if (expiresInMs == null) this.stop();
    else this.#renewBefore(expiresInMs);
  }

  /** The server asks for another one. */
  handleExpiring(inMs: number): void {
    // One that has only just been accepted is short-lived: replacing it at once would go on for ever.
    if (this.#runtime.now() - this.#acceptedAtMs < RENEW_MS_MIN) this.#renewBefore(inMs);
    else this.#refresh();
  }

  /** The server did not take it, or no longer: whether another one is worth a try. */
  handleRefused(): boolean {
    if (!this.#provider || this.#untriedSinceMs !== undefined) return false;
    this.#token = undefined;
    this.#refused = true;
    return true;
  }

  /** No connection, so nothing to refresh. */
  stop(): void {
    this.#runtime.clearTimeout(this.#timer);
  }

  #renewBefore(endMs: number): void {
    this.stop();
    // Well before its end, and not all clients of one login wave at once.
    const inMs = endMs * (RENEW_AT + RENEW_SPREAD * this.#runtime.random());
    this.#timer = this.#runtime.setTimeout(() => this.#refresh(), Math.max(inMs, RENEW_MS_MIN));
  }

  #refresh(): void {
    if (!this.#provider || this.#refreshing) return;
    this.#refreshing = true;
    this.stop();
    this.#fetch("expiring")
      .then((token) => this.#user.sendRefresh(token))
      .then((expiresInMs) => this.handleAccepted(expiresInMs))
      .catch((error: unknown) => {
        const failure = asTidegateError(error);
        // The old token is still good for a while; at its end the server asks us to come back with another.
        if (failure.code === "not_connected") return;
        this.#user.handleRefreshFailed(failure);
        if (failure.retry) this.#timer = this.#runtime.setTimeout(() => this.#refresh(), RETRY_MS);
      })
      .finally(() => (this.#refreshing = false));
  }

  async #fetch(reason: TokenReason): Promise<string> {
    let timer: unknown;
    const late = new Promise<never>((_, reject) => {
      const error = new TidegateError("timeout", "no token in time", { retry: true });
      timer = this.#runtime.setTimeout(() => reject(error), this.#timeoutMs);
    });
    try {
      this.#token = await Promise.race([this.#provider?.(reason) ?? "", late]);
      this.#untriedSinceMs = this.#runtime.now();
      this.#endsAtMs = Infinity;
      return this.#token;
    } finally {
      this.#runtime.clearTimeout(timer);
    }
  }
}

/** A provider may fail with anything; only a `TidegateError` can say that trying again is no use. */
export function asTidegateError(error: unknown): TidegateError {
  if (error instanceof TidegateError) return error;
  return new TidegateError("unavailable", `no token: ${String(error)}`, { retry: true });
}

/** When to renew, as a part of the lifetime: from here to here plus the spread. */
const RENEW_AT = 0.7;
const RENEW_SPREAD = 0.1;

/** The least between two renewals. */
const RENEW_MS_MIN = 1_000;

/** Between two tries to renew. */
const RETRY_MS = 5_000;

/** How old a token may be that the server has not seen, to be shown as a new one. */
const FRESH_MS = 30_000;
