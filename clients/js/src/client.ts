/**
 * The client as the application sees it.
 *
 * Place in the data path: the application's calls come in here and become commands; what `link.ts` receives goes from
 * here to subscriptions and callbacks.
 */

import { Backoff } from "./backoff.js";
import { Commands } from "./commands.js";
import { TidegateError } from "./errors.js";
import { Emitter } from "./events.js";
import { Link } from "./link.js";
import { VERSION, type WireError } from "./protocol.js";
import { MessageQueue } from "./queue.js";
import { systemRuntime, type Runtime, type WebSocketConstructor } from "./runtime.js";
import type { Subscription } from "./subscription.js";
import { Subscriptions } from "./subscriptions.js";
import type {
  ClientEvents, ClientOptions, CommandOptions, Direct, HistoryMessage, HistoryOptions, HistoryPage, Member, Message, Position,
  Presence, Published, PublishOptions, SendOptions, SessionInfo, State, StateChange, SubscribeOptions, Target,
} from "./types.js";

/**
 * A session with a Tidegate gateway.
 *
 * It connects on `connect()` and stays connected: after a lost connection it comes back, resumes the session, gets what
 * it missed, and sends again what was not acknowledged. Commands given meanwhile wait. It stops when `close()` is
 * called, or when the server says to stay away; then `connect()` begins a new session.
 */
export class TidegateClient {
  readonly #events = new Emitter<ClientEvents>();
  readonly #commands: Commands;
  readonly #subscriptions: Subscriptions;
  readonly #link: Link;
  readonly #directs = new Set<MessageQueue<Direct>>();
  readonly #bufferMax: number;
  readonly #keyPrefix: string;
  #lastKey = 0;
  #connecting: Connecting | undefined;

  /** `url`: `wss://…/ws`, or with `https:`, as text or as a `URL`; in a browser also relative to the page. */
  constructor(url: string | { readonly href: string }, options: ClientOptions = {}) {
    const runtime = options.runtime ?? systemRuntime;
    const backoffMs = options.backoffMs ?? 1_000;
    const backoffMaxMs = options.backoffMaxMs ?? 30_000;
    this.#bufferMax = options.bufferMax ?? 1_000;
    this.#keyPrefix = randomText(runtime) + randomText(runtime) + ".";
    this.#commands = new Commands({
      runtime,
      timeoutMs: options.commandTimeoutMs ?? 30_000,
      queueMax: options.queueMax ?? 1_000,
      queueCharsMax: options.queueCharsMax ?? 8 << 20,
    });
    const newBackoff = () => new Backoff(runtime, backoffMs, backoffMaxMs);
    this.#subscriptions = new Subscriptions(this.#subscriptionHost(), this.#commands, runtime, newBackoff);
    const about = { client: { name: options.name ?? "tidegate-js", version: VERSION }, info: options.info };
    const linkOptions = {
      url: webSocketUrl(url),
      webSocket: options.webSocket ?? platformWebSocket(),
      token: options.token,
      connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
      backoffMs,
      backoffMaxMs,
      runtime,
    };
    this.#link = new Link(linkOptions, {
      connectBody: () => ({ ...about, ...this.#subscriptions.connectBody() }),
      handleState: (change) => this.#handleState(change),
      handleConnected: (reply) => this.#subscriptions.handleConnected(reply),
      handleObject: (name, body) => this.#handleObject(name, body),
      handleLost: () => this.#handleLost(),
      handleClosed: (error) => this.#handleClosed(error),
      handleError: (error) => this.#events.emit("error", error),
    }, this.#commands);
  }

  get state(): State {
    return this.#link.state;
  }

  /** Who we are; undefined without a session. */
  get session(): SessionInfo | undefined {
    return this.#link.session;
  }

  /** Connects. Resolves with the first session, however many tries it takes; rejects when the client gets closed instead. */
  connect(): Promise<SessionInfo> {
    if (this.session) return Promise.resolve(this.session);
    const { promise } = (this.#connecting ??= newConnecting());
    this.#link.open();
    return promise;
  }

  /** Ends the session, all subscriptions and loops; commands without an answer are rejected. Resolves when the server knows. */
  close(): Promise<void> {
    return this.#link.close();
  }

  /** Drops the connection and comes back to the session at once, for instance when the application knows of a better network. */
  reconnect(): void {
    this.#link.reconnect();
  }

  /** Adds a listener; the function that comes back removes it. */
  on<Name extends keyof ClientEvents>(name: Name, listener: (event: ClientEvents[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /** Subscribes to a channel, now or as soon as there is a connection. For a channel that is held already, that subscription. */
  subscribe<Data = unknown>(channel: string, options: SubscribeOptions = {}): Subscription<Data> {
    return this.#subscriptions.subscribe(channel, options) as Subscription<Data>;
  }

  /**
   * Publishes on a channel. Resolves when the gateway has it; sent again after a lost connection, and delivered once
   * nevertheless. After a `timeout` it is unknown whether it was delivered: publish again with the same `key`.
   */
  async publish(channel: string, data: unknown, options: PublishOptions = {}): Promise<Published> {
    this.#requireOpen();
    const { conflate, trace, timeoutMs } = options;
    const body = { channel, data: data ?? null, conflate, trace };
    if (options.acknowledge === false) {
      const isFull = this.#link.bufferedBytes > UNACKNOWLEDGED_BYTES_MAX;
      if (isFull || !this.#commands.notify("publish", { ...body, key: options.key }, { answer: this.#link.isQuiet })) {
        throw new TidegateError(isFull ? "queue_full" : "not_connected", "cannot be sent now", { retry: true });
      }
      return {};
    }
    return this.#commands.request("publish", { ...body, key: this.#key(options) }, { timeoutMs, resend: true });
  }

  /** Sends to all sessions of a user, or to one session. Resolves with how many it was routed to. */
  async send(target: Target, data: unknown, options: SendOptions = {}): Promise<number> {
    this.#requireOpen();
    const body = { ...target, data: data ?? null, key: this.#key(options) };
    const { timeoutMs } = options;
    return (await this.#commands.request<{ sessions: number }>("send", body, { timeoutMs, resend: true })).sessions;
  }

  /** Who is on a channel. */
  async presence(channel: string, { timeoutMs }: CommandOptions = {}): Promise<Member[]> {
    this.#requireOpen();
    type Reply = { members: (Omit<Member, "sinceMs"> & { since_ms: number })[] };
    const { members } = await this.#commands.request<Reply>("presence", { channel }, { timeoutMs, resend: true });
    return members.map(({ since_ms, ...member }) => ({ ...member, sinceMs: since_ms }));
  }

  /** What was said on a channel, oldest first unless `newestFirst`. */
  async history<Data = unknown>(channel: string, options: HistoryOptions = {}): Promise<HistoryPage<Data>> {
    this.#requireOpen();
    const { after, limit = 100, newestFirst, timeoutMs } = options;
    const body = { channel, after, limit, newest_first: newestFirst };
    type Reply = Position & { messages: (Omit<HistoryMessage<Data>, "atMs"> & { at_ms: number })[] };
    const page = await this.#commands.request<Reply>("history", body, { timeoutMs, resend: true });
    return { ...page, messages: page.messages.map(({ at_ms, ...message }) => ({ ...message, atMs: at_ms })) };
  }

  /** Direct messages from here on. Ends with `close`, and throws where the server ended the session. */
  directs<Data = unknown>(): AsyncIterableIterator<Direct<Data>> {
    const queue = new MessageQueue<Direct>(this.#bufferMax, () => this.#directs.delete(queue));
    this.#directs.add(queue);
    return queue as MessageQueue<Direct<Data>>;
  }

  #subscriptionHost() {
    return {
      bufferMax: this.#bufferMax,
      unsubscribe: (subscription: Subscription) => this.#subscriptions.unsubscribe(subscription),
      publish: this.publish.bind(this),
      presence: this.presence.bind(this),
      history: <Data>(channel: string, options?: HistoryOptions) => this.history<Data>(channel, options),
      emitMessage: (message: Message) => this.#events.emit("message", message),
    };
  }

  #handleState(change: StateChange): void {
    if (change.session) {
      this.#connecting?.resolve(change.session);
      this.#connecting = undefined;
    }
    this.#events.emit("state", change);
  }

  /** Objects of a later version of the protocol are ignored. */
  #handleObject(name: string, body: unknown): void {
    const { channel } = body as { channel: string };
    const subscription = this.#subscriptions.get(channel);
    switch (name) {
      case "message":
        if (subscription) subscription.handleMessage(body as Message);
        // A channel that the server has subscribed us to since the connect.
        else if (!this.#subscriptions.isUnwanted(channel)) this.#events.emit("message", body as Message);
        return;
      case "join":
      case "leave":
        return subscription?.handlePresence(name, body as Presence);
      case "gap":
        return subscription?.handleServerGap(body as Partial<Position>);
      case "unsubscribed": {
        const error = body as WireError;
        const retry = error.code === "unavailable";
        return this.#subscriptions.handleUnsubscribed(channel, TidegateError.fromWire({ ...error, retry }));
      }
      case "direct":
        this.#events.emit("direct", body as Direct);
        for (const loop of this.#directs) loop.push(body as Direct);
        return;
      case "error":
        this.#events.emit("error", TidegateError.fromWire(body as WireError));
    }
  }

  #handleLost(): void {
    this.#subscriptions.handleLost();
    this.#commands.handleLost();
  }

  #handleClosed(error: TidegateError | undefined): void {
    const reason = error ?? new TidegateError("closed", "the client was closed");
    this.#connecting?.reject(reason);
    this.#connecting = undefined;
    this.#subscriptions.endAll(error);
    this.#commands.rejectAll(reason);
    for (const loop of this.#directs) loop.end(error);
    this.#directs.clear();
  }

  #requireOpen(): void {
    if (this.state === "closed") throw new TidegateError("closed", "the client is closed: call connect() first");
  }

  #key({ key }: { key?: string }): string {
    return key ?? this.#keyPrefix + (++this.#lastKey).toString(36);
  }
}

/** What `connect()` waits for. */
interface Connecting {
  promise: Promise<SessionInfo>;
  resolve: (session: SessionInfo) => void;
  reject: (error: TidegateError) => void;
}

function newConnecting(): Connecting {
  let settle!: Omit<Connecting, "promise">;
  const promise = new Promise<SessionInfo>((resolve, reject) => (settle = { resolve, reject }));
  // Who does not wait for it hears of a failure by `state`.
  promise.catch(() => {});
  return { promise, ...settle };
}

function webSocketUrl(url: string | { readonly href: string }): string {
  return new URL(typeof url === "string" ? url : url.href, globalThis.location?.href).href.replace(/^http/, "ws");
}

function platformWebSocket(): WebSocketConstructor {
  if (typeof WebSocket === "function") return WebSocket;
  throw new TypeError("this platform has no WebSocket: pass one as the option `webSocket`");
}

function randomText(runtime: Runtime): string {
  return runtime.random().toString(36).slice(2);
}

/** How much may wait in the socket before messages that nobody acknowledges are refused. */
const UNACKNOWLEDGED_BYTES_MAX = 1 << 20;
