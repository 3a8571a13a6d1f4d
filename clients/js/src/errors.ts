/**
 * The one error type of the client.
 *
 * Place in the data path: an error reply, a close or a limit of the client's own becomes a `TidegateError` before the
 * application sees it.
 */

import type { WireError } from "./protocol.js";

/** What the server says in an error. */
export type ServerErrorCode =
  | "bad_request"
  | "unauthorized"
  | "forbidden"
  | "not_subscribed"
  | "already_subscribed"
  | "unknown_channel"
  | "limit"
  | "too_large"
  | "unavailable"
  | "conflict"
  | "internal";

/**
 * What the client itself says: no answer in time; closed by the application; no connection, for what can neither wait nor
 * be sent twice; a queue of its own is full; the server has ended a subscription that it had begun.
 */
export type ClientErrorCode = "timeout" | "closed" | "not_connected" | "queue_full" | "unsubscribed";

/**
 * A command that failed, a subscription that ended, or the reason why the client is closed.
 *
 * `code` is for programs: one of the server's words, one of the client's, or the name of a close code (`taken_over`,
 * `revoked`, …). The message is for people and may change.
 */
export class TidegateError extends Error {
  override readonly name = "TidegateError";
  readonly code: ServerErrorCode | ClientErrorCode | (string & {});
  /** Whether the same thing may succeed later. */
  readonly retry: boolean;
  /** The least to wait before that, in milliseconds, where the server said so. */
  readonly retryAfterMs: number | null;
  /** The close code, where the end of a connection is the reason. */
  readonly closeCode: number | null;

  constructor(
    code: ServerErrorCode | ClientErrorCode | (string & {}),
    message: string,
    about: { retry?: boolean; retryAfterMs?: number | null; closeCode?: number } = {},
  ) {
    super(message);
    this.code = code;
    this.retry = about.retry ?? false;
    this.retryAfterMs = about.retryAfterMs ?? null;
    this.closeCode = about.closeCode ?? null;
  }

  /** The server's `error` object. @internal */
  static fromWire(wire: WireError): TidegateError {
    return new TidegateError(wire.code, wire.message, { retry: wire.retry ?? false, retryAfterMs: wire.retry_after_ms ?? null });
  }
}
