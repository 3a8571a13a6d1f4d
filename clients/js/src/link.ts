/**
 * Keeps one session connected: the state machine of the client.
 *
 * Place in the data path: between `client.ts`, which knows channels and commands, and `connection.ts`, which knows one
 * socket. Decides when to connect, with what, when to give a connection up, and whether and when to come back.
 */

import { Backoff } from "./backoff.js";
import type { Commands } from "./commands.js";
import { Connection } from "./connection.js";
import { TidegateError } from "./errors.js";
import { Liveness } from "./liveness.js";
import {
  type Advice, CLOSE, type Ending, MESSAGE_BYTES_DEFAULT, SUBPROTOCOL, type WireClosing, type WireConnected, type WireObject,
  type WireReconnect, endingOf, endingOfClosing,
} from "./protocol.js";
import type { Runtime, WebSocketConstructor } from "./runtime.js";
import { TokenKeeper, asTidegateError } from "./token.js";
import type { SessionInfo, State, StateChange, TokenProvider } from "./types.js";

/** How a link is set up. */
export interface LinkOptions {
  url: string;
  webSocket: WebSocketConstructor;
  token: string | TokenProvider | undefined;
  connectTimeoutMs: number;
  backoffMs: number;
  backoffMaxMs: number;
  runtime: Runtime;
}

/** What the link tells its client, and asks of it. */
export interface LinkHost {
  /** The parts of `connect` that are not the link's. */
  connectBody(): object;
  handleState(change: StateChange): void;
  /** A session is there, and the server's next objects are about it. */
  handleConnected(reply: WireConnected): void;
  handleObject(name: string, body: unknown): void;
  handleLost(): void;
  handleClosed(error: TidegateError | undefined): void;
  handleError(error: TidegateError): void;
}

export class Link {
  readonly #options: LinkOptions;
  readonly #host: LinkHost;
  readonly #commands: Commands;
  readonly #runtime: Runtime;
  readonly #backoff: Backoff;
  readonly #liveness: Liveness;
  readonly #token: TokenKeeper;
  #state: State = "closed";
  #connection: Connection | undefined;
  #resume: { session: string; resume: string } | undefined;
  #session: SessionInfo | undefined;
  /** Numbers the tries, so that a token that comes too late is not used. */
  #try = 0;
  /** The server's answer to `connect`, if it was no. What to do about it is in the end that follows. */
  #refusal: TidegateError | undefined;
  /** Set when the server has asked us to leave: when to come back. */
  #comeBackInMs: number | undefined;
  /** The next step: try again, give up connecting, or leave. There is never more than one. */
  #stepTimer: unknown;
  #provedTimer: unknown;
  #forgetOnline: (() => void) | undefined;

  constructor(options: LinkOptions, host: LinkHost, commands: Commands) {
    const { runtime } = options;
    this.#options = options;
    this.#host = host;
    this.#commands = commands;
    this.#runtime = runtime;
    this.#backoff = new Backoff(runtime, options.backoffMs, options.backoffMaxMs);
    this.#liveness = new Liveness(runtime, () => this.#abandon(endingOf(CLOSE.silent, "nothing was heard from the server")));
    this.#token = new TokenKeeper(options.token, runtime, options.connectTimeoutMs, {
      sendRefresh: async (token) => {
        if (!this.#connection) throw new TidegateError("not_connected", "no connection to refresh the token on");
        const body = { token };
        const reply = await commands.request<{ token_expires_in_ms?: number } | undefined>("refresh", body, { resend: false });
        return reply?.token_expires_in_ms;
      },
      handleRefreshFailed: (error) => host.handleError(error),
    });
  }

  get state(): State {
    return this.#state;
  }

  get session(): SessionInfo | undefined {
    return this.#session;
  }

  /** A server that hears from us need not ask whether we are there, so a client that only talks has to ask for an answer. */
  get isQuiet(): boolean {
    return this.#liveness.isQuiet;
  }

  get bufferedBytes(): number {
    return this.#connection?.bufferedBytes ?? 0;
  }

  /** Connects, and stays connected until `close` or until the server says to stay away. */
  open(): void {
    if (this.#state !== "closed") return;
    this.#setState("connecting");
    void this.#connect();
  }

  /** Drops the connection without ending the session, and connects again at once. */
  reconnect(): void {
    if (this.#state === "closed") return;
    this.#connection?.close(CLOSE.leaving);
    this.#handleGone();
    this.#retry(0);
  }

  /** Ends the session. Resolves when the server knows, or does not answer. */
  async close(): Promise<void> {
    const connection = this.#connection;
    connection?.close(CLOSE.done);
    if (this.#state !== "closed") this.#finish();
    if (!connection) return;
    let timer: unknown;
    await Promise.race([connection.closed, new Promise<void>((late) => (timer = this.#runtime.setTimeout(late, CLOSE_MS)))]);
    this.#runtime.clearTimeout(timer);
    connection.abandon(CLOSE.done);
  }

  async #connect(): Promise<void> {
    const current = ++this.#try;
    this.#forgetOnline?.();
    let token: string | undefined;
    try {
      token = await this.#token.current();
    } catch (error) {
      if (current !== this.#try) return;
      const failure = asTidegateError(error);
      return this.#handleFailure(failure, failure.retry ? "later" : "never");
    }
    if (current === this.#try) this.#openConnection(token);
  }

  #openConnection(token: string | undefined): void {
    const { url, webSocket, connectTimeoutMs } = this.#options;
    const owner = {
      handleOpen: () => this.#sayHello(token),
      handleObject: (object: WireObject) => this.#handleObject(object),
      handleEnd: (ending: Ending) => this.#handleEnding(ending),
    };
    try {
      this.#connection = new Connection(owner, webSocket, url, SUBPROTOCOL, MESSAGE_BYTES_DEFAULT);
    } catch (error) {
      return this.#finish(new TidegateError("bad_request", `cannot connect to ${url}: ${String(error)}`));
    }
    this.#stepTimer = this.#runtime.setTimeout(
      () => this.#abandon({ ...endingOf(CLOSE.silent, "no connection in time"), name: "timeout" }),
      connectTimeoutMs,
    );
  }

  #sayHello(token: string | undefined): void {
    const connection = this.#connection;
    this.#commands.callFirst<WireConnected>(
      "connect",
      { ...this.#host.connectBody(), token, ...this.#resume },
      (object) => connection?.send(object),
      (reply) => this.#handleWelcome(reply),
      (error) => this.#handleRefusal(error, connection),
    );
  }

  #handleWelcome(reply: WireConnected): void {
    const connection = this.#connection;
    if (!connection) return;
    const { session, resume, resumed, user, node } = reply;
    this.#runtime.clearTimeout(this.#stepTimer);
    this.#resume = { session, resume };
    this.#session = { session, user, node, resumed };
    connection.messageBytesMax = reply.limits?.message_bytes ?? MESSAGE_BYTES_DEFAULT;
    this.#token.handleAccepted(reply.token_expires_in_ms);
    this.#liveness.start(reply.ping_ms);
    this.#provedTimer = this.#runtime.setTimeout(() => this.#backoff.reset(), PROVED_MS);

    this.#setState("connected", { session: this.#session });
    // A listener may have closed the client, or dropped the connection: twice looked at, before each use.
    if (this.#connection === connection) this.#host.handleConnected(reply);
    if (this.#connection === connection) this.#commands.start((object) => connection.send(object), reply.limits ?? {});
  }

  #handleRefusal(error: TidegateError, connection: Connection | undefined): void {
    // Also called where the connection was lost before the answer; that has been dealt with.
    if (!connection || this.#connection !== connection) return;
    this.#refusal = error;
    this.#runtime.clearTimeout(this.#stepTimer);
    this.#stepTimer = this.#runtime.setTimeout(() => {
      connection.close(CLOSE.leaving);
      this.#handleFailure(error, error.retry ? "later" : "never");
    }, REFUSED_MS);
  }

  #handleObject(object: WireObject): void {
    this.#liveness.heard();
    if (object.id !== undefined) {
      this.#commands.handleReply({ ...object, id: object.id });
      return this.#leaveWhenIdle();
    }
    const name = Object.keys(object)[0];
    const body = (name !== undefined && object[name]) || {};
    switch (name) {
      case undefined:
        return this.#connection?.send("{}");
      case "closing":
        return this.#handleClosing(body as WireClosing);
      case "reconnect":
        return this.#handleReconnect(body as WireReconnect);
      case "expiring":
        return this.#token.handleExpiring((body as { in_ms: number }).in_ms);
      default:
        return this.#host.handleObject(name, body);
    }
  }

  /** The last object before a close frame, which need not be waited for. */
  #handleClosing(body: WireClosing): void {
    this.#connection?.close(CLOSE.leaving);
    this.#handleEnding(endingOfClosing(body));
  }

  #handleReconnect({ after_ms, within_ms }: WireReconnect): void {
    this.#comeBackInMs = after_ms;
    this.#commands.hold();
    this.#runtime.clearTimeout(this.#stepTimer);
    // Answers that are on their way are worth half of the time that we are given.
    this.#stepTimer = this.#runtime.setTimeout(() => this.#leave(), within_ms / 2);
    this.#leaveWhenIdle();
  }

  #leaveWhenIdle(): void {
    if (this.#comeBackInMs === undefined || this.#commands.inFlight > 0) return;
    this.#runtime.clearTimeout(this.#stepTimer);
    // Not before the other objects of the same frame have been looked at.
    this.#stepTimer = this.#runtime.setTimeout(() => this.#leave(), 0);
  }

  #leave(): void {
    this.#connection?.close(CLOSE.leaving);
    this.#handleEnding(endingOf(CLOSE.leaving, "the server asked this client to reconnect"));
  }

  #abandon(ending: Ending): void {
    this.#connection?.abandon(CLOSE.silent);
    this.#handleEnding(ending);
  }

  #handleEnding({ code, name, message, advice, afterMs }: Ending): void {
    const retryAfterMs = Math.max(afterMs, this.#refusal?.retryAfterMs ?? 0) || null;
    const about = { closeCode: code, retry: advice !== "never", retryAfterMs };
    const said = this.#refusal ?? { code: name, message };
    this.#handleFailure(new TidegateError(said.code, said.message, about), advice);
  }

  /** A connection has ended, or could not be made: comes back, or gives up. */
  #handleFailure(error: TidegateError, advice: Advice): void {
    const comeBackInMs = this.#comeBackInMs;
    this.#handleGone();
    const isAboutToken = error.code === "unauthorized" || error.code === "token_expired";
    const hasOther = isAboutToken && this.#token.handleRefused();
    if (advice === "never" && !hasOther) return this.#finish(error);
    // What the server has chosen for this client alone needs no jitter, and is no failure.
    const inMs = advice !== "never" && comeBackInMs !== undefined
      ? comeBackInMs
      : this.#backoff.next(advice === "later" ? "later" : "now", error.retryAfterMs ?? 0);
    this.#retry(inMs, error);
  }

  #retry(inMs: number, error?: TidegateError): void {
    this.#stepTimer = this.#runtime.setTimeout(() => void this.#connect(), inMs);
    if (error?.closeCode === LOST) {
      this.#forgetOnline = this.#runtime.onOnline?.(() => {
        this.#runtime.clearTimeout(this.#stepTimer);
        this.#stepTimer = this.#runtime.setTimeout(
          () => void this.#connect(),
          Math.min(inMs, this.#runtime.random() * this.#options.backoffMs),
        );
      });
    }
    this.#setState(this.#resume ? "recovering" : "connecting", error ? { error, retryInMs: inMs } : { retryInMs: inMs });
  }

  /** Nothing is left of the connection, or of the try to make one. */
  #handleGone(): void {
    this.#try++;
    this.#connection = undefined;
    this.#comeBackInMs = undefined;
    this.#refusal = undefined;
    this.#forgetOnline?.();
    this.#runtime.clearTimeout(this.#stepTimer);
    this.#runtime.clearTimeout(this.#provedTimer);
    this.#liveness.stop();
    this.#token.stop();
    this.#host.handleLost();
  }

  #finish(error?: TidegateError): void {
    this.#handleGone();
    this.#resume = this.#session = undefined;
    this.#backoff.reset();
    const previous = this.#state;
    this.#state = "closed";
    // Before the news of it: a listener may connect again, and begins with nothing of the old session.
    this.#host.handleClosed(error);
    if (this.#state === "closed") this.#host.handleState({ state: "closed", previous, ...(error && { error }) });
  }

  #setState(state: State, about: Omit<StateChange, "state" | "previous"> = {}): void {
    const previous = this.#state;
    this.#state = state;
    this.#host.handleState({ state, previous, ...about });
  }
}

/** How long a connection has to last to count as a success. */
const PROVED_MS = 5_000;

/** How long the end of a refused connection may take. */
const REFUSED_MS = 1_000;

/** How long a close may take. */
const CLOSE_MS = 2_000;

/** RFC 6455, section 7.1.5: ended without a close frame, which is how a lost network looks. */
const LOST = 1006;
