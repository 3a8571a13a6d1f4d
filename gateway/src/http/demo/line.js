// The wire that the demo page can cut: a WebSocket with a switch.

const CUT_MS = 15_000;

/** Of all that connects by it there is at most one connection. */
export class Line {
  /** What `TidegateClient` takes as its `webSocket`. */
  Socket;
  #isCut = false;
  #socket;
  #timer = 0;
  #handleChange;

  /** `handleChange(leftMs)` is called while the line is cut, and once with `undefined` when it no longer is. */
  constructor(handleChange) {
    this.#handleChange = handleChange;
    const line = this;
    this.Socket = function (url, protocols) {
      return line.#isCut ? nowhere() : (line.#socket = new WebSocket(url, protocols));
    };
  }

  get isCut() {
    return this.#isCut;
  }

  /** Ends the connection as a lost network would, and lets no other one through for some seconds. */
  cut() {
    this.#isCut = true;
    const { onclose } = this.#socket;
    this.#socket.onclose = this.#socket.onmessage = this.#socket.onopen = null;
    // A page cannot end a connection without a close frame. With this code the gateway keeps the session, as it does for
    // a lost one; and the client is not told of the frame, but what it would see if the network were gone.
    this.#socket.close(4000);
    onclose?.(LOST);
    const due = performance.now() + CUT_MS;
    this.#timer = setInterval(() => this.#countDown(due), 250);
    this.#countDown(due);
  }

  /** Lets connections through again. */
  mend() {
    if (!this.#isCut) return;
    this.#isCut = false;
    clearInterval(this.#timer);
    this.#handleChange(undefined);
  }

  #countDown(due) {
    const leftMs = due - performance.now();
    if (leftMs > 0) this.#handleChange(leftMs);
    else this.mend();
  }
}

/** A socket that fails, a moment later as real ones do. */
function nowhere() {
  const socket = { readyState: WebSocket.CLOSED, bufferedAmount: 0, send() {}, close() {} };
  setTimeout(() => socket.onclose?.(LOST));
  return socket;
}

/** RFC 6455, section 7.4.1: ended without a close frame. */
const LOST = { code: 1006, reason: "" };
