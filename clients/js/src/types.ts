/**
 * What the application sees: options, messages, replies and events.
 *
 * Place in the data path: the vocabulary of `client.ts` and `subscription.ts`; no behaviour.
 */

import type { TidegateError } from "./errors.js";
import type { Runtime, WebSocketConstructor } from "./runtime.js";

/** Where in a channel's stream someone is: `offset` counts the publications of one `epoch`, from 1. */
export interface Position {
  epoch: string;
  offset: number;
}

/** One publication on a channel. */
export interface Message<Data = unknown> {
  channel: string;
  data: Data;
  /** Its number, where the channel has a history. */
  offset?: number;
  /** The user who published it. */
  from?: string;
  /** W3C `traceparent`, where this message is sampled. */
  trace?: string;
  /** Messages between the one before and this one were lost to you. */
  gap?: true;
}

/** A message to this user or session, on no channel. */
export interface Direct<Data = unknown> {
  data: Data;
  from?: string;
  /** Others before it were dropped, because nobody read them. */
  gap?: true;
}

/** Someone came to a channel, or left it. */
export interface Presence {
  channel: string;
  user: string;
  session: string;
  info?: unknown;
}

/** One who is on a channel now. */
export interface Member {
  user: string;
  session: string;
  info?: unknown;
  /** Milliseconds since 1970. */
  sinceMs: number;
}

/** Messages of a channel were lost to this client; the application may read the history, or go on. */
export interface Gap {
  channel: string;
  /**
   * `server`: the server dropped them (a slow connection, retention); `recovery`: they could not be recovered after a
   * lost connection; `buffer`: nobody here read them in time.
   */
  reason: "server" | "recovery" | "buffer";
}

/** The server has confirmed a subscription: the first time, and after each return. */
export interface Subscribed {
  channel: string;
  /**
   * Whether nothing was lost since the last position: what was missed follows as messages, before the answer to any
   * later command. Undefined where there was no position to go on from.
   */
  recovered: boolean | undefined;
}

/** A subscription has ended: without an error because the application wanted it. */
export interface Unsubscribed {
  channel: string;
  error?: TidegateError;
}

/** The acknowledgement of a publish. */
export interface Published {
  /** Where the channel has a history. */
  epoch?: string;
  offset?: number;
  /** The same key had been published before; nothing was published again. */
  duplicate?: boolean;
}

/** A part of a channel's history. */
export interface HistoryPage<Data = unknown> {
  epoch: string;
  /** The channel's newest offset. */
  offset: number;
  messages: HistoryMessage<Data>[];
}

/** A message of the past. */
export interface HistoryMessage<Data = unknown> {
  data: Data;
  offset: number;
  from?: string;
  /** When it was published: milliseconds since 1970. */
  atMs: number;
}

/** Who the server says that we are. */
export interface SessionInfo {
  session: string;
  /** Empty for an anonymous session. */
  user: string;
  /** The gateway that we are on. */
  node: string;
  /** The session from before is alive, with all its subscriptions. */
  resumed: boolean;
}

/**
 * `connecting`: no session yet. `connected`. `recovering`: there is a session, but no connection; commands wait.
 * `closed`: nothing happens before `connect()`.
 */
export type State = "connecting" | "connected" | "recovering" | "closed";

/** A new state, or another try in the same. */
export interface StateChange {
  state: State;
  previous: State;
  /** The session, in `connected`. */
  session?: SessionInfo;
  /** Why the connection ended or could not be made; missing where the application wanted it. */
  error?: TidegateError;
  /** How long until the next try. */
  retryInMs?: number;
}

/** Why a token is wanted. */
export type TokenReason = "connect" | "expiring" | "refused";

/** Gets a token. To give up for good, throw a `TidegateError` that is not `retry`; any other failure is tried again. */
export type TokenProvider = (reason: TokenReason) => string | Promise<string>;

/** How the client is set up. Only what differs from the defaults has to be named. */
export interface ClientOptions {
  /** A JWT, or a function that gets a fresh one whenever it is needed. None: anonymous. */
  token?: string | TokenProvider;
  /** The WebSocket to use where the platform has none (Node 20: that of `ws` or `undici`). */
  webSocket?: WebSocketConstructor;
  /** What others see of this client in presence. */
  info?: unknown;
  /** How this program calls itself towards the server; default `tidegate-js`. */
  name?: string;
  /** Within this a command is answered, waiting for a connection included; default 30000. */
  commandTimeoutMs?: number;
  /** Within this a connection is open and `connect` answered, or it counts as failed; default 10000. */
  connectTimeoutMs?: number;
  /** Width of the first back-off window; default 1000. */
  backoffMs?: number;
  /** Width of the widest; default 30000. */
  backoffMaxMs?: number;
  /** Commands that may wait for their answers (or for a connection); default 1000. More are refused with `queue_full`. */
  queueMax?: number;
  /** Characters of JSON that these may hold together; default 8 Mi. */
  queueCharsMax?: number;
  /** Messages that wait for a slow loop, per loop; default 1000. More are dropped, and a `gap` tells so. */
  bufferMax?: number;
  /** Time, timers and randomness, for tests. */
  runtime?: Runtime;
}

export interface SubscribeOptions {
  /** Begin with the newest messages of the history, this many. */
  last?: number;
  /** Go on from here, as told by `Subscription.position` in an earlier life of the program. */
  position?: Position;
}

export interface CommandOptions {
  /** Instead of the client's `commandTimeoutMs`. */
  timeoutMs?: number;
}

export interface PublishOptions extends CommandOptions {
  /** Published twice, it is delivered once. At most 64 bytes; default: one that nobody else has. */
  key?: string;
  /** A later message with the same value may replace this one for a slow reader. */
  conflate?: string;
  /** W3C `traceparent`. */
  trace?: string;
  /** False: no answer is wanted, nothing is repeated, and the promise tells only that it is on its way. Default true. */
  acknowledge?: boolean;
}

export interface SendOptions extends CommandOptions {
  /** Sent twice, it is delivered once. At most 64 bytes; default: one that nobody else has. */
  key?: string;
}

export interface HistoryOptions extends CommandOptions {
  /** What comes after this position; default: from the oldest (or, with `newestFirst`, the newest). */
  after?: Position;
  /** At most this many; default 100. */
  limit?: number;
  newestFirst?: boolean;
}

/** Who gets a direct message. */
export type Target = { user: string } | { session: string };

/** What `TidegateClient.on` tells of. */
export interface ClientEvents {
  state: StateChange;
  /** Of every channel, those that the server subscribed us to included. */
  message: Message;
  direct: Direct;
  /** What concerns no command and ends nothing: a failed token refresh, an error for an unacknowledged publish. */
  error: TidegateError;
}

/** What `Subscription.on` tells of. */
export interface SubscriptionEvents {
  message: Message;
  join: Presence;
  leave: Presence;
  gap: Gap;
  subscribed: Subscribed;
  unsubscribed: Unsubscribed;
}
