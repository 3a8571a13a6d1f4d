// The real gateway for one test: its binary (GATEWAY_BINARY), a configuration, free ports.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import WebSocket from "ws";
import { type ClientOptions, TidegateClient } from "../../src/index.js";

/** A gateway that runs until its test ends. */
export interface Gateway {
  /** `host:port` of its client port. */
  address: string;
  /** Kills it, as a lost node would be. */
  kill(): Promise<void>;
  /** Asks it to stop, as Kubernetes does. */
  stop(): Promise<void>;
  /** A call of the server API, as `publish` with its body. */
  call(name: string, body: object): Promise<unknown>;
  /** Resolves when the gateway has forgotten a session. */
  forgets(session: string): Promise<void>;
}

/** How long a test may wait for anything of the gateway; far more than it takes. */
export const WAIT_MS = 20_000;

const SECRET = "a secret that only the tests and their gateway know";
const API_SECRET = "what the tests show to the server API";

/** Rooms that everybody may use, with all that a room can have; `quiet:` keeps no history. */
const CONFIG = `
[node]
workers = 1
[api]
listen = "127.0.0.1:0"
[[api.keys]]
name = "tests"
secret = "${API_SECRET}"
rights = ["subscribe", "disconnect", "read"]
[admin]
listen = "127.0.0.1:0"
[auth]
anonymous = true
[[auth.jwt.keys]]
alg = "HS256"
secret = "${SECRET}"
[auth.jwt]
leeway = "0s"
[limits]
ping_interval = "1s"
[session]
expiring_notice = "1s"
leave_grace = "0s"
[namespaces.room]
history_size = 10000
presence = true
join_leave = true
subscribe = "anyone"
publish = "anyone"
[namespaces.quiet]
subscribe = "anyone"
publish = "anyone"
[namespaces.members]
history_size = 100
subscribe = "user"
publish = "user"
`;

/** Starts a gateway; `listen` is that of one before it, `settings` are environment variables. */
export async function startGateway(t: TestContext, listen = "127.0.0.1:0", settings: NodeJS.ProcessEnv = {}): Promise<Gateway> {
  const binary = process.env["GATEWAY_BINARY"];
  if (!binary) throw new Error("GATEWAY_BINARY has to name the gateway's program");
  const folder = await mkdtemp(path.join(tmpdir(), "tidegate-js-"));
  const config = path.join(folder, "gateway.toml");
  await writeFile(config, `[client]\nlisten = "${listen}"\n${CONFIG}`);
  const environment = Object.entries(process.env).filter(([name]) => !name.startsWith("TIDEGATE_"));
  const child = spawn(binary, ["--config", config], { env: { ...Object.fromEntries(environment), ...settings }, stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal);
    await exited;
  };
  t.after(async () => {
    await end("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  });
  const { client: address, api } = await within(listening(child, exited), "the gateway to listen");
  const headers = { authorization: `Bearer ${API_SECRET}`, "content-type": "application/json" };
  const call = async (name: string, body: object) => {
    const response = await fetch(`http://${api}/v1/${name}`, { method: "POST", headers, body: JSON.stringify(body) });
    const answer: unknown = await response.json();
    assert.ok(response.ok, JSON.stringify(answer));
    return answer;
  };
  const forgets = async (session: string) => {
    let status = 200;
    while (status !== 404) {
      const response = await fetch(`http://${api}/v1/sessions/${session}`, { headers });
      assert.ok([200, 404].includes(response.status), await response.text());
      status = response.status;
    }
  };
  return { address, kill: () => end("SIGKILL"), stop: () => end("SIGTERM"), call, forgets };
}

/** A client in Node, closed when its test ends. */
export function newClient(t: TestContext, address: string, options: ClientOptions = {}): TidegateClient {
  const client = new TidegateClient(`ws://${address}/ws`, { webSocket: WebSocket, backoffMs: 100, ...options });
  t.after(() => client.close());
  return client;
}

/** A token that the gateway takes, for so many seconds. */
export function tokenFor(user: string, seconds: number, claims: object = {}): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  // Rounded up: `exp` counts whole seconds.
  const exp = Math.ceil(Date.now() / 1000) + seconds;
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, exp, ...claims })}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

/** The promise, or an error that says what was waited for. */
export async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${WAIT_MS} ms for ${what}`)), WAIT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Resolves when the client is in a state, the next time it gets there. */
export function reached(client: TidegateClient, state: string): Promise<void> {
  const arrived = new Promise<void>((resolve) => {
    const remove = client.on("state", (change) => {
      if (change.state !== state) return;
      remove();
      resolve();
    });
  });
  return within(arrived, `the client to be ${state}`);
}

/** Resolves when the event has come. */
export function told<Event>(on: (listener: (event: Event) => void) => () => void, what: string): Promise<Event> {
  const come = new Promise<Event>((resolve) => {
    const remove = on((event) => {
      remove();
      resolve(event);
    });
  });
  return within(come, what);
}

/** Where the gateway listens, by port. */
type Addresses = { client: string; api: string };

async function listening(child: ChildProcess, exited: Promise<unknown[]>): Promise<Addresses> {
  const lines = createInterface({ input: child.stdout! });
  const announced = new Promise<Addresses>((resolve) => {
    // Goes on reading for as long as the gateway runs: a full pipe must not block it.
    lines.on("line", (line) => {
      const addresses = addressesIn(line);
      if (addresses) resolve(addresses);
    });
  });
  const early = exited.then(([code, signal]) => {
    throw new Error(`the gateway ended before it listened (exit status ${String(code ?? signal)})`);
  });
  // Somebody has to look at the later rejection, too: the one at the end of each test.
  early.catch(() => {});
  return Promise.race([announced, early]);
}

function addressesIn(line: string): Addresses | undefined {
  try {
    const entry = JSON.parse(line) as { fields?: Addresses & { message: string } } & Addresses & { message: string };
    const fields = entry.fields ?? entry;
    return fields.message === "listening" ? fields : undefined;
  } catch {
    return undefined;
  }
}
