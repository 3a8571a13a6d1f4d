// What the gateway does to a client by itself or for the application's server: forced subscriptions, ends, limits, forgotten sessions.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Message } from "../../src/index.js";
import { newClient, reached, startGateway, told, tokenFor, within } from "./gateway.js";
import { startProxy } from "./proxy.js";

const TEST = { timeout: 60_000 };

test("a channel that the token brings is heard, becomes a subscription when it is asked for, and is kept by a resume", TEST, async (t) => {
  const gateway = await startGateway(t);
  const token = tokenFor("ada", 60, { tidegate: { channels: ["members:news"] } });
  const [client, writer] = [newClient(t, gateway.address, { token }), newClient(t, gateway.address, { token: tokenFor("ben", 60) })];
  const first = told<Message>((listener) => client.on("message", listener), "a message of the forced channel");
  await Promise.all([client.connect(), writer.connect()]);
  await writer.publish("members:news", 1);
  assert.deepEqual([(await first).channel, (await first).data], ["members:news", 1]);

  const news = client.subscribe("members:news")[Symbol.asyncIterator]();
  await writer.publish("members:news", 2);
  assert.equal((await within(news.next(), "the second message")).value?.data, 2);
  const back = reached(client, "connected");
  client.reconnect();
  await writer.publish("members:news", 3);
  await back;
  assert.equal((await within(news.next(), "the third message")).value?.data, 3);
});

test("what the server API subscribes and unsubscribes is told", TEST, async (t) => {
  const gateway = await startGateway(t);
  const client = newClient(t, gateway.address, { token: tokenFor("ada", 60) });
  await client.connect();
  const heard = told<Message>((listener) => client.on("message", listener), "a message of the forced channel");
  await gateway.call("subscribe", { user: "ada", channel: "room:tea" });
  await client.publish("room:tea", 1);
  assert.equal((await heard).data, 1);

  const room = client.subscribe("room:own");
  await room.ready;
  const ended = told<{ error?: { code: string } }>((listener) => room.on("unsubscribed", listener), "the end of the subscription");
  await gateway.call("unsubscribe", { user: "ada", channel: "room:own" });
  assert.ok((await ended).error?.code);
  // Nothing else has ended, and it may come back.
  assert.equal(client.state, "connected");
  await client.subscribe("room:own").ready;
});

test("a client that the server API disconnects stays away until the application acts", TEST, async (t) => {
  const gateway = await startGateway(t);
  const client = newClient(t, gateway.address, { token: tokenFor("ada", 60) });
  const { session } = await client.connect();
  const room = client.subscribe("room:tea");
  await room.ready;
  const [closed, loop] = [reached(client, "closed"), room[Symbol.asyncIterator]()];
  const causes: unknown[] = [];
  client.on("state", ({ error }) => causes.push(error && [error.code, error.closeCode, error.retry]));

  await gateway.call("disconnect", { user: "ada" });
  await closed;
  assert.deepEqual(causes, [["disconnected", 4505, false]]);
  await assert.rejects(loop.next(), { code: "disconnected" });
  await assert.rejects(client.publish("room:tea", 1), { code: "closed" });
  assert.notEqual((await client.connect()).session, session);
});

test("a message larger than the gateway takes is refused here, and costs no connection", TEST, async (t) => {
  const gateway = await startGateway(t);
  const client = newClient(t, gateway.address);
  await client.connect();
  const states: string[] = [];
  client.on("state", ({ state }) => states.push(state));
  await assert.rejects(client.publish("room:tea", "x".repeat(2 << 20)), { code: "too_large", retry: false });
  await client.publish("room:tea", "y".repeat(1 << 19));
  assert.deepEqual(states, []);
});

test("who comes back after the session was forgotten still misses nothing that the history has", TEST, async (t) => {
  const gateway = await startGateway(t, "127.0.0.1:0", { TIDEGATE_SESSION__TTL: "1s" });
  const proxy = await startProxy(t, gateway.address);
  const [reader, writer] = [newClient(t, proxy.address), newClient(t, gateway.address)];
  const { session } = await reader.connect();
  await writer.connect();
  const room = reader.subscribe("room:tea");
  const loop = room[Symbol.asyncIterator]();
  await room.ready;

  proxy.setOpen(false);
  proxy.cut();
  await within(gateway.forgets(session), "the session to be forgotten");
  for (const n of [1, 2]) await writer.publish("room:tea", n);
  const recovered = told((listener) => room.on("subscribed", listener), "the subscription to be recovered");
  proxy.setOpen(true);
  assert.deepEqual(await recovered, { channel: "room:tea", recovered: true });
  assert.deepEqual([(await loop.next()).value?.data, (await loop.next()).value?.data], [1, 2]);
  assert.deepEqual([reader.session?.resumed, reader.session?.session === session], [false, false]);
});
