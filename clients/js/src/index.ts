/** `@tidegate/client`: see README.md. */

export { TidegateClient } from "./client.js";
export { type ClientErrorCode, type ServerErrorCode, TidegateError } from "./errors.js";
export type { Runtime, WebSocketConstructor, WebSocketLike } from "./runtime.js";
export type { Subscription } from "./subscription.js";
export type * from "./types.js";
