/** Brings the dashboard's services together and hands them to the pages. */
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { createAnnouncer } from "../lib/announcer.ts";
import { type Api, ApiError } from "../lib/api.ts";
import { createFeed } from "../lib/feed.ts";
import { type SocketConstructor } from "../lib/live-socket.ts";
import { createReservation } from "../lib/reservation.ts";
import { type Services, ServicesProvider } from "../lib/services.tsx";
import { createShortcuts } from "../lib/shortcuts.ts";
import { type createAppRouter } from "./router.tsx";

const retries = 2;

/** Another try helps where no answer came or the server was in trouble; not where it refused. */
const worthRetrying = (error: unknown) => !(error instanceof ApiError) || error.status === 0 || error.status >= 500;

export function createServices(api: Api, WebSocket: SocketConstructor): Services {
  const queryClient = new QueryClient({
    defaultOptions: {
      queries: {
        retry: (failures, error) => failures < retries && worthRetrying(error),
        refetchOnWindowFocus: false,
      },
      mutations: { networkMode: "always" },
    },
  });
  return {
    ...{ api, queryClient, WebSocket },
    feed: createFeed(queryClient),
    announcer: createAnnouncer(),
    shortcuts: createShortcuts(),
    reservation: createReservation(api),
  };
}

export function App({ services, router }: { services: Services; router: ReturnType<typeof createAppRouter> }) {
  return (
    <ServicesProvider services={services}>
      <QueryClientProvider client={services.queryClient}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </ServicesProvider>
  );
}
