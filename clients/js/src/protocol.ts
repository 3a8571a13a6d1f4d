/**
 * The dialect `tidegate.v1.json` as it is on the wire: bodies, splitting of a message into objects, and close codes.
 *
 * Place in the data path: `connection.ts` reads with it, `commands.ts` writes with it. Names here are the protocol's;
 * what the application sees is in `types.ts`.
 */

/** Offered as `Sec-WebSocket-Protocol`. */
export const SUBPROTOCOL = "tidegate.v1.json";

/** Sent in `connect`; the version of package.json. */
export const VERSION = "0.1.0";

/** What a message may hold until the server has said otherwise, in bytes. */
export const MESSAGE_BYTES_DEFAULT = 1 << 20;

/** Codes that the client itself closes with. All but `done` leave the session waiting for it. */
export const CLOSE = { done: 1000, leaving: 4000, silent: 4002, malformed: 4052, slow: 4053 } as const;

export interface WireError {
  code: string;
  message: string;
  retry?: boolean;
  retry_after_ms?: number | null;
}

/** Where a channel is: the reply to `subscribe`, and one entry of `connect`'s `channels`. */
export interface WireSubscribed {
  epoch?: string;
  offset?: number;
  recovered?: boolean;
}

export interface WireConnected {
  session: string;
  resume: string;
  resumed: boolean;
  user: string;
  node: string;
  ping_ms: number;
  session_ttl_ms: number;
  token_expires_in_ms?: number | null;
  channels?: Record<string, WireSubscribed>;
  limits?: WireLimits;
}

export interface WireLimits {
  message_bytes?: number;
  messages_per_second?: number | null;
  bytes_per_second?: number | null;
}

export interface WireClosing {
  code: number;
  name: string;
  reconnect: boolean;
  after_ms?: number | null;
}

export interface WireReconnect {
  after_ms: number;
  within_ms: number;
  reason: string;
}

/** One object of a server's message: an optional `id` and one more key that names what it is. `{}` asks for `{}`. */
export type WireObject = { id?: number; error?: WireError } & Record<string, unknown>;

/** Whether to come back after an end: at once (with jitter), after back-off, or not before the application acts. */
export type Advice = "now" | "later" | "never";

/** Why a connection ended, and what to do about it. */
export interface Ending {
  code: number;
  name: string;
  message: string;
  advice: Advice;
  /** The least to stay away, in milliseconds. */
  afterMs: number;
}

/** The objects of one message. Throws where one is no JSON object. */
export function parseObjects(message: unknown): WireObject[] {
  if (typeof message !== "string") throw new SyntaxError("a binary message");
  return message.split("\n").filter(Boolean).map(parseObject);
}

/** What a close frame, or the lack of one (1006), asks for. */
export function endingOf(code: number, reason: string): Ending {
  const name = NAMES[code] ?? `close_${code}`;
  return { code, name, message: reason || `the connection ended (${name})`, advice: adviceOf(code), afterMs: 0 };
}

/** What a `closing` object asks for: its `reconnect` overrides the range of its code. */
export function endingOfClosing({ code, name, reconnect, after_ms }: WireClosing): Ending {
  const advised = adviceOf(code);
  const advice = !reconnect ? "never" : advised === "never" ? "later" : advised;
  return { code, name, message: `the server closed the connection (${name})`, advice, afterMs: after_ms ?? 0 };
}

/** Bytes of a text as UTF-8. */
export function bytesOf(text: string): number {
  return encoder.encode(text).length;
}

function parseObject(text: string): WireObject {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new SyntaxError("no object");
  return value as WireObject;
}

function adviceOf(code: number): Advice {
  if (code >= 4500) return "never";
  if (code >= 4000) return code % 100 < 50 ? "now" : "later";
  // Our own fault, and it would be the same again.
  if (FAULTS.includes(code)) return "never";
  return AT_ONCE.includes(code) ? "now" : "later";
}

const encoder = new TextEncoder();

/** RFC 6455, section 7.4.1: protocol error, unsupported data, invalid text, policy, too big, missing extension. */
const FAULTS = [1002, 1003, 1007, 1008, 1009, 1010];

/** Going away, no code, lost without a close frame, restart. */
const AT_ONCE = [1001, 1005, 1006, 1012];

const NAMES: Record<number, string> = {
  1006: "lost",
  4000: "drain",
  4001: "rebalance",
  4002: "ping_timeout",
  4003: "frame_timeout",
  4004: "token_expired",
  4050: "slow_consumer",
  4051: "overloaded",
  4052: "internal",
  4053: "unavailable",
  4500: "unauthorized",
  4501: "forbidden",
  4502: "bad_message",
  4503: "taken_over",
  4504: "revoked",
  4505: "disconnected",
  4506: "rate_limited",
  4507: "connect_timeout",
  4508: "session_expired",
};
