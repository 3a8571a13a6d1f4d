import assert from "node:assert/strict";
import { test } from "node:test";
import { Scene } from "./kit.js";

test("two silent intervals are too many: the connection is given up and the session resumed", async () => {
  const scene = new Scene();
  const socket = await scene.connected({ ping_ms: 10_000 });
  socket.answersClose = false;
  await scene.runtime.advance(19_999);
  assert.equal(scene.client.state, "connected");
  await scene.runtime.advance(1);

  assert.deepEqual([scene.client.state, scene.states.at(-1)?.error?.code, socket.terminated], ["recovering", "ping_timeout", true]);
  assert.notEqual(socket.closedWith, 1000);
  await scene.runtime.advance(500);
  const { connect } = await scene.welcome(2, { resumed: true });
  assert.equal(connect["session"], "s1");
});

test("anything that is heard counts as a sign of life", async () => {
  const scene = new Scene();
  const socket = await scene.connected({ ping_ms: 10_000 });
  for (const object of [{}, { message: { channel: "a", data: 1 } }, { id: 99, presence: {} }, { unknown: {} }]) {
    await scene.runtime.advance(19_999);
    socket.say(object);
  }
  await scene.runtime.advance(19_999);
  assert.equal(scene.client.state, "connected");
  await scene.runtime.advance(1);
  assert.equal(scene.client.state, "recovering");
});

test("what a socket says after it was given up is not heard", async () => {
  const scene = new Scene();
  const socket = await scene.connected({ ping_ms: 10_000 });
  const seen: unknown[] = [];
  scene.client.on("message", ({ data }) => seen.push(data));
  socket.answersClose = false;
  await scene.runtime.advance(20_000);
  socket.say({ message: { channel: "a", data: "late" } });
  socket.end(4503);
  assert.deepEqual([seen, scene.client.state], [[], "recovering"]);
});

test("a client that only talks asks for an answer when it has heard nothing for a while", async () => {
  const scene = new Scene();
  const socket = await scene.connected({ ping_ms: 10_000 });
  const publish = () => scene.client.publish("a", 1, { acknowledge: false });

  await scene.runtime.advance(5_000);
  await publish();
  assert.equal((await socket.unread())[0]?.id, undefined);
  await scene.runtime.advance(1);
  await publish();
  const asked = (await socket.unread())[0];
  assert.notEqual(asked?.id, undefined);
  socket.say({ id: asked?.id, publish: {} });
  await publish();
  assert.equal((await socket.unread())[0]?.id, undefined);
});
