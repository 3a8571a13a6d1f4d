import assert from "node:assert/strict";
import { test } from "node:test";
import { Scene, settle } from "./kit.js";

test("a code of the first half of a range brings the client back at once, with jitter", async () => {
  for (const code of [4000, 4001, 4002, 4003, 1012, 1001, 1006]) {
    const scene = new Scene();
    const socket = await scene.connected();
    await scene.runtime.advance(6_000);
    socket.end(code, "said");
    assert.deepEqual([scene.client.state, scene.states.at(-1)?.retryInMs, scene.states.at(-1)?.error?.closeCode], ["recovering", 500, code]);
  }
});

test("a code of the second half brings it back after back-off", async () => {
  for (const code of [4050, 4051, 4052, 4053, 1013, 1011]) {
    const scene = new Scene();
    (await scene.connected()).end(code);
    assert.deepEqual([scene.client.state, scene.states.at(-1)?.retryInMs], ["recovering", 2_000]);
  }
});

test("a code from 4500 on, or a fault of ours, closes the client and tells why", async () => {
  for (const [code, name] of [[4501, "forbidden"], [4503, "taken_over"], [4504, "revoked"], [4508, "session_expired"], [1008, "close_1008"]] as const) {
    const scene = new Scene();
    const socket = await scene.connected();
    const room = scene.client.subscribe("room");
    await socket.answer("subscribe");
    const loop = (async () => {
      for await (const _ of room);
    })();
    await settle();
    const outcomes = [
      assert.rejects(scene.client.publish("room", 1), { code: name, closeCode: code, retry: false }),
      assert.rejects(loop, { code: name }),
    ];
    socket.end(code);
    await Promise.all(outcomes);
    await scene.runtime.advance(600_000);
    assert.deepEqual([scene.client.state, scene.states.at(-1)?.error?.code, scene.sockets.length], ["closed", name, 1]);
    assert.equal(scene.runtime.timers, 0);
  }
});

test("after it had to stay away, the application can begin anew", async () => {
  const scene = new Scene();
  (await scene.connected()).end(4503);
  void scene.client.connect();
  const { connect } = await scene.welcome(2, { session: "s2" });
  assert.equal(connect["session"], undefined);
});

test("a closing object is obeyed without waiting for the close frame", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  let heard = 0;
  scene.client.on("message", () => heard++);
  socket.say({ closing: { code: 4051, name: "overloaded", reconnect: true, after_ms: 3_000 } }, { message: { channel: "a", data: 1 } });
  socket.end(4501);

  const { state, retryInMs, error } = scene.states.at(-1)!;
  assert.deepEqual([state, retryInMs, error?.code, error?.retryAfterMs], ["recovering", 5_000, "overloaded", 3_000]);
  assert.equal(heard, 0, "nothing follows a closing object");
  assert.ok(socket.closedWith !== 1000 && socket.closedWith !== 1001);
});

test("a closing object that says so keeps the client away, whatever its code", async () => {
  const scene = new Scene();
  (await scene.connected()).say({ closing: { code: 4053, name: "unavailable", reconnect: false } });
  assert.deepEqual([scene.client.state, scene.states.at(-1)?.error?.code], ["closed", "unavailable"]);
});

test("connections that are lost again at once are made further and further apart", async () => {
  const scene = new Scene();
  await scene.connected();
  const waits: (number | undefined)[] = [];
  for (let count = 1; count <= 4; count++) {
    scene.sockets.at(-1)?.end(4000);
    waits.push(scene.states.at(-1)?.retryInMs);
    await scene.runtime.advance(waits.at(-1)!);
    await scene.welcome(count + 1, { resumed: true });
  }
  assert.deepEqual(waits, [500, 1_000, 2_000, 4_000]);

  // One that lasts makes up for them.
  await scene.runtime.advance(5_000);
  scene.sockets.at(-1)?.end(4000);
  assert.equal(scene.states.at(-1)?.retryInMs, 500);
});

test("a client asked to reconnect leaves, comes back when it was told to, and the session waits for it", async () => {
  const scene = new Scene();
  scene.runtime.chance = 0.9;
  const socket = await scene.connected();
  socket.say({ reconnect: { after_ms: 1_700, within_ms: 4_000, reason: "drain" } });
  await scene.runtime.advance(0);

  assert.ok(socket.closedWith !== undefined && socket.closedWith >= 4000, "left, without ending the session");
  assert.deepEqual([scene.client.state, scene.states.at(-1)?.retryInMs], ["recovering", 1_700]);
  await scene.runtime.advance(1_699);
  await scene.socket(1);
  await scene.runtime.advance(1);
  const { connect } = await scene.welcome(2, { resumed: true });
  assert.deepEqual([connect["session"], connect["resume"]], ["s1", "secret"]);

  // It was no failure: the next loss is the first.
  scene.sockets[1]!.end(1006);
  assert.equal(scene.states.at(-1)?.retryInMs, 900);
});

test("before it leaves it waits for answers, gives no new commands, and stays within the time", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const first = scene.client.publish("a", 1);
  const asked = await socket.expect("publish");
  socket.say({ reconnect: { after_ms: 100, within_ms: 4_000, reason: "drain" } });
  const second = scene.client.publish("a", 2);
  await scene.runtime.advance(1_000);
  assert.deepEqual([socket.closedWith, await socket.unread()], [undefined, []]);
  socket.say({ id: asked.id, publish: { offset: 1 } });
  await scene.runtime.advance(0);
  assert.notEqual(socket.closedWith, undefined);
  await scene.runtime.advance(100);
  const { socket: next } = await scene.welcome(2, { resumed: true });
  assert.equal((await next.answer("publish", { offset: 2 }))["data"], 2);
  assert.deepEqual([(await first).offset, (await second).offset], [1, 2]);

  // This answer never comes.
  void scene.client.publish("a", 3);
  await next.expect("publish");
  next.say({ reconnect: { after_ms: 100, within_ms: 4_000, reason: "drain" } });
  await scene.runtime.advance(1_999);
  assert.equal(next.closedWith, undefined);
  await scene.runtime.advance(1);
  assert.notEqual(next.closedWith, undefined);
});

test("messages in the same frame as a request to reconnect are still told", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  const seen: unknown[] = [];
  scene.client.on("message", ({ data }) => seen.push(data));
  socket.say({ reconnect: { after_ms: 0, within_ms: 1_000, reason: "drain" } }, { message: { channel: "a", data: 1 } });
  await scene.runtime.advance(0);
  assert.deepEqual(seen, [1]);
});

test("a server that closes first is still come back to when it said", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  void scene.client.publish("a", 1).catch(() => {});
  await settle();
  socket.say({ reconnect: { after_ms: 2_500, within_ms: 4_000, reason: "drain" } });
  socket.end(4000);
  assert.equal(scene.states.at(-1)?.retryInMs, 2_500);
});

test("when the network is back a waiting client does not wait for its turn", async () => {
  const scene = new Scene({ backoffMs: 20_000 });
  const socket = await scene.connected();
  scene.runtime.chance = 0.75;
  socket.end(1006);
  assert.equal(scene.states.at(-1)?.retryInMs, 15_000);
  scene.runtime.chance = 0.01;
  scene.runtime.online?.();
  await scene.runtime.advance(200);
  await scene.welcome(2, { resumed: true });
  assert.equal(scene.runtime.online, undefined);
});

test("a client closed while it waits does not care about the network any more", async () => {
  const scene = new Scene();
  (await scene.connected()).end(1006);
  assert.notEqual(scene.runtime.online, undefined);
  await scene.client.close();
  assert.deepEqual([scene.runtime.online, scene.runtime.timers], [undefined, 0]);
});

test("the network being back changes nothing about a wait that the server asked for", async () => {
  const scene = new Scene();
  (await scene.connected()).end(4051);
  assert.equal(scene.runtime.online, undefined);
});
