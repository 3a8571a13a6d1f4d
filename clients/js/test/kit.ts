// What the tests of the rules stand on: virtual time, and a server without sockets that says and sees what a test wants.

import assert from "node:assert/strict";
import { type ClientOptions, type Runtime, type StateChange, TidegateClient, type WebSocketConstructor } from "../src/index.js";

/** Time that passes when a test says so, and randomness that a test has chosen. */
export class VirtualRuntime implements Runtime {
  /** What `random` says. */
  chance = 0.5;
  online: (() => void) | undefined;
  #nowMs = 0;
  #lastTimer = 0;
  readonly #timers = new Map<number, { atMs: number; callback: () => void }>();

  now(): number {
    return this.#nowMs;
  }

  setTimeout(callback: () => void, ms: number): number {
    this.#timers.set(++this.#lastTimer, { atMs: this.#nowMs + Math.max(0, ms), callback });
    return this.#lastTimer;
  }

  clearTimeout(timer: unknown): void {
    this.#timers.delete(timer as number);
  }

  random(): number {
    return this.chance;
  }

  onOnline(callback: () => void): () => void {
    this.online = callback;
    return () => (this.online = undefined);
  }

  /** How many timers are set: none may be left behind. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Lets time pass, timer by timer, and lets everything settle after each. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await settle();
    for (;;) {
      const due = [...this.#timers].filter(([, { atMs }]) => atMs <= endMs).sort(([, a], [, b]) => a.atMs - b.atMs)[0];
      if (!due) break;
      const [timer, { atMs, callback }] = due;
      this.#timers.delete(timer);
      this.#nowMs = Math.max(this.#nowMs, atMs);
      callback();
      await settle();
    }
    this.#nowMs = endMs;
  }
}

/** Until no promise has anything left to do. */
export async function settle(): Promise<void> {
  for (let round = 0; round < 3; round++) await new Promise((resolve) => setImmediate(resolve));
}

export type Body = Record<string, unknown>;
export type Command = { id?: number } & Record<string, Body>;

/** The server's end of a connection. */
export class FakeSocket {
  readonly url: string;
  readonly protocols: string;
  readyState = 0;
  bufferedAmount = 0;
  onopen: ((event: unknown) => void) | null = null;
  onmessage: ((event: unknown) => void) | null = null;
  onerror: ((event: unknown) => void) | null = null;
  onclose: ((event: unknown) => void) | null = null;
  /** Frames as the client sent them. */
  readonly frames: string[] = [];
  /** Code that the client closed with. */
  closedWith: number | undefined;
  terminated = false;
  /** Whether a close of the client is answered. */
  answersClose = true;
  readonly #unread: Command[] = [];

  constructor(url: string, protocols: string) {
    this.url = url;
    this.protocols = protocols;
  }

  send(frame: string): void {
    assert.equal(this.readyState, 1, "the client sent on a socket that is not open");
    this.frames.push(frame);
    this.#unread.push(...frame.split("\n").map((object) => JSON.parse(object) as Command));
  }

  close(code?: number): void {
    if (this.readyState >= 2) return;
    assert.ok(code === 1000 || (code !== undefined && code >= 3000 && code <= 4999), `browsers refuse to close with ${code}`);
    this.readyState = 2;
    this.closedWith = code;
    if (this.answersClose) queueMicrotask(() => this.end(code));
  }

  terminate(): void {
    this.terminated = true;
  }

  /** The handshake succeeds. */
  open(): void {
    this.readyState = 1;
    this.onopen?.({});
  }

  /** The connection ends: with the server's close code, or lost (1006). */
  end(code = 1006, reason = ""): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    if (code === 1006) this.onerror?.({});
    this.onclose?.({ code, reason });
  }

  /** Sends objects in one frame. */
  say(...objects: object[]): void {
    this.onmessage?.({ data: objects.map((object) => JSON.stringify(object)).join("\n") });
  }

  /** What the client has sent and no test has looked at. */
  async unread(): Promise<Command[]> {
    await settle();
    return this.#unread.splice(0);
  }

  /** The next object of the client, which has to be this command: its id and body. */
  async expect(name: string): Promise<{ id: number; body: Body }> {
    await settle();
    const command = this.#unread.shift();
    assert.ok(command, `the client sent nothing, and should have sent ${name}`);
    const { id, ...rest } = command;
    assert.deepEqual(Object.keys(rest), [name]);
    return { id: id as number, body: (rest as Record<string, Body>)[name]! };
  }

  /** Expects a command and answers it; the result is what was asked. */
  async answer(name: string, reply: object = {}): Promise<Body> {
    const { id, body } = await this.expect(name);
    this.say({ id, [name]: reply });
    await settle();
    return body;
  }

  /** Expects a command and refuses it. */
  async refuse(name: string, code: string, about: object = {}): Promise<Body> {
    const { id, body } = await this.expect(name);
    this.say({ id, error: { code, message: `no: ${code}`, retry: false, retry_after_ms: null, ...about } });
    await settle();
    return body;
  }
}

/** A client and the server that it talks to. */
export class Scene {
  readonly runtime = new VirtualRuntime();
  readonly sockets: FakeSocket[] = [];
  readonly states: StateChange[] = [];
  readonly client: TidegateClient;

  constructor(options: ClientOptions = {}) {
    const { sockets } = this;
    const webSocket = class extends FakeSocket {
      constructor(url: string, protocols: string) {
        super(url, protocols);
        sockets.push(this);
      }
    };
    this.client = new TidegateClient("wss://gateway.test/ws", {
      runtime: this.runtime,
      webSocket: webSocket as unknown as WebSocketConstructor,
      ...options,
    });
    this.client.on("state", (change) => this.states.push(change));
  }

  /** The newest socket; `count` of them must have been made by now. */
  async socket(count: number): Promise<FakeSocket> {
    await settle();
    assert.equal(this.sockets.length, count, "sockets made");
    return this.sockets[count - 1]!;
  }

  /** Opens the newest socket and welcomes the client on it; the result also has what its `connect` said. */
  async welcome(count: number, reply: object = {}, ...following: object[]): Promise<{ socket: FakeSocket; connect: Body }> {
    const socket = await this.socket(count);
    socket.open();
    const { id, body } = await socket.expect("connect");
    socket.say({ id, connect: { ...WELCOME, ...reply } }, ...following);
    await settle();
    return { socket, connect: body };
  }

  /** Connects for the first time. */
  async connected(reply: object = {}): Promise<FakeSocket> {
    void this.client.connect();
    return (await this.welcome(1, reply)).socket;
  }

  /** Names of the states so far. */
  get path(): string {
    return this.states.map(({ state }) => state).join(" ");
  }
}

/** A connect reply. */
export const WELCOME = {
  session: "s1",
  resume: "secret",
  resumed: false,
  user: "ada",
  node: "n1",
  ping_ms: 20_000,
  session_ttl_ms: 120_000,
  channels: {},
  limits: { message_bytes: 65_536 },
};

/** A publication as the server sends it. */
export function message(channel: string, offset: number | undefined, data: unknown = `m${offset}`) {
  return { message: offset === undefined ? { channel, data } : { channel, data, offset } };
}
