/** What pages need of the outside world, handed down by context so that tests bring their own. */
import { type QueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, use, useEffect, useRef, useState } from "react";
import { type ZodType } from "zod";
import { type Announcer } from "./announcer.ts";
import { type Api } from "./api.ts";
import { type Feed } from "./feed.ts";
import { type LiveSocketOptions, type LiveState, openLiveSocket, type SocketConstructor } from "./live-socket.ts";
import { type ReservationHandle } from "./reservation.ts";
import { type Shortcuts } from "./shortcuts.ts";

export interface Services {
  api: Api;
  queryClient: QueryClient;
  feed: Feed;
  announcer: Announcer;
  WebSocket: SocketConstructor;
  shortcuts: Shortcuts;
  reservation: ReservationHandle;
}

const ServicesContext = createContext<Services | null>(null);

export function ServicesProvider({ services, children }: { services: Services; children: ReactNode }) {
  return <ServicesContext value={services}>{children}</ServicesContext>;
}

export function useServices(): Services {
  const services = use(ServicesContext);
  if (services === null) throw new Error("useServices needs a ServicesProvider above it");
  return services;
}

/** Address of a socket below `/api` on the page's own origin. */
function socketUrl(path: string): string {
  const url = new URL(`/api${path}`, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

export interface LiveChannel<T> {
  /** path below `/api`; null keeps the socket closed. Asked again before each connection. */
  path: (() => string) | null;
  schema: ZodType<T>;
  onMessage: (message: T) => void;
  receipt?: LiveSocketOptions<T>["receipt"];
  isComplete?: () => boolean;
}

/** Keeps one live socket open as long as the component is there and `key` stays the same. */
export function useLiveChannel<T>(key: string, channel: LiveChannel<T>): LiveState {
  const { WebSocket, api } = useServices();
  const [state, setState] = useState<LiveState>("connecting");
  const latest = useRef(channel);
  useEffect(() => {
    latest.current = channel;
  });
  const open = channel.path !== null;
  useEffect(() => {
    if (!open || key === "") return;
    return openLiveSocket({
      WebSocket,
      url: () => socketUrl(latest.current.path?.() ?? ""),
      schema: latest.current.schema,
      onMessage: (message) => latest.current.onMessage(message),
      onState: setState,
      onRefused: () => void api.confirmLogin(),
      ...(latest.current.receipt ? { receipt: latest.current.receipt } : {}),
      isComplete: () => latest.current.isComplete?.() ?? false,
    });
  }, [WebSocket, api, open, key]);
  return state;
}
