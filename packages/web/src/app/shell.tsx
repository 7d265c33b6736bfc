/** The frame around every page: navigation, theme, the feed's state, and the live region. Owns the one feed socket. */
import { type FeedMessage, feedMessageSchema, type RepositoryList } from "@open-inspect/protocol";
import { Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import { Menu, Unplug, X } from "lucide-react";
import { Dialog } from "radix-ui";
import { useEffect, useRef, useState } from "react";
import { repositoriesKey } from "../lib/feed.ts";
import { useFileDrop } from "../lib/file-drop.ts";
import { type LiveState } from "../lib/live-socket.ts";
import { isLogoutElsewhere, leaveAsNobody } from "../lib/login.ts";
import { useLiveChannel, useServices } from "../lib/services.tsx";
import { imageWords } from "../lib/words.ts";
import { Button } from "../ui/button.tsx";
import { LiveIndicator } from "../ui/live-indicator.tsx";
import { AccountMenu } from "./account-menu.tsx";
import { Brand, Navigation, ThemeChoice } from "./navigation.tsx";
import { ShortcutKeys } from "./shortcut-keys.tsx";

export function Shell() {
  const { live, notice } = useFeed();
  const main = useFocusOnNavigation();
  useWayToLogin();
  useFileDrop(null);
  return (
    <div className="min-h-dvh bg-bg text-fg lg:grid lg:grid-cols-[15rem_minmax(0,1fr)]">
      <a
        href="#content"
        className="sr-only z-50 rounded-md bg-solid font-medium text-on-solid text-sm focus:not-sr-only focus:fixed focus:top-2 focus:left-2 focus:px-3 focus:py-2"
      >
        Skip to content
      </a>
      <aside className="sticky top-0 hidden h-dvh flex-col border-line border-r bg-sunken p-3 lg:flex">
        <Brand />
        <Navigation />
        <div className="mt-auto space-y-2">
          <div className="flex items-center justify-between gap-2 px-2">
            <LiveIndicator state={live} label="Updates" />
            <ThemeChoice />
          </div>
          <AccountMenu />
        </div>
      </aside>
      <header className="sticky top-0 z-20 flex h-13 items-center justify-between gap-2 border-line border-b bg-sunken px-3 lg:hidden">
        <Brand />
        <div className="flex items-center gap-2">
          <LiveIndicator state={live} label="Updates" />
          <AccountMenu isSmall />
          <Drawer />
        </div>
      </header>
      <main
        id="content"
        ref={main}
        tabIndex={-1}
        // A page that scrolls in parts fills the window instead of growing beyond it.
        className="min-w-0 outline-none has-data-fill:flex has-data-fill:h-[calc(100dvh-3.25rem)] has-data-fill:flex-col lg:has-data-fill:h-dvh"
      >
        {notice === null ? null : (
          <p role="note" data-notice="" className="border-warn/25 border-b bg-warn-soft px-4 py-2 text-sm text-warn">
            {notice}
          </p>
        )}
        <CutNotice live={live} />
        <Outlet />
      </main>
      <LiveRegion />
      <ShortcutKeys />
    </div>
  );
}

function Drawer() {
  const [open, setOpen] = useState(false);
  return (
    <Dialog.Root open={open} onOpenChange={setOpen}>
      <Dialog.Trigger asChild>
        <Button look="ghost" size="icon" aria-label="Open menu">
          <Menu aria-hidden="true" />
        </Button>
      </Dialog.Trigger>
      <Dialog.Portal>
        <Dialog.Overlay className="fixed inset-0 z-30 bg-black/40" />
        <Dialog.Content
          aria-describedby={undefined}
          className="fixed inset-y-0 left-0 z-40 flex w-64 max-w-[85vw] flex-col border-line border-r bg-sunken p-3 shadow-pop outline-none"
        >
          <div className="flex items-start justify-between">
            <Dialog.Title asChild>
              <div>
                <Brand />
              </div>
            </Dialog.Title>
            <Dialog.Close asChild>
              <Button look="ghost" size="icon" aria-label="Close menu">
                <X aria-hidden="true" />
              </Button>
            </Dialog.Close>
          </div>
          <Navigation onNavigate={() => setOpen(false)} />
          <div className="mt-auto flex justify-end">
            <ThemeChoice />
          </div>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

/** A short cut heals unseen; from here on what is shown may have become untrue. */
const cutNoticeAfterMs = 3_000;

/** Says that the page has lost its server, and that nothing has to be done about it. */
function CutNotice({ live }: { live: LiveState }) {
  const isCut = live === "reconnecting";
  const [shown, setShown] = useState(false);
  useEffect(() => {
    if (!isCut) return setShown(false);
    const timer = setTimeout(() => setShown(true), cutNoticeAfterMs);
    return () => clearTimeout(timer);
  }, [isCut]);
  return (
    <div role="status">
      {shown ? (
        <p
          data-cut=""
          className="flex items-center gap-2 border-warn/25 border-b bg-warn-soft px-4 py-2 text-sm text-warn sm:px-8"
        >
          <Unplug aria-hidden="true" className="size-4 shrink-0" />
          No connection to the server: what you see may be out of date. The page reconnects by itself.
        </p>
      ) : null}
    </div>
  );
}

/** Follows `/api/feed`; a change of an image's status is also said aloud. */
function useFeed() {
  const { feed, queryClient, announcer } = useServices();
  const [notice, setNotice] = useState<string | null>(null);
  const live = useLiveChannel<FeedMessage>("feed", {
    path: () => "/feed",
    schema: feedMessageSchema,
    onMessage(message) {
      if (message.type === "hello") setNotice(message.notice);
      if (message.type === "repository") {
        const { owner, name, image } = message.repository;
        const list = queryClient.getQueryData<RepositoryList>(repositoriesKey);
        const before = list?.repositories.find((each) => each.owner === owner && each.name === name);
        if (before !== undefined && before.image.status !== image.status) {
          announcer.announce(`Image of ${owner}/${name}: ${imageWords[image.status].word}`);
        }
      }
      feed.apply(message);
    },
  });
  return { live, notice };
}

/** Whoever has to be logged in is led to the login, and from there back to where they were. */
function useWayToLogin(): void {
  const { api, queryClient } = useServices();
  const navigate = useNavigate();
  const { href } = useLocation();
  useEffect(() => {
    const search = href === "/" ? {} : { return: href };
    const leave = () => void leaveAsNobody(queryClient, () => navigate({ to: "/login", search, replace: true }));
    const onStorage = (event: StorageEvent) => {
      if (isLogoutElsewhere(event)) leave();
    };
    addEventListener("storage", onStorage);
    const ignore = api.onLoginWanted(leave);
    return () => {
      removeEventListener("storage", onStorage);
      ignore();
    };
  }, [api, queryClient, navigate, href]);
}

/** A new page begins at its beginning for keyboards and screen readers too. */
function useFocusOnNavigation() {
  const main = useRef<HTMLElement>(null);
  const { pathname } = useLocation();
  const shown = useRef(pathname);
  useEffect(() => {
    if (shown.current === pathname) return;
    shown.current = pathname;
    main.current?.focus({ preventScroll: true });
  }, [pathname]);
  return main;
}

function LiveRegion() {
  const { announcer } = useServices();
  const [sentence, setSentence] = useState("");
  useEffect(() => announcer.subscribe(setSentence), [announcer]);
  return (
    <div aria-live="polite" aria-atomic="true" data-announcements="" className="sr-only">
      {sentence}
    </div>
  );
}
