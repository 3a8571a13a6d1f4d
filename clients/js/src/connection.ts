/**
 * One WebSocket, from its opening to its end, with what is to be sent batched.
 *
 * Place in the data path: between the platform's WebSocket and `link.ts`. Whatever happens to the socket, the owner
 * hears of exactly one end, and of nothing after it.
 */

import { CLOSE, type Ending, bytesOf, endingOf, parseObjects, type WireObject } from "./protocol.js";
import type { WebSocketConstructor, WebSocketLike } from "./runtime.js";

/** Who is told what the connection does. */
export interface ConnectionOwner {
  handleOpen(): void;
  handleObject(object: WireObject): void;
  /** The connection has ended by itself. Not called where the owner ended it. */
  handleEnd(ending: Ending): void;
}

export class Connection {
  readonly #socket: WebSocketLike;
  readonly #owner: ConnectionOwner;
  readonly #batch: string[] = [];
  /** Resolves when the socket is closed, whoever wanted it. */
  readonly closed: Promise<void>;
  /** Bytes of a message to the server. */
  messageBytesMax: number;
  #live = true;

  /** Throws where `url` is none. */
  constructor(owner: ConnectionOwner, make: WebSocketConstructor, url: string, protocol: string, messageBytesMax: number) {
    this.#owner = owner;
    this.messageBytesMax = messageBytesMax;
    const socket = (this.#socket = new make(url, protocol));
    socket.onopen = () => this.#live && owner.handleOpen();
    socket.onmessage = (event: { data: unknown }) => this.#handleMessage(event.data);
    // A close event follows. The listener has to be there: without one, `ws` throws.
    socket.onerror = () => {};
    this.closed = new Promise((resolve) => {
      socket.onclose = (event: { code: number; reason: string }) => {
        resolve();
        this.#end(endingOf(event.code, event.reason));
      };
    });
  }

  /** Sends an object, together with all others of the same microtask. */
  send(object: string): void {
    if (this.#batch.push(object) === 1) queueMicrotask(() => this.flush());
  }

  /** Bytes that the network has not taken yet. */
  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  /** Sends now what waits for the end of the microtask, in as few messages as the server's limit allows. */
  flush(): void {
    let message = "";
    let messageBytes = 0;
    for (const object of this.#batch.splice(0)) {
      const bytes = bytesOf(object);
      if (message && messageBytes + 1 + bytes > this.messageBytesMax) {
        this.#transmit(message);
        message = "";
      }
      messageBytes = message ? messageBytes + 1 + bytes : bytes;
      message = message ? `${message}\n${object}` : object;
    }
    if (message) this.#transmit(message);
  }

  /** Ends it from this side. The owner hears nothing more. */
  close(code: number): void {
    this.flush();
    this.#live = false;
    this.#socket.close(code);
  }

  /** Ends it without waiting for a server that is not there. */
  abandon(code: number): void {
    this.#live = false;
    this.#socket.close(code);
    this.#socket.terminate?.();
  }

  #transmit(message: string): void {
    // 1 is OPEN. A socket that is closing tells so with its close event; what is lost here is sent again after it.
    if (this.#live && this.#socket.readyState === 1) this.#socket.send(message);
  }

  #handleMessage(message: unknown): void {
    if (!this.#live) return;
    let objects;
    try {
      objects = parseObjects(message);
    } catch (error) {
      this.#socket.close(CLOSE.malformed);
      const said = `the server sent something that is not ours: ${String(error)}`;
      return this.#end({ ...endingOf(CLOSE.malformed, said), name: "bad_message" });
    }
    for (const object of objects) {
      // Any object may be the last one that its owner wants to hear of.
      if (this.#live) this.#owner.handleObject(object);
    }
  }

  #end(ending: Ending): void {
    if (!this.#live) return;
    this.#live = false;
    this.#owner.handleEnd(ending);
  }
}
