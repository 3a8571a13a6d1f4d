/**
 * All subscriptions of a client, and what the server has to be told about them after each connect.
 *
 * Place in the data path: `client.ts` brings the server's objects by channel; `subscribe` and `unsubscribe` go out
 * through `commands.ts`.
 */

import type { Backoff } from "./backoff.js";
import type { Commands } from "./commands.js";
import { TidegateError } from "./errors.js";
import type { WireConnected, WireSubscribed } from "./protocol.js";
import type { Runtime } from "./runtime.js";
import { Subscription, type SubscriptionHost } from "./subscription.js";
import type { Position, SubscribeOptions } from "./types.js";

/** One channel: the subscription, and how it stands with the server. */
interface Entry {
  subscription: Subscription;
  /** The server subscribed us by itself. */
  forced: boolean;
  confirmed: boolean;
  backoff: Backoff;
  timer: unknown;
}

export class Subscriptions {
  readonly #host: SubscriptionHost;
  readonly #commands: Commands;
  readonly #runtime: Runtime;
  readonly #newBackoff: () => Backoff;
  readonly #entries = new Map<string, Entry>();
  /** Channels that the application has left and the server may not know of yet: what still comes is not wanted. */
  readonly #left = new Set<string>();
  #connected = false;

  constructor(host: SubscriptionHost, commands: Commands, runtime: Runtime, newBackoff: () => Backoff) {
    this.#host = host;
    this.#commands = commands;
    this.#runtime = runtime;
    this.#newBackoff = newBackoff;
  }

  /** The subscription of a channel: the one that exists, or a new one. */
  subscribe(channel: string, options: SubscribeOptions): Subscription {
    const existing = this.#entries.get(channel);
    if (existing) {
      existing.forced = false;
      return existing.subscription;
    }
    const entry = this.#add(channel, options, false);
    if (this.#connected) this.#request(entry);
    return entry.subscription;
  }

  async unsubscribe(subscription: Subscription): Promise<void> {
    const { channel } = subscription;
    const entry = this.#entries.get(channel);
    if (entry?.subscription !== subscription) return;
    this.#remove(entry);
    this.#left.add(channel);
    subscription.end();
    if (this.#connected) await this.#requestUnsubscribe(channel);
  }

  /** The subscription that what comes on a channel is for. */
  get(channel: string): Subscription | undefined {
    const entry = this.#entries.get(channel);
    // What comes before the answer belongs to an earlier subscription.
    return entry?.confirmed ? entry.subscription : undefined;
  }

  /** Whether the application has no use for what comes on a channel: it has left it, or is about to come. */
  isUnwanted(channel: string): boolean {
    return this.#left.has(channel) || this.#entries.has(channel);
  }

  /**
   * What `connect` says of channels. A session that is resumed needs only the positions; all channels are named in case
   * that it is gone, which saves a round trip.
   */
  connectBody(): { subscribe: string[]; positions: Record<string, Position> } {
    const entries = [...this.#entries].slice(0, CONNECT_CHANNELS_MAX);
    const subscribe = entries
      // What begins with the newest messages can only be asked for by itself.
      .filter(([, { subscription, forced }]) => !forced && (subscription.position || !subscription.options.last))
      .map(([channel]) => channel);
    const positions = entries.flatMap(([channel, { subscription }]) => {
      return subscription.position ? [[channel, subscription.position] as const] : [];
    });
    return { subscribe, positions: Object.fromEntries(positions) };
  }

  /** A connection is ready: brings what the server holds in line with what the application wants. */
  handleConnected({ channels = {} }: WireConnected): void {
    this.#connected = true;
    const held = new Map(Object.entries(channels));
    for (const channel of this.#left) {
      if (!this.#entries.has(channel) && held.delete(channel)) void this.#requestUnsubscribe(channel);
      else this.#left.delete(channel);
    }
    for (const [channel, at] of held) {
      // A listener may have closed the client.
      if (!this.#connected) return;
      this.#handleConfirmed(this.#entries.get(channel) ?? this.#add(channel, {}, true), at);
    }
    for (const [channel, entry] of this.#entries) {
      if (held.has(channel)) continue;
      if (!entry.forced) this.#request(entry);
      else this.#end(entry, new TidegateError("unsubscribed", `the server no longer subscribes this client to ${channel}`));
    }
  }

  handleLost(): void {
    this.#connected = false;
    for (const entry of this.#entries.values()) {
      entry.confirmed = false;
      this.#runtime.clearTimeout(entry.timer);
    }
  }

  /** The server has ended a subscription. */
  handleUnsubscribed(channel: string, error: TidegateError): void {
    const entry = this.#entries.get(channel);
    if (!entry) return;
    if (error.retry) this.#retry(entry, error);
    else this.#end(entry, error);
  }

  /** The client is closed. */
  endAll(error?: TidegateError): void {
    this.handleLost();
    this.#left.clear();
    for (const entry of this.#entries.values()) this.#end(entry, error);
  }

  #add(channel: string, options: SubscribeOptions, forced: boolean): Entry {
    const subscription = new Subscription(this.#host, channel, options);
    const entry = { subscription, forced, confirmed: false, backoff: this.#newBackoff(), timer: undefined };
    this.#entries.set(channel, entry);
    return entry;
  }

  #remove(entry: Entry): void {
    this.#runtime.clearTimeout(entry.timer);
    this.#entries.delete(entry.subscription.channel);
  }

  #end(entry: Entry, error?: TidegateError): void {
    this.#remove(entry);
    entry.subscription.end(error);
  }

  #handleConfirmed(entry: Entry, at: WireSubscribed): void {
    entry.confirmed = true;
    entry.backoff.reset();
    this.#runtime.clearTimeout(entry.timer);
    entry.subscription.handleSubscribed(at);
  }

  #request(entry: Entry): void {
    const { channel, position, options } = entry.subscription;
    // A position says more than `last`: that was for the first time.
    const from = position ? { position } : options.last ? { last: options.last } : {};
    this.#commands.call<WireSubscribed | undefined>(
      "subscribe",
      { channel, ...from },
      { resend: false, first: true },
      (at) => this.#isCurrent(entry) && this.#handleConfirmed(entry, at ?? {}),
      (error: TidegateError) => this.#isCurrent(entry) && this.#handleRefused(entry, error),
    );
  }

  #handleRefused(entry: Entry, error: TidegateError): void {
    if (error.code === "already_subscribed") entry.confirmed = true;
    else if (error.retry) this.#retry(entry, error);
    else this.#end(entry, error);
  }

  #retry(entry: Entry, error: TidegateError): void {
    entry.confirmed = false;
    // Without a connection nothing is asked for: the next one begins with all that is missing.
    if (!this.#connected) return;
    const inMs = entry.backoff.next("now", error.retryAfterMs ?? 0);
    entry.timer = this.#runtime.setTimeout(() => this.#request(entry), inMs);
  }

  #isCurrent(entry: Entry): boolean {
    return this.#entries.get(entry.subscription.channel) === entry;
  }

  async #requestUnsubscribe(channel: string): Promise<void> {
    try {
      await this.#commands.request("unsubscribe", { channel }, { resend: false, first: true });
    } catch (error) {
      // Lost with its connection: the next one begins with what the server still holds.
      if ((error as TidegateError).code === "not_connected") return;
    }
    this.#left.delete(channel);
  }
}

/** The protocol's limit for one `connect`; what is over it is asked for afterwards. */
const CONNECT_CHANNELS_MAX = 4096;
