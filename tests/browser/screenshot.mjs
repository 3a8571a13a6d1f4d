// Takes the picture that README.md shows, docs/images/demo.png: two people, one of whom has just lost the connection and come back.

import path from "node:path";
import { fileURLToPath } from "node:url";
import { startGateway } from "./programs.mjs";
import { enter, heard, here, say, startBrowser, told } from "./kit.mjs";

const PICTURE = fileURLToPath(new URL("../../docs/images/demo.png", import.meta.url));
const WINDOW = { width: 860, height: 600 };
/** As many points as make a curve of the latencies. */
const PROBES = 8;

const ends = [];
const gateway = await startGateway({ after: (end) => ends.push(end) });
const browser = await startBrowser();
try {
  const ada = await enter(browser, gateway, "tea", "Ada", { viewport: WINDOW });
  const ben = await enter(browser, gateway, "tea", "Ben", { viewport: WINDOW, colorScheme: "dark" });
  const eve = await enter(browser, gateway, "tea", "Eve", { viewport: WINDOW });
  await talk([ada, ben, eve], ada, "Is the water hot?");
  await talk([ada, ben, eve], ben, "It is. Who brings the cups?");

  await ada.click("#cut");
  await talk([ben, eve], eve, "Ada has them. Ada?");
  await talk([ben, eve], ben, "Just went into the tunnel.");
  await ada.click("#cut");
  await told(ada, "Session resumed");
  await talk([ada, ben, eve], ada, "Back, with the cups. What did I miss? Nothing, I see.");
  for (const page of [ada, ben]) {
    await here(page, ...(page === ada ? ["Ada", "Ben", "Eve"] : ["Ben", "Ada", "Eve"]));
    await page.waitForFunction((wanted) => document.getElementById("spark").points.length >= wanted, PROBES, { timeout: 60_000 });
    await page.evaluate(() => document.activeElement.blur());
  }

  const shots = [await ada.screenshot(), await ben.screenshot()].map((shot) => `data:image/png;base64,${shot.toString("base64")}`);
  const sheet = await browser.newPage({ viewport: { width: 2 * WINDOW.width, height: WINDOW.height } });
  await sheet.setContent(`<body style="margin:0;display:flex">${shots.map((shot) => `<img src="${shot}">`).join("")}`);
  await sheet.screenshot({ path: PICTURE });
  console.log(path.relative(process.cwd(), PICTURE));
} finally {
  await browser.close();
  for (const end of ends) await end();
}

async function talk(listeners, speaker, text) {
  await say(speaker, text);
  await Promise.all(listeners.map((page) => heard(page, text)));
}
