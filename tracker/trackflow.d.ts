/** What `trackflow(name, data)` takes beside the name. Every key of the wire may stand in it: docs/protocol.md. */
export interface TrackflowData {
  /** Properties of your own; null is left out. */
  props?: Record<string, string | number | boolean | null>;
  /** Money this event brought. */
  revenue?: { amount: number | string; currency: string };
  /** Called once: when the server has answered, or when the first try has failed and the event waits for another. */
  callback?: (outcome: TrackflowOutcome) => void;
  /** Another id than a random one: the server stores an id once, an order number for instance. */
  id?: string;
  url?: string;
  referrer?: string;
  title?: string;
}

/** "queued": kept, and sent again. "ignored": by a rule (docs/tracker.md). Anything else: the server's error code. */
export type TrackflowOutcome = "accepted" | "queued" | "ignored" | (string & {});

export interface Trackflow {
  /** Queues an event and returns its id; undefined if it is ignored or JSON cannot say it. Never throws. */
  (name: string, data?: TrackflowData): string | undefined;
  /** Counts a page view by hand; returns its id. */
  pageview(data?: TrackflowData): string | undefined;
  /** Names the person for the events that follow, until null or the page's end. Kept in the page only, and in events that wait. */
  identify(user: string | number | null): void;
  /** Sends what waits now; resolves when that was tried. */
  flush(): Promise<void>;
  /** Counts nothing in this browser any more, and drops what waits. */
  optOut(): void;
  optIn(): void;
  /** The page view that is open. */
  readonly page: { id?: string; url?: string; title?: string; referrer: string };
}

declare global {
  interface Window {
    trackflow: Trackflow;
  }
  const trackflow: Trackflow;
}
