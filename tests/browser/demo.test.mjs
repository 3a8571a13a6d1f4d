// The demo page as two people see it: each test opens real pages in Debian's Chromium against a gateway of its own.
//
// `DEMO_SCREENSHOT=docs/images/demo.png` (a path from the repository's root) also takes the picture that README.md shows.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { startGateway } from "./gateway.mjs";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const WAIT = { timeout: 20_000 };
const TEST = { timeout: 120_000 };
// A browser in a sandbox without a GPU, that talks to nobody but the page under test.
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
];

let browser;
let profile;

before(async () => {
  profile = await mkdtemp(path.join(tmpdir(), "tidegate-browser-"));
  browser = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: FLAGS,
    viewport: { width: 820, height: 620 },
  });
});

after(async () => {
  await browser?.close();
  if (profile) await rm(profile, { recursive: true, force: true });
});

test("what one window says appears in both, and in no other room", TEST, async (t) => {
  const gateway = await startGateway(t);
  const [ada, ben] = [await open(t, gateway, "tea", "Ada"), await open(t, gateway, "tea", "Ben")];
  const stranger = await open(t, gateway, "coffee", "Eve");

  await say(ada, "Is the water hot?");
  await heard(ada, "Is the water hot?");
  await heard(ben, "Is the water hot?");
  await say(ben, "It is: <b>100 °C</b>");
  await heard(ada, "It is: <b>100 °C</b>");
  await heard(ben, "It is: <b>100 °C</b>");

  assert.deepEqual(await spoken(ada), [["You", "Is the water hot?"], ["Ben", "It is: <b>100 °C</b>"]]);
  assert.deepEqual(await spoken(ben), [["Ada", "Is the water hot?"], ["You", "It is: <b>100 °C</b>"]]);
  // Its own message comes back after all that was said before, so had it been sent the others' words they would be there.
  await say(stranger, "Anyone here?");
  await heard(stranger, "Anyone here?");
  assert.deepEqual(await spoken(stranger), [["You", "Anyone here?"]]);

  if (process.env.DEMO_SCREENSHOT) await picture(gateway, ada, ben);
});

test("the page shows that it is connected and how long a round trip takes", TEST, async (t) => {
  const gateway = await startGateway(t);
  const page = await open(t, gateway, "tea", "Ada");

  await page.waitForFunction(() => /^\d+(\.\d)? ms$/.test(document.getElementById("latency").textContent), null, WAIT);
  await say(page, "echo?");
  await page.waitForSelector(".mine .took", WAIT);

  assert.equal(await page.textContent("#state"), "open");
  assert.match(await page.textContent(".mine .took"), /there and back in \d+(\.\d)? ms/);
  assert.equal(await page.isVisible("#closed"), false);
});

test("a room with spaces and other letters works, and a change of room leaves the first one", TEST, async (t) => {
  const gateway = await startGateway(t);
  const [ada, ben] = [await open(t, gateway, "Grüße & 雨/50%", "Ada"), await open(t, gateway, "Grüße & 雨/50%", "Ben")];

  await say(ada, "here");
  await heard(ben, "here");
  await ada.fill("#room", "elsewhere");
  await ada.press("#room", "Enter");
  await ada.waitForSelector(".note >> text='You are in “elsewhere”.'", WAIT);
  await say(ada, "over there");
  await heard(ada, "over there");
  await say(ben, "alone");
  await heard(ben, "alone");

  assert.deepEqual((await spoken(ben)).map(([, text]) => text), ["here", "alone"]);
});

test("when the server stops the page says so with the close code, and comes back by itself", TEST, async (t) => {
  const gateway = await startGateway(t);
  const page = await open(t, gateway, "tea", "Ada");

  gateway.child.kill("SIGTERM");
  await page.waitForSelector("#close-info[data-code='1012']", WAIT);
  assert.equal(await page.textContent("#state"), "closed");
  assert.match(await page.textContent("#close-info"), /^Closed with 1012: .+/);
  assert.equal(await page.isVisible("#reconnect"), true);
  assert.equal(await page.isDisabled("#send"), true);
  assert.deepEqual(await gateway.exited, [0, null]);

  await startGateway(t, { TIDEGATE_CLIENT__LISTEN: gateway.client });
  await page.waitForSelector("#state[data-state='open']", WAIT);
  await say(page, "back again");
  await heard(page, "back again");
});

test("a killed server shows as a lost connection, and the button tries again at once", TEST, async (t) => {
  const gateway = await startGateway(t);
  const page = await open(t, gateway, "tea", "Ada");

  gateway.child.kill("SIGKILL");
  await page.waitForSelector("#close-info[data-code='1006']", WAIT);
  await gateway.exited;
  await startGateway(t, { TIDEGATE_CLIENT__LISTEN: gateway.client });
  // The page's own timer may be faster than this click: either way it has to be open again.
  await page.evaluate(() => document.getElementById("reconnect").click());
  await page.waitForSelector("#state[data-state='open']", WAIT);
});

test("the page asks no other server for anything and breaks no content policy", TEST, async (t) => {
  const gateway = await startGateway(t);
  const page = await browser.newPage();
  t.after(() => page.close());
  const asked = [];
  const complaints = [];
  page.on("request", (request) => asked.push(new URL(request.url())));
  page.on("websocket", (socket) => asked.push(new URL(socket.url())));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));

  await page.goto(`${gateway.url}#tea`);
  await page.waitForSelector("#state[data-state='open']", WAIT);
  await page.waitForFunction(() => document.getElementById("latency").textContent !== "–", null, WAIT);

  assert.deepEqual([...new Set(asked.filter((url) => url.protocol !== "data:").map((url) => url.host))], [gateway.client]);
  assert.deepEqual(complaints, []);
});

async function open(t, gateway, room, name) {
  const page = await browser.newPage();
  t.after(() => page.close());
  await page.goto(`${gateway.url}#${encodeURIComponent(room)}`);
  await page.fill("#name", name);
  await page.waitForSelector("#state[data-state='open']", WAIT);
  return page;
}

async function say(page, text) {
  // A window in the background is given less of the processor, which would show in its times.
  await page.bringToFront();
  await page.fill("#text", text);
  await page.click("#send");
}

/** Waits until the message is listed. */
function heard(page, text) {
  return page.waitForFunction(
    (wanted) => [...document.querySelectorAll("#messages .text")].some((shown) => shown.textContent === wanted), text, WAIT);
}

/** What the list shows, as pairs of name and text. */
function spoken(page) {
  return page.$$eval("#messages li:not(.note)", (rows) =>
    rows.map((row) => [row.querySelector("b").textContent, row.querySelector(".text").textContent]));
}

/** Both windows side by side, one light and one dark, after a few more words and a filled latency curve. */
async function picture(gateway, ada, ben) {
  await say(ada, "Then I bring the cups.");
  await say(ben, "Both windows are on one raw channel: what you read here went through the gateway.");
  await ada.waitForFunction(() => document.getElementById("spark").points.length >= 12, null, WAIT);
  await ben.emulateMedia({ colorScheme: "dark" });
  const shots = [await ada.screenshot(), await ben.screenshot()].map((shot) => `data:image/png;base64,${shot.toString("base64")}`);
  const sheet = await browser.newPage();
  await sheet.setViewportSize({ width: 1640, height: 620 });
  await sheet.setContent(`<body style="margin:0;display:flex">${shots.map((shot) => `<img src="${shot}" width="820">`).join("")}`);
  await sheet.screenshot({ path: path.join(ROOT, process.env.DEMO_SCREENSHOT) });
  await sheet.close();
}
