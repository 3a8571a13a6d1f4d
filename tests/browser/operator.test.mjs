// What an operator does with the dashboard, on the real control plane and with real gateways: all that is pressed here happens.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { enter, inState, live, openDashboard, startBrowser } from "./kit.mjs";
import { startControlPlane, startGateway } from "./programs.mjs";

const TEST = { timeout: 240_000 };
/** Three programs and a browser start for each test: on a busy machine that takes a while. */
const WAIT = { timeout: 60_000 };
/** At least as long as a token has to be. */
const SECRET = "the operator's token of this test, and of no other";

let browser;

before(async () => {
  browser = await startBrowser();
});

after(() => browser?.close());

test("a node is cordoned, and takes clients again", TEST, async (t) => {
  const { page } = await cluster(t);
  await page.click("[aria-label='Cordon gw-2']");
  await phase(page, "gw-2", "announcing");
  await page.waitForFunction(() => /^1 of 2$/.test([...document.querySelectorAll("#facts dd span")][1].textContent), null, WAIT);
  await page.click("[aria-label='Uncordon gw-2']");
  await phase(page, "gw-2", "serving");
});

test("a node is planned to be empty, emptied, and listed with what became of its clients", TEST, async (t) => {
  const { page, gateways } = await cluster(t);
  const client = await enter(browser, gateways[0], "tea", "Ada");
  t.after(() => client.close());
  await page.waitForFunction(() => document.querySelector("#facts dd span").textContent === "1", null, WAIT);

  await page.click("#begin");
  await page.check("#op-nodes input[value=gw-1]");
  await page.fill("#op-id", "empty-gw-1");
  await page.fill("#op-reason", "because <b>I</b> say so");
  await page.click("#op-plan");
  await page.waitForSelector("#forecast:visible", WAIT);
  assert.equal(await page.textContent("#forecast dl dd span"), "1", "one client would move");
  await page.click("#op-start");
  await page.waitForSelector("#compose:not([open])", { ...WAIT, state: "attached" });

  await inState(client, "recovering");
  await phase(page, "gw-1", "drained");
  await page.waitForFunction(() => document.querySelector("#ended td")?.textContent === "empty-gw-1", null, WAIT);
  await page.click("#past summary");
  assert.match(await page.textContent("#ended tr"), /empty-gw-1drainSucceeded.*1 client, .*operator/);
});

test("an operation that is aborted gives its node back", TEST, async (t) => {
  const { page } = await cluster(t, { TIDEGATE_DRAIN__LB_PROPAGATION: "60s" });
  await page.click("#begin");
  await page.check("#op-nodes input[value=gw-1]");
  await page.fill("#op-id", "not-so");
  await page.click("#op-start");
  await phase(page, "gw-1", "announcing");
  await page.click("text=Abort…");
  await page.click("#confirm-go");
  await phase(page, "gw-1", "serving");
  await page.waitForFunction(() => document.querySelector("#ended td")?.textContent === "not-so", null, WAIT);
  assert.match(await page.textContent("#ended tr"), /not-sodrainAborted/);
});

test("draining every node is refused with the reason", TEST, async (t) => {
  const { page } = await cluster(t);
  await page.click("#begin");
  for (const name of ["gw-1", "gw-2"]) await page.check(`#op-nodes input[value=${name}]`);
  await page.fill("#op-max-parallel", "2");
  await page.click("#op-plan");
  await page.waitForSelector("#compose .problem:visible", WAIT);
  assert.match(await page.textContent("#compose .problem"), /minServing/);
});

/** Two gateways that know nothing of each other, a control plane that was told of them, and its dashboard. */
async function cluster(t, settings = {}) {
  const gateways = await Promise.all([1, 2].map((number) =>
    startGateway(t, { TIDEGATE_NODE__NAME: `gw-${number}`, TIDEGATE_DRAIN__LB_PROPAGATION: "1s", TIDEGATE_DRAIN__SETTLE: "2s", ...settings })));
  const control = await startControlPlane(t, `
[agents]
urls = [${gateways.map(({ admin }) => `"http://${admin}"`).join(", ")}]
[[auth.tokens]]
name = "operator"
role = "operate"
token = "${SECRET}"
`);
  const page = await openDashboard(t, browser, control.url, SECRET);
  await live(page);
  await page.waitForFunction(() => document.querySelectorAll("#nodes [data-tone=good]").length === 2, null, WAIT);
  return { page, gateways };
}

/** Waits until a node is in a phase. */
function phase(page, name, wanted) {
  return page.waitForFunction(([node, word]) =>
    [...document.querySelectorAll("#nodes tr")].some((row) => row.querySelector(".who").textContent === node && row.querySelector(".tag").textContent === word),
  [name, wanted], WAIT);
}
