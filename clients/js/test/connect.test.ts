import assert from "node:assert/strict";
import { test } from "node:test";
import { TidegateClient, type WebSocketConstructor } from "../src/index.js";
import { VERSION } from "../src/protocol.js";
import { FakeSocket, Scene, message, settle } from "./kit.js";

test("a connect offers the dialect, says who it is, and resolves with the session", async () => {
  const scene = new Scene({ token: "jwt", info: { avatar: 7 }, name: "shop" });
  const connecting = scene.client.connect();
  assert.equal(scene.client.state, "connecting");
  const { socket, connect } = await scene.welcome(1);

  assert.deepEqual([socket.url, socket.protocols], ["wss://gateway.test/ws", "tidegate.v1.json"]);
  assert.deepEqual(connect, { client: { name: "shop", version: VERSION }, info: { avatar: 7 }, subscribe: [], positions: {}, token: "jwt" });
  assert.deepEqual(await connecting, { session: "s1", user: "ada", node: "n1", resumed: false });
  assert.deepEqual([scene.client.state, scene.path], ["connected", "connecting connected"]);
  assert.deepEqual(await scene.client.connect(), scene.client.session);
});

test("a web address becomes that of a WebSocket", async () => {
  const seen: string[] = [];
  const webSocket = class extends FakeSocket {
    constructor(url: string, protocols: string) {
      super(url, protocols);
      seen.push(url);
    }
  } as unknown as WebSocketConstructor;
  for (const url of ["https://a.test/ws", "http://b.test/ws", new URL("wss://c.test/ws")]) {
    const client = new TidegateClient(url, { webSocket });
    void client.connect();
    await settle();
    await client.close();
  }
  assert.deepEqual(seen, ["wss://a.test/ws", "ws://b.test/ws", "wss://c.test/ws"]);
});

test("an address that is none is told at once, and a socket that cannot be made closes the client", async () => {
  assert.throws(() => new TidegateClient("no address"), TypeError);

  const webSocket = class {
    constructor() {
      throw new SyntaxError("port 99999");
    }
  } as unknown as WebSocketConstructor;
  const client = new TidegateClient("ws://a.test/ws", { webSocket });
  await assert.rejects(client.connect(), { code: "bad_request", retry: false, message: /port 99999/ });
  assert.equal(client.state, "closed");
});

test("a failed connect is tried again, further and further apart, until it succeeds", async () => {
  const scene = new Scene();
  const connecting = scene.client.connect();
  for (const [made, waitMs] of [[1, 500], [2, 1_000], [3, 2_000]] as const) {
    (await scene.socket(made)).end(1006);
    assert.deepEqual(scene.states.at(-1)?.retryInMs, waitMs);
    assert.deepEqual([scene.client.state, scene.states.at(-1)?.error?.code], ["connecting", "lost"]);
    await scene.runtime.advance(waitMs - 1);
    await scene.socket(made);
    await scene.runtime.advance(1);
  }
  await scene.welcome(4);
  assert.equal((await connecting).session, "s1");
});

test("a socket that does not open, or a connect that is not answered, counts as failed", async () => {
  const scene = new Scene({ connectTimeoutMs: 4_000 });
  void scene.client.connect();
  const silent = await scene.socket(1);
  await scene.runtime.advance(4_000);
  assert.deepEqual([silent.terminated, scene.states.at(-1)?.error?.code], [true, "timeout"]);

  await scene.runtime.advance(500);
  const mute = await scene.socket(2);
  mute.open();
  await mute.expect("connect");
  await scene.runtime.advance(4_000);
  assert.equal(scene.states.at(-1)?.error?.code, "timeout");
  await scene.runtime.advance(1_000);
  await scene.welcome(3);
  assert.equal(scene.client.state, "connected");
});

test("a refused connect closes the client, with the server's own words", async () => {
  const scene = new Scene();
  const connecting = scene.client.connect();
  const socket = await scene.socket(1);
  socket.open();
  await socket.refuse("connect", "forbidden");
  socket.end(4501);

  const refused = { code: "forbidden", message: "no: forbidden", retry: false, closeCode: 4501 };
  await assert.rejects(connecting, refused);
  assert.deepEqual([scene.client.state, scene.states.at(-1)?.error?.code], ["closed", "forbidden"]);
  assert.equal(scene.runtime.timers, 0);
});

test("a connect that the server cannot answer now is tried again after what it says", async () => {
  const scene = new Scene();
  void scene.client.connect();
  const socket = await scene.socket(1);
  socket.open();
  await socket.refuse("connect", "unavailable", { retry: true, retry_after_ms: 5_000 });
  socket.say({ closing: { code: 4053, name: "unavailable", reconnect: true } });

  // 5 s, and the middle of the window of who is told to back off.
  assert.deepEqual([scene.client.state, scene.states.at(-1)?.retryInMs], ["connecting", 7_000]);
  await scene.runtime.advance(7_000);
  await scene.welcome(2);
  assert.equal(scene.client.state, "connected");
});

test("the end after a refused connect says whether to come back, whatever the refusal says", async () => {
  const scene = new Scene();
  void scene.client.connect();
  const socket = await scene.socket(1);
  socket.open();
  await socket.refuse("connect", "internal");
  socket.end(4052);
  assert.deepEqual([scene.client.state, scene.states.at(-1)?.error?.code, scene.states.at(-1)?.retryInMs], ["connecting", "internal", 2_000]);
});

test("where nothing follows a refused connect its own advice holds", async () => {
  for (const [about, state] of [[{ retry: true }, "connecting"], [{}, "closed"]] as const) {
    const scene = new Scene();
    void scene.client.connect();
    const socket = await scene.socket(1);
    socket.open();
    await socket.refuse("connect", "unavailable", about);
    await scene.runtime.advance(1_000);
    assert.deepEqual([scene.client.state, socket.closedWith], [state, 4000]);
  }
});

test("what is no JSON ends the connection, and the client comes back later", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  socket.onmessage?.({ data: "<html>" });

  assert.deepEqual([scene.client.state, scene.states.at(-1)?.error?.code], ["recovering", "bad_message"]);
  assert.equal(scene.states.at(-1)?.retryInMs, 2_000);
  assert.notEqual(socket.closedWith, 1000);
});

test("objects and fields of a later protocol are ignored", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  socket.say({ weather: { sky: "blue" } }, { id: 77, weather: {} }, { moved: null }, { ...message("news", undefined), more: 1 });
  await settle();
  assert.equal(scene.client.state, "connected");
});

test("a sign of life is answered in kind", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  socket.say({});
  await settle();
  assert.equal(socket.frames.at(-1), "{}");
});

test("errors for no command are told as events, and listeners can be removed", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const seen: string[] = [];
  const remove = scene.client.on("error", ({ code, message }) => seen.push(`${code}: ${message}`));
  socket.say({ error: { code: "limit", message: "slower", retry: true, retry_after_ms: 10 } });
  remove();
  socket.say({ error: { code: "limit", message: "slower still" } });
  assert.deepEqual(seen, ["limit: slower"]);
});

test("a close while connecting leaves nothing behind", async () => {
  const scene = new Scene();
  const connecting = scene.client.connect();
  await scene.socket(1);
  const closing = scene.client.close();
  await assert.rejects(connecting, { code: "closed" });
  await closing;
  assert.deepEqual([scene.client.state, scene.runtime.timers, scene.sockets.length], ["closed", 0, 1]);
});

test("a close ends the session with 1000, everything that waits, and all timers", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const room = scene.client.subscribe("room");
  await socket.answer("subscribe");
  const publishing = scene.client.publish("room", 1);
  const loop = (async () => {
    for await (const _ of room);
    return "ended";
  })();
  await settle();
  const closing = scene.client.close();

  await assert.rejects(publishing, { code: "closed" });
  await closing;
  assert.deepEqual([socket.closedWith, await loop, scene.runtime.timers], [1000, "ended", 0]);
  await assert.rejects(scene.client.publish("room", 2), { code: "closed" });
  await scene.client.close();
});

test("what was published in the same breath as a close is still sent", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  void scene.client.publish("room", "bye").catch(() => {});
  await scene.client.close();
  assert.equal((await socket.expect("publish")).body["data"], "bye");
});

test("a close does not wait for a server that does not answer", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  socket.answersClose = false;
  let closed = false;
  void scene.client.close().then(() => (closed = true));
  await scene.runtime.advance(1_999);
  assert.equal(closed, false);
  await scene.runtime.advance(1);
  assert.deepEqual([closed, socket.terminated, scene.runtime.timers], [true, true, 0]);
});

test("after a close, connect begins a new session", async () => {
  const scene = new Scene();
  await scene.connected();
  await scene.client.close();
  void scene.client.connect();
  const { connect } = await scene.welcome(2, { session: "s2" });
  assert.deepEqual([connect["session"], scene.client.session?.session], [undefined, "s2"]);
});

test("a listener that connects again when the client closes begins anew", async () => {
  const scene = new Scene();
  const room = scene.client.subscribe("room");
  const ended: unknown[] = [];
  room.on("unsubscribed", ({ error }) => ended.push(error?.code));
  const socket = await scene.connected({ channels: { room: {} } });
  scene.client.on("state", ({ state }) => state === "closed" && void scene.client.connect());
  socket.end(4503);
  const { connect } = await scene.welcome(2, { session: "s2" });
  assert.deepEqual([ended, connect["session"], connect["subscribe"]], [["taken_over"], undefined, []]);
  assert.equal(scene.client.session?.session, "s2");
});

test("a subscription left before it was confirmed says so to who waits for it", async () => {
  const scene = new Scene();
  const room = scene.client.subscribe("room");
  const rejected = assert.rejects(room.ready, { name: "TidegateError", code: "closed" });
  await room.unsubscribe();
  await rejected;
});

test("a listener that closes the client stops what would follow", async () => {
  const scene = new Scene();
  scene.client.subscribe("room");
  scene.client.on("state", ({ state }) => state === "connected" && void scene.client.close());
  void scene.client.connect();
  const { socket } = await scene.welcome(1, { channels: { forced: {} } });
  assert.deepEqual([scene.client.state, await socket.unread(), scene.runtime.timers], ["closed", [], 0]);
});
