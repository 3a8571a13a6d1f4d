// A TCP proxy between a client and the gateway, which can do what networks do.

import { once } from "node:events";
import { type AddressInfo, type Socket, connect, createServer } from "node:net";
import type { TestContext } from "node:test";

/** Passes bytes on until it is told otherwise. */
export interface Proxy {
  /** `host:port` for the client. */
  address: string;
  /** Ends all connections without a word; new ones are let through. */
  cut(): void;
  /** Lets nothing more through on the connections that there are, and does not end them either; new ones are let through. */
  stall(): void;
  /** Whether new connections are let through. */
  setOpen(open: boolean): void;
  /** How many connections it has seen. */
  readonly connections: number;
}

/** Starts a proxy to `target` (`host:port`). */
export async function startProxy(t: TestContext, target: string): Promise<Proxy> {
  const [host, port] = target.split(":") as [string, string];
  const pairs = new Set<[Socket, Socket]>();
  let isOpen = true;
  let connections = 0;
  const server = createServer((client) => {
    if (!isOpen) {
      client.resetAndDestroy();
      return;
    }
    connections++;
    const gateway = connect({ host, port: Number(port) });
    const pair: [Socket, Socket] = [client, gateway];
    pairs.add(pair);
    for (const [from, to] of [pair, [gateway, client] as const]) {
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        to.destroy();
        pairs.delete(pair);
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    for (const [client, gateway] of pairs) {
      client.resetAndDestroy();
      gateway.resetAndDestroy();
    }
  };
  t.after(() => {
    cut();
    server.close();
  });

  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    stall: () => {
      for (const [client, gateway] of pairs) {
        client.unpipe(gateway).pause();
        gateway.unpipe(client).pause();
      }
    },
    setOpen: (open) => (isOpen = open),
    get connections() {
      return connections;
    },
  };
}
