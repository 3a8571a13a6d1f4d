// Takes the pictures of the dashboard that docs/control-plane.md shows: a rollout under way, light, dark and on a phone.

import path from "node:path";
import { fileURLToPath } from "node:url";
import { FakeControlPlane, countersOf, healthOf, nodeOf, operationOf, shortOf, stepOf } from "./control-plane.mjs";
import { WAIT, startBrowser } from "./kit.mjs";

const PICTURES = fileURLToPath(new URL("../../docs/images/", import.meta.url));
const WINDOWS = {
  light: { viewport: { width: 1200, height: 600 } },
  dark: { viewport: { width: 1200, height: 600 }, colorScheme: "dark" },
  phone: { viewport: { width: 360, height: 1180 }, deviceScaleFactor: 2, isMobile: true },
};
const SECONDS = 118;

const ends = [];
const fake = await FakeControlPlane.start({ after: (end) => ends.push(end) });
const browser = await startBrowser();
try {
  fake.operations.set("nightly-rebalance", operationOf("nightly-rebalance", {
    spec: { kind: "rebalance" }, source: "auto", requestedBy: "tidegate", state: "Succeeded", counters: countersOf({ moved: 640, resumed: 640 }), finishedAt: Date.now() - 3_600_000,
  }));
  const began = Date.now() - 1000 * SECONDS;
  tell(began, 0);
  const pages = {};
  for (const [name, window] of Object.entries(WINDOWS)) {
    const context = await browser.newContext({ ...window, reducedMotion: "reduce" });
    await context.addInitScript(() => sessionStorage.setItem("tidegate-token", "may-act"));
    pages[name] = await context.newPage();
    await pages[name].goto(fake.url);
    await pages[name].waitForSelector("#running .steps li", WAIT);
  }
  for (let second = 1; second <= SECONDS; second++) tell(began, second);
  for (const [name, page] of Object.entries(pages)) {
    const last = `${movedAt(SECONDS).toLocaleString("en")} of`;
    await page.waitForFunction((wanted) => document.querySelector(".steps").textContent.includes(wanted), last, WAIT);
    const picture = path.join(PICTURES, `dashboard-${name}.png`);
    await page.screenshot({ path: picture, fullPage: name !== "phone" });
    console.log(path.relative(process.cwd(), picture));
  }
} finally {
  await browser.close();
  for (const end of ends) await end();
}

/** What the cluster says so many seconds after the first of its nodes began to send its clients away. */
function tell(began, second) {
  const at = began + 1000 * second;
  const moved = movedAt(second);
  const back = Math.max(moved - 61, 0);
  const others = ["gw-1", "gw-3", "gw-4", "gw-5"].map((name, i) => {
    const connections = [2210, 7930, 8120, 8040][i] + Math.round((back * [4, 1, 1, 1][i]) / 7);
    const load = { handshaking: [9, 2, 3, 2][i], handshakes_per_second: [104, 26, 27, 25][i], handshake_p99_ms: [6.1, 3.2, 4.4, 3.9][i],
      parser_states: { idle: connections - 12, reading_payload: 9 }, messages_in_per_second: connections / 16,
      messages_out_per_second: connections / 2.2, outbox_bytes: 22 * connections, buffer_pool_in_use_bytes: 900 * connections };
    return nodeOf(name, { connections, sessions: connections, version: i ? "0.1.0" : "0.2.0", load }, { zone: "abca"[i], revision: i ? "0.1.0" : "0.2.0", startedAt: at - (i ? 9 * 86_400_000 : 240_000) });
  });
  const remaining = 21_000 - moved;
  const leaving = nodeOf("gw-2", {
    phase: "evicting", ready: false, reasons: ["draining (evicting): new clients shall go elsewhere"], connections: remaining, remaining, moved, op: "deploy-42", rate: 180, capacity: 25_000,
    load: { handshaking: 0, handshakes_per_second: 0, handshake_p99_ms: 0, parser_states: { idle: remaining }, messages_in_per_second: remaining / 16,
      messages_out_per_second: remaining / 2.2, outbox_bytes: 30 * remaining, buffer_pool_in_use_bytes: 800 * remaining },
  }, { zone: "b", operation: "deploy-42", startedAt: at - 9 * 86_400_000 });
  const nodes = [...others, leaving].map((node) => ({ ...node, report: { ...node.report, capacity: 25_000 } }));
  const operation = operationOf("deploy-42", {
    spec: { kind: "rollout", reason: "gateway 0.2.0" }, requestedBy: "ada", revision: second + 1, startedAt: began - 200_000, deadlineAt: began + 2_400_000,
    counters: countersOf({ nodes: 5, nodesOver: 1, total: 41_400, remaining, moved: 20_400 + moved, left: 20_300 + back, resumed: 20_400 + back, displaced: moved - back }),
    steps: [
      stepOf("gw-1", { phase: "Done", total: 20_400, moved: 20_400, resumed: 20_400 }), stepOf("gw-2", { wave: 2, phase: "Draining", total: 21_000, remaining, moved }),
      stepOf("gw-3", { wave: 3 }), stepOf("gw-4", { wave: 4 }), stepOf("gw-5", { wave: 5 }),
    ],
  });
  fake.operations.set(operation.id, operation);
  const used = moved - movedAt(second - 1);
  fake.tell(healthOf(nodes, { at, operations: [shortOf(operation)], budget: { maxRate: 200, rate: 200, allowed: 200, used, maxDisplaced: 2000, displaced: moved - back, slowed: false } }));
}

/** A quarter of a minute for the load balancers to notice, then a little below the budget, never quite the same. */
function movedAt(second) {
  const since = Math.max(second - 15, 0);
  return Math.round(184 * since + 9 * Math.sin(since / 3) + 5 * Math.sin(since * 1.7));
}
