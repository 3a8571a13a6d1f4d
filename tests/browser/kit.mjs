// Windows of the demo page and of the dashboard in Debian's Chromium, and what people do and see in them.

import { chromium } from "playwright-core";

/** How long a test waits for anything that it expects; far more than it takes. */
export const WAIT = { timeout: 30_000 };

const PROGRAM = process.env.CHROMIUM ?? "/usr/bin/chromium";
// In a sandbox without a GPU, talking to nobody but the page under test, and giving all windows the same share of the processor.
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--disable-background-timer-throttling",
  "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows",
];

export function startBrowser() {
  return chromium.launch({ executablePath: PROGRAM, headless: true, args: FLAGS });
}

/** A window of its own, that is, one that shares nothing with others; on its way to the room, connected or not. */
export async function visit(browser, gateway, room, name, options = {}) {
  const page = await browser.newPage({ viewport: { width: 820, height: 620 }, ...options });
  await page.addInitScript((own) => sessionStorage.setItem("name", own), name);
  await page.goto(`${gateway.url}#${encodeURIComponent(room)}`);
  return page;
}

/** The same, and in the room. */
export async function enter(browser, gateway, room, name, options) {
  const page = await visit(browser, gateway, room, name, options);
  await noted(page, `You are in # ${room} as ${name}`);
  return page;
}

export async function say(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}

/** Waits until the message is listed, and has come from the gateway. */
export function heard(page, text) {
  return page.waitForFunction(
    (wanted) => [...document.querySelectorAll("#messages li:not(.waiting, .failed) .text")].some((shown) => shown.textContent === wanted),
    text, WAIT);
}

/** Waits until a line between the messages begins like this. */
export function noted(page, text) {
  return page.waitForFunction(
    (wanted) => [...document.querySelectorAll("#messages .note")].some((shown) => shown.textContent.startsWith(wanted)), text, WAIT);
}

/** Waits until the line under the title begins like this; resolves with all of it. */
export async function told(page, text) {
  await page.waitForFunction((wanted) => document.getElementById("news").textContent.startsWith(wanted), text, WAIT);
  return page.textContent("#line p");
}

export function inState(page, state) {
  return page.waitForSelector(`#state[data-state="${state}"]`, WAIT);
}

/** Waits until exactly these people are listed as being here, in this order. */
export function here(page, ...names) {
  return page.waitForFunction(
    (wanted) => [...document.querySelectorAll("#here .who")].map((who) => who.textContent).join() === wanted, names.join(), WAIT);
}

/** The messages in the list, as pairs of name and text. */
export function spoken(page) {
  return page.$$eval("#messages li:not(.note)", (rows) =>
    rows.map((row) => [row.querySelector("b").textContent, row.querySelector(".text").textContent]));
}

/** Takes the window's network away with the means of the dev-tools protocol; the function that comes back restores it. */
export async function takeNetwork(page) {
  // The emulation belongs to the session that asked for it: another one could not end it.
  const devTools = await page.context().newCDPSession(page);
  const emulate = (offline) =>
    devTools.send("Network.emulateNetworkConditions", { offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  await devTools.send("Network.enable");
  await emulate(true);
  return () => emulate(false);
}

/** The dashboard in a browser of its own, where `secret` is already kept; `prepare` gets the page while it is empty. */
export async function openDashboard(t, browser, url, secret, options = {}, prepare = () => {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  t.after(() => context.close());
  const page = await context.newPage();
  prepare(page);
  if (secret) await page.addInitScript((kept) => sessionStorage.getItem("tidegate-token") ?? sessionStorage.setItem("tidegate-token", kept), secret);
  await page.goto(url);
  return page;
}

/** Waits until the dashboard shows what is so now. */
export function live(page) {
  return page.waitForFunction(() => document.getElementById("live").textContent === "live", null, WAIT);
}
