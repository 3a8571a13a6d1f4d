import assert from "node:assert/strict";
import { test } from "node:test";
import { type FakeSocket, Scene, message, settle } from "./kit.js";

/** A scene with one subscription at `epoch` e and offset 5. */
async function inRoom(reply: object = {}): Promise<{ scene: Scene; socket: FakeSocket; seen: unknown[] }> {
  const scene = new Scene();
  const seen: unknown[] = [];
  const room = scene.client.subscribe("room");
  room.on("message", ({ data, gap }) => seen.push(gap ? ["gap", data] : data));
  room.on("subscribed", ({ recovered }) => seen.push({ recovered }));
  const socket = await scene.connected(reply);
  await socket.answer("subscribe", { epoch: "e", offset: 4 });
  socket.say(message("room", 5));
  await settle();
  return { scene, socket, seen };
}

/** The connection is lost, and the next one welcomed. */
async function comeBack(scene: Scene, reply: object, ...following: object[]) {
  scene.sockets.at(-1)?.end(1006);
  await scene.runtime.advance(scene.states.at(-1)!.retryInMs!);
  return scene.welcome(scene.sockets.length, reply, ...following);
}

test("a lost connection is resumed with session, secret and positions, and nothing is subscribed again", async () => {
  const { scene, seen } = await inRoom();
  const recovered = { channels: { room: { epoch: "e", offset: 5, recovered: true } } };
  const { socket, connect } = await comeBack(scene, { resumed: true, ...recovered }, message("room", 6), message("room", 7));

  assert.deepEqual([connect["session"], connect["resume"]], ["s1", "secret"]);
  assert.deepEqual(connect["positions"], { room: { epoch: "e", offset: 5 } });
  assert.deepEqual(await socket.unread(), []);
  assert.deepEqual(seen, [{ recovered: undefined }, "m5", { recovered: true }, "m6", "m7"]);
  assert.equal(scene.path, "connecting connected recovering connected");
  assert.equal(scene.client.session?.resumed, true);
});

test("a session that is gone is replaced, and everything subscribed again from its position", async () => {
  const { scene, seen } = await inRoom();
  const { socket } = await comeBack(scene, { session: "s2", resume: "other" });

  const { id, body } = await socket.expect("subscribe");
  assert.deepEqual(body, { channel: "room", position: { epoch: "e", offset: 5 } });
  socket.say({ id, subscribe: { epoch: "e", offset: 5, recovered: true } }, message("room", 6));
  await settle();
  assert.deepEqual(seen.slice(2), [{ recovered: true }, "m6"]);

  const { connect } = await comeBack(scene, { session: "s2", resume: "other", resumed: true, channels: { room: { epoch: "e", offset: 6, recovered: true } } });
  assert.deepEqual([connect["session"], connect["resume"]], ["s2", "other"]);
});

test("a connect names all channels, so that a session that is gone costs no round trip", async () => {
  const scene = new Scene();
  const seen: unknown[] = [];
  scene.client.subscribe("a").on("message", ({ data }) => seen.push(data));
  scene.client.subscribe("b", { last: 2 });
  scene.client.subscribe("c", { position: { epoch: "c", offset: 3 } });
  void scene.client.connect();
  const channels = { a: { epoch: "e", offset: 1 }, c: { epoch: "c", offset: 3, recovered: true } };
  const { socket, connect } = await scene.welcome(1, { channels }, message("a", 2));
  assert.deepEqual([connect["subscribe"], connect["positions"]], [["a", "c"], { c: { epoch: "c", offset: 3 } }]);
  assert.deepEqual(await socket.answer("subscribe", { epoch: "b", offset: 9 }), { channel: "b", last: 2 });
  assert.deepEqual([seen, await socket.unread()], [["m2"], []]);

  const { socket: next, connect: again } = await comeBack(scene, {
    session: "s2", channels: { a: { epoch: "e", offset: 4, recovered: true }, b: { epoch: "b", offset: 9, recovered: true }, ...{ c: channels.c } },
  }, message("a", 3), message("a", 4));
  assert.deepEqual(again["subscribe"], ["a", "b", "c"]);
  assert.deepEqual([seen, await next.unread()], [["m2", "m3", "m4"], []]);
});

test("a channel that connect could not subscribe to ends alone", async () => {
  const scene = new Scene();
  const ended: unknown[] = [];
  for (const channel of ["a", "secret"]) scene.client.subscribe(channel).on("unsubscribed", ({ error }) => ended.push([channel, error?.code]));
  void scene.client.connect();
  const refusal = { unsubscribed: { channel: "secret", code: "forbidden", message: "no" } };
  await scene.welcome(1, { channels: { a: {} } }, refusal);
  assert.deepEqual([ended, scene.client.state], [[["secret", "forbidden"]], "connected"]);
});

test("what could not be recovered is told before the next message", async () => {
  const { scene, seen } = await inRoom();
  const gaps: string[] = [];
  scene.client.subscribe("room").on("gap", ({ reason }) => gaps.push(reason));
  const { socket } = await comeBack(scene, { resumed: true, channels: { room: { epoch: "f", offset: 3, recovered: false } } });
  socket.say(message("room", 4));

  assert.deepEqual(gaps, ["recovery"]);
  assert.deepEqual(seen.slice(2), [{ recovered: false }, ["gap", "m4"]]);
  assert.deepEqual(scene.client.subscribe("room").position, { epoch: "f", offset: 4 });
});

test("a message that was seen is not told again, and one of a new epoch is no old one", async () => {
  const { scene, socket, seen } = await inRoom();
  socket.say(message("room", 5), message("room", 4), message("room", 6), message("room", 6));
  assert.deepEqual(seen.slice(1), ["m5", "m6"]);

  const { socket: next } = await comeBack(scene, { resumed: true, channels: { room: { epoch: "f", offset: 0, recovered: false } } });
  next.say(message("room", 1));
  assert.deepEqual(seen.at(-1), ["gap", "m1"]);
});

test("a gap that the server tells moves the position, and marks the next message", async () => {
  const { scene, socket, seen } = await inRoom();
  const gaps: string[] = [];
  scene.client.subscribe("room").on("gap", ({ channel, reason }) => gaps.push(`${channel} ${reason}`));
  socket.say({ gap: { channel: "room", epoch: "e", offset: 9 } }, message("room", 9), message("room", 10));
  assert.deepEqual(gaps, ["room server"]);
  assert.deepEqual(seen.slice(2), [["gap", "m9"], "m10"]);

  // A channel without history has no position to tell.
  socket.say({ gap: { channel: "room" } }, message("room", 11));
  assert.deepEqual(seen.at(-1), ["gap", "m11"]);
});

test("on a channel without history nothing is claimed about what was missed", async () => {
  const scene = new Scene();
  const told: unknown[] = [];
  scene.client.subscribe("live").on("subscribed", ({ recovered }) => told.push(recovered));
  await (await scene.connected()).answer("subscribe");
  const { connect } = await comeBack(scene, { resumed: true, channels: { live: {} } });
  assert.deepEqual([connect["positions"], told], [{}, [undefined, undefined]]);
});

test("unacknowledged publishes are sent again, in order, with the same keys", async () => {
  const { scene, socket } = await inRoom();
  const all = [1, 2, 3].map((n) => scene.client.publish("room", n));
  const before = await socket.unread();
  socket.say({ id: before[0]?.id, publish: { offset: 6 } });
  all.push(scene.client.publish("room", 4));
  scene.sockets[0]!.end(1006);
  all.push(scene.client.publish("room", 5));
  await scene.runtime.advance(500);
  const { socket: next } = await scene.welcome(2, { resumed: true, channels: { room: { epoch: "e", offset: 8, recovered: true } } });

  const again = await next.unread();
  assert.deepEqual(again.map((command) => command["publish"]!["data"]), [2, 3, 4, 5]);
  assert.deepEqual(again.slice(0, 2).map((command) => command["publish"]!["key"]), before.slice(1).map((command) => command["publish"]!["key"]));
  next.say(...again.map(({ id }, index) => ({ id, publish: { offset: 7 + index, duplicate: index === 0 } })));
  assert.deepEqual((await Promise.all(all)).map(({ offset }) => offset), [6, 7, 8, 9, 10]);
});

test("every publish has a key of its own, and two clients never the same", async () => {
  const keys = new Set<unknown>();
  for (const chance of [0.123456789, 0.987654321]) {
    const scene = new Scene();
    scene.runtime.chance = chance;
    const other = new Scene({ runtime: scene.runtime });
    const socket = await other.connected();
    for (let n = 0; n < 5; n++) void other.client.publish("a", n).catch(() => {});
    for (const command of await socket.unread()) {
      const key = command["publish"]!["key"] as string;
      assert.ok(key.length > 8 && key.length <= 64);
      keys.add(key);
    }
  }
  assert.equal(keys.size, 10);
});

test("after a return subscriptions are asked for before what was waiting", async () => {
  const scene = new Scene();
  void scene.client.connect();
  void scene.client.publish("room", "hello");
  scene.client.subscribe("room");
  const { socket } = await scene.welcome(1);
  assert.deepEqual((await socket.unread()).map((command) => Object.keys(command)[1]), ["subscribe", "publish"]);
});

test("a subscribe that was not answered is asked for once on the next connection", async () => {
  const scene = new Scene();
  const socket = await scene.connected();
  scene.client.subscribe("room");
  await socket.expect("subscribe");
  const { socket: next } = await comeBack(scene, { resumed: true });
  assert.deepEqual((await next.unread()).map((command) => command["subscribe"]), [{ channel: "room" }]);
});

test("reads that were not answered are asked again", async () => {
  const { scene } = await inRoom();
  const members = scene.client.presence("room");
  const { socket } = await comeBack(scene, { resumed: true, channels: { room: { epoch: "e", offset: 5, recovered: true } } });
  await socket.answer("presence", { members: [] });
  assert.deepEqual(await members, []);
});

test("a channel left while away is left at the server too, and what it still sends is not told", async () => {
  const { scene, seen } = await inRoom();
  const told: string[] = [];
  scene.client.on("message", ({ channel }) => told.push(channel));
  scene.sockets[0]!.end(1006);
  await scene.client.subscribe("room").unsubscribe();
  await scene.runtime.advance(500);
  const { socket } = await scene.welcome(2, { resumed: true, channels: { room: { epoch: "e", offset: 6, recovered: true } } }, message("room", 6));

  assert.deepEqual(await socket.answer("unsubscribe"), { channel: "room" });
  assert.deepEqual([seen.length, told], [2, []]);
});

test("a channel taken while away is asked for, besides those that are held", async () => {
  const { scene } = await inRoom();
  scene.sockets[0]!.end(1006);
  scene.client.subscribe("other", { last: 3 });
  await scene.runtime.advance(500);
  const { socket } = await scene.welcome(2, { resumed: true, channels: { room: { epoch: "e", offset: 5, recovered: true } } });
  assert.deepEqual(await socket.answer("subscribe", { epoch: "x", offset: 9 }), { channel: "other", last: 3 });
  assert.deepEqual(await socket.unread(), []);
});

test("a channel of the server's choice has a position, and can be taken over by the application", async () => {
  const scene = new Scene();
  const told: unknown[] = [];
  scene.client.on("message", ({ channel, data }) => told.push([channel, data]));
  const socket = await scene.connected({ channels: { inbox: { epoch: "i", offset: 2 } } });
  socket.say(message("inbox", 3), message("pushed", undefined, "later"));
  assert.deepEqual(told, [["inbox", "m3"], ["pushed", "later"]]);

  const inbox = scene.client.subscribe("inbox");
  await inbox.ready;
  assert.deepEqual([await socket.unread(), inbox.position], [[], { epoch: "i", offset: 3 }]);
  const { connect } = await comeBack(scene, { resumed: true, channels: { inbox: { epoch: "i", offset: 3, recovered: true } } });
  assert.deepEqual(connect["positions"], { inbox: { epoch: "i", offset: 3 } });
});

test("an application that drops the connection itself comes back to the session at once", async () => {
  const { scene, socket } = await inRoom();
  scene.client.reconnect();
  assert.equal(scene.client.state, "recovering");
  assert.ok(socket.closedWith !== 1000 && socket.closedWith !== 1001, "the session must not end");
  await scene.runtime.advance(0);
  const { connect } = await scene.welcome(2, { resumed: true, channels: { room: { epoch: "e", offset: 5, recovered: true } } });
  assert.equal(connect["session"], "s1");
});

test("a reconnect shortens the wait for the next try", async () => {
  const scene = new Scene({ backoffMs: 30_000 });
  await scene.connected();
  scene.sockets[0]!.end(1006);
  scene.client.reconnect();
  await scene.runtime.advance(0);
  await scene.welcome(2, { resumed: true });
  assert.equal(scene.client.state, "connected");
});
