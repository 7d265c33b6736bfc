/** The parts of the sidebar and the drawer: brand, links, theme. */
import { Link } from "@tanstack/react-router";
import { Layers, MessagesSquare, Monitor, Moon, SquarePen, Sun } from "lucide-react";
import { type ReactNode } from "react";
import { cn } from "../lib/cn.ts";
import { type Theme, useTheme } from "../lib/theme.ts";

export function Brand() {
  return (
    <Link to="/" className="flex h-8 items-center gap-2 whitespace-nowrap rounded-md px-2 font-semibold tracking-tight">
      <span aria-hidden="true" className="flex size-5 items-center justify-center rounded bg-solid text-on-solid">
        <Layers className="size-3.5" />
      </span>
      Open-Inspect
    </Link>
  );
}

const linkStyles =
  "flex h-8 items-center gap-2 rounded-md px-2 text-sm text-muted hover:bg-hover hover:text-fg aria-[current=page]:bg-hover aria-[current=page]:font-medium aria-[current=page]:text-fg [&_svg]:size-4 [&_svg]:text-faint";

export function Navigation({ onNavigate }: { onNavigate?: () => void }) {
  const exact = { exact: true, includeSearch: false };
  const common = { className: linkStyles, activeOptions: exact, ...(onNavigate === undefined ? {} : { onClick: onNavigate }) };
  return (
    <nav aria-label="Main" className="mt-4 space-y-0.5">
      <Link to="/sessions/new" {...common}>
        <SquarePen aria-hidden="true" />
        New session
      </Link>
      <Link to="/" {...common}>
        <MessagesSquare aria-hidden="true" />
        Sessions
      </Link>
      <p className="px-2 pt-4 pb-1 text-faint text-xs">Settings</p>
      <Link to="/settings/images" {...common}>
        <Layers aria-hidden="true" />
        Images
      </Link>
    </nav>
  );
}

const themes: { theme: Theme; label: string; icon: ReactNode }[] = [
  { theme: "light", label: "Light theme", icon: <Sun /> },
  { theme: "system", label: "System theme", icon: <Monitor /> },
  { theme: "dark", label: "Dark theme", icon: <Moon /> },
];

export function ThemeChoice() {
  const [chosen, choose] = useTheme();
  return (
    <fieldset className="flex rounded-md border border-line p-0.5">
      <legend className="sr-only">Theme</legend>
      {themes.map(({ theme, label, icon }) => (
        <button
          key={theme}
          type="button"
          aria-label={label}
          title={label}
          aria-pressed={chosen === theme}
          onClick={() => choose(theme)}
          className={cn(
            "flex size-6 items-center justify-center rounded text-faint hover:text-fg [&_svg]:size-3.5",
            chosen === theme && "bg-hover text-fg",
          )}
        >
          {icon}
        </button>
      ))}
    </fieldset>
  );
}
