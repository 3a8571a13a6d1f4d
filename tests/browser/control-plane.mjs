// A control plane of the test's own making: serves the dashboard's files and the calls that it makes, says what a test wants
// it to say, and remembers what it was asked.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import path from "node:path";
import { fileURLToPath } from "node:url";

const SOURCE = fileURLToPath(new URL("../../control-plane/src/", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8" };
/** The roles of the tokens that it knows. */
const ROLES = { "may-look": "view", "may-act": "operate", "may-force": "admin" };

export class FakeControlPlane {
  /** The health document that whoever comes is told first. */
  health = healthOf([nodeOf("gw-1"), nodeOf("gw-2"), nodeOf("gw-3")]);
  /** Whole operations, by id; what is over is listed as ended. */
  operations = new Map();
  /** Calls other than those of the stream: `"METHOD path"`, `body`, `headers`. */
  asked = [];
  /** Answers to the calls to come, by `"METHOD path"`: `[status, body]`. */
  answers = new Map();
  /** Called with each call before it is answered, so that a test can change the answer. */
  handle = () => {};
  /** Attempts to get the stream. */
  streams = 0;
  #open = new Set();
  #server = createServer((request, response) => void this.#answer(request, response));
  #address;

  /** Resolves when it listens; `t.after` ends it. */
  static async start(t) {
    const fake = new FakeControlPlane();
    await fake.listen();
    t.after(() => fake.stop());
    return fake;
  }

  get url() {
    return `http://127.0.0.1:${this.#address.port}/`;
  }

  /** Listens, at the same address as before if it did. */
  async listen() {
    this.#server.listen(this.#address?.port ?? 0, "127.0.0.1");
    await once(this.#server, "listening");
    this.#address = this.#server.address();
  }

  /** Ends all connections, too. */
  async stop() {
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** Tells all who listen of a new state, in parts of so many bytes. */
  tell(health, partBytes = Infinity) {
    this.health = health;
    for (const stream of this.#open) sendEvent(stream, health, partBytes);
  }

  async #answer(request, response) {
    const { pathname } = new URL(request.url, this.url);
    const asset = pathname === "/" ? "dashboard/dashboard.html" : pathname.slice(1);
    if (/^dashboard\/[a-z]+\.(html|css|js)$/.test(asset)) {
      response.writeHead(200, { "content-type": TYPES[path.extname(asset)], "content-security-policy": policy() });
      return response.end(readFileSync(path.join(SOURCE, asset)));
    }
    const chunks = await request.toArray();
    const call = `${request.method} ${decodeURIComponent(pathname)}`;
    const isStream = call === "GET /v1/health/events";
    if (isStream) this.streams++;
    else this.asked.push({ call, body: chunks.length ? JSON.parse(Buffer.concat(chunks)) : undefined, headers: request.headers });

    const role = ROLES[request.headers.authorization?.replace("Bearer ", "")];
    if (!role) return refuse(response, 401, { code: "unauthorized", detail: "this token is not known: it has to be one of `[[auth.tokens]]`" });
    response.setHeader("tidegate-role", role);
    if (!isStream) return this.#answerCall(call, role, response);
    response.writeHead(200, { "content-type": "text/event-stream" });
    this.#open.add(response);
    response.on("close", () => this.#open.delete(response));
    sendEvent(response, this.health);
  }

  #answerCall(call, role, response) {
    this.handle(call);
    const [status, body] = this.answers.get(call) ?? this.#known(call) ?? [404, { code: "not_found", detail: `nothing answers to ${call}` }];
    if (status >= 400) return refuse(response, status, body);
    if (role === "view" && !call.startsWith("GET")) return refuse(response, 403, { code: "forbidden", detail: "this call needs `operate`" });
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  }

  #known(call) {
    if (call === "GET /v1/operations") return [200, { operations: [...this.operations.values()].filter(({ finishedAt }) => finishedAt) }];
    const operation = this.operations.get(call.replace("GET /v1/operations/", ""));
    return operation && [200, operation];
  }
}

/** A health document, with what is given in place of what a calm cluster would say. */
export function healthOf(nodes, given = {}) {
  const answering = nodes.filter(({ reachable }) => reachable);
  const sum = (key) => answering.reduce((total, { report }) => total + report[key], 0);
  return {
    version: 1, at: Date.now(), servesWell: true, complaints: [], leader: { name: "cp-1", epoch: 7, isSelf: true },
    connections: sum("connections"), capacity: sum("capacity"), nodesReady: answering.filter(({ report }) => report.ready).length, nodes,
    store: "up", bus: "up", budget: { maxRate: 200, rate: 200, allowed: 0, used: 0, maxDisplaced: 2000, displaced: 0, slowed: false }, operations: [],
    ...given,
  };
}

/** A node that serves, with what is given of its report in place of that. */
export function nodeOf(name, given = {}, beside = {}) {
  const report = {
    node: name, version: "0.1.0", phase: "serving", source: "none", epoch: 7, seq: 1, shutting_down: false, ready: true, reasons: [],
    connections: 4000, sessions: 3990, capacity: 10_000, remaining: 0, moved: 0, left: 0, closed: 0, forced: 0, displaced: 0, resumed: 0, lost: 0, rate: 0,
    repeat_displacements: 0, modes: [], store: "up", bus: "up", slow_addresses: [],
    ...given,
    load: {
      permille: 400, handshakes_per_second: 12, handshake_p99_ms: 3.2, handshaking: 2, parser_states: { idle: 3990, reading_payload: 8, reading_mask: 2 },
      buffer_pool_in_use_bytes: 3 << 20, buffer_pool_free_bytes: 5 << 20, outbox_bytes: 40_000, messages_in_per_second: 310, messages_out_per_second: 2900,
      free_connections: 6000, resumed_total: 0, not_resumed_total: 0, resume_p99_ms: 0, ...given.load,
    },
  };
  return { name, report, reportAgeMs: 300, reachable: true, operation: null, zone: null, revision: "0.1.0", startedAt: Date.now() - 7_200_000, ...beside };
}

/** A running drain; in short as the health document has it with `shortOf`. */
export function operationOf(id, given = {}) {
  return {
    id, revision: 3, spec: { kind: "drain", reason: "kernel update" }, source: "api", requestedBy: "ada", desired: "run", state: "Running", phase: "Draining",
    message: "", conditions: [], counters: countersOf({ nodes: 2, total: 4000, remaining: 2500, moved: 1500, left: 1450, closed: 50, displaced: 90, resumed: 1410 }),
    steps: [stepOf("gw-1", { phase: "Draining", total: 4000, remaining: 2500, moved: 1500 }), stepOf("gw-2", { wave: 2 })],
    epoch: 7, createdAt: Date.now() - 32_000, startedAt: Date.now() - 30_000, ...given,
  };
}

export function countersOf(given) {
  return { nodes: 0, nodesOver: 0, total: 0, remaining: 0, moved: 0, left: 0, closed: 0, forced: 0, displaced: 0, resumed: 0, lost: 0, repeats: 0, ...given };
}

export function stepOf(node, given = {}) {
  return { node, wave: 1, phase: "Waiting", nodeStartedAt: 1, total: 0, remaining: 0, moved: 0, left: 0, closed: 0, forced: 0, displaced: 0, resumed: 0, lost: 0, repeats: 0, ...given };
}

export function shortOf({ id, spec, source, state, phase, conditions, counters, revision }) {
  return { id, kind: spec.kind, source, state, phase, conditions, counters, revision };
}

function sendEvent(response, health, partBytes = Infinity) {
  const event = Buffer.from(`: so many\r\nevent: health\r\ndata: ${JSON.stringify(health)}\r\n\r\n`);
  if (partBytes === Infinity) return response.write(event);
  response.socket.setNoDelay(true);
  for (let from = 0; from < event.length; from += partBytes) response.write(event.subarray(from, from + partBytes));
}

function refuse(response, status, body) {
  response.writeHead(status, { "content-type": "application/problem+json" });
  response.end(JSON.stringify({ status, ...body }));
}

/** The real one: the page has to work under it. */
function policy() {
  const found = /const POLICY: HeaderValue = HeaderValue::from_static\(\s*"([^"]+)"/.exec(readFileSync(path.join(SOURCE, "dashboard.rs"), "utf8"));
  return found[1].replaceAll(/\\\n\s*/g, "");
}
