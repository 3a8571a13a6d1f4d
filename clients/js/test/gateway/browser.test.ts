// The bundle in Debian's Chromium against the real gateway: another WebSocket, another event loop, and the dev-tools
// protocol to take the network away.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, after, before, test } from "node:test";
import { type BrowserContext, type CDPSession, type Page, chromium } from "playwright-core";
import type { TidegateClient } from "../../src/index.js";
import { newClient, startGateway, tokenFor } from "./gateway.js";
import { startProxy } from "./proxy.js";

const TEST = { timeout: 60_000 };
const WAIT = { timeout: 20_000 };
// A browser in a sandbox without a GPU, that talks to nobody but the page under test.
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
];
const PAGE = `<!doctype html><title>client</title><script type="module">
  import { TidegateClient } from "/tidegate.min.js";
  window.start = async (url, options) => {
    window.seen = [];
    window.states = [];
    const client = (window.client = new TidegateClient(url, options));
    client.on("state", ({ state, error }) => states.push(error ? state + " " + error.code : state));
    const room = (window.room = client.subscribe("room:tea"));
    room.on("message", ({ data }) => seen.push(data));
    room.on("subscribed", (told) => (window.told = told));
    await client.connect();
    await room.ready;
    return client.session;
  };
</script>`;

declare global {
  interface Window {
    start(url: string, options: object): Promise<{ session: string; resumed: boolean; user: string }>;
    client: TidegateClient;
    seen: unknown[];
    states: string[];
    told: { recovered: boolean };
  }
}

let browser: BrowserContext | undefined;
let server: Server | undefined;
let profile: string | undefined;

before(async () => {
  const bundle = await readFile("dist/tidegate.min.js");
  server = createServer((request, response) => {
    const isBundle = request.url === "/tidegate.min.js";
    response.setHeader("content-type", isBundle ? "text/javascript" : "text/html");
    response.end(isBundle ? bundle : PAGE);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  profile = await mkdtemp(path.join(tmpdir(), "tidegate-js-browser-"));
  const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
  browser = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: FLAGS });
});

after(async () => {
  await browser?.close();
  server?.close();
  if (profile) await rm(profile, { recursive: true, force: true });
});

test("a page connects, publishes, hears itself and others, and reads history and presence", TEST, async (t) => {
  const gateway = await startGateway(t);
  const { page, session } = await open(t, gateway.address, { token: tokenFor("ada", 60) });
  assert.equal(session.user, "ada");
  const node = newClient(t, gateway.address);
  await node.connect();
  await page.evaluate(() => window.client.publish("room:tea", "from the page"));
  await node.publish("room:tea", "from node");
  await heard(page, "from node");

  assert.deepEqual(await page.evaluate(() => window.seen), ["from the page", "from node"]);
  const read = await page.evaluate(async () => {
    const { messages } = await window.client.history("room:tea");
    const members = await window.client.presence("room:tea");
    return [messages.map(({ data }) => data), members.map(({ user }) => user)];
  });
  assert.deepEqual(read, [["from the page", "from node"], ["ada"]]);
});

test("a page whose network is taken away resumes when it is back, and has missed nothing", TEST, async (t) => {
  const gateway = await startGateway(t);
  const proxy = await startProxy(t, gateway.address);
  const { page, session, devTools } = await open(t, proxy.address);
  const node = newClient(t, gateway.address);
  await node.connect();

  await setOffline(devTools, true);
  // The open socket does not hear of it. It only falls silent, and new ones fail.
  await page.waitForFunction(() => window.states.includes("recovering ping_timeout"), null, WAIT);
  for (const n of [1, 2, 3]) await node.publish("room:tea", n);
  const publishing = page.evaluate(() => window.client.publish("room:tea", "said without a network"));
  await page.waitForFunction(() => window.states.filter((state) => state === "recovering lost").length > 2, null, WAIT);
  assert.equal(proxy.connections, 1, "no try got through");
  await setOffline(devTools, false);
  assert.equal((await publishing).offset, 4);
  await heard(page, "said without a network");

  const now = await page.evaluate(() => ({ seen: window.seen, told: window.told, session: window.client.session }));
  assert.deepEqual(now.seen, [1, 2, 3, "said without a network"]);
  assert.equal(now.told.recovered, true);
  assert.deepEqual([now.session?.session, now.session?.resumed], [session.session, true]);
});

test("a page whose connection only looks alive finds out and resumes", TEST, async (t) => {
  const gateway = await startGateway(t);
  const proxy = await startProxy(t, gateway.address);
  const { page } = await open(t, proxy.address);
  const node = newClient(t, gateway.address);
  await node.connect();
  proxy.stall();
  for (const n of [1, 2, 3]) await node.publish("room:tea", n);
  await heard(page, 3);
  assert.deepEqual(await page.evaluate(() => window.seen), [1, 2, 3]);
  assert.ok((await page.evaluate(() => window.states)).includes("recovering ping_timeout"));
});

test("a page finds a gateway that was started again", TEST, async (t) => {
  const gateway = await startGateway(t);
  const { page } = await open(t, gateway.address);
  await gateway.kill();
  await page.waitForFunction(() => window.client.state === "recovering", null, WAIT);
  await startGateway(t, gateway.address);
  await page.waitForFunction(() => window.client.state === "connected", null, WAIT);
  await page.evaluate(() => window.client.publish("room:tea", "again"));
  await heard(page, "again");
});

test("a page that drops its connection itself resumes at once", TEST, async (t) => {
  const gateway = await startGateway(t);
  const { page, session } = await open(t, gateway.address);
  await page.evaluate(() => window.client.publish("room:tea", "before"));
  await page.evaluate(() => window.client.reconnect());
  await page.waitForFunction(() => window.client.state === "connected", null, WAIT);
  const now = await page.evaluate(() => ({ told: window.told, session: window.client.session }));
  assert.deepEqual([now.session?.session, now.session?.resumed, now.told.recovered], [session.session, true, true]);
});

async function open(t: TestContext, address: string, options: object = {}) {
  const page = await browser!.newPage();
  t.after(() => page.close());
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  t.after(() => assert.deepEqual(errors, []));
  await page.goto(`http://127.0.0.1:${(server!.address() as AddressInfo).port}/`);
  await page.waitForFunction(() => typeof window.start === "function", null, WAIT);
  const devTools = await browser!.newCDPSession(page);
  await devTools.send("Network.enable");
  const settings = { backoffMs: 100, ...options };
  const session = await page.evaluate(([url, given]) => window.start(url, given), [`ws://${address}/ws`, settings] as const);
  return { page, session, devTools };
}

async function heard(page: Page, data: unknown): Promise<void> {
  await page.waitForFunction((wanted) => window.seen.includes(wanted), data, WAIT);
}

async function setOffline(devTools: CDPSession, offline: boolean): Promise<void> {
  const unlimited = { latency: 0, downloadThroughput: -1, uploadThroughput: -1 };
  await devTools.send("Network.emulateNetworkConditions", { offline, ...unlimited });
}
