// The demo page as people see it: each test opens real windows in Chromium against a gateway of its own on config/dev.toml.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startGateway } from "./programs.mjs";
import { WAIT, enter, heard, here, inState, noted, say, spoken, startBrowser, takeNetwork, told, visit } from "./kit.mjs";

const TEST = { timeout: 60_000 };

let browser;

before(async () => {
  browser = await startBrowser();
});

after(() => browser?.close());

test("what one window says appears in both, and in no other room", TEST, async (t) => {
  const gateway = await startGateway(t);
  const [ada, ben, eve] = await Promise.all([open(t, gateway, "tea", "Ada"), open(t, gateway, "tea", "Ben"), open(t, gateway, "coffee", "Eve")]);

  await say(ada, "Is the water hot?");
  await Promise.all([heard(ada, "Is the water hot?"), heard(ben, "Is the water hot?")]);
  await say(ben, "It is: <b>100 °C</b>");
  await Promise.all([heard(ada, "It is: <b>100 °C</b>"), heard(ben, "It is: <b>100 °C</b>")]);
  // Its own message comes back after all that was said before, so had it been sent the others' words they would be there.
  await say(eve, "Anyone here?");
  await heard(eve, "Anyone here?");

  assert.deepEqual(await spoken(ada), [["You", "Is the water hot?"], ["Ben", "It is: <b>100 °C</b>"]]);
  assert.deepEqual(await spoken(ben), [["Ada", "Is the water hot?"], ["You", "It is: <b>100 °C</b>"]]);
  assert.deepEqual(await spoken(eve), [["You", "Anyone here?"]]);
  assert.match(await ada.textContent(".mine .took"), /^ · \d+(\.\d)? ms$/);
});

test("who comes, who leaves and who takes another name is seen by those who are there", TEST, async (t) => {
  const gateway = await startGateway(t);
  const ada = await open(t, gateway, "tea", "Ada");
  await here(ada, "Ada");

  const ben = await open(t, gateway, "tea", "Ben");
  await Promise.all([here(ada, "Ada", "Ben"), here(ben, "Ben", "Ada"), noted(ada, "Ben came in")]);
  await ben.fill("#name", "Zoe");
  await ben.press("#name", "Enter");
  await Promise.all([here(ada, "Ada", "Zoe"), here(ben, "Zoe", "Ada"), noted(ada, "Zoe came in"), noted(ada, "Ben left")]);
  await ben.close();
  await Promise.all([here(ada, "Ada"), noted(ada, "Zoe left")]);
  assert.equal(await ada.textContent("#here-count"), "1");
  // One's own coming is told in other words.
  assert.deepEqual(await ada.$$eval("#messages .note", (notes) => notes.filter((note) => note.textContent === "Ada came in").length), 0);
});

test("a newcomer reads what was said before", TEST, async (t) => {
  const gateway = await startGateway(t);
  const ada = await open(t, gateway, "tea", "Ada");
  for (const text of ["one", "two", "three"]) await say(ada, text);
  await heard(ada, "three");

  const ben = await open(t, gateway, "tea", "Ben");
  await noted(ben, "You are in # tea as Ben · 3 messages from before");
  assert.deepEqual(await spoken(ben), [["Ada", "one"], ["Ada", "two"], ["Ada", "three"]]);
});

test("rooms have an address each, and a change of room leaves the first one", TEST, async (t) => {
  const gateway = await startGateway(t);
  const room = "Grüße-&-雨/50%";
  const [ada, ben] = await Promise.all([open(t, gateway, room, "Ada"), open(t, gateway, room, "Ben")]);
  await say(ada, "here");
  await heard(ben, "here");

  await ada.fill("#other-room", "else where");
  await ada.press("#other-room", "Enter");
  await Promise.all([noted(ada, "You are in # else-where as Ada"), noted(ben, "Ada left")]);
  await say(ada, "over there");
  await heard(ada, "over there");
  await say(ben, "alone");
  await heard(ben, "alone");
  assert.deepEqual([await spoken(ada), await spoken(ben)], [[["You", "over there"]], [["Ada", "here"], ["You", "alone"]]]);

  await ada.goBack();
  await noted(ada, `You are in # ${room} as Ada · 2 messages from before`);
  assert.equal(await ada.textContent("#rooms [aria-current=page]"), room);
});

test("a cut connection resumes, and shows how many messages were replayed", TEST, async (t) => {
  const gateway = await startGateway(t);
  const [ada, ben] = await Promise.all([open(t, gateway, "tea", "Ada"), open(t, gateway, "tea", "Ben")]);
  await say(ada, "before");
  await heard(ben, "before");

  await ada.click("#cut");
  await inState(ada, "recovering");
  await told(ada, "The connection is cut.");
  for (const text of ["one", "two", "three"]) await say(ben, text);
  await heard(ben, "three");
  await say(ada, "said without a network");
  assert.match(await ada.textContent(".waiting .took"), /waits for the connection/);
  assert.match(await ada.textContent("#cut"), /^Plug it in again \(\d+ s\)$/);

  await ada.click("#cut");
  assert.match(await told(ada, "Session resumed"), /^Session resumed: 3 messages replayed, none lost\. Back after .+ 1006 \(lost\)\.$/);
  await Promise.all([heard(ada, "said without a network"), heard(ben, "said without a network")]);
  await noted(ada, "3 messages replayed");
  assert.deepEqual(await spoken(ada), [
    ["You", "before"], ["Ben", "one"], ["Ben", "two"], ["Ben", "three"], ["You", "said without a network"],
  ]);
  assert.equal(await ada.locator(".replayed").count(), 3);
  assert.equal(await ada.textContent("#cut"), "Cut the connection");
  // The cut was shorter than the grace of those who leave: to Ben she was there all the time.
  assert.deepEqual(await ben.$$eval("#messages .note", (notes) => notes.filter((note) => note.textContent === "Ada left").length), 0);
});

test("a window whose network is taken away notices, and resumes when it is back", TEST, async (t) => {
  const gateway = await startGateway(t);
  const [ada, ben] = await Promise.all([open(t, gateway, "tea", "Ada"), open(t, gateway, "tea", "Ben")]);
  // The open socket does not hear of it: it falls silent, and new ones fail.
  const restoreNetwork = await takeNetwork(ada);
  await inState(ada, "recovering");
  for (const text of ["one", "two"]) await say(ben, text);
  await heard(ben, "two");
  await restoreNetwork();

  assert.match(await told(ada, "Session resumed"), /: 2 messages replayed, none lost\..+ \(ping_timeout\)\.$/);
  assert.deepEqual(await spoken(ada), [["Ben", "one"], ["Ben", "two"]]);
});

test("a gateway that is stopped says so, and after its restart the page admits that this is a new session", TEST, async (t) => {
  const gateway = await startGateway(t);
  const page = await open(t, gateway, "tea", "Ada");
  await say(page, "before");
  await heard(page, "before");

  gateway.child.kill("SIGTERM");
  await inState(page, "recovering");
  assert.deepEqual(await gateway.exited, [0, null]);
  assert.match(await told(page, "Ended with"), /drain/);
  await say(page, "meanwhile");
  await startGateway(t, { TIDEGATE_CLIENT__LISTEN: gateway.client });

  assert.match(await told(page, "New session"), /^New session: the room begins anew\. Back after/);
  await noted(page, "the gateway no longer knows what was said before");
  await heard(page, "meanwhile");
  assert.deepEqual(await spoken(page), [["You", "before"], ["You", "meanwhile"]]);
  await here(page, "Ada");
});

test("a gateway that was killed shows as a lost connection, and the button tries again at once", TEST, async (t) => {
  const gateway = await startGateway(t);
  const page = await open(t, gateway, "tea", "Ada");
  gateway.child.kill("SIGKILL");
  await inState(page, "recovering");
  assert.match(await told(page, "Ended with"), /1006 \(lost\)/);
  assert.equal(await page.textContent("#cut"), "Try now");

  await gateway.exited;
  await startGateway(t, { TIDEGATE_CLIENT__LISTEN: gateway.client });
  // The client's own timer may be faster than this click: either way it has to come back, and not to be cut.
  await page.evaluate(() => document.getElementById("state").dataset.state === "recovering" && document.getElementById("cut").click());
  await told(page, "New session");
  await inState(page, "connected");
});

test("a gateway that lets in nobody without a token makes the page say what it needs", TEST, async (t) => {
  const gateway = await startGateway(t, { TIDEGATE_AUTH__ANONYMOUS: "false" });
  const page = await visit(browser, gateway, "tea", "Ada");
  t.after(() => page.close());
  await inState(page, "closed");
  assert.match(await told(page, "Closed"), /anonymous = true/);
  assert.equal(await page.textContent("#cut"), "Connect again");
});

test("the page asks no other server for anything, and nothing in it is an error or against its content policy", TEST, async (t) => {
  const gateway = await startGateway(t);
  const page = await browser.newPage();
  t.after(() => page.close());
  const [asked, complaints] = [[], []];
  page.on("request", (request) => asked.push(new URL(request.url())));
  page.on("websocket", (socket) => asked.push(new URL(socket.url())));
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));

  await page.goto(`${gateway.url}#tea`);
  await inState(page, "connected");
  await page.waitForFunction(() => /^\d+(\.\d)? ms$/.test(document.getElementById("latency").textContent), null, WAIT);
  await page.click("#cut");
  await inState(page, "recovering");
  await page.click("#cut");
  await told(page, "Session resumed");

  assert.deepEqual([...new Set(asked.filter((url) => url.protocol !== "data:").map((url) => url.host))], [gateway.client]);
  assert.deepEqual(complaints, []);
});

test("all of it can be done with the keyboard", TEST, async (t) => {
  const gateway = await startGateway(t);
  const page = await open(t, gateway, "lobby", "Ada");
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent);
  const onto = async (wanted) => {
    for (let presses = 0; (await focused()) !== wanted; presses++) {
      assert.ok(presses < 20, `the Tab key does not lead to ${wanted}`);
      await page.keyboard.press("Tab");
    }
  };

  assert.equal(await focused(), "text", "who comes can type at once");
  await page.keyboard.type("hello");
  await page.keyboard.press("Enter");
  await heard(page, "hello");
  await onto("harbour");
  await page.keyboard.press("Enter");
  await noted(page, "You are in # harbour as Ada");
  assert.equal(await focused(), "harbour", "a change of room does not lose the place");
  await onto("cut");
  await page.keyboard.press("Space");
  await inState(page, "recovering");
  await page.keyboard.press("Space");
  await told(page, "Session resumed");
});

test("it fits a phone, in the light and in the dark", TEST, async (t) => {
  const gateway = await startGateway(t);
  const phone = { viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true };
  const [light, dark] = [
    await open(t, gateway, "tea", "Ada", { ...phone, colorScheme: "light" }),
    await open(t, gateway, "tea", "Ben", { ...phone, colorScheme: "dark" }),
  ];
  await say(light, `long ${"words".repeat(60)}`);
  await heard(dark, `long ${"words".repeat(60)}`);
  const backgrounds = [];
  for (const page of [light, dark]) {
    const { width, inside } = await page.evaluate(() => ({
      width: document.scrollingElement.scrollWidth,
      inside: ["state", "cut", "messages", "text", "send", "name"].filter((id) => {
        const { left, right, top, bottom } = document.getElementById(id).getBoundingClientRect();
        return left >= 0 && right <= innerWidth && top >= 0 && bottom <= innerHeight;
      }),
    }));
    assert.deepEqual([width, inside], [360, ["state", "cut", "messages", "text", "send", "name"]]);
    backgrounds.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
  }
  assert.notEqual(backgrounds[0], backgrounds[1]);
});

async function open(t, gateway, room, name, options) {
  const page = await enter(browser, gateway, room, name, options);
  t.after(() => page.close());
  return page;
}
