/**
 * Commands that wait: for a connection, for their turn, for their answer.
 *
 * Place in the data path: every command of `client.ts` goes through here to `link.ts`, every reply comes back here. The
 * table is also the queue: what is unanswered when a connection ends is what has to be sent on the next one.
 */

import { TidegateError } from "./errors.js";
import { Pace } from "./pace.js";
import { bytesOf, type WireLimits, type WireObject } from "./protocol.js";
import type { Runtime } from "./runtime.js";

/** What the table needs of the client. */
export interface CommandsOptions {
  runtime: Runtime;
  timeoutMs: number;
  queueMax: number;
  queueCharsMax: number;
}

/** How one command is treated. */
export interface CommandTreatment {
  timeoutMs?: number | undefined;
  /** Sent again on the next connection. Only for what may arrive twice: reads, and what carries a key. */
  resend: boolean;
  /** Goes before those that are not: what a channel is asked for has to come after the subscription to it. */
  first?: true;
}

interface Pending {
  id: number;
  name: string;
  object: string;
  resend: boolean;
  /** Sent on this connection. */
  sent: boolean;
  timer: unknown;
  resolve: (body: unknown) => void;
  reject: (error: TidegateError) => void;
}

export class Commands {
  readonly #options: CommandsOptions;
  readonly #pace: Pace;
  /** In the order in which they were given, which is also that of sending. */
  readonly #pending = new Map<number, Pending>();
  /** Those of them that go before the others, and have not gone. */
  readonly #first = new Set<Pending>();
  #chars = 0;
  #inFlight = 0;
  #lastId = 0;
  #send: ((object: string) => void) | undefined;
  #messageBytesMax = Infinity;
  #timer: unknown;

  constructor(options: CommandsOptions) {
    this.#options = options;
    this.#pace = new Pace(options.runtime);
  }

  /** Those that were sent and are not answered. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Gives a command; resolves with the body of its reply. */
  request<Reply>(name: string, body: object, treatment: CommandTreatment): Promise<Reply> {
    return new Promise((resolve, reject) => this.call<Reply>(name, body, treatment, resolve, reject));
  }

  /**
   * The same for who must know before the object after the reply is looked at, as a promise cannot: the messages of a
   * subscription may be in the same frame as the reply to `subscribe`.
   */
  call<Reply>(
    name: string,
    body: object,
    treatment: CommandTreatment,
    resolve: (reply: Reply) => void,
    reject: (error: TidegateError) => void,
  ): void {
    const id = this.#nextId();
    const object = JSON.stringify({ id, [name]: body });
    if (this.#pending.size >= this.#options.queueMax || this.#chars + object.length > this.#options.queueCharsMax) {
      return reject(new TidegateError("queue_full", "too many commands wait for an answer", { retry: true }));
    }
    this.#chars += object.length;
    const timer = this.#options.runtime.setTimeout(() => {
      const error = new TidegateError("timeout", `no answer to ${name} in time`, { retry: true });
      this.#settle(id, (pending) => pending.reject(error));
    }, treatment.timeoutMs ?? this.#options.timeoutMs);
    const { resend } = treatment;
    const pending = { id, name, object, resend, timer, reject, sent: false, resolve: resolve as (body: unknown) => void };
    this.#pending.set(id, pending);
    if (treatment.first) this.#first.add(pending);
    this.#sendNext();
  }

  /** The first command of a connection: goes past the others, which wait until the server has answered it. */
  callFirst<Reply>(
    name: string,
    body: object,
    send: (object: string) => void,
    resolve: (reply: Reply) => void,
    reject: (error: TidegateError) => void,
  ): void {
    const id = this.#nextId();
    this.#inFlight++;
    this.#pending.set(id, {
      id, name, object: "", resend: false, timer: undefined, reject, sent: true, resolve: resolve as (body: unknown) => void,
    });
    send(JSON.stringify({ id, [name]: body }));
  }

  /** Sends a command that wants no answer, now or not at all: whether it went. */
  notify(name: string, body: object, treatment: { answer: boolean }): boolean {
    // An answer that somebody listens for, though not to what it says.
    const object = JSON.stringify({ id: treatment.answer ? this.#nextId() : undefined, [name]: body });
    if (!this.#send || this.#pace.take(bytesOf(object)) > 0) return false;
    this.#send(object);
    return true;
  }

  /** A connection is ready: sends what waits, oldest first, as fast as `limits` allow. */
  start(send: (object: string) => void, limits: WireLimits): void {
    this.#send = send;
    this.#messageBytesMax = limits.message_bytes ?? Infinity;
    this.#pace.reset(limits);
    this.#sendNext();
  }

  /** Nothing more goes out on this connection; answers may still come. */
  hold(): void {
    this.#send = undefined;
    this.#options.runtime.clearTimeout(this.#timer);
  }

  /** The connection is gone: forgets what must not be sent twice, keeps the rest for the next. */
  handleLost(): void {
    this.hold();
    this.#inFlight = 0;
    for (const pending of [...this.#pending.values()]) {
      if (pending.sent && !pending.resend) {
        this.#settle(pending.id, () => pending.reject(new TidegateError("not_connected", "the connection was lost", { retry: true })));
      }
      pending.sent = false;
    }
  }

  /** An object with an `id` has come. */
  handleReply(reply: WireObject & { id: number }): void {
    const pending = this.#pending.get(reply.id);
    if (!pending?.sent) return;
    const error = reply.error && TidegateError.fromWire(reply.error);
    if (error?.code === "limit" && error.retryAfterMs !== null && pending.object) {
      // Too fast, not wrong: it keeps its place and goes again when the server has room.
      pending.sent = false;
      this.#inFlight--;
      this.#pace.handleRefused(error.retryAfterMs);
      return this.#sendNext();
    }
    this.#settle(reply.id, () => (error ? pending.reject(error) : pending.resolve(reply[pending.name])));
    this.#pace.handleAnswered();
    this.#sendNext();
  }

  /** Ends all of them. */
  rejectAll(error: TidegateError): void {
    this.hold();
    for (const id of [...this.#pending.keys()]) this.#settle(id, (pending) => pending.reject(error));
  }

  #sendNext(): void {
    if (!this.#send) return;
    this.#options.runtime.clearTimeout(this.#timer);
    for (const pending of this.#inOrder()) {
      if (pending.sent) continue;
      if (this.#inFlight >= this.#pace.inFlightMax) return;
      const bytes = bytesOf(pending.object);
      if (bytes > this.#messageBytesMax) {
        const error = new TidegateError("too_large", `${pending.name} exceeds the server's ${this.#messageBytesMax} bytes`);
        this.#settle(pending.id, () => pending.reject(error));
        continue;
      }
      const waitMs = this.#pace.take(bytes);
      if (waitMs > 0) {
        this.#timer = this.#options.runtime.setTimeout(() => this.#sendNext(), waitMs);
        return;
      }
      pending.sent = true;
      this.#first.delete(pending);
      this.#inFlight++;
      this.#send(pending.object);
    }
  }

  *#inOrder(): Generator<Pending, void> {
    yield* this.#first;
    yield* this.#pending.values();
  }

  #settle(id: number, how: (pending: Pending) => void): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    this.#first.delete(pending);
    this.#chars -= pending.object.length;
    if (pending.sent) this.#inFlight--;
    this.#options.runtime.clearTimeout(pending.timer);
    how(pending);
  }

  #nextId(): number {
    do this.#lastId = (this.#lastId % ID_MAX) + 1;
    while (this.#pending.has(this.#lastId));
    return this.#lastId;
  }
}

/** The protocol's ids are u32. */
const ID_MAX = 2 ** 32 - 1;
