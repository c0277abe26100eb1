import type { DefaultEventsMap, EventNames, EventsMap, Listener } from "./types.js";

// Members whose names begin with `_` are internal. They are not `#private`: frameworks such as Vue wrap objects in a
// Proxy, and a method that is called on a Proxy cannot read private fields.

/** A listener, and for `once` the function that the program has given. */
type Entry = ((...args: any[]) => void) & { _original?: unknown };

/**
 * Calls a function of the program. What it throws is reported like every uncaught error (`window.onerror`), and does
 * not disturb the caller.
 */
export function attempt(call: () => unknown): void {
  try {
    call();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/**
 * Registers listeners and calls them. If a listener throws, the other listeners are still called, and the error is
 * reported like every uncaught error.
 */
export class Emitter<
  Listen extends EventsMap = DefaultEventsMap,
  Reserved extends EventsMap = {},
> {
  /** The lists are replaced and never changed, so a listener may add and remove listeners. */
  _listeners = new Map<string, Entry[]>();

  /** Adds a listener of an event. */
  on<Name extends EventNames<Reserved> | EventNames<Listen>>(
    event: Name,
    listener: Listener<Reserved, Listen, Name>,
  ): this {
    this._listeners.set(String(event), [...this._of(event), listener as Entry]);
    return this;
  }

  /** Adds a listener that is called once and then removed. */
  once<Name extends EventNames<Reserved> | EventNames<Listen>>(
    event: Name,
    listener: Listener<Reserved, Listen, Name>,
  ): this {
    const once: Entry = (...args) => {
      this.off(event, once as Listener<Reserved, Listen, Name>);
      (listener as Entry).apply(this, args);
    };
    once._original = listener;
    return this.on(event, once as Listener<Reserved, Listen, Name>);
  }

  /** Removes a listener. Without `listener`, removes all listeners of the event; without `event`, all listeners. */
  off<Name extends EventNames<Reserved> | EventNames<Listen>>(
    event?: Name,
    listener?: Listener<Reserved, Listen, Name>,
  ): this {
    if (event === undefined) this._listeners.clear();
    else if (!listener) this._listeners.delete(String(event));
    else {
      const entries = this._of(event);
      const found = entries.findIndex((entry) => entry === listener || entry._original === listener);
      if (found >= 0) this._listeners.set(String(event), entries.filter((_, index) => index !== found));
    }
    return this;
  }

  /** Returns the listeners of an event. */
  listeners<Name extends EventNames<Reserved> | EventNames<Listen>>(
    event: Name,
  ): Listener<Reserved, Listen, Name>[] {
    return [...this._of(event)] as Listener<Reserved, Listen, Name>[];
  }

  /** Returns whether an event has listeners. */
  hasListeners<Name extends EventNames<Reserved> | EventNames<Listen>>(event: Name): boolean {
    return this._of(event).length > 0;
  }

  /** The same as {@link on}. */
  addEventListener<Name extends EventNames<Reserved> | EventNames<Listen>>(
    event: Name,
    listener: Listener<Reserved, Listen, Name>,
  ): this {
    return this.on(event, listener);
  }

  /** The same as {@link off}. */
  removeEventListener<Name extends EventNames<Reserved> | EventNames<Listen>>(
    event?: Name,
    listener?: Listener<Reserved, Listen, Name>,
  ): this {
    return this.off(event, listener);
  }

  /** The same as {@link off}. */
  removeListener<Name extends EventNames<Reserved> | EventNames<Listen>>(
    event?: Name,
    listener?: Listener<Reserved, Listen, Name>,
  ): this {
    return this.off(event, listener);
  }

  /** The same as {@link off}. */
  removeAllListeners<Name extends EventNames<Reserved> | EventNames<Listen>>(event?: Name): this {
    return this.off(event);
  }

  /** Events of servers may have a number as their name. */
  _of(event: string): Entry[] {
    return this._listeners.get(String(event)) ?? [];
  }

  /** Calls the listeners of an event. */
  _emit(event: string, ...args: unknown[]): void {
    for (const listener of this._of(event)) attempt(() => listener.apply(this, args));
  }
}
